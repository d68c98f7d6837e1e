package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/http1"
	"github.com/holdfast-kv/holdfast/internal/wheel"
	"github.com/holdfast-kv/holdfast/kvs"
)

// mustHaveNothingLeft checks that nothing at all is left of queries that have waited.
func mustHaveNothingLeft(t *testing.T, s *Server) {
	t.Helper()
	mustBeEmpty(t, s)
	if n := s.node.Store().Topics().Len(); n != 0 {
		t.Errorf("%d topics are waited for", n)
	}
	if n := s.waker.times.Len(); n != 0 {
		t.Errorf("%d times are left", n)
	}
	if n := len(s.parked.all()); n != 0 {
		t.Errorf("%d are in the list of those that wait without a goroutine", n)
	}
	if n := s.Busy(); n != 0 {
		t.Errorf("%d requests are being answered", n)
	}
}

// TestAnswersAreShared: many who ask the same of the same get one answer, and are counted
// each.
func TestAnswersAreShared(t *testing.T) {
	const n = 100
	synctest.Test(t, func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
		mustPut(t, s, "k", "1")
		before := shares.shared.Load()
		var all []*watcher
		for range n {
			all = append(all, watch(t.Context(), t, s, "k?index=4&wait=1m"))
		}
		other := watch(t.Context(), t, s, "k?index=4&wait=1m&pretty")
		mustPut(t, s, "k", "2")
		for _, w := range all {
			w.mustBe(t, 200, "5")
			expect(t, w.answer, 200, all[0].answer.Body.String())
		}
		other.mustBe(t, 200, "5")
		if other.answer.Body.String() == all[0].answer.Body.String() {
			t.Error("another question has the same answer")
		}
		if got := shares.shared.Load() - before; canPark.Load() && got < n/2 {
			t.Errorf("%d answers were those to another request, of %d", got, n)
		}
		if got := s.Wakeups().Changed.Load(); got != n+1 {
			t.Errorf("%d wake-ups are counted, want %d", got, n+1)
		}
		if got := s.metrics.routes[s.kv.number].Codes[2].Load(); got != n+3 { // with the puts
			t.Errorf("%d answers are counted, want %d", got, n+3)
		}
		mustHaveNothingLeft(t, s)
	})
}

// TestAnswersAreNotSharedBetweenRights: of those who wait for the same each sees what he may,
// and who asks with the same token has his use of it counted.
func TestAnswersAreNotSharedBetweenRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		rules := []string{`key_prefix "app/" { policy = "read" }`, `key "app/a" { policy = "read" }`, `key "app/b" { policy = "read" }`}
		want := []string{`["app/a","app/b"]`, `["app/a"]`, `["app/b"]`}
		g.put(t, "app/a", "1")
		index := g.put(t, "app/b", "1")
		var all [][]*waiter
		var tokens []testToken
		for _, rule := range rules {
			x := g.token(t, rule)
			var some []*waiter
			for range 20 {
				some = append(some, g.wait(t, x, "/v1/kv/app/?keys&wait=1m&index="+index))
			}
			all, tokens = append(all, some), append(tokens, x)
		}
		g.put(t, "app/b", "2")
		for i, some := range all {
			for _, w := range some {
				w.mustEnd(t, 0, http.StatusOK, want[i])
			}
			if got := g.uses.of(tokens[i].accessor).requests.Load(); got != 20 {
				t.Errorf("%d uses of a token are counted, want 20", got)
			}
		}
		mustHaveNothingLeft(t, g.Server)
	})
}

// TestWhoMayHaveTheSameAnswer: the same rights, a token that does not end just now, nobody by a
// certificate, and the same seen before.
func TestWhoMayHaveTheSameAnswer(t *testing.T) {
	now := time.Now()
	one, other := acl.NewAuthorizer(acl.DefaultDeny, nil), acl.NewAuthorizer(acl.DefaultAllow, nil)
	with := func(auth *acl.Authorizer, checked *acl.Checked) *waiting {
		return &waiting{rights: &waitingRights{who: &acl.Identity{Auth: auth, Checked: checked}}}
	}
	var x sharing
	x.now = now
	plain := x.of(&waiting{})
	shared := x.of(with(one, &acl.Checked{}))
	for rule, tc := range map[string]struct {
		w    *waiting
		want *http1.Share // nil: none
	}{
		"nobody checks rights":          {&waiting{}, plain},
		"the same rights":               {with(one, &acl.Checked{}), shared},
		"a token that ends later":       {with(one, &acl.Checked{Expires: now.Add(time.Minute).UnixNano()}), shared},
		"a token that ends just now":    {with(one, &acl.Checked{Expires: now.Add(time.Second / 2).UnixNano()}), nil},
		"a certificate":                 {with(one, &acl.Checked{Links: &acl.Links{}}), nil},
		"nobody knows where it is from": {with(one, nil), nil},
	} {
		if got := x.of(tc.w); got != tc.want {
			t.Errorf("%s: it may have %p, want %p", rule, got, tc.want)
		}
	}
	for rule, w := range map[string]*waiting{
		"other rights":            with(other, &acl.Checked{}),
		"something else was seen": {news: &news{first: sight{digest: 1}}},
	} {
		got := x.of(w)
		if got == nil || got == plain || got == shared {
			t.Errorf("%s: it may have %p, want one of its own", rule, got)
		}
		if x.of(w) != got {
			t.Errorf("%s: it has two", rule)
		}
	}
}

// TestManyVerifyTogether: those whose time is over together, and those that a change wakes,
// are verified by few rounds, and fail together.
func TestManyVerifyTogether(t *testing.T) {
	const n = 200
	synctest.Test(t, func(t *testing.T) {
		node := newLocalNode(t)
		s := newServerWith(t, node, func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
		mustPut(t, s, "k", "1")
		watchAll := func(target string) (all []*watcher) {
			for range n {
				all = append(all, watch(t.Context(), t, s, target))
			}
			return all
		}
		gates := func() int {
			node.mu.Lock()
			defer node.mu.Unlock()
			return len(node.gates)
		}
		few := func(what string, got, most int) {
			if canPark.Load() && got > most {
				t.Errorf("%s: %d rounds, want at most %d", what, got, most)
			}
		}
		changed := watchAll("k?index=4&wait=10m&consistent")
		before := gates()
		mustPut(t, s, "k", "2")
		for _, w := range changed {
			w.mustBe(t, 200, "5")
		}
		few("a change", gates()-before, 20)

		over := watchAll("k?index=5&wait=1s")
		before = gates()
		for _, w := range over {
			<-w.done
			w.mustBe(t, 200, "5")
		}
		few("the time is over", gates()-before, 30)

		over = watchAll("k?index=5&wait=1s")
		node.setContact(Contact{}, ErrNoLeader)
		for _, w := range over {
			<-w.done
			w.mustBe(t, 500, "")
		}
		mustHaveNothingLeft(t, s)
	})
}

// TestEndParkedLeavesStaleOnes: who wants no fresh answer waits on, until the server stops.
func TestEndParkedLeavesStaleOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, newLocalNode(t))
		mustPut(t, s, "k", "1")
		fresh, stale := watch(t.Context(), t, s, "k?index=4"), watch(t.Context(), t, s, "k?index=4&stale")
		s.EndParked()
		fresh.mustBe(t, 500, "")
		stale.mustWait(t)
		later := watch(t.Context(), t, s, "k?index=4")
		later.mustWait(t)
		s.Drain()
		stale.mustBe(t, 200, "4")
		later.mustBe(t, 200, "4")
		mustHaveNothingLeft(t, s)
	})
}

// brokenOnce is a writer that panics at the first write, as net/http's does when a handler
// shall be cut off.
type brokenOnce struct{ *parker }

func (brokenOnce) WriteHeader(int)           {}
func (brokenOnce) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

// TestPanicAfterAWait: a request whose handler is cut off when it comes back from its wait is
// counted no more.
func TestPanicAfterAWait(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "k", "1")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/kv/k?index=4&wait=1m", nil)
	first := &parker{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(first, r)
	if first.ticket == nil || s.Parked() != 1 || s.Busy() != 1 {
		t.Fatalf("%d wait and %d are being answered, want 1", s.Parked(), s.Busy())
	}
	mustPut(t, s, "k", "2")
	<-first.ticket.c
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing has panicked")
			}
		}()
		s.ServeHTTP(brokenOnce{&parker{ResponseRecorder: httptest.NewRecorder(), resumed: first.ticket.waiting}}, r)
	}()
	mustHaveNothingLeft(t, s)
}

// TestWokenBeforeTheHandlerHasReturned: what wakes a query between its last look and the end
// of its handler has it resumed.
func TestWokenBeforeTheHandlerHasReturned(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "k", "1")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/kv/k?index=4&wait=1m", nil)
	w := &changedAtOnce{parker: &parker{ResponseRecorder: httptest.NewRecorder()}, then: func() { mustPut(t, s, "k", "2") }}
	s.ServeHTTP(w, r)
	<-w.ticket.c // it was resumed
	again := &parker{ResponseRecorder: httptest.NewRecorder(), resumed: w.ticket.waiting}
	s.ServeHTTP(again, r)
	if again.ticket != nil {
		t.Error("it waits again")
	}
	expectHeader(t, again.ResponseRecorder, "X-Consul-Index", "5")
	mustHaveNothingLeft(t, s)
}

// TestSettingsThatChangeDuringAWait: a request that was let in is answered by the settings that
// it came with, as far as they decide whether it may come.
func TestSettingsThatChangeDuringAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.AnyPath = true })
		waiting := []*watcher{watch(t.Context(), t, s, "a%01b?index=1&wait=1m"), watch(t.Context(), t, s, "a%01b?keys&index=1&wait=1m")}
		settings := testSettings()
		settings.Blocked, settings.ParkedPerClient, settings.ParkedTotal = []string{"/v1/kv/"}, 1, 1
		s.Configure(settings)
		for _, w := range waiting {
			w.mustWait(t)
		}
		if _, err := s.node.Propose(t.Context(), &fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: "a\x01b"}}); err != nil {
			t.Fatal(err)
		}
		for _, w := range waiting {
			w.mustBe(t, 200, "4")
		}
		mustHaveNothingLeft(t, s)
	})
}

// changedAtOnce does something while the handler parks.
type changedAtOnce struct {
	*parker
	then func()
}

func (x *changedAtOnce) Park(w http1.Waiting) http1.Ticket {
	x.then()
	return x.parker.Park(w)
}

// TestCloseWaits: nothing runs when Close has returned, not even a verification that gets no
// answer.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &stuckNode{localNode: newLocalNode(t)}
		s := newTestServer(t, node.localNode)
		s.node = node
		w := watch(t.Context(), t, s, "k?index=1&wait=1s&leader")
		node.stuck.Store(true)
		time.Sleep(2 * time.Second)
		if canPark.Load() {
			w.mustWait(t)
			s.Drain() // comes too late for it
			w.mustWait(t)
			s.Close()
			w.mustBe(t, 500, "")
			mustHaveNothingLeft(t, s)
			return
		}
		node.stuck.Store(false)
		node.ends(ErrNoLeader)
		w.mustBe(t, 500, "")
		s.Close()
	})
}

// stuckNode is a node whose verification does not end by itself.
type stuckNode struct {
	*localNode
	stuck atomic.Bool
	mu    sync.Mutex
	wait  []chan error
}

func (n *stuckNode) ReadIndex(ctx context.Context, mode Mode) (Contact, error) {
	if !n.stuck.Load() {
		return n.localNode.ReadIndex(ctx, mode)
	}
	c := make(chan error, 1)
	n.mu.Lock()
	n.wait = append(n.wait, c)
	n.mu.Unlock()
	select {
	case err := <-c:
		return Contact{}, err
	case <-ctx.Done():
		return Contact{}, ErrNoLeader
	}
}

func (n *stuckNode) ends(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.wait {
		c <- err
	}
}

// TestWhatAParkedQueryTakes holds the memory of one to its bound: that of the hub's map and of
// the connection come on top.
func TestWhatAParkedQueryTakes(t *testing.T) {
	if got, most := unsafe.Sizeof(waiting{}), uintptr(256); got > most {
		t.Errorf("a query that waits takes %d bytes, want at most %d", got, most)
	}
}

// TestEverythingAtOnce has queries of every kind wait while what they ask for changes, rights
// come and go, tokens end, clients leave, the server is cut off, and archives are restored:
// each is answered once, and in the end nothing is left.
func TestEverythingAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { everythingAtOnce(t, seed) })
		})
	}
}

func everythingAtOnce(t *testing.T, seed uint64) {
	const clients, lasts = 40, 20 * time.Second
	g := newGuardedServer(t, acl.DefaultDeny)
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	const all = `key_prefix "" { policy = "write" } session_prefix "" { policy = "read" } node_prefix "" { policy = "read" }
		service_prefix "" { policy = "read" } event_prefix "" { policy = "write" }`
	var tokens [4]atomic.Pointer[testToken]
	for i := range tokens {
		x := g.token(t, all)
		tokens[i].Store(&x)
	}
	state := stateOf(t, g.node)
	targets := []string{
		"/v1/kv/k/%d?x", "/v1/kv/k/%d?stale", "/v1/kv/k/%d?consistent", "/v1/kv/k/%d?raw", "/v1/kv/k/?recurse", "/v1/kv/k/%d?keys",
		"/v1/session/list?x", "/v1/health/state/any?x", "/v1/event/list?x", "/v1/catalog/nodes?consistent", "/v1/group/g%d?x",
	}
	var answered, waited atomic.Int64
	var running sync.WaitGroup
	// tick lets some time pass that ends when the wheel turns.
	tick := func(rnd *rand.Rand, most int) { time.Sleep(time.Duration(rnd.IntN(most)) * wheel.Tick) }

	for n := range clients {
		rnd := rand.New(rand.NewPCG(seed, uint64(n)))
		running.Go(func() {
			for ctx.Err() == nil {
				target := targets[rnd.IntN(len(targets))]
				if strings.Contains(target, "%d") {
					target = fmt.Sprintf(target, rnd.IntN(3))
				}
				view := g.node.store.View()
				index := max(view.Index(), 1) + uint64(rnd.IntN(3)) - 1
				target += fmt.Sprintf("&index=%d&wait=%dms", index, 20+rnd.IntN(500))
				leaving, leave := context.WithCancel(t.Context())
				r := httptest.NewRequestWithContext(leaving, http.MethodGet, target, nil)
				r.Header.Set("X-Consul-Token", tokens[rnd.IntN(len(tokens))].Load().secret)
				timer := time.AfterFunc(time.Duration(1+rnd.IntN(200))*wheel.Tick, leave)
				began, w := time.Now(), httptest.NewRecorder()
				serveTo(g, w, r)
				timer.Stop()
				leave()
				switch w.Code {
				case 200, 403, 404, 429, 500, statusClientGone:
				default:
					t.Errorf("%s is answered %d %q", target, w.Code, w.Body)
				}
				answered.Add(1)
				if time.Since(began) > 0 {
					waited.Add(1)
				} else {
					time.Sleep(wheel.Tick)
				}
			}
		})
	}
	meddle := func(n uint64, most int, do func(rnd *rand.Rand)) {
		rnd := rand.New(rand.NewPCG(seed, 1000+n))
		running.Go(func() {
			for ctx.Err() == nil {
				tick(rnd, most)
				do(rnd)
			}
		})
	}
	root := func(method, target, body string) {
		ask(t, g.Server, method, target, body, "X-Consul-Token", g.root)
	}
	for n := range uint64(2) {
		meddle(n, 20, func(rnd *rand.Rand) {
			root(http.MethodPut, fmt.Sprintf("/v1/kv/k/%d", rnd.IntN(3)), fmt.Sprint(rnd.Int()))
		})
	}
	meddle(2, 50, func(rnd *rand.Rand) { root(http.MethodDelete, fmt.Sprintf("/v1/kv/k/%d", rnd.IntN(3)), "") })
	meddle(3, 60, func(*rand.Rand) { root(http.MethodPut, "/v1/session/create", `{"Checks":[]}`) })
	meddle(4, 60, func(*rand.Rand) { root(http.MethodPut, "/v1/event/fire/e", "") })
	var rights sync.Mutex // of whoever changes them, and restores
	meddle(5, 40, func(rnd *rand.Rand) {
		rights.Lock()
		defer rights.Unlock()
		i := rnd.IntN(len(tokens))
		old := *tokens[i].Load()
		switch rnd.IntN(4) {
		case 0:
			g.delete(t, old)
			x := g.token(t, all)
			tokens[i].Store(&x)
		case 1:
			x := g.token(t, all, func(row *acl.Token) {
				row.Expires = time.Now().Add(time.Duration(2+rnd.IntN(60)) * 10 * time.Millisecond)
			})
			tokens[i].Store(&x)
		case 2:
			x := g.token(t, all)
			tokens[i].Store(&x)
			g.rule(t, x, `key "k/1" { policy = "read" }`)
			tick(rnd, 5)
			g.rule(t, x, all)
		default:
			g.token(t, "") // somebody else's
		}
	})
	meddle(6, 400, func(*rand.Rand) { g.EndParked() })
	meddle(7, 900, func(*rand.Rand) {
		rights.Lock()
		defer rights.Unlock()
		if err := g.node.replaceState(SnapshotMeta{}, bytes.NewReader(state)); err != nil {
			t.Error(err)
		}
		if _, err := g.node.Propose(t.Context(), &fsm.Command{Restored: true}); err != nil {
			t.Error(err)
		}
		for i := range tokens {
			x := g.token(t, all)
			tokens[i].Store(&x)
		}
	})
	<-ctx.Done()
	g.Drain()
	running.Wait()
	mustHaveNothingLeft(t, g.Server)
	g.Close()
	m := g.Wakeups()
	t.Logf("%d answers, of which %d after a wait: %d changed, %d unchanged, %d parked, %d timeouts, %d gone; %d shared so far", answered.Load(), waited.Load(),
		m.Changed.Load(), m.Unchanged.Load(), m.Parked.Load(), m.Timeouts.Load(), m.Gone.Load(), shares.shared.Load())
	for what, n := range map[string]uint64{"changed": m.Changed.Load(), "timeouts": m.Timeouts.Load(), "gone": m.Gone.Load(), "parked": m.Parked.Load()} {
		if n == 0 {
			t.Errorf("no query ended %s", what)
		}
	}
}

// BenchmarkPark is what a query costs that is parked, woken by a change and answered, without
// its connection; and what is kept of it while it waits.
func BenchmarkPark(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newServerWith(b, newLocalNode(b), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
			mustPut(b, s, "k", "1")
			p := &benchParker{discard: discard{h: http.Header{}}}
			b.ReportAllocs()
			ctx := WithClient(b.Context(), netip.MustParseAddr("127.0.0.1"))
			for done := 0; done < b.N; done += n {
				_, index := s.node.Store().View().Get("k")
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("/v1/kv/k?index=%d&wait=5m", index), nil)
				p.tickets = p.tickets[:0]
				for range n {
					clear(p.h)
					p.resumed = nil
					s.ServeHTTP(p, r)
				}
				mustPut(b, s, "k", fmt.Sprint(done))
				for _, t := range p.tickets {
					<-t.c
					clear(p.h)
					p.resumed = t.waiting
					s.ServeHTTP(p, r)
				}
			}
		})
	}
}

var _ http1.Parker = (*benchParker)(nil)

// benchParker is the cheapest http1.Parker there is.
type benchParker struct {
	discard
	tickets []*ticket
	resumed http1.Waiting
}

func (p *benchParker) Park(w http1.Waiting) http1.Ticket {
	t := &ticket{waiting: w, c: make(chan *http1.Share, 1)}
	p.tickets = append(p.tickets, t)
	return t
}

func (p *benchParker) Resumed() http1.Waiting { return p.resumed }

func (p *benchParker) AnswerFrom(*http1.Share) bool { return false }
