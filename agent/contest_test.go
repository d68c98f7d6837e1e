package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/kvs"
)

// arena is a contest over a state machine whose log the test is.
type arena struct {
	*contest
	t       *testing.T
	machine *fsm.FSM
	index   uint64
	entries atomic.Int64  // of the log, made by the contest
	fresher func()        // what a consistent read waits for; nil: nothing
	unwell  error         // what a consistent read ends with
	failing error         // what the log ends with
	hold    chan struct{} // the log waits for it; nil: it does not wait
}

func newArena(t *testing.T) *arena {
	a := &arena{t: t}
	store := fsm.NewStore()
	a.machine = fsm.New(store, hclog.NewNullLogger(), func(err error) { t.Error(err) })
	a.contest = newContest(store, make(chan struct{}), func(context.Context) error {
		if a.fresher != nil {
			a.fresher()
		}
		return a.unwell
	}, func(_ context.Context, c *fsm.Command) (fsm.Result, error) {
		a.entries.Add(1)
		if a.hold != nil {
			<-a.hold
		}
		if a.failing != nil {
			return fsm.Result{}, a.failing
		}
		return a.apply(c), nil
	})
	return a
}

func (a *arena) apply(c *fsm.Command) fsm.Result {
	a.t.Helper()
	a.index++
	data, err := fsm.Encode(c, int64(a.index))
	if err != nil {
		a.t.Fatal(err)
	}
	res, ok := a.machine.ApplyBatch([]*raft.Log{{Index: a.index, Type: raft.LogCommand, Data: data}})[0].(fsm.Result)
	if !ok {
		a.t.Fatal("the entry was not applied")
	}
	return res
}

// set writes a key past the contest and returns its index.
func (a *arena) set(key, value string) uint64 {
	return a.apply(&fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: key, Value: []byte(value)}}).Index
}

func cas(key string, index uint64, value string) *fsm.Command {
	return &fsm.Command{Write: &kvs.Op{Verb: kvs.CAS, Key: key, Index: index, Value: []byte(value)}}
}

// TestLostCASTakesNoEntry: what certainly does not apply is answered from fresh state,
// and everything else goes through the log, once.
func TestLostCASTakesNoEntry(t *testing.T) {
	remove := func(key string, index uint64) *fsm.Command {
		return &fsm.Command{Write: &kvs.Op{Verb: kvs.DeleteCAS, Key: key, Index: index}}
	}
	asked := func(c *fsm.Command, checked acl.Checked) *fsm.Command {
		c.Checked = &checked
		return c
	}
	for _, tc := range []struct {
		rule    string
		command *fsm.Command // the key app exists with index 2, the key gone was deleted
		fresher func(*arena) // what the state did not have when the request came
		applied bool
		entries int64
	}{
		{rule: "an old index", command: cas("app", 1, "x")},
		{rule: "an index that is not reached", command: cas("app", 99, "x")},
		{rule: "zero for a key that exists", command: cas("app", 0, "x")},
		{rule: "an index for a key that does not exist", command: cas("none", 7, "x")},
		{rule: "the last index of a deleted key", command: cas("gone", 3, "x")},
		{rule: "an old index of a deletion", command: remove("app", 1)},
		{rule: "zero for a deletion", command: remove("app", 0)},
		{rule: "asked for by the server itself", command: asked(cas("app", 1, "x"), acl.Checked{Trusted: true, Index: 77})},
		{rule: "rights of the same tables", command: asked(cas("app", 1, "x"), acl.Checked{Accessor: "a"})},

		{rule: "the right index", command: cas("app", 2, "x"), applied: true, entries: 1},
		{rule: "zero for a new key", command: cas("none", 0, "x"), applied: true, entries: 1},
		{rule: "a deletion of a key that is not there", command: remove("none", 7), applied: true, entries: 1},
		{
			rule: "the state was behind", command: cas("app", 5, "x"), applied: true, entries: 1,
			fresher: func(a *arena) { a.set("app", "later") },
		},
		{rule: "rights of other tables are looked at again", command: asked(cas("app", 1, "x"), acl.Checked{Index: 77}), entries: 1},
		{rule: "a token that ends is judged by the log's time", command: asked(cas("app", 1, "x"), acl.Checked{Expires: 1 << 60}), entries: 1},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := newArena(t)
			a.set("first", "1")
			a.set("app", "1")
			a.set("gone", "1")
			a.apply(&fsm.Command{Write: &kvs.Op{Verb: kvs.Delete, Key: "gone"}})
			if tc.fresher != nil {
				a.fresher = func() { tc.fresher(a) }
			}
			res, err := a.put(t.Context(), tc.command)
			if err != nil || res.Applied != tc.applied || a.entries.Load() != tc.entries {
				t.Errorf("applied = %v (%v) with %d entries, want %v with %d", res.Applied, err, a.entries.Load(), tc.applied, tc.entries)
			}
			if want := a.store.Applied(); res.Index != want {
				t.Errorf("index is %d, want %d, from which on its effect can be read", res.Index, want)
			}
			if len(a.turns) != 0 {
				t.Errorf("%d turns are left", len(a.turns))
			}
		})
	}
}

// TestContestHasOneWinner: while one compare-and-set of a key is on its way, the others
// wait for it, and take no entry when it has won.
func TestContestHasOneWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArena(t)
		index := a.set("app", "1")
		a.hold = make(chan struct{})
		answers := make(chan fsm.Result, 8)
		for range cap(answers) {
			go func() {
				res, err := a.put(t.Context(), cas("app", index, "mine"))
				if err != nil {
					t.Error(err)
				}
				answers <- res
			}()
		}
		synctest.Wait()
		close(a.hold)
		won := 0
		for range cap(answers) {
			if res := <-answers; res.Applied {
				won++
			}
		}
		if won != 1 || a.entries.Load() != 1 {
			t.Errorf("%d won with %d entries, want 1 with 1", won, a.entries.Load())
		}
	})
}

// TestContestAfterAFailure: who waited for a turn that failed does not wait for the next,
// and another key waits for nobody.
func TestContestAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArena(t)
		a.failing, a.hold = httpapi.ErrNoLeader, make(chan struct{})
		for range 3 {
			go func() {
				if _, err := a.put(t.Context(), cas("app", 0, "mine")); !errors.Is(err, httpapi.ErrNoLeader) {
					t.Errorf("answered with %v", err)
				}
			}()
		}
		go func() { _, _ = a.put(t.Context(), cas("other", 0, "mine")) }()
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		go func() {
			if _, err := a.put(gone, cas("app", 0, "mine")); !errors.Is(err, httpapi.ErrNoLeader) {
				t.Errorf("who left was answered with %v", err)
			}
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		if n := a.entries.Load(); n != 2 {
			t.Errorf("%d are on their way through the log, want one for each key", n)
		}
		a.hold <- struct{}{}
		a.hold <- struct{}{}
		synctest.Wait()
		if n := a.entries.Load(); n != 4 {
			t.Errorf("%d went to the log in all, want 4: those that waited at the same time", n)
		}
		close(a.hold)
	})
}

// TestLostCASNeedsFreshState: without a leader nothing is said of a state that may be old.
func TestLostCASNeedsFreshState(t *testing.T) {
	a := newArena(t)
	a.set("app", "1")
	a.unwell = httpapi.ErrNoLeader
	if res, err := a.put(t.Context(), cas("app", 9, "x")); !errors.Is(err, httpapi.ErrNoLeader) {
		t.Errorf("answered with %+v, %v", res, err)
	}
}
