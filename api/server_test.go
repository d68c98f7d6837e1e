//go:build unix

package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// The tests of this file run the recipes against the real server.

func startServer(t *testing.T) (*testcluster.Server, *api.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes as long as a session lives")
	}
	t.Parallel()
	s := testcluster.Start(t, testcluster.Options{})
	return s, connectTo(t, s.URL())
}

// within20 waits until ok, or fails.
func within20(t *testing.T, what string, ok func() error) {
	t.Helper()
	if err := testcluster.Eventually(t.Context(), 20*time.Second, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestAStoppedServerCannotGiveAwayALockThatIsCountedOn(t *testing.T) {
	s, client := startServer(t)
	var told states
	first, err := client.Lock("k", api.SessionTTL(10*time.Second), api.SessionLockDelay(0), told.option()).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGSTOP)
	<-first.Lost()
	lost := time.Now()
	s.Signal(syscall.SIGCONT)
	second, err := client.Lock("k").Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Now(); !got.After(lost) || second.Fence() <= first.Fence() {
		t.Errorf("lost at %s, and another's from %s with fence %d after %d", lost, got, second.Fence(), first.Fence())
	}
	// What the first one still has on its way is refused.
	if _, err := client.KV().Put(t.Context(), "data", []byte("old"), api.Fence("k", first.Fence())); !errors.Is(err, api.ErrFenced) {
		t.Errorf("write of the old holder: %v, want ErrFenced", err)
	}
	if _, err := client.KV().Put(t.Context(), "data", []byte("new"), api.Fence("k", second.Fence())); err != nil {
		t.Errorf("write of the holder: %v", err)
	}
	if err := first.Release(t.Context()); !errors.Is(err, api.ErrLost) {
		t.Errorf("release = %v, want ErrLost", err)
	}
	if err := second.Release(t.Context()); err != nil {
		t.Error(err)
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	if want := []string{"connected", "suspended", "lost"}; !slices.Equal(told.seen, want) {
		t.Errorf("told %v, want %v", told.seen, want)
	}
}

// TestContendersOfAServerThatIsKilled: a server that is killed and started again gives
// the lock to one at a time, in growing terms.
func TestContendersOfAServerThatIsKilled(t *testing.T) {
	s, client := startServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var mu sync.Mutex
	var tenures []tenure
	var workers sync.WaitGroup
	for range 6 {
		workers.Go(func() {
			for ctx.Err() == nil {
				h, err := client.Lock("k", api.SessionTTL(10*time.Second)).Acquire(ctx)
				if err != nil {
					_ = testcluster.Eventually(ctx, 20*time.Second, func() error { // the server is down
						_, err := client.Status().Leader(ctx)
						return err
					})
					continue
				}
				now := tenure{from: time.Now(), fence: h.Fence()}
				select {
				case <-h.Lost():
				case <-time.After(20 * time.Millisecond):
				}
				now.to = time.Now()
				mu.Lock()
				tenures = append(tenures, now)
				mu.Unlock()
				bounded, done := context.WithTimeout(t.Context(), 5*time.Second)
				_ = h.Release(bounded)
				done()
			}
		})
	}
	count := func(least int) func() error {
		return func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(tenures) < least {
				return fmt.Errorf("%d holds", len(tenures))
			}
			return nil
		}
	}
	within20(t, "before the kill", count(20))
	s.Kill9()
	mu.Lock()
	before := len(tenures)
	mu.Unlock()
	s.Start()
	within20(t, "after the kill", count(before+10))
	workers.Wait()
	slices.SortFunc(tenures, func(a, b tenure) int { return a.from.Compare(b.from) })
	for i := 1; i < len(tenures); i++ {
		a, b := tenures[i-1], tenures[i]
		if b.from.Before(a.to) || b.fence <= a.fence {
			t.Errorf("%s\noverlaps %s, or its number does not grow", show(b), show(a))
		}
	}
}

func TestKeysThatEndByThemselves(t *testing.T) {
	_, client := startServer(t)
	ctx, kv := t.Context(), client.KV()
	for _, key := range []string{"t/gone", "t/kept", "t/touched"} {
		if _, err := kv.Put(ctx, key, []byte("v"), api.TTL(2*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := kv.Persist(ctx, "t/kept"); err != nil || !res.Applied {
		t.Errorf("persist: %+v, %v", res, err)
	}
	within20(t, "expiry", func() error {
		if res, err := kv.Touch(ctx, "t/touched"); err != nil || !res.Applied {
			return fmt.Errorf("touch: %+v, %w", res, err)
		}
		if keys, _, err := kv.Keys(ctx, "t/"); err != nil || strings.Join(keys, " ") != "t/kept t/touched" {
			return fmt.Errorf("keys %v, %w", keys, err)
		}
		return nil
	})
	if res, err := kv.Touch(ctx, "t/gone"); err != nil || res.Applied {
		t.Errorf("touching what is gone: %+v, %v", res, err)
	}
	if e, _, err := kv.Get(ctx, "t/touched"); err != nil || string(e.Value) != "v" {
		t.Errorf("touching changed it: %+v, %v", e, err)
	}
}

func TestKeysThatEndWithASession(t *testing.T) {
	_, client := startServer(t)
	ctx, kv := t.Context(), client.KV()
	l, err := client.Sessions().Lease(ctx, api.SessionSpec{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		res, err := kv.PutSequential(ctx, "q/", 4, []byte("v"), api.Ephemeral(l.Session()))
		if want := fmt.Sprintf("q/%04d", i); err != nil || res.Key != want {
			t.Errorf("%+v, %v; want %s", res, err, want)
		}
	}
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
	if keys, _, err := kv.Keys(ctx, "q/"); err != nil || len(keys) > 0 {
		t.Errorf("keys %v outlive their session, %v", keys, err)
	}
	k, err := client.EphemeralKey(ctx, "m/a", []byte("v1"))
	if err != nil {
		t.Fatal(err)
	}
	old := k.Session()
	if err := client.Sessions().Destroy(ctx, old); err != nil {
		t.Fatal(err)
	}
	_ = k.Set(ctx, []byte("v2")) // it finds that out
	within20(t, "making it again", func() error {
		if e, _, err := kv.Get(ctx, "m/a"); err != nil || string(e.Value) != "v2" || k.Session() == old {
			return fmt.Errorf("%+v with %s, %w", e, k.Session(), err)
		}
		return nil
	})
	if err := k.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, _, err := kv.Get(ctx, "m/a"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the key outlives its owner: %v", err)
	}
}

func TestAFenceInATransaction(t *testing.T) {
	_, client := startServer(t)
	ctx := t.Context()
	var fences []uint64
	for range 2 {
		h, err := client.Lock("k").Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fences = append(fences, h.Fence())
		if err := h.Release(ctx); err != nil {
			t.Error(err)
		}
	}
	for i, applied := range []bool{false, true} {
		res, err := client.Txn(ctx, []api.TxnOp{
			{Verb: api.VerbCheckFence, Key: "k", Index: fences[i]}, {Verb: api.VerbSet, Key: "data"},
		})
		if err != nil || res.Applied != applied {
			t.Errorf("with fence %d of %v: %+v, %v", fences[i], fences, res, err)
		}
	}
}

func TestARefusedLockIsExplained(t *testing.T) {
	_, client := startServer(t)
	ctx := t.Context()
	h, err := client.Lock("k", api.SessionName("first")).Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other, err := client.Sessions().Create(ctx, api.SessionSpec{TTL: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.KV().Acquire(ctx, "k", nil, other, api.Explain())
	if err != nil || res.Applied || res.Refused == nil || res.Refused.Holder == nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if who := res.Refused.Holder; who.Session != h.Session() || who.Name != "first" || who.Fence != h.Fence() || who.Since.IsZero() {
		t.Errorf("held by %+v", who)
	}
	if err := client.Sessions().Destroy(ctx, h.Session()); err != nil {
		t.Fatal(err)
	}
	res, err = client.KV().Acquire(ctx, "k", nil, other, api.Explain())
	if err != nil || res.Applied || res.Refused == nil || res.Refused.LockDelay <= 0 || res.Refused.LockDelay > 15*time.Second {
		t.Errorf("in the lock-delay: %+v, %v", res.Refused, err)
	}
	if err := h.Release(ctx); !errors.Is(err, api.ErrLost) {
		t.Errorf("release = %v, want ErrLost", err)
	}
}
