package agent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/session"
)

// handClock is a time that the test moves.
type handClock struct{ at time.Time }

func (c *handClock) now() time.Time { return c.at }

func TestDeadlinesPassThroughTheirPhases(t *testing.T) {
	const ttl = 40 * time.Second
	c := &handClock{time.Unix(1000, 0)}
	d := newDeadlines(c.now)
	d.start(fsm.NewStore())
	d.changed([]*session.Session{{ID: "s", Lifetime: ttl}}, nil)
	expect := func(when string, over []string, quiet []fsm.SessionLeft, want renewal) pulse {
		t.Helper()
		gotOver, gotQuiet := d.due(10)
		if !slices.Equal(gotOver, over) || !slices.Equal(gotQuiet, quiet) {
			t.Fatalf("%s: over %q and quiet %v, want %q and %v", when, gotOver, gotQuiet, over, quiet)
		}
		became, pulse := d.renew("s")
		if became != want {
			t.Fatalf("%s: renewing it is %d, want %d", when, became, want)
		}
		return pulse
	}
	c.at = c.at.Add(30*time.Second - 1)
	expect("within its quiet time", nil, nil, renewed)
	c.at = c.at.Add(30 * time.Second)
	quiet := []fsm.SessionLeft{{ID: "s", Left: 10 * time.Second}}
	expect("after its quiet time", nil, quiet, renewalBusy)
	d.isSettled(quiet)
	old := expect("settled", nil, nil, renewalSettled)
	if !d.revive(old) {
		t.Fatal("a settled session can't be revived")
	}
	expect("revived", nil, nil, renewed)
	if !d.revive(old) {
		t.Error("a second renewal that was in the state at the same time does not count")
	}
	c.at = c.at.Add(30 * time.Second)
	expect("after its quiet time again", nil, quiet, renewalBusy)
	d.isSettled(quiet)
	if d.revive(old) {
		t.Error("a renewal revives a session that was settled after it")
	}
	c.at = c.at.Add(10 * time.Second)
	expect("after its time", []string{"s"}, nil, renewalBusy)
	d.giveBack([]string{"s"})
	pulse := expect("given back, since it could not be ended", nil, nil, renewalSettled)
	c.at = c.at.Add(expiryRetry)
	expect("tried again", []string{"s"}, nil, renewalBusy)
	d.changed(nil, []string{"s"})
	expect("ended", nil, nil, renewalUnknown)
	if d.revive(pulse) || len(d.queue) != 0 || d.settled != 0 {
		t.Error("a session that is gone is still known")
	}
}

func TestDeadlinesKeepNothingForNobody(t *testing.T) {
	c := &handClock{time.Unix(1000, 0)}
	d := newDeadlines(c.now)
	d.changed([]*session.Session{{ID: "early", Lifetime: time.Second}}, nil)
	d.restart(fsm.NewStore())
	if len(d.by) != 0 || d.active {
		t.Error("a server that does not lead keeps times")
	}
	d.start(fsm.NewStore())
	var born []*session.Session
	for i := range 1000 {
		born = append(born, &session.Session{ID: fmt.Sprint(i), Lifetime: time.Duration(i%7+1) * time.Second})
	}
	d.changed(append(born, &session.Session{ID: "for ever"}), nil)
	if len(d.by) != 1000 {
		t.Errorf("%d times are kept, want those of the 1000 that have one", len(d.by))
	}
	c.at = c.at.Add(time.Hour)
	seen := map[string]bool{}
	for ids, _ := d.due(64); len(ids) > 0; ids, _ = d.due(64) {
		if len(ids) > 64 {
			t.Fatalf("%d at once", len(ids))
		}
		for _, id := range ids {
			seen[id] = true
		}
		d.changed(nil, ids)
	}
	if len(seen) != 1000 || len(d.by) != 0 {
		t.Errorf("%d ended and %d are left, want all and none", len(seen), len(d.by))
	}
	d.stop()
	if d.active {
		t.Error("it is still active")
	}
}
