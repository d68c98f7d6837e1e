package api_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

const (
	lockFlags = "3304740253564472344"
	semFlags  = "16210313421097356768"
)

// TestLockOnTheWire compares what is sent with the recipe that other clients follow.
// Ours adds the member Grace and the parameter explain, which others ignore.
func TestLockOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		lock := c.client(t).Lock("lk/main/.lock", api.SessionName("worker"), api.LockValue([]byte("host-a")))
		h, err := lock.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second) // the watcher is parked
		if h.Key() != "lk/main/.lock" || h.Session() != "s1" || h.Fence() == 0 || h.Err() != nil {
			t.Errorf("hold = %s %s %d %v", h.Key(), h.Session(), h.Fence(), h.Err())
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if err := lock.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{
			`PUT /v1/session/create {"Name":"worker","TTL":"15s","Grace":"0s"}`,
			`GET /v1/kv/lk/main/.lock?wait=15000ms`,
			`PUT /v1/kv/lk/main/.lock?acquire=s1&explain=&flags=` + lockFlags + ` host-a`,
			`GET /v1/kv/lk/main/.lock?consistent=`,
			`GET /v1/kv/lk/main/.lock?consistent=&index=12`,
			`PUT /v1/kv/lk/main/.lock?flags=` + lockFlags + `&release=s1 host-a`,
			`PUT /v1/session/destroy/s1`,
			`GET /v1/kv/lk/main/.lock`,
			`DELETE /v1/kv/lk/main/.lock?cas=13`,
		}
		if diff := cmp.Diff(want, c.requests()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAContenderOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		c.consul = true // no hints
		client := c.client(t)
		first, err := client.Lock("k", api.SessionLockDelay(3*time.Second)).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		c.requests()
		time.AfterFunc(4*time.Second, func() { c.destroy(first.Session()) }) // and a lock-delay begins
		began := time.Now()
		second, err := client.Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 7*time.Second || d > 12*time.Second {
			t.Errorf("acquired after %s, want 7 s and a pause", d)
		}
		pass(time.Millisecond)
		var mine []string
		for _, line := range c.requests() {
			if strings.Contains(line, "explain") || strings.HasPrefix(line, "GET") && !strings.Contains(line, "consistent") {
				mine = append(mine, line)
			}
		}
		acquire := `PUT /v1/kv/k?acquire=s2&explain=&flags=` + lockFlags
		look := `GET /v1/kv/k?wait=15000ms`
		want := []string{look, `GET /v1/kv/k?index=12&wait=15000ms`, acquire, look, look, acquire}
		if diff := cmp.Diff(want, append(mine[:5:5], mine[len(mine)-1])); diff != "" {
			t.Error(diff)
		}
		if err := second.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if err := first.Release(t.Context()); !errors.Is(err, api.ErrLost) {
			t.Errorf("releasing what was lost = %v, want ErrLost", err)
		}
	})
}

func TestALockDelayThatIsToldIsWaitedForExactly(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		first, err := client.Lock("k", api.SessionLockDelay(7*time.Second)).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.destroy(first.Session())
		began := time.Now()
		if _, err := client.Lock("k").TryAcquire(t.Context(), 0); !errors.Is(err, api.ErrHeld) || !strings.Contains(err.Error(), "for another 7s") {
			t.Errorf("error = %v, want ErrHeld and how long", err)
		}
		second, err := client.Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 7*time.Second || d > 7*time.Second+10*time.Millisecond {
			t.Errorf("acquired after %s, want 7s", d)
		}
		if second.Fence() <= first.Fence() {
			t.Errorf("fence %d after %d", second.Fence(), first.Fence())
		}
		_ = second.Release(t.Context())
		_ = first.Release(t.Context())
	})
}

func TestTryAcquire(t *testing.T) {
	for _, wait := range []time.Duration{0, 100 * time.Millisecond, 40 * time.Second} {
		t.Run(wait.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				client := c.client(t)
				first, err := client.Lock("k", api.SessionName("nightly")).Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = client.Lock("k").TryAcquire(t.Context(), wait)
				var held *api.HeldError
				if !errors.As(err, &held) || !errors.Is(err, api.ErrHeld) {
					t.Fatalf("error = %v, want a HeldError", err)
				}
				if want := `"k" is held by session s1 ("nightly", on node n1)`; held.Error() != want {
					t.Errorf("says %s, want %s", held, want)
				}
				if d := time.Since(began); d < wait || d > wait+100*time.Millisecond {
					t.Errorf("gave up after %s, want %s", d, wait)
				}
				if c.endOf("s2").IsZero() {
					t.Error("the session of the contender was left behind")
				}
				if err := first.Release(t.Context()); err != nil {
					t.Error(err)
				}
				second, err := client.Lock("k").TryAcquire(t.Context(), wait)
				if err != nil {
					t.Fatalf("a free lock: %v", err)
				}
				_ = second.Release(t.Context())
			})
		})
	}
}

func TestAKeyThatIsNoLock(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		if _, err := client.KV().Put(t.Context(), "k", []byte("data"), api.Flags(7)); err != nil {
			t.Fatal(err)
		}
		lock := client.Lock("k")
		if _, err := lock.Acquire(t.Context()); !errors.Is(err, api.ErrConflict) {
			t.Errorf("acquire = %v, want ErrConflict", err)
		}
		if err := lock.Destroy(t.Context()); !errors.Is(err, api.ErrConflict) {
			t.Errorf("destroy = %v, want ErrConflict", err)
		}
		if string(c.entry("k").Value) != "data" {
			t.Error("it was written")
		}
	})
}

func TestDestroyLeavesAHeldLockAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		lock := c.client(t).Lock("k")
		if err := lock.Destroy(t.Context()); err != nil {
			t.Errorf("one that does not exist: %v", err)
		}
		h, err := lock.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Destroy(t.Context()); !errors.Is(err, api.ErrInUse) {
			t.Errorf("error = %v, want ErrInUse", err)
		}
		_ = h.Release(t.Context())
	})
}

func TestWhatEndsAHold(t *testing.T) {
	failing := func(c *fakeCluster, path string, status int) {
		c.setFault(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, path) && r.Method == http.MethodGet {
				return reply(r, status, "no"), nil
			}
			return nil, nil
		})
	}
	for _, tc := range []struct {
		rule  string
		opts  []api.RecipeOption
		doing func(c *fakeCluster)
		after time.Duration // that it is lost, at most; 0 = it stays
	}{
		{"its key is deleted", nil, func(c *fakeCluster) { c.remove("k") }, time.Millisecond},
		{"its session is ended", nil, func(c *fakeCluster) { c.destroy("s1") }, time.Millisecond},
		{"its session is not renewed", nil, func(c *fakeCluster) {
			c.setFault(func(r *http.Request) (*http.Response, error) { return nil, silence(r) })
		}, 15 * time.Second},
		{"its token may no longer read the key", nil, func(c *fakeCluster) { failing(c, "/v1/kv/", 403); c.remove("other") }, 6 * time.Minute},
		{"but not servers that cannot be read, while the session is renewed", nil, func(c *fakeCluster) { failing(c, "/v1/kv/", 500) }, 0},
		{
			"except after the tries that it was given",
			[]api.RecipeOption{api.MonitorRetries(3, time.Second)},
			func(c *fakeCluster) { failing(c, "/v1/kv/", 500) },
			6*time.Minute + 4*time.Second,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				var told states
				h, err := c.client(t).Lock("k", append(tc.opts, told.option())...).Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				tc.doing(c)
				began := time.Now()
				select {
				case <-h.Lost():
				case <-time.After(time.Hour):
				}
				switch d := time.Since(began); {
				case tc.after == 0:
					if h.Err() != nil {
						t.Errorf("lost after %s: %v", d, h.Err())
					}
				case d > tc.after || !errors.Is(h.Err(), api.ErrLost):
					t.Errorf("lost after %s, want at most %s: %v", d, tc.after, h.Err())
				}
				c.setFault(nil)
				err = h.Release(t.Context())
				if lost := tc.after > 0; errors.Is(err, api.ErrLost) != lost {
					t.Errorf("release = %v", err)
				}
				if again := h.Release(t.Context()); !errors.Is(again, err) {
					t.Errorf("releasing again = %v, want %v", again, err)
				}
				if c.endOf("s1").IsZero() {
					t.Error("the session was left behind")
				}
			})
		})
	}
}

func TestReleaseClosesLostWithoutALoss(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		h, err := c.client(t).Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case <-h.Lost():
		default:
			t.Error("Lost is open")
		}
		if h.Err() != nil || h.Context().Err() == nil {
			t.Errorf("error = %v, context %v", h.Err(), h.Context().Err())
		}
	})
}

func TestAContenderWhoseSessionEndsGoesOnWithAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		first, err := client.Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Second, func() { c.destroy("s2") })
		time.AfterFunc(time.Hour, func() { _ = first.Release(context.Background()) })
		second, err := client.Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if second.Session() != "s3" || c.entry("k").Session != "s3" {
			t.Errorf("held by %s", second.Session())
		}
		_ = second.Release(t.Context())
	})
}

func TestAWaitThatIsBrokenOffLeavesNothingBehind(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		answer string // of which request is lost, and the wait broken off
	}{
		{"while it waits", ""},
		{"while the acquire is on its way back", "acquire"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				client := c.client(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.answer == "" {
					first, err := client.Lock("k").Acquire(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = first.Release(t.Context()) }()
					time.AfterFunc(time.Minute, cancel)
				} else {
					c.setWayBack(func(r *http.Request) error {
						if r.URL.Query().Has(tc.answer) {
							cancel()
						}
						return nil
					})
				}
				if _, err := client.Lock("k").Acquire(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("error = %v, want the context's", err)
				}
				for _, id := range []string{"s1", "s2"} {
					held := c.entry("k") != nil && c.entry("k").Session == id
					if c.endOf(id).IsZero() && (tc.answer != "" && id == "s1" || id == "s2" && tc.answer == "") || tc.answer != "" && held {
						t.Errorf("session %s lives, or holds the lock", id)
					}
				}
				if tc.answer != "" { // without a lock-delay, since it was released
					c.setWayBack(nil)
					next, err := client.Lock("k").TryAcquire(t.Context(), 0)
					if err != nil {
						t.Fatalf("the lock is not free: %v", err)
					}
					_ = next.Release(t.Context())
				}
			})
		})
	}
}

func TestALostAnswerToAnAcquireIsNoLoss(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		lost := false
		c.setWayBack(func(r *http.Request) error {
			if r.URL.Query().Has("acquire") && !lost {
				lost = true
				return errors.New("reset")
			}
			return nil
		})
		h, err := c.client(t).Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h.Fence() == 0 || c.entry("k").LockIndex != 1 {
			t.Errorf("fence %d, acquired %d times", h.Fence(), c.entry("k").LockIndex)
		}
		_ = h.Release(t.Context())
	})
}

func TestReleaseOutlivesATrouble(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		fault func(c *fakeCluster)
	}{
		{"servers that are away for a while", func(c *fakeCluster) {
			from := time.Now()
			c.setFault(func(*http.Request) (*http.Response, error) {
				if time.Since(from) < 5*time.Second {
					return nil, errors.New("no route")
				}
				return nil, nil
			})
		}},
		{"an answer that is lost, although it was released", func(c *fakeCluster) {
			lost := false
			c.setWayBack(func(r *http.Request) error {
				if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v1/kv/") && !lost {
					lost = true
					wroteHeaders(r)
					return errors.New("reset")
				}
				return nil
			})
		}},
	} {
		for _, kind := range []string{"lock", "semaphore"} {
			t.Run(kind+", "+tc.rule, func(t *testing.T) {
				inBubble(t, func(t *testing.T, c *fakeCluster) {
					acquire := c.client(t).Lock("k").Acquire
					if kind == "semaphore" {
						acquire = c.client(t).Semaphore("k", 1).Acquire
					}
					h, err := acquire(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					tc.fault(c)
					if err := h.Release(t.Context()); err != nil {
						t.Errorf("release = %v", err)
					}
					if c.endOf("s1").IsZero() || c.entry("k") != nil && c.entry("k").Session != "" {
						t.Error("something was left behind")
					}
				})
			})
		}
	}
}

func TestReleaseDoesNotWaitForEver(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		h, err := c.client(t).Lock("k").Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.setFault(func(r *http.Request) (*http.Response, error) { return nil, silence(r) })
		began := time.Now()
		if err := h.Release(t.Context()); err == nil || errors.Is(err, api.ErrLost) {
			t.Errorf("release = %v, want that it could not be given back", err)
		}
		if d := time.Since(began); d > 2*15*time.Second {
			t.Errorf("it took %s, longer than the session and the try to end it", d)
		}
	})
}

func TestWhenNoSessionCanBeMadeAcquireSaysSo(t *testing.T) {
	client, _ := record(t, answer(500, "Invalid Session TTL '5000000000', must be between [10s=24h]"))
	_, err := client.Lock("k", api.SessionTTL(5*time.Second)).Acquire(t.Context())
	if err == nil || !strings.Contains(err.Error(), `acquire lock "k": create session: server answered 500: Invalid Session TTL`) {
		t.Errorf("error = %v", err)
	}
}

func TestSeveralLocksInOneLease(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		l := mustLease(t, client)
		var holds []*api.Hold
		for _, key := range []string{"a", "b"} {
			h, err := client.Lock(key, api.InLease(l)).Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			holds = append(holds, h)
		}
		if err := holds[0].Release(t.Context()); err != nil {
			t.Error(err)
		}
		if l.Err() != nil || holds[1].Err() != nil || c.entry("b").Session != "s1" || c.entry("a").Session != "" {
			t.Errorf("releasing one ended another: %v, %v", l.Err(), holds[1].Err())
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		<-holds[1].Lost()
		if err := holds[1].Release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := client.Lock("c", api.InLease(l)).Acquire(t.Context()); err == nil {
			t.Error("acquired with a lease that is closed")
		}
	})
}

// tenure is when somebody counted on a lock.
type tenure struct {
	from, to time.Time
	fence    uint64
}

// TestHoldersNeverOverlap lets contenders fight for a lock over bad networks, with a
// lock-delay of nothing: only the time that a holder gives the lock up before the
// server may protects it.
func TestHoldersNeverOverlap(t *testing.T) {
	terms, lost := 0, 0
	for seed := range uint64(40) {
		inBubble(t, func(t *testing.T, c *fakeCluster) {
			var mu sync.Mutex
			chance := rand.New(rand.NewPCG(seed, 2))
			roll := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return chance.IntN(n)
			}
			quiet := false
			trouble := func(r *http.Request) error {
				mu.Lock()
				off := quiet
				mu.Unlock()
				if off {
					return nil
				}
				switch kind := roll(20); {
				case kind < 2:
					return errors.New("reset")
				case kind < 3:
					return silence(r)
				case kind < 8:
					select {
					case <-time.After(time.Duration(roll(6000)) * time.Millisecond):
					case <-r.Context().Done():
						return r.Context().Err()
					}
				}
				return nil
			}
			c.setFault(func(r *http.Request) (*http.Response, error) { return nil, trouble(r) })
			c.setWayBack(trouble)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
			defer cancel()
			var tenures []tenure
			var workers sync.WaitGroup
			for range 3 {
				workers.Go(func() {
					for ctx.Err() == nil {
						h, err := c.client(t).Lock("k", api.SessionTTL(10*time.Second), api.SessionLockDelay(0)).Acquire(ctx)
						if err != nil {
							continue // a session could not be made, or the time is over
						}
						now := tenure{from: time.Now(), fence: h.Fence()}
						select {
						case <-h.Lost():
						case <-time.After(time.Duration(roll(60)) * time.Second):
						}
						now.to = time.Now()
						mu.Lock()
						tenures = append(tenures, now)
						if h.Err() != nil {
							lost++
						}
						mu.Unlock()
						bounded, done := context.WithTimeout(t.Context(), 5*time.Second)
						_ = h.Release(bounded)
						done()
					}
				})
			}
			workers.Wait()
			slices.SortFunc(tenures, func(a, b tenure) int { return a.from.Compare(b.from) })
			for i := 1; i < len(tenures); i++ {
				a, b := tenures[i-1], tenures[i]
				if b.from.Before(a.to) || b.fence <= a.fence {
					t.Errorf("seed %d: %s\noverlaps %s, or its number does not grow", seed, show(b), show(a))
				}
			}
			terms += len(tenures)
		})
	}
	if terms < 500 || lost < 50 {
		t.Errorf("only %d holds, of which %d were lost", terms, lost)
	}
}

func show(t tenure) string { return fmt.Sprintf("%s to %s, fence %d", t.from, t.to, t.fence) }
