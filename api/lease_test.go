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
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// inBubble runs f against a cluster in fake time.
func inBubble(t *testing.T, f func(t *testing.T, c *fakeCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFakeCluster()) })
}

// pass lets fake time pass, in a bubble.
func pass(d time.Duration) { time.Sleep(d) }

// isRenewal says whether a request renews a session.
func isRenewal(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/session/renew/") }

// silence is the network that swallows a request.
func silence(r *http.Request) error {
	<-r.Context().Done()
	return r.Context().Err()
}

// states collects what OnState is told.
type states struct {
	mu   sync.Mutex
	seen []string
}

func (s *states) option() api.RecipeOption {
	return api.OnState(func(state api.ConnState, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if bad := state == api.Suspended || state == api.Lost; bad != (err != nil) {
			s.seen = append(s.seen, fmt.Sprintf("%s with reason %v", state, err))
			return
		}
		s.seen = append(s.seen, state.String())
	})
}

func (s *states) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.seen, want) {
		t.Errorf("told %v, want %v", s.seen, want)
	}
}

func mustLease(t *testing.T, client *api.Client, opts ...api.RecipeOption) *api.Lease {
	t.Helper()
	l, err := client.Sessions().Lease(t.Context(), api.SessionSpec{TTL: 10 * time.Second}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALeaseIsRenewedAtAThirdOfItsTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		var at []time.Time
		c.setFault(func(r *http.Request) (*http.Response, error) {
			if isRenewal(r) {
				at = append(at, time.Now())
			}
			return nil, nil
		})
		began := time.Now()
		l := mustLease(t, c.client(t))
		time.Sleep(24 * time.Hour)
		if err := l.Err(); err != nil {
			t.Fatalf("lost after a day: %v", err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		last, third, different := began, 10*time.Second/3, false
		for _, now := range at {
			d := now.Sub(last)
			if d > third || d < third*4/5 {
				t.Fatalf("renewed after %s, want %s less up to a fifth", d, third)
			}
			different = different || d != at[0].Sub(began)
			last = now
		}
		if !different {
			t.Error("every pause was the same: clients would stay together")
		}
		if want := []string{"PUT /v1/session/destroy/s1"}; !slices.Equal(c.requests()[len(at)+1:], want) {
			t.Error("closing does not end the session, or does more")
		}
	})
}

func TestWhatEndsALease(t *testing.T) {
	unreachable := errors.New("no route")
	for _, tc := range []struct {
		rule  string
		fault func(r *http.Request) (*http.Response, error) // from the start of the lease on
		after time.Duration                                 // that it must be lost
		says  string
		told  []string
	}{
		{
			"silence, a tenth of the TTL early",
			func(r *http.Request) (*http.Response, error) { return nil, silence(r) },
			9 * time.Second, "not renewed within its TTL",
			[]string{"connected", "suspended", "lost"},
		},
		{
			"servers that cannot be reached",
			func(*http.Request) (*http.Response, error) { return nil, unreachable },
			9 * time.Second, "no route",
			[]string{"connected", "suspended", "lost"},
		},
		{
			"servers without a leader",
			func(r *http.Request) (*http.Response, error) { return reply(r, 500, "No cluster leader"), nil },
			9 * time.Second, "No cluster leader",
			[]string{"connected", "suspended", "lost"},
		},
		{
			"a token that may no longer renew",
			func(r *http.Request) (*http.Response, error) { return reply(r, 403, "Permission denied"), nil },
			9 * time.Second, "Permission denied",
			[]string{"connected", "suspended", "lost"},
		},
		{
			"a proxy that does not know the path",
			func(r *http.Request) (*http.Response, error) { return reply(r, 404, "404 page not found"), nil },
			9 * time.Second, "404 page not found",
			[]string{"connected", "suspended", "lost"},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				var told states
				began := time.Now()
				l := mustLease(t, c.client(t), told.option())
				c.setFault(tc.fault)
				<-l.Lost()
				if d := time.Since(began); d != tc.after {
					t.Errorf("lost after %s, want %s", d, tc.after)
				}
				err := l.Err()
				if !errors.Is(err, api.ErrLost) || !strings.Contains(err.Error(), tc.says) || context.Cause(l.Context()) != err {
					t.Errorf("error = %v, want ErrLost and %q", err, tc.says)
				}
				if l.Lives() != 0 {
					t.Errorf("lives for %s although it is lost", l.Lives())
				}
				c.setFault(nil)
				_ = l.Close(t.Context()) // the session may be gone by now
				told.want(t, tc.told...)
			})
		})
	}
}

func TestASessionThatWasEndedIsLostAtTheNextRenewal(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		var told states
		began := time.Now()
		l := mustLease(t, c.client(t), told.option())
		c.destroy("s1")
		<-l.Lost()
		if d := time.Since(began); d > 10*time.Second/3 {
			t.Errorf("lost after %s", d)
		}
		if err := l.Err(); !errors.Is(err, api.ErrNoSession) || !errors.Is(err, api.ErrLost) {
			t.Errorf("error = %v, want ErrLost and ErrNoSession", err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		told.want(t, "connected", "lost")
	})
}

func TestALeaseOutlivesATrouble(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		var told states
		l := mustLease(t, c.client(t), told.option())
		began := time.Now()
		c.setFault(func(*http.Request) (*http.Response, error) {
			if time.Since(began) < 8*time.Second {
				return nil, errors.New("no route")
			}
			return nil, nil
		})
		time.Sleep(time.Minute)
		if err := l.Err(); err != nil {
			t.Errorf("lost: %v", err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if l.Err() != nil {
			t.Errorf("closing counts as a loss: %v", l.Err())
		}
		told.want(t, "connected", "suspended", "reconnected")
	})
}

func TestOneSilentServerDoesNotEndALease(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		l := mustLease(t, c.client(t, api.WithAddress("a:1,b:1")))
		c.setFault(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "a:1" {
				return nil, silence(r)
			}
			return nil, nil
		})
		time.Sleep(time.Hour)
		if err := l.Err(); err != nil {
			t.Errorf("lost: %v", err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestALeaseIsLostBeforeTheServerMayEndIt plays many bad networks: requests and answers
// are late or lost at random. The fake ends a session at the very first moment that a
// server may; the lease must have been lost before, by its own clock.
func TestALeaseIsLostBeforeTheServerMayEndIt(t *testing.T) {
	lost := 0
	for seed := range uint64(200) {
		inBubble(t, func(t *testing.T, c *fakeCluster) {
			var mu sync.Mutex
			chance := rand.New(rand.NewPCG(seed, 1))
			trouble := func(r *http.Request) error {
				mu.Lock()
				kind, late := chance.IntN(10), time.Duration(chance.Int64N(int64(12*time.Second)))
				mu.Unlock()
				switch {
				case kind < 2:
					return errors.New("reset")
				case kind < 4:
					return silence(r)
				case kind < 7:
					select {
					case <-time.After(late):
					case <-r.Context().Done():
						return r.Context().Err()
					}
				}
				return nil
			}
			c.setFault(func(r *http.Request) (*http.Response, error) { return nil, trouble(r) })
			c.setWayBack(trouble)
			var l *api.Lease
			for l == nil {
				l, _ = c.client(t).Sessions().Lease(t.Context(), api.SessionSpec{TTL: 10 * time.Second})
			}
			select {
			case <-l.Lost():
			case <-time.After(10 * time.Minute):
			}
			at := time.Now()
			if errors.Is(l.Err(), api.ErrLost) {
				lost++
				time.Sleep(time.Minute)
				if end := c.endOf(l.Session()); !end.After(at) && !errors.Is(l.Err(), api.ErrNoSession) {
					t.Errorf("seed %d: lost at %s, and the server gave it away at %s", seed, at, end)
				}
				if errors.Is(l.Err(), api.ErrNoSession) {
					t.Errorf("seed %d: the server said first that the session is gone", seed)
				}
			}
			c.setFault(nil)
			c.setWayBack(nil)
			if err := l.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if lost < 50 {
		t.Errorf("only %d of the networks were bad enough to lose a lease", lost)
	}
}

func TestRenewPeriodic(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		doing func(c *fakeCluster, cancel context.CancelFunc)
		is    []error
		alive bool
	}{
		{"it ends with its context, and not the session", func(_ *fakeCluster, cancel context.CancelFunc) { cancel() }, []error{context.Canceled}, true},
		{"it ends with the session", func(c *fakeCluster, _ context.CancelFunc) { c.destroy("s1") }, []error{api.ErrLost, api.ErrNoSession}, false},
		{"it ends when the session may have", func(c *fakeCluster, _ context.CancelFunc) {
			c.setFault(func(r *http.Request) (*http.Response, error) { return nil, silence(r) })
		}, []error{api.ErrLost}, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				s := c.client(t).Sessions()
				id, err := s.Create(t.Context(), api.SessionSpec{TTL: 10 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(time.Hour, func() { tc.doing(c, cancel) })
				err = s.RenewPeriodic(ctx, id, 10*time.Second)
				for _, is := range tc.is {
					if !errors.Is(err, is) {
						t.Errorf("error = %v, want %v", err, is)
					}
				}
				if alive := c.endOf(id).IsZero(); alive != tc.alive {
					t.Errorf("session lives: %v, want %v", alive, tc.alive)
				}
				if n := len(c.requests()); n < 3600/4 {
					t.Errorf("only %d requests in an hour", n)
				}
			})
		})
	}
}

func TestRenewPeriodicWantsATTL(t *testing.T) {
	client, rec := record(t, answer(500, "no"))
	if err := client.Sessions().RenewPeriodic(t.Context(), "s1", 0); err == nil || rec.count() > 0 {
		t.Errorf("error = %v after %d requests", err, rec.count())
	}
}

func TestACallbackThatBlocksHoldsUpNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		enough := make(chan struct{})
		l := mustLease(t, c.client(t), api.OnState(func(api.ConnState, error) { <-enough }))
		time.Sleep(time.Minute)
		if err := l.Err(); err != nil {
			t.Errorf("lost while the callback blocked: %v", err)
		}
		close(enough)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
