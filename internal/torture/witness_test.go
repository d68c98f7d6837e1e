package torture

import (
	"errors"
	"testing"
	"time"
)

func TestWitness(t *testing.T) {
	const ms = time.Millisecond
	var now time.Duration
	w := &witness{now: func() time.Duration { return now }}
	flush := func(at, takes time.Duration) {
		t.Helper()
		now = at
		w.flush = func() error { now += takes; return nil }
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
	}
	flush(10*ms, ms)
	flush(100*ms, 40*ms)
	flush(300*ms, 20*ms)
	for _, c := range []struct{ from, to, want time.Duration }{
		{0, 90 * ms, 0}, // short ones do not count
		{0, 100 * ms, 40 * ms},
		{120 * ms, 130 * ms, 40 * ms},
		{140 * ms, 150 * ms, 40 * ms},
		{141 * ms, 299 * ms, 0},
		{141 * ms, 400 * ms, 20 * ms},
		{0, 400 * ms, 40 * ms},
		{321 * ms, 400 * ms, 0},
	} {
		if got := w.longest(c.from, c.to); got != c.want {
			t.Errorf("from %s to %s the longest took %s, want %s", c.from, c.to, got, c.want)
		}
	}
	now = 500 * ms
	w.flush = func() error { // one that is under way counts, too
		now += 60 * ms
		if got := w.longest(450*ms, 550*ms); got != 60*ms {
			t.Errorf("the one under way has taken %s, want 60ms", got)
		}
		return errors.New("no disk")
	}
	if err := w.look(); err == nil {
		t.Error("its error is lost")
	}
	if got := w.longest(0, 550*ms); got != noWitness {
		t.Errorf("a witness that failed has seen %s", got)
	}
}
