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

func TestDeadlines(t *testing.T) {
	const ttl = 10 * time.Second
	for _, tc := range []struct {
		rule  string
		grace time.Duration
		life  time.Duration
	}{
		{"a session that does not say lives twice its TTL", -1, 2 * ttl},
		{"an exact one lives its TTL", 0, ttl},
		{"one with a grace lives so much longer", 3 * time.Second, 13 * time.Second},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := &handClock{time.Unix(1000, 0)}
			d := newDeadlines(c.now)
			d.start(fsm.NewStore())
			d.changed([]*session.Session{{ID: "s", Lifetime: ttl, Grace: tc.grace}}, nil)
			c.at = c.at.Add(tc.life - 1)
			if ids := d.over(10); ids != nil {
				t.Fatalf("over before its time: %q", ids)
			}
			if d.renew("s") != renewed {
				t.Fatal("it cannot be renewed")
			}
			c.at = c.at.Add(tc.life - 1)
			if ids := d.over(10); ids != nil {
				t.Fatalf("over before its renewed time: %q", ids)
			}
			c.at = c.at.Add(1)
			if ids := d.over(10); !slices.Equal(ids, []string{"s"}) {
				t.Fatalf("over: %q, want the session", ids)
			}
			if d.renew("s") != renewalEnding {
				t.Error("a session that is being ended can be renewed")
			}
			d.giveBack([]string{"s"})
			if d.renew("s") != renewed {
				t.Error("a session that could not be ended cannot be renewed")
			}
			d.changed(nil, []string{"s"})
			if d.renew("s") != renewalUnknown || len(d.queue) != 0 {
				t.Error("a session that is gone is still known")
			}
		})
	}
}

func TestDeadlinesKeepNothingForNobody(t *testing.T) {
	c := &handClock{time.Unix(1000, 0)}
	d := newDeadlines(c.now)
	d.changed([]*session.Session{{ID: "early", Lifetime: time.Second}}, nil)
	if len(d.by) != 0 {
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
	for ids := d.over(64); len(ids) > 0; ids = d.over(64) {
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
