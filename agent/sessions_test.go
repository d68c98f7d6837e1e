package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/run"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// succession is servers that lead one after the other over one state, without Raft,
// each with a clock of its own. It is for a bubble of synctest.
type succession struct {
	t       *testing.T
	store   *fsm.Store
	leader  *expirer // nil: there is none
	term    int
	leading context.CancelFunc
	group   *run.Group

	full atomic.Bool // no command can be written

	mu      sync.Mutex
	machine *fsm.FSM                                     // guarded by mu
	index   uint64                                       // guarded by mu
	born    map[string]time.Time                         // sessions that were ever made; guarded by mu
	gone    map[string]time.Time                         // sessions that have ended, and when; guarded by mu
	ends    func(id string)                              // called at the end of a session, if not nil; guarded by mu
	follow  func(born []*session.Session, dead []string) // guarded by mu
}

// timedSuccession runs a test in a bubble with a first leader.
func timedSuccession(t *testing.T, test func(t *testing.T, s *succession)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &succession{t: t, store: fsm.NewStore(), group: run.New(t.Context()), born: map[string]time.Time{}, gone: map[string]time.Time{}}
		s.machine = fsm.New(s.store, hclog.NewNullLogger(), func(err error) { t.Error(err) })
		s.store.OnSessions(func(born []*session.Session, dead []string) {
			for _, id := range dead {
				s.gone[id] = time.Now()
				if s.ends != nil {
					s.ends(id)
				}
			}
			if s.follow != nil {
				s.follow(born, dead)
			}
		})
		s.lead(0)
		s.do(&fsm.Command{Register: &catalog.Registration{Node: catalog.Node{Name: "node-1", Address: "x"}}})
		test(t, s)
		s.fall()
		if err := s.group.Close(); err != nil {
			t.Error(err)
		}
	})
}

// proposer is the log as the leader with that clock sees it.
func (s *succession) proposer(now func() time.Time) proposer {
	return func(_ context.Context, c *fsm.Command) (fsm.Result, error) {
		if s.full.Load() {
			return fsm.Result{}, errors.New("disk is full")
		}
		data, err := fsm.Encode(c, now().UnixNano())
		if err != nil {
			return fsm.Result{}, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.index++
		switch answer := s.machine.Apply(&raft.Log{Index: s.index, Type: raft.LogCommand, Data: data}).(type) {
		case fsm.Result:
			return answer, nil
		default:
			return fsm.Result{}, fmt.Errorf("answer %v", answer)
		}
	}
}

// lead makes a new server lead whose clock is ahead by skew.
func (s *succession) lead(skew time.Duration) {
	now := func() time.Time { return time.Now().Add(skew) }
	propose := s.proposer(now)
	x := &expirer{
		store: s.store, deadlines: newDeadlines(now), propose: propose, now: now, log: hclog.NewNullLogger(),
		leads: func() bool { return true }, ready: func() bool { return true }, fresh: func(context.Context) error { return nil },
	}
	s.mu.Lock()
	s.follow = x.sessionsChanged
	s.mu.Unlock()
	x.begin(s.t.Context(), propose)
	ctx, cancel := context.WithCancel(s.t.Context())
	s.term++
	s.group.Go(fmt.Sprint("expiry ", s.term), func(context.Context) error { return x.run(ctx) })
	s.leader, s.leading = x, cancel
}

// fall leaves no leader.
func (s *succession) fall() {
	s.leading()
	synctest.Wait()
	s.leader.deadlines.stop()
	s.leader = nil
}

// change lets another server lead after the given time without a leader.
func (s *succession) change(without, skew time.Duration) {
	s.fall()
	time.Sleep(without)
	s.lead(skew)
}

func (s *succession) do(c *fsm.Command) fsm.Result {
	s.t.Helper()
	res, err := s.leader.propose(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

func (s *succession) create(ttl, grace time.Duration) string {
	s.t.Helper()
	id := fmt.Sprintf("s-%03d", len(s.born))
	s.born[id] = time.Now()
	if res := s.do(&fsm.Command{Session: &session.Session{
		ID: id, Node: "node-1", Lifetime: ttl, Grace: grace, LockDelay: 15 * time.Second, Behavior: session.Release,
	}}); !res.Applied {
		s.t.Fatal(res.Invalid)
	}
	return id
}

// renew tells whether the session was renewed.
func (s *succession) renew(id string) bool {
	s.t.Helper()
	got, err := s.leader.renew(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return got != nil
}

func (s *succession) lives(id string) bool {
	view, _ := s.store.View().Sessions()
	return view.Get(id) != nil
}

// ended waits for the end of a session, at most for the given time, and returns after
// how long from now that was.
func (s *succession) ended(id string, most time.Duration) time.Duration {
	s.t.Helper()
	from := time.Now()
	deadline := time.After(most)
	for watch := s.watch(id); s.lives(id); watch = s.watch(id) {
		select {
		case <-watch.C:
		case <-deadline:
			s.t.Fatalf("session %s lives after %s", id, most)
		}
		watch.Stop()
	}
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[id].Sub(from)
}

func (s *succession) watch(id string) kvs.Watch {
	return s.store.Topics().WatchKey(fsm.TopicSession(id))
}

// late is how late an end may be.
func late(d time.Duration) time.Duration { return time.Second + d/10 }

func TestASessionEndsOnTime(t *testing.T) {
	for _, tc := range []struct {
		rule             string
		ttl, grace, life time.Duration
	}{
		{"twice its TTL, when it does not say", 10 * time.Second, -1, 20 * time.Second},
		{"its TTL, when it is exact", 10 * time.Second, 0, 10 * time.Second},
		{"so much longer as it says", 10 * time.Second, 3 * time.Second, 13 * time.Second},
		{"a long one as well", time.Hour, 0, time.Hour},
		{"a very short one as well", 100 * time.Millisecond, 0, 100 * time.Millisecond},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, renewals := range [][]time.Duration{
				nil, {tc.ttl / 2, tc.ttl / 2}, {tc.ttl/4*3 - 1}, {tc.ttl / 4 * 3}, {tc.ttl / 10 * 9, tc.ttl / 10 * 9, tc.ttl / 2}, {tc.ttl - 1},
			} {
				timedSuccession(t, func(t *testing.T, s *succession) {
					id := s.create(tc.ttl, tc.grace)
					for _, pause := range renewals {
						time.Sleep(pause)
						if !s.renew(id) {
							t.Fatalf("renewals %v: it ended before its TTL", renewals)
						}
					}
					if got := s.ended(id, tc.life+late(tc.life)); got < tc.life || got > tc.life+late(tc.life) {
						t.Errorf("renewals %v: it ended after %s, want from %s to %s", renewals, got, tc.life, tc.life+late(tc.life))
					}
					if s.renew(id) {
						t.Error("it was renewed after its end")
					}
				})
			}
		})
	}
}

func TestANewLeaderCarriesTheTimeOver(t *testing.T) {
	const ttl, without = 40 * time.Second, 7 * time.Second
	for _, tc := range []struct {
		rule        string
		grace       time.Duration
		renewed     time.Duration // after its creation; 0: not
		change      time.Duration // when the leader falls, after that
		skew        time.Duration
		least, most time.Duration // after the leader fell
	}{
		{"one that may have been renewed just now begins anew", 0, 0, 29 * time.Second, 0, without + ttl, without + ttl},
		{"one that was quiet goes on", 0, 0, 39 * time.Second, 0, without + time.Second, without + time.Second + passedMin},
		{"one that was renewed a while ago goes on", 0, 25 * time.Second, 35 * time.Second, 0, without + 5*time.Second, without + 5*time.Second + passedMin},
		{"a default one goes on", -1, 0, 60 * time.Second, 0, without + 20*time.Second, without + 20*time.Second + passedMin},
		{"whatever clock the new leader has: one that is ahead", 0, 0, 39 * time.Second, time.Hour, without + time.Second, without + time.Second + passedMin},
		{"or one that is behind", 0, 0, 39 * time.Second, -time.Hour, without + time.Second, without + time.Second + passedMin},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			timedSuccession(t, func(t *testing.T, s *succession) {
				id := s.create(ttl, tc.grace)
				if tc.renewed > 0 {
					time.Sleep(tc.renewed)
					s.renew(id)
				}
				time.Sleep(tc.change)
				fell := time.Now()
				s.change(without, tc.skew)
				since := time.Since(fell)
				if got := since + s.ended(id, time.Hour); got < tc.least || got > tc.most+late(tc.most) {
					t.Errorf("it ended %s after the leader fell, want from %s to %s", got, tc.least, tc.most+late(tc.most))
				}
			})
		})
	}
}

func TestNoSessionLivesOnBecauseLeadersChange(t *testing.T) {
	for _, reign := range []time.Duration{time.Second, 3 * time.Second, 11 * time.Second} {
		for _, ttl := range []time.Duration{10 * time.Second, 5 * time.Minute} {
			t.Run(fmt.Sprint(reign, " ", ttl), func(t *testing.T) {
				timedSuccession(t, func(t *testing.T, s *succession) {
					id := s.create(ttl, 0)
					var led time.Duration // time with a leader
					for s.lives(id) && led < time.Hour {
						time.Sleep(reign)
						led += reign
						s.change(time.Second, time.Duration(s.term%3-1)*time.Minute)
					}
					// It begins anew once at most, and of each leader's time at most a
					// quarter, and what is between two ticks, is not in the state.
					most := (ttl + ttl/4*3) * 2
					if led > most {
						t.Errorf("it lived through %s with leaders, want at most %s", led, most)
					}
				})
			})
		}
	}
}

// TestNoSessionEndsBeforeItsTTL renews sessions at arbitrary times while servers with
// wrong clocks succeed each other at arbitrary times.
func TestNoSessionEndsBeforeItsTTL(t *testing.T) {
	for seed := range uint64(60) {
		timedSuccession(t, func(t *testing.T, s *succession) {
			rng := rand.New(rand.NewPCG(seed, 7))
			ttls, acked := map[string]time.Duration{}, map[string]time.Time{}
			s.ends = func(id string) {
				if lived := time.Since(acked[id]); lived < ttls[id] {
					t.Errorf("seed %d: session %s with TTL %s ended %s after it was renewed", seed, id, ttls[id], lived)
				}
			}
			var ids []string
			for range 300 {
				time.Sleep(time.Duration(rng.Int64N(int64(8 * time.Second))))
				switch n := rng.IntN(20); {
				case n < 2 && len(ids) < 30:
					ttl := time.Duration(10+rng.IntN(50)) * time.Second
					next := fmt.Sprintf("s-%03d", len(s.born))
					s.mu.Lock()
					ttls[next], acked[next] = ttl, time.Now()
					s.mu.Unlock()
					ids = append(ids, s.create(ttl, time.Duration(rng.IntN(3)-1)*5*time.Second))
				case n < 4:
					s.change(time.Duration(rng.Int64N(int64(20*time.Second))), time.Duration(rng.Int64N(int64(2*time.Hour)))-time.Hour)
				case len(ids) > 0:
					id := ids[rng.IntN(len(ids))]
					if s.renew(id) {
						s.mu.Lock()
						acked[id] = time.Now()
						s.mu.Unlock()
					}
				}
			}
			time.Sleep(2*time.Minute + late(2*time.Minute)) // nobody renews, the leader stays
			for _, id := range ids {
				if s.lives(id) {
					t.Errorf("seed %d: session %s lives for ever", seed, id)
				}
			}
		})
	}
}

func TestTimeCostsTheLogLittle(t *testing.T) {
	t.Run("sessions that are renewed cost nothing", func(t *testing.T) {
		timedSuccession(t, func(t *testing.T, s *succession) {
			var ids []string
			for range 20 {
				ids = append(ids, s.create(10*time.Second, 0))
			}
			before := s.index
			for range 1000 {
				time.Sleep(5 * time.Second)
				for _, id := range ids {
					if !s.renew(id) {
						t.Fatal("it ended")
					}
				}
			}
			if s.index != before {
				t.Errorf("%d commands", s.index-before)
			}
		})
	})
	t.Run("a leader change costs one command, and one for each renewal after it", func(t *testing.T) {
		timedSuccession(t, func(t *testing.T, s *succession) {
			ids := []string{s.create(30*time.Second, 0), s.create(30*time.Second, 0)}
			before := s.index
			s.change(time.Second, 0)
			for range 100 {
				for _, id := range ids {
					s.renew(id)
				}
				time.Sleep(10 * time.Second)
			}
			if got := s.index - before; got != 3 {
				t.Errorf("%d commands, want 3", got)
			}
		})
	})
	t.Run("a session that nobody renews costs little, and nothing after it", func(t *testing.T) {
		timedSuccession(t, func(t *testing.T, s *succession) {
			before := s.index
			id := s.create(4*time.Hour, 0)
			s.ended(id, 5*time.Hour)
			if got := s.index - before; got > 80 {
				t.Errorf("%d commands for one session", got)
			}
			before = s.index
			time.Sleep(2 * time.Hour)
			s.change(time.Second, 0)
			time.Sleep(2 * time.Hour)
			if s.index != before {
				t.Errorf("%d commands when there is nothing", s.index-before)
			}
		})
	})
	t.Run("sessions without a TTL cost nothing", func(t *testing.T) {
		timedSuccession(t, func(t *testing.T, s *succession) {
			id := s.create(0, -1)
			before := s.index
			s.change(time.Second, 0)
			time.Sleep(2 * time.Hour)
			if s.index != before || !s.lives(id) {
				t.Errorf("%d commands, it lives: %v", s.index-before, s.lives(id))
			}
		})
	})
}

func TestALeaderThatCannotWriteEndsNothingTooEarly(t *testing.T) {
	timedSuccession(t, func(t *testing.T, s *succession) {
		id := s.create(10*time.Second, 0)
		s.full.Store(true)
		time.Sleep(9 * time.Second) // settled, but the state does not know
		if _, err := s.leader.renew(t.Context(), id); err == nil {
			t.Error("a renewal that could not be stored was acknowledged")
		}
		s.full.Store(false)
		if !s.renew(id) {
			t.Error("it can't be renewed")
		}
		if got := s.ended(id, time.Minute); got < 10*time.Second || got > 12*time.Second {
			t.Errorf("it ended after %s", got)
		}
	})
}

func (s *succession) acquire(key, id string) bool {
	return s.do(&fsm.Command{Write: &kvs.Op{Verb: kvs.Lock, Key: key, Session: id}}).Applied
}

func TestLockDelayHasExactEdges(t *testing.T) {
	for _, tc := range []struct {
		rule string
		skew time.Duration // of a leader that follows at once
		free time.Duration // after the end
	}{
		{"15 s after the end and not before", 0, 15 * time.Second},
		{"it goes on with a leader whose clock is ahead", 4 * time.Second, 11 * time.Second},
		{"time stands still until a clock that is behind has caught up", -4 * time.Second, 19 * time.Second},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			timedSuccession(t, func(t *testing.T, s *succession) {
				a, b := s.create(0, -1), s.create(0, -1)
				if !s.acquire("k", a) {
					t.Fatal("it can't be acquired")
				}
				s.do(&fsm.Command{EndSession: &fsm.EndSession{IDs: []string{a}}})
				s.change(0, tc.skew)
				time.Sleep(tc.free - 1)
				if s.acquire("k", b) {
					t.Errorf("acquired %s after the end", tc.free-1)
				}
				time.Sleep(time.Nanosecond)
				if !s.acquire("k", b) {
					t.Errorf("not acquired %s after the end", tc.free)
				}
			})
		})
	}
}

func TestTheDelayOfALockBeginsWithTheEndOfItsSession(t *testing.T) {
	timedSuccession(t, func(t *testing.T, s *succession) {
		a, b := s.create(10*time.Second, 0), s.create(0, -1)
		s.acquire("k", a)
		s.ended(a, time.Minute)
		gone := s.gone[a]
		for !s.acquire("k", b) {
			if time.Since(gone) > time.Minute {
				t.Fatal("never acquired")
			}
			time.Sleep(time.Millisecond)
		}
		if got := time.Since(gone); got < 15*time.Second || got > 15*time.Second+2*time.Millisecond {
			t.Errorf("acquired %s after the end of its session, want 15s", got)
		}
	})
}

// put writes a key with a time to live.
func (s *succession) put(key string, ttl time.Duration) {
	s.do(&fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: key}, Ties: fsm.Ties{TTL: ttl}})
}

// keyEnded waits for the end of a key and returns after how long from now that was.
func (s *succession) keyEnded(key string) time.Duration {
	s.t.Helper()
	from := time.Now()
	watch := s.store.Hub().WatchKey(key)
	defer watch.Stop()
	select {
	case <-watch.C:
	case <-time.After(48 * time.Hour):
		s.t.Fatal("it lives for ever")
	}
	if it := s.store.View().Item(key); it.Live() {
		s.t.Error("it was not ended but changed")
	}
	return time.Since(from)
}

func TestAKeyEndsOnTime(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 30 * time.Second, time.Hour} {
		timedSuccession(t, func(t *testing.T, s *succession) {
			time.Sleep(keyGrace)
			s.put("k", ttl)
			if got := s.keyEnded("k"); got < ttl || got > ttl+late(ttl) {
				t.Errorf("it ended after %s, want from %s to %s", got, ttl, ttl+late(ttl))
			}
		})
	}
}

func TestANewLeaderLeavesTimeToTouchAKey(t *testing.T) {
	timedSuccession(t, func(t *testing.T, s *succession) {
		s.put("k", 30*time.Second)
		time.Sleep(29 * time.Second)
		s.change(10*time.Second, 0)
		if got := s.keyEnded("k"); got < keyGrace || got > keyGrace+late(keyGrace) {
			t.Errorf("it ended %s after the new leader began, want about %s", got, keyGrace)
		}
	})
}
