package torture

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run puts a load on three servers over a store until enough was done.
func run(t *testing.T, b breaks, seed uint64, limit time.Duration) *Result {
	t.Helper()
	store := newFakeStore(t, b)
	load := Start(t.Context(), Config{Servers: store.serve(t, 3), Seed: seed, SettleLimit: limit})
	defer load.Close()
	load.Mark(FaultBegins)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !load.enough(600, 600, 40) {
		if !rest(ctx, pollEvery) {
			t.Fatal("the load comes to nothing")
		}
	}
	load.Mark(FaultEnds)
	return load.Settle(t.Context())
}

// enough reports whether so much of each kind has been done.
func (l *Load) enough(writes, operations, tenures int) bool {
	for _, w := range l.writers {
		w.mu.Lock()
		writes -= len(w.successes)
		w.mu.Unlock()
	}
	for _, s := range l.registers {
		s.mu.Lock()
		operations -= s.ops
		s.mu.Unlock()
	}
	for _, k := range l.locks {
		k.mu.Lock()
		tenures -= len(k.tenures)
		k.mu.Unlock()
	}
	return writes <= 0 && operations <= 0 && tenures <= 0
}

// TestStoreThatKeepsItsPromises: nothing is found where nothing is wrong, however many
// writes have an unknown outcome.
func TestStoreThatKeepsItsPromises(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		breaks breaks
	}{
		{"a store that is well", breaks{}},
		{"writes with an unknown outcome that happened", breaks{unknownDone: 60}},
		{"writes with an unknown outcome that did not", breaks{unknownNot: 60}},
		{"writes while there is no leader", breaks{noLeader: 100}},
		{"all of these", breaks{unknownDone: 40, unknownNot: 40, noLeader: 40}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := run(t, tc.breaks, 7, time.Minute)
			for _, fault := range r.Faults {
				t.Error(fault)
			}
			if r.Operations < 500 || r.Keys < 8 || r.Writes < 600 || r.Polls < 50 {
				t.Errorf("too little was done to find anything: %+v", r)
			}
			if tc.breaks != (breaks{}) && len(r.Failures) == 0 {
				t.Error("no write failed")
			}
		})
	}
}

// brokenRuns is how many runs a broken store has to go unnoticed in before the check is
// held to be broken. Whether one run shows it is chance: on a busy machine operations
// overlap, and what overlaps has many orders that are well.
const brokenRuns = 8

// TestBrokenStoreIsCaught: each promise that is broken is noticed, by the check that is
// there for it.
func TestBrokenStoreIsCaught(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		breaks breaks
		want   string // in one of the faults
	}{
		{"default reads are sometimes stale", breaks{stale: 100}, "not linearizable"},
		{"an acknowledged write was never done", breaks{lose: 20}, "an acknowledged write is lost"},
		{"reads show that a write was never done", breaks{lose: 250}, "not linearizable"},
		{"an acknowledged write is undone later", breaks{lateLoss: 20}, "acknowledged"},
		{"a write is done twice", breaks{twice: 200}, "was written once and has been seen at index"},
		{"a write comes back after another", breaks{comesBack: 200}, "not linearizable"},
		{"a conditional write ignores its condition", breaks{blindCAS: 200}, "not linearizable"},
		{"a write happened that is said not to have", breaks{openLie: 250}, "not linearizable"},
		{"two sessions hold the lock", breaks{holders: 500}, "the lock has two holders"},
		{"a lock is lost while it is held", breaks{forget: 500}, "the lock has two holders"},
		{"a write of an earlier holder is taken", breaks{holders: 1000, noFence: 1000}, "was taken at index"},
		{"a fencing number is given twice", breaks{sameFence: 500}, "fencing numbers do not grow"},
		{"stale reads of a server go back", breaks{backwards: 200}, "a stale read of torture/watch/"},
		{"a watcher goes back", breaks{watchBack: 50}, "a watcher of torture/watch/"},
		{"a watcher is not told of a change", breaks{deaf: 20}, "has not seen the last value"},
		{"servers differ in an index", breaks{differ: 1000}, "the servers were not equal"},
		{"an answer tells a wrong index", breaks{wrongIndex: 50}, "has index"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(brokenRuns) {
				r := run(t, tc.breaks, seed, 2*time.Second)
				for _, fault := range r.Faults {
					if strings.Contains(fault, tc.want) {
						return
					}
				}
				t.Logf("not noticed in run %d: no fault has %q in it:\n%s", seed+1, tc.want, strings.Join(r.Faults, "\n"))
			}
			t.Errorf("not noticed in %d runs", brokenRuns)
		})
	}
}
