package kvs

import (
	"errors"
	"testing"
	"time"
)

// locked returns a fixture in which session s1 holds the locks a and b, owns c, and
// session s2 holds d.
func locked(t *testing.T) *fixture {
	f := newFixture(t)
	lock := func(key, session string) Op { return Op{Verb: Lock, Key: key, Value: []byte(key), Session: session} }
	f.do(lock("a", "s1"), lock("b", "s1"), set("c", "c"), lock("d", "s2"))
	f.tx(func(tx *Tx) { tx.Own("c", "s1") })
	return f
}

// tx runs one command of its own.
func (f *fixture) tx(do func(*Tx)) {
	f.index++
	tx := Begin(f.view())
	tx.Command(f.index, int64(f.index)*second, Nobody)
	do(tx)
	tx.Accept()
	txn := f.db.Txn(true)
	tx.Flush(txn)
	txn.Commit()
}

func TestEndOfASession(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		del   bool
		delay time.Duration
	}{
		{"release keeps the keys it held", false, 0},
		{"delete ends them", true, 0},
		{"a delay follows a release", false, 15 * time.Second},
		{"a delay follows a deletion too", true, 15 * time.Second},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := locked(t)
			f.tx(func(tx *Tx) { tx.EndSession("s1", tc.del, tc.delay) })
			v := f.view()
			for _, key := range []string{"a", "b"} {
				cur, changed := v.Get(key)
				if (cur == nil) != tc.del || changed != f.index {
					t.Errorf("key %s is %v at %d, want deleted %v at %d", key, cur, changed, tc.del, f.index)
				}
				if cur != nil && (cur.Session != "" || cur.LockIndex != 1 || string(cur.Value) != key) {
					t.Errorf("key %s is %+v, want it free, with its value and count", key, cur)
				}
				if until := v.Delay(key); (until > 0) != (tc.delay > 0) || tc.delay > 0 && until != int64(f.index)*second+int64(tc.delay) {
					t.Errorf("key %s may be locked from %d, delay %s", key, until, tc.delay)
				}
			}
			if cur, _ := v.Get("c"); cur != nil {
				t.Error("the key that the session owned is still there")
			}
			if cur, _ := v.Get("d"); cur == nil || cur.Session != "s2" {
				t.Errorf("the key of another session is %+v", cur)
			}
			if locks, owned := v.HeldBy("s1"); locks != nil || owned != nil {
				t.Errorf("the session still holds %q and owns %q", locks, owned)
			}
		})
	}
}

func TestDelayedKeyCannotBeLocked(t *testing.T) {
	f := locked(t)
	f.tx(func(tx *Tx) { tx.EndSession("s1", false, 3*time.Second) })
	live := func(id string) (string, bool) { return id, true }
	for try := 1; ; try++ {
		var out Outcome
		f.tx(func(tx *Tx) { out = tx.Do(Op{Verb: Lock, Key: "a", Session: "new"}, live) })
		if try < 3 && (out.Applied || out.Why != `failed to lock key "a" due to lock delay`) {
			t.Fatalf("after %d s the lock is %+v, want it refused for the delay", try, out)
		}
		if try == 3 {
			if !out.Applied {
				t.Fatalf("after the delay the lock is %+v", out)
			}
			return
		}
	}
}

func TestExtraOfAKey(t *testing.T) {
	f := newFixture(t)
	f.do(set("k", "v")) // at second 1 of the fixture's clock, as its index
	f.tx(func(tx *Tx) { tx.ExpireIn("k", 10*time.Second) })
	at := int64(f.index)*second + 10*second
	due := func() []Expiring {
		keys, _ := f.view().Due(at, 10)
		return keys
	}
	if got := due(); len(got) != 1 || got[0] != (Expiring{"k", at}) {
		t.Fatalf("due at %d: %v", at, got)
	}
	if _, changed := f.view().Get("k"); changed == f.index {
		t.Error("a time to live changes the index of the key")
	}
	f.tx(func(tx *Tx) {
		if tx.ExpireDue("k", at) {
			t.Error("the key ended before its time")
		}
	})
	f.tx(func(tx *Tx) { tx.Touch("k") })
	if got := due(); len(got) != 0 {
		t.Errorf("after a touch %v is due at the old time", got)
	}
	f.tx(func(tx *Tx) { tx.Persist("k") })
	if got, next := f.view().Due(1<<62, 10); len(got) != 0 || next != 0 {
		t.Errorf("a persistent key is due: %v, %d", got, next)
	}
	f.tx(func(tx *Tx) { tx.ExpireIn("k", time.Second) })
	end := int64(f.index)*second + second
	f.tx(func(tx *Tx) {
		if !tx.ExpireDue("k", end) {
			t.Error("the key did not end at its time")
		}
	})
	if h := f.view().History("k", 1); h[0].Kind != KindExpire {
		t.Errorf("the end of the key is a %s in its history, want expire", h[0].Kind)
	}
}

func TestFence(t *testing.T) {
	f := newFixture(t)
	lock := func(session string) uint64 {
		f.do(Op{Verb: Lock, Key: "l", Session: session})
		return f.view().Fence("l")
	}
	check := func(n uint64, ok bool, when string) {
		t.Helper()
		f.tx(func(tx *Tx) {
			var fenced *FenceError
			if err := tx.CheckFence("l", n); errors.As(err, &fenced) == ok {
				t.Errorf("%s: fence %d gives %v", when, n, err)
			}
		})
	}
	first := lock("s1")
	if again := lock("s1"); again != first {
		t.Errorf("locking again by the holder changes the number from %d to %d", first, again)
	}
	check(first, true, "held")
	f.do(Op{Verb: Unlock, Key: "l", Session: "s1"})
	check(first, true, "released, nobody else came")
	second := lock("s2")
	if second <= first {
		t.Fatalf("the next holder has number %d, not above %d", second, first)
	}
	check(first, false, "held by another")
	f.do(del("l"))
	check(first, false, "deleted since")
	check(second, true, "the last holder")
}

func TestSequentialNumbersHaveNoGap(t *testing.T) {
	f := newFixture(t)
	for want := uint64(1); want < 5; want++ {
		tx := Begin(f.view())
		tx.Command(f.index+1, 0, Nobody)
		tx.Next("dir/")
		tx.Reject() // a refused command takes no number
		f.tx(func(tx *Tx) {
			if got := tx.Next("dir/"); got != want {
				t.Errorf("number %d, want %d", got, want)
			}
		})
	}
	if got := SequentialKey("dir/", 7, 4); got != "dir/0007" {
		t.Errorf("key %q", got)
	}
}
