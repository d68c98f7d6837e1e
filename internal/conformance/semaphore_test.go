package conformance

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func semaphore(t *testing.T, c *api.Client, opts api.SemaphoreOptions) *api.Semaphore {
	t.Helper()
	s, err := c.SemaphoreOpts(&opts)
	must(t, err)
	return s
}

// mustAcquire waits for a slot.
func mustAcquire(t *testing.T, s *api.Semaphore) (lost <-chan struct{}) {
	t.Helper()
	lost, err := s.Acquire(t.Context().Done())
	must(t, err)
	if lost == nil {
		t.Fatal("no slot was acquired")
	}
	return lost
}

func TestSemaphoreCalls(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	put(t, c.KV(), "semaphore-neighbour", "its key begins as theirs do")
	one := semaphore(t, c, api.SemaphoreOptions{Prefix: "semaphore", Limit: 2, Value: []byte("one")})
	two := semaphore(t, c, api.SemaphoreOptions{Prefix: "semaphore", Limit: 2})
	if err := one.Release(); !errors.Is(err, api.ErrSemaphoreNotHeld) {
		t.Errorf("release before: %v, want %v", err, api.ErrSemaphoreNotHeld)
	}
	must(t, one.Destroy()) // of what never was
	lost := mustAcquire(t, one)
	if _, err := one.Acquire(nil); !errors.Is(err, api.ErrSemaphoreHeld) {
		t.Errorf("acquire again: %v, want %v", err, api.ErrSemaphoreHeld)
	}
	if err := one.Destroy(); !errors.Is(err, api.ErrSemaphoreHeld) {
		t.Errorf("destroy by a holder: %v, want %v", err, api.ErrSemaphoreHeld)
	}
	if err := two.Destroy(); !errors.Is(err, api.ErrSemaphoreInUse) {
		t.Errorf("destroy in use: %v, want %v", err, api.ErrSemaphoreInUse)
	}
	other := semaphore(t, c, api.SemaphoreOptions{Prefix: "semaphore", Limit: 3})
	if _, err := other.Acquire(nil); err == nil || !strings.Contains(err.Error(), "semaphore limit conflict (lock: 2, local: 3)") {
		t.Errorf("another limit: %v", err)
	}
	mustAcquire(t, two)
	const wait = 300 * time.Millisecond
	third := semaphore(t, c, api.SemaphoreOptions{Prefix: "semaphore", Limit: 2, SemaphoreTryOnce: true, SemaphoreWaitTime: wait})
	begin := time.Now()
	slot, err := third.Acquire(nil)
	must(t, err)
	if took := time.Since(begin); slot != nil || took < wait || took > 10*time.Second {
		t.Errorf("a third holder of two: acquired = %v after %s, want that it is given up after %s", slot != nil, took, wait)
	}
	if isClosed(lost) {
		t.Error("the slot was lost")
	}
	must(t, one.Release())
	waitLost(t, "release", lost)
	must(t, two.Release())
	must(t, two.Destroy())
	if keys, _, err := c.KV().Keys("semaphore/", "", nil); err != nil || len(keys) > 0 && strings.HasSuffix(keys[0], "/.lock") {
		t.Errorf("after destroy the keys are %v, %v", keys, err)
	}
}

// TestSemaphoreContended: as many as there are slots hold one at a time, no more and
// no fewer, and everybody gets one.
func TestSemaphoreContended(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	const limit, rounds = 3, 2
	var inside section
	var wg sync.WaitGroup
	full := make(chan struct{}) // all slots are held
	var once sync.Once
	for n := range contenders {
		wg.Go(func() {
			c, err := newClient(s.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			for range rounds {
				err := withSlot(t, c, limit, &inside, func() error {
					if inside.in.Load() >= limit {
						once.Do(func() { close(full) })
					}
					select {
					case <-full: // so it shows that the slots are used, before it is a matter of chance
					case <-time.After(time.Minute):
						return errors.New("not all slots came to be held")
					}
					return nil
				})
				if err != nil {
					t.Errorf("contender %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if most := inside.most.Load(); most != limit {
		t.Errorf("%d held a slot at a time, want %d", most, limit)
	}
}

func withSlot(t *testing.T, c *api.Client, limit int, inside *section, do func() error) error {
	s, err := c.SemaphorePrefix("contended", limit)
	if err != nil {
		return err
	}
	lost, err := s.Acquire(t.Context().Done())
	if err != nil || lost == nil {
		return fmt.Errorf("acquire: %w", err)
	}
	err = inside.enter(do)
	if isClosed(lost) {
		err = errors.Join(err, errors.New("the slot was lost while it was held"))
	}
	return errors.Join(err, s.Release())
}

// TestSemaphoreOfAKilledHolder: its slot is free when its session has ended, and what
// it left behind is gone.
func TestSemaphoreOfAKilledHolder(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := testcluster.Start(t, shortLived)
	c := client(t, s)
	before := killedHolder(t, s, holderSemaphoreEnv, api.SemaphoreOptions{Prefix: "killed", Limit: 1, SessionTTL: ttl.String()})
	keys, _, err := c.KV().Keys("killed/", "", nil)
	must(t, err)
	if len(keys) != 2 || keys[0] != "killed/.lock" {
		t.Fatalf("the keys of a holder that was just killed are %v", keys)
	}
	next := semaphore(t, c, api.SemaphoreOptions{Prefix: "killed", Limit: 1})
	lost := mustAcquire(t, next)
	if took := time.Since(before); took < ttl {
		t.Errorf("another one got the slot %s after the holder came to life, want not before its TTL of %s is over", took, ttl)
	}
	if pair, _ := get(t, c.KV(), keys[1]); pair != nil {
		t.Errorf("the key of the dead contender is %+v", pair)
	}
	must(t, next.Release())
	waitLost(t, "release", lost)
}

// TestSemaphoreLost: a holder notices that its session has ended.
func TestSemaphoreLost(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	session := createSession(t, c, &api.SessionEntry{Behavior: api.SessionBehaviorDelete})
	holder := semaphore(t, c, api.SemaphoreOptions{Prefix: "lost", Limit: 1, Session: session})
	lost := mustAcquire(t, holder)
	if isClosed(lost) {
		t.Error("lost before anything happened")
	}
	_, err := c.Session().Destroy(session, nil)
	must(t, err)
	waitLost(t, "the session is destroyed", lost)
	next := semaphore(t, c, api.SemaphoreOptions{Prefix: "lost", Limit: 1})
	mustAcquire(t, next)
	must(t, next.Release())
}
