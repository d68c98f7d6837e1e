package agent

import (
	"testing"
	"time"
)

func TestWhenALeaderAsksWhetherOthersAreThere(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	type look struct{ now, heard, want time.Duration }
	for _, tc := range []struct {
		rule  string
		looks []look
	}{
		{"not when it has heard just now", []look{{25 * ms, 0, 0}, {50 * ms, 30 * ms, 0}, {100 * ms, 90 * ms, 0}}},
		{"after half of the lease, for most of the rest", []look{{100 * ms, 0, 0}, {199 * ms, 0, 0}, {200 * ms, 0, 175 * ms}}},
		{"once for each silence", []look{{90 * ms, 0, 0}, {180 * ms, 0, 0}, {210 * ms, 0, 165 * ms}, {230 * ms, 0, 0}, {310 * ms, 260 * ms, 0}, {400 * ms, 260 * ms, 0}, {470 * ms, 260 * ms, 165 * ms}}},
		{"not for nothing", []look{{100 * ms, 0, 0}, {199 * ms, -180 * ms, 0}}},
		{"not after a pause, for a lease", []look{{250 * ms, 0, 0}, {300 * ms, 0, 0}, {350 * ms, 0, 0}}},
		{"again when the pause is over", []look{
			{250 * ms, 0, 0}, {350 * ms, 300 * ms, 0}, {450 * ms, 400 * ms, 0}, {550 * ms, 400 * ms, 0}, {649 * ms, 400 * ms, 0}, {651 * ms, 400 * ms, 124 * ms},
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := contactWatch{lease: 400 * ms, looked: start}
			for i, l := range tc.looks {
				if got := w.look(at(l.now), at(l.heard)); got != l.want {
					t.Errorf("look %d, at %s, having heard at %s: asks for %s, want %s", i, l.now, l.heard, got, l.want)
				}
			}
		})
	}
	for _, tc := range []struct {
		rule   string
		after  time.Duration
		counts bool
	}{
		{"in time", 375 * ms, true},
		{"after a pause", 375*ms + 101*ms, false},
		{"behind the lease", 400 * ms, false},
	} {
		w := contactWatch{lease: 400 * ms, looked: at(180 * ms)}
		wait := w.look(at(200*ms), start)
		if counts := w.asked(at(tc.after), wait, start); counts != tc.counts {
			t.Errorf("an answer that did not come, %s: counts %v", tc.rule, counts)
		}
	}
}

func TestSinceWhenAMajorityWasHeard(t *testing.T) {
	now := time.Unix(100, 0)
	at := func(seconds ...int64) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, time.Unix(s, 0))
		}
		return times
	}
	for _, tc := range []struct {
		rule   string
		times  []time.Time
		voters int
		want   int64
	}{
		{"alone it always is one", nil, 1, 100},
		{"of two both are needed", at(50), 2, 50},
		{"of three one other", at(50, 70), 3, 70},
		{"of four two others", at(50, 90, 70), 4, 70},
		{"of five two others", at(10, 90, 50, 70), 5, 70},
		{"one without a vote does not judge", at(), 3, 100},
	} {
		if got := majorityOf(tc.times, tc.voters, now); got.Unix() != tc.want {
			t.Errorf("%s: %d, want %d", tc.rule, got.Unix(), tc.want)
		}
	}
}
