package torture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWitness(t *testing.T) {
	const ms = time.Millisecond
	var now time.Duration
	w := newWitness(nil, func() time.Duration { return now })
	flush := func(late, takes time.Duration) {
		t.Helper()
		now = w.due + late
		w.flush = func() error { now += takes; return nil }
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
	}
	flush(0, ms)     // from 20 to 21 ms
	flush(0, 40*ms)  // from 41 to 81
	flush(30*ms, ms) // due at 101, over at 132: the machine stopped before it began
	flush(0, 4*ms)   // from 152 to 156
	for _, c := range []struct{ from, to, want time.Duration }{
		{0, 40 * ms, 0}, // short ones do not count
		{0, 41 * ms, 40 * ms},
		{50 * ms, 60 * ms, 40 * ms},
		{81 * ms, 90 * ms, 40 * ms},
		{82 * ms, 100 * ms, 0},
		{82 * ms, 400 * ms, 31 * ms},
		{133 * ms, 400 * ms, 0},
		{0, 400 * ms, 40 * ms},
	} {
		if got := w.longest(span{c.from, c.to}); got != c.want {
			t.Errorf("from %s to %s the longest took %s, want %s", c.from, c.to, got, c.want)
		}
	}

	now = w.due + 50*ms // one that does not come counts
	if got := w.longest(span{w.due, now}); got != 50*ms {
		t.Errorf("the one that is late has taken %s, want 50ms", got)
	}
	w.flush = func() error { // one that is under way, too
		now += 60 * ms
		if got := w.longest(span{w.due, now}); got != 110*ms {
			t.Errorf("the one under way has taken %s, want 110ms", got)
		}
		return errors.New("no disk")
	}
	if err := w.look(); err == nil {
		t.Error("its error is lost")
	}
	if got := w.longest(span{0, now}); got != noWitness {
		t.Errorf("a witness that failed has seen %s", got)
	}
}

func TestWitnessThatHasEndedIsNotLate(t *testing.T) {
	var now time.Duration
	ctx, end := context.WithCancel(t.Context())
	flushes := 0
	w := newWitness(nil, func() time.Duration { return now })
	w.flush = func() error {
		if flushes++; flushes == 3 {
			end()
		}
		now = w.due // each is in time
		return nil
	}
	w.run(ctx)
	now += time.Hour
	if got := w.longest(span{0, now}); got != 0 || flushes != 3 {
		t.Errorf("after %d flushes, want 3, the longest took %s, want 0", flushes, got)
	}
}

func TestWitnessOfALoad(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		rule, dir string
		sees      bool
	}{
		{"with a folder", dir, true},
		{"without one", "", false},
		{"with one that is not there", filepath.Join(dir, "none"), false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			l := Start(t.Context(), Config{Dir: c.dir})
			defer l.Close()
			r := &Result{}
			l.measureSilence(r, 0, l.Elapsed())
			if sees := r.Stall != noWitness && r.SilenceStall != noWitness; sees != c.sees {
				t.Errorf("sees %v, want %v: %+v", sees, c.sees, r)
			}
		})
	}
}

func TestFlushFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "witness"))
	if err != nil {
		t.Fatal(err)
	}
	flush := flushFile(f)
	for range 2 {
		if err := flush(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := f.Stat(); err != nil || info.Size() != int64(len("witness")) {
		t.Errorf("the file grows, or: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if flush() == nil {
		t.Error("a file that is closed was flushed")
	}
}

// TestStallsBesideSilences: what was long elsewhere in the run is not held against a silence.
func TestStallsBesideSilences(t *testing.T) {
	l := &Load{clients: []*client{{id: 0}, {id: 1}}}
	l.writers = []*writer{
		{client: l.clients[0], successes: at(1000, 1100, 1400, 1500)}, // silent from 1100 to 1400
		{client: l.clients[1], successes: at(1000, 1200, 1300, 1900)}, // from 1300 to 1900
	}
	l.witness = newWitness(nil, func() time.Duration { return 0 })
	l.witness.stalls = []span{{at(1210)[0], at(1290)[0]}, {at(1450)[0], at(1490)[0]}, {at(1950)[0], at(2250)[0]}}
	var r Result
	l.measureSilence(&r, at(1050)[0], at(1990)[0])
	for _, c := range []struct {
		what string
		got  time.Duration
		want int
	}{
		{"all: silence", r.Silence, 400},
		{"beside it", r.SilenceStall, 0},
		{"first server: silence", r.ServerSilence[0], 490},
		{"beside it", r.ServerStall[0], 300},
		{"second server: silence", r.ServerSilence[1], 600},
		{"beside it", r.ServerStall[1], 40},
		{"at all", r.Stall, 300},
	} {
		if want := at(c.want)[0]; c.got != want {
			t.Errorf("%s %s, want %s", c.what, c.got, want)
		}
	}
}
