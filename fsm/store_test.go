package fsm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/kvs"
)

func TestWaitAppliedReturnsWhenTheIndexCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.do(write(set("k", "1")))
		if err := m.store.WaitApplied(t.Context(), 0); err != nil {
			t.Errorf("wait for index 0: %v", err)
		}
		if err := m.store.WaitApplied(t.Context(), 1); err != nil {
			t.Errorf("wait for an index that is there: %v", err)
		}
		var reached [4]atomic.Bool // by the index waited for
		var waiters sync.WaitGroup
		for _, index := range []uint64{2, 2, 3, 3, 3} {
			waiters.Go(func() {
				if err := m.store.WaitApplied(t.Context(), index); err != nil {
					t.Errorf("wait for %d: %v", index, err)
				}
				if got := m.store.View().Applied(); got < index {
					t.Errorf("waited for %d, and the view is at %d", index, got)
				}
				reached[index].Store(true)
			})
		}
		synctest.Wait()
		if reached[2].Load() || reached[3].Load() {
			t.Error("a wait was over before its time")
		}
		m.do(write(set("k", "2")))
		synctest.Wait()
		if !reached[2].Load() || reached[3].Load() {
			t.Errorf("at index 2 the waits for 2 and 3 are over: %v, %v; want only the first", reached[2].Load(), reached[3].Load())
		}
		m.do(write(set("k", "2"))) // changes nothing, and counts
		waiters.Wait()
	})
}

func TestWaitAppliedEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.do(write(set("k", "1")))
		enough := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, enough)
		defer cancel()
		start := time.Now()
		err := m.store.WaitApplied(ctx, 5)
		if !errors.Is(err, enough) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v, want the cause after a second", time.Since(start), err)
		}
		if want := "wait for index 5, reached 1: enough"; err.Error() != want {
			t.Errorf("the error says %q, want %q", err, want)
		}
		if err := m.store.WaitApplied(ctx, 1); err != nil {
			t.Errorf("what is there already needs no time, and no context: %v", err)
		}
		if m.store.waiting != 0 {
			t.Errorf("%d still wait", m.store.waiting)
		}
	})
}

func TestWaitAppliedIsOverAfterARestoreOfALaterState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later := newMachine(t)
		later.batch(write(set("k", "1")), write(set("k", "2")), write(set("k", "3")))
		snapshot := plain(t, later.store)
		m := newMachine(t)
		done := make(chan error, 1)
		go func() { done <- m.store.WaitApplied(t.Context(), 3) }()
		synctest.Wait()
		if err := m.restore(snapshot); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestWaitAppliedMissesNothing lets the index grow just after a waiter has found that
// it is not there yet and before it has said that it waits: nobody will wake it.
func TestWaitAppliedMissesNothing(t *testing.T) {
	s := NewStore()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for index := uint64(1); index <= 200; index++ {
		s.mu.Lock() // where the waiter has to go through
		done := make(chan error, 1)
		go func() { done <- s.WaitApplied(ctx, index) }()
		for range 100 {
			runtime.Gosched() // let it come to the lock
		}
		s.applied.Store(index) // advance does this first, then finds that nobody waits
		s.mu.Unlock()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestViewNeverChanges reads old and new views while commands, prunes and restores go
// on. Run it with -race: what a view shares with the store must never be written.
func TestViewNeverChanges(t *testing.T) {
	const commands = 400
	m := newMachine(t)
	for i := range 30 {
		m.do(write(set(fmt.Sprintf("k%d", i%10), fmt.Sprint(i))))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				v := m.store.View()
				was := everything(v)
				for range 3 {
					if is := everything(v); is != was {
						t.Errorf("a view at %d was\n%s, and is\n%s", v.Applied(), was, is)
						return
					}
				}
				if err := m.store.WaitApplied(ctx, v.Applied()); err != nil { // the view can be had a moment earlier
					t.Errorf("a view is at %d, the store at %d: %v", v.Applied(), m.store.Applied(), err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	rnd := uint64(1)
	next := func(n uint64) uint64 { rnd = rnd*6364136223846793005 + 1442695040888963407; return rnd >> 33 % n }
	for range commands {
		key := fmt.Sprintf("k%d", next(10))
		switch next(8) {
		case 0:
			m.do(write(del(key)))
		case 1:
			m.do(txn(set(key, "t"), set("k0", "t"), get("none"))) // refused
		case 2:
			v := m.store.View().Meta()
			m.do(prune(kvs.Plan{Through: v.PrunedThrough + next(5), Trims: []kvs.Trim{{Key: key, Keep: int(1 + next(4))}}}))
		case 3:
			if err := m.restore(plain(t, m.store)); err != nil {
				t.Fatal(err)
			}
		default:
			m.batch(write(set(key, fmt.Sprint(m.index))), txn(set(key, "a"), set("k1", fmt.Sprint(m.index))))
		}
	}
	close(stop)
	readers.Wait()
}

// everything is what a view says.
func everything(v *View) string {
	s := fmt.Sprint(content(v), v.Meta(), v.Applied())
	v.Changes(v.Meta().PrunedThrough, func(c *kvs.Version) bool { s += fmt.Sprint(" ", c.Key, c.ModifyIndex); return true })
	for i := range 10 {
		for _, c := range v.History(fmt.Sprintf("k%d", i), 100) {
			s += fmt.Sprint(" ", string(c.Value), c.ModifyIndex)
		}
	}
	return s
}

func TestGenerationGrowsWithEachRestoreOnly(t *testing.T) {
	m := newMachine(t)
	first := m.store.View().Generation
	m.do(write(set("k", "1")))
	m.do(Command{Restored: true})
	if got := m.store.View().Generation; got != first {
		t.Errorf("commands took the generation from %d to %d", first, got)
	}
	snapshot := plain(t, m.store)
	for range 2 {
		before := m.store.View().Generation
		if err := m.restore(snapshot); err != nil {
			t.Fatal(err)
		}
		if got := m.store.View().Generation; got <= before {
			t.Errorf("a restore took the generation from %d to %d", before, got)
		}
	}
	before := m.store.View().Generation
	if err := m.restore(snapshot[:20]); err == nil {
		t.Fatal("a snapshot of 20 bytes was restored")
	}
	if got := m.store.View().Generation; got != before {
		t.Errorf("a restore that failed took the generation from %d to %d", before, got)
	}
}

func TestEmptyStore(t *testing.T) {
	s := NewStore()
	v := s.View()
	if v.Applied() != 0 || s.Applied() != 0 || v.RestoredAt() != 0 || v.Index() != 1 || content(v) != "" || v.Meta() != (kvs.Meta{}) {
		t.Errorf("an empty store is at %d, restored at %d, with index %d, %q and %+v", v.Applied(), v.RestoredAt(), v.Index(), content(v), v.Meta())
	}
	if index, err := v.IndexAt(1 << 60); index != 0 || err != nil {
		t.Errorf("the index at any time is %d (%v), want 0", index, err)
	}
	other := newMachine(t)
	other.do(write(set("k", "1")))
	if err := other.restore(plain(t, s)); err != nil {
		t.Fatal(err)
	}
	if got := content(other.store.View()); got != "" || other.store.Applied() != 0 {
		t.Errorf("after the restore of an empty store there is %q at %d", got, other.store.Applied())
	}
}

func TestRestoreWakesWhoeverWaits(t *testing.T) {
	m := newMachine(t)
	m.do(write(set("k", "1")))
	snapshot := plain(t, m.store)
	m.do(write(set("k", "2")))
	w := m.store.Hub().WatchKey("k")
	defer w.Stop()
	if err := m.restore(append([]byte(nil), snapshot[:len(snapshot)-1]...)); err == nil {
		t.Fatal("a snapshot that is cut off was restored")
	}
	select {
	case <-w.Reset:
		t.Error("woken by a restore that failed")
	default:
	}
	if err := m.restore(snapshot); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Reset:
	default:
		t.Error("not woken by the restore")
	}
	if got, want := content(m.store.View()), "k=1@1"; got != want {
		t.Errorf("the store holds %q, want %q", got, want)
	}
	// What follows in the log is applied to the restored state.
	if res := m.fsm.Apply(&raft.Log{Index: 9, Type: raft.LogCommand, Data: entry(t, 9, 9, write(kvs.Op{Verb: kvs.CAS, Key: "k", Index: 1})).Data}); !res.(Result).Applied {
		t.Error("a check-and-set with the restored index was refused")
	}
}
