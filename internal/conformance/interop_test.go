package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	own "github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// slots is a critical section that processes of any kind can check: who is in it has
// made one of as many folders as there may be holders.
type slots struct {
	dir   string
	limit int
	full  chan struct{} // closed when all were taken by this process at a time
	once  sync.Once
	count section
}

func newSlots(t *testing.T, limit int) *slots {
	return &slots{dir: t.TempDir(), limit: limit, full: make(chan struct{})}
}

// occupy takes a slot, does what only a holder may do, and gives it up.
func (s *slots) occupy(do func() error) error {
	for n := range s.limit {
		slot := filepath.Join(s.dir, fmt.Sprint(n))
		if err := os.Mkdir(slot, 0o700); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		return errors.Join(s.count.enter(func() error {
			if int(s.count.in.Load()) == s.limit {
				s.once.Do(func() { close(s.full) })
			}
			select { // that all slots can be held is no matter of chance
			case <-s.full:
			case <-time.After(time.Minute):
				return errors.New("not all slots came to be held")
			}
			return do()
		}), os.Remove(slot))
	}
	return fmt.Errorf("more than %d hold it", s.limit)
}

// script is occupy for a shell, with a command to do inside.
func (s *slots) script(do string) string {
	return fmt.Sprintf(`slot=0
while [ $slot -lt %d ]; do
	if mkdir '%s'/$slot 2>/dev/null; then { %s; }; code=$?; rmdir '%[2]s'/$slot; exit $code; fi
	slot=$((slot+1))
done
echo 'more than %[1]d hold it' >&2; exit 9`, s.limit, s.dir, do)
}

// A contender acquires, does something inside, and gives back.
type contender struct {
	kind string
	n    int // how many of this kind
	// turn is one round of it.
	turn func(ctx context.Context, inside *slots) error
}

// contend lets all contenders have so many turns.
func contend(t *testing.T, inside *slots, turns int, all []contender) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range all {
		for range c.n {
			wg.Go(func() {
				for range turns {
					if err := c.turn(t.Context(), inside); err != nil {
						t.Errorf("%s: %v", c.kind, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// ownClient returns our client for a server.
func ownClient(t *testing.T, s *testcluster.Server) *own.Client {
	t.Helper()
	c, err := own.New(own.WithoutEnvironment(), own.WithAddress(s.URL()))
	must(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// held does something inside while one of our client's holds lasts.
func held(ctx context.Context, h *own.Hold, err error, inside *slots, do func() error) error {
	if err != nil {
		return err
	}
	err = errors.Join(inside.occupy(do), h.Err())
	return errors.Join(err, h.Release(ctx))
}

// holdfastLock runs a script under "holdfast lock".
func holdfastLock(t *testing.T, s *testcluster.Server, args ...string) error {
	cmd := exec.CommandContext(t.Context(), testcluster.Binary(t), append([]string{"lock", "-child-exit-code"}, args...)...)
	cmd.Env = append(os.Environ(), "HOLDFAST_HTTP_ADDR="+s.URL(), "HOLDFAST="+testcluster.Binary(t),
		"GORACE=atexit_sleep_ms=50") // with the race detector a process lingers at its exit, by default for 1 s
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestLockExcludesAllClients: Consul's client, ours and "holdfast lock" contend for the
// same lock; one at a time has it, and a counter shows that nothing of what they did
// was lost.
func TestLockExcludesAllClients(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	theirs, ours := client(t, s), ownClient(t, s)
	const turns = 4
	inside := newSlots(t, 1)
	count := func() error { return increment(theirs.KV()) }
	contend(t, inside, turns, []contender{
		{"consul's client", 4, func(ctx context.Context, inside *slots) error {
			l, err := theirs.LockKey("jobs/.lock")
			if err != nil {
				return err
			}
			lost, err := l.Lock(ctx.Done())
			if err != nil || lost == nil {
				return fmt.Errorf("not acquired: %w", err)
			}
			return errors.Join(inside.occupy(count), l.Unlock())
		}},
		{"our client", 4, func(ctx context.Context, inside *slots) error {
			h, err := ours.Lock("jobs/.lock").Acquire(ctx)
			return held(ctx, h, err, inside, count)
		}},
		{"holdfast lock", 2, func(_ context.Context, inside *slots) error {
			const count = `n=$("$HOLDFAST" kv get counter 2>/dev/null || echo 0); "$HOLDFAST" kv put counter $((n+1)) >/dev/null`
			return holdfastLock(t, s, "jobs", inside.script(count))
		}},
	})
	if pair, _ := get(t, theirs.KV(), "counter"); pair == nil || string(pair.Value) != fmt.Sprint(10*turns) {
		t.Errorf("the counter is %+v, want %d", pair, 10*turns)
	}
}

// TestSemaphoreIsSharedByAllClients: the same for the slots of a semaphore.
func TestSemaphoreIsSharedByAllClients(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	theirs, ours := client(t, s), ownClient(t, s)
	const limit = 2
	inside := newSlots(t, limit)
	touch := func() error {
		_, err := theirs.KV().Put(&api.KVPair{Key: "touched"}, nil)
		return err
	}
	contend(t, inside, 4, []contender{
		{"consul's client", 3, func(ctx context.Context, inside *slots) error {
			sem, err := theirs.SemaphorePrefix("jobs", limit)
			if err != nil {
				return err
			}
			lost, err := sem.Acquire(ctx.Done())
			if err != nil || lost == nil {
				return fmt.Errorf("not acquired: %w", err)
			}
			return errors.Join(inside.occupy(touch), sem.Release())
		}},
		{"our client", 3, func(ctx context.Context, inside *slots) error {
			h, err := ours.Semaphore("jobs", limit).Acquire(ctx)
			return held(ctx, h, err, inside, touch)
		}},
		{"holdfast lock", 2, func(_ context.Context, inside *slots) error {
			return holdfastLock(t, s, "-n=2", "jobs", inside.script(`"$HOLDFAST" kv put touched >/dev/null`))
		}},
	})
	if most := inside.count.most.Load(); most != limit {
		t.Errorf("%d clients held a slot at a time, want %d", most, limit)
	}
}
