package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// clockedNode is a localNode whose clock is the real one, or that of the bubble. It
// counts what is proposed and keeps the sessions.
type clockedNode struct {
	*localNode
	proposals atomic.Int64
	renewals  atomic.Int64
}

func (n *clockedNode) Propose(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	n.proposals.Add(1)
	n.mu.Lock()
	n.clock = time.Now().Add(-time.Second) // Propose adds it again
	n.mu.Unlock()
	return n.localNode.Propose(ctx, c)
}

func (n *clockedNode) RenewSession(_ context.Context, id string, _ *acl.Given) (*session.Session, error) {
	n.renewals.Add(1)
	sessions, _ := n.store.View().Sessions()
	return sessions.Get(id), nil
}

// expire ends what is due, as the leader does.
func (n *clockedNode) expire(t testing.TB) {
	t.Helper()
	keys, _ := n.store.View().Due(time.Now().UnixNano(), 1000)
	if len(keys) == 0 {
		return
	}
	if _, err := n.Propose(t.Context(), &fsm.Command{Expire: keys}); err != nil {
		t.Fatal(err)
	}
}

// recipeServer is a server with recipes, and sessions called a to h that have no TTL
// and a lock-delay of 15 seconds.
type recipeServer struct {
	*Server
	node *clockedNode
}

func newRecipeServer(t testing.TB, change func(*Settings)) *recipeServer {
	t.Helper()
	s := serveRecipes(newLocalNode(t), change)
	if res, err := s.node.Propose(t.Context(), &fsm.Command{Register: &catalog.Registration{
		Node:   catalog.Node{Name: "node-1", Address: "127.0.0.1"},
		Checks: []catalog.Check{{ID: SelfCheck, Name: SelfCheckName, Status: catalog.Passing}},
	}}); err != nil || !res.Applied {
		t.Fatalf("register: %+v, %v", res, err)
	}
	for _, id := range strings.Split("abcdefgh", "") {
		s.born(t, id)
	}
	return s
}

func serveRecipes(local *localNode, change func(*Settings)) *recipeServer {
	settings := testSettings()
	settings.SessionTTLMin = 10 * time.Second
	if change != nil {
		change(&settings)
	}
	node := &clockedNode{localNode: local}
	return &recipeServer{node: node, Server: New(Options{
		Node: node, Cluster: local, Snapshots: local, Sessions: node,
		Log: hclog.NewNullLogger(), Datacenter: "dc1", NodeName: "node-1",
	}, settings)}
}

func (s *recipeServer) born(t testing.TB, id string) {
	t.Helper()
	if res, err := s.node.Propose(t.Context(), &fsm.Command{Session: &session.Session{
		ID: id, Name: "name-" + id, Node: "node-1", LockDelay: 15 * time.Second, Behavior: session.Release,
	}}); err != nil || !res.Applied {
		t.Fatalf("session %s: %+v, %v", id, res, err)
	}
}

func (s *recipeServer) end(t testing.TB, id string) {
	t.Helper()
	if _, err := s.node.Propose(t.Context(), &fsm.Command{EndSession: &fsm.EndSession{IDs: []string{id}}}); err != nil {
		t.Fatal(err)
	}
}

// shown decodes the answer of a recipe.
func shown[T any](t testing.TB, w *httptest.ResponseRecorder) (out T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("answer %d %q: %v", w.Code, w.Body, err)
	}
	return out
}

// asking is a request that may wait.
type asking struct {
	w      *httptest.ResponseRecorder
	cancel context.CancelFunc
	done   chan struct{}
}

func (s *recipeServer) start(t testing.TB, method, target, body string) *asking {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &asking{w: httptest.NewRecorder(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		serveTo(s, a.w, httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body)))
	}()
	return a
}

func (a *asking) answered() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// TestRecipeParameters: every parameter and every refusal of a recipe.
func TestRecipeParameters(t *testing.T) {
	long := strings.Repeat("n", 513)
	play(
		t, newRecipeServer(t, nil).Server,
		line{"a lock has a name", "POST /v1/lock/?session=a", 400, "Missing name of the lock"},
		line{"a segment of a name does not begin with a dot", "POST /v1/lock/a/.queue?session=a", 400, `Invalid name "a/.queue" of the lock…`},
		line{"nor is it empty", "POST /v1/lock/a/?session=a", 400, `Invalid name "a/" of the lock…`},
		line{"a name has a bound", "POST /v1/lock/" + long + "?session=a", 400, "Invalid name…"},
		line{"a name has no bytes that are no text", "POST /v1/lock/%FF?session=a", 400, "Invalid name…"},
		line{"a name may be any text", "POST /v1/lock/Größe/1?session=a&wait=0s", 200, "-"},
		line{"somebody must hold it", "POST /v1/lock/x", 400, "Missing session: want ?session=<id>, or ?ttl=<duration> to have one made"},
		line{"an empty session is none", "POST /v1/lock/x?session=", 400, "Missing session…"},
		line{"a session, or one that is made", "POST /v1/lock/x?session=a&ttl=10s", 400, "Specify ?session or ?ttl, not both"},
		line{"a session that does not exist", "POST /v1/lock/x?session=nobody", 404, "Session id 'nobody' not found"},
		line{"a session in capitals", "POST /v1/lock/x?session=B&wait=0s", 200, `{"Name":"x","Key":"_holdfast/lock/x","Held":true,"Session":"b","Fence":…`},
		line{"a ttl is a duration", "POST /v1/lock/y?ttl=x", 400, `Invalid ttl "x", want a duration from 10s to 24h0m0s`},
		line{"it is not too short", "POST /v1/lock/y?ttl=9s", 400, `Invalid ttl "9s"…`},
		line{"nor too long", "POST /v1/lock/y?ttl=25h", 400, `Invalid ttl "25h"…`},
		line{"nor none", "POST /v1/lock/y?ttl=0s", 400, `Invalid ttl "0s"…`},
		line{"a lock-delay is that of a session made here", "POST /v1/lock/y?session=a&lock-delay=1s", 400, "?lock-delay is of a session that is made here, and goes with ?ttl"},
		line{"a lock-delay is a duration", "POST /v1/lock/y?ttl=10s&lock-delay=x", 400, `Invalid lock-delay "x", want a duration from 0s to 1m0s`},
		line{"a lock-delay has a bound", "POST /v1/lock/y?ttl=10s&lock-delay=61s", 400, `Invalid lock-delay "61s"…`},
		line{"a mode is one of two", "POST /v1/lock/y?session=a&mode=both", 400, `Invalid mode "both", want exclusive or shared`},
		line{"slots are a number", "POST /v1/lock/y?session=a&slots=x", 400, `Invalid slots "x", want a number from 1 to 4096`},
		line{"there is one at least", "POST /v1/lock/y?session=a&slots=0", 400, `Invalid slots "0"…`},
		line{"there are not too many", "POST /v1/lock/y?session=a&slots=4097", 400, `Invalid slots "4097"…`},
		line{"who shares counts nobody", "POST /v1/lock/y?session=a&mode=shared&slots=2", 400, "?slots counts those who hold…"},
		line{"a wait is a duration", "POST /v1/lock/y?session=a&wait=x", 400, "Invalid wait time"},
		line{"a value has a bound", "POST /v1/lock/y?session=a " + strings.Repeat("v", 4097), 413, "Request body is too large, it may have 4096 bytes here"},
		line{"a namespace is refused", "POST /v1/lock/y?session=a&ns=x", 400, "Invalid query parameter…"},
		line{"another datacenter too", "POST /v1/lock/y?session=a&dc=x", 500, "No path to datacenter"},
		line{"PUT is not for locks", "PUT /v1/lock/y?session=a", 405, "method PUT not allowed"},
		line{"a lock is free", "POST /v1/lock/free?session=a&wait=0s", 200, "-"},
		line{"who holds it may ask again", "POST /v1/lock/free?session=a", 200, "-"},
		line{"it is not free any more", "POST /v1/lock/free?session=b&wait=0s", 409, `{"Name":"free","Key":"_holdfast/lock/free","Held":false,"Session":"b","Ahead":1,"Holders":[{"Session":"a","Name":"name-a","Node":"node-1","Mode":"exclusive",…`},
		line{"all agree on the slots", "POST /v1/lock/free?session=b&slots=2", 409, `"free": all who contend must name the same number of slots: it is 1 now, not 2`},
		line{"the same for who shares", "POST /v1/lock/many?session=a&slots=2&wait=0s", 200, "-"},
		line{"which is of one", "POST /v1/lock/many?session=b&mode=shared", 409, `"many": all who contend must name the same number of slots: it is 2 now, not 1`},
		line{"a session has one kind of place", "POST /v1/lock/free?session=a&mode=shared", 409, `"free": session a has a place here already, to exclude everybody, and asks for one to share: give it back first`},

		line{"a release names a session", "DELETE /v1/lock/free", 400, "Missing session: want ?session=<id>"},
		line{"a release of another is none", "DELETE /v1/lock/free?session=b", 200, "false"},
		line{"a release", "DELETE /v1/lock/free?session=A", 200, "true"},
		line{"is one once", "DELETE /v1/lock/free?session=a", 200, "false"},
		line{"a release has a name", "DELETE /v1/lock/?session=a", 400, "Missing name of the lock"},

		line{"what is not there has nobody", "GET /v1/lock/free", 200, `{"Name":"free","Key":"_holdfast/lock/free","Slots":0,"HolderCount":0,"WaiterCount":0,"Holders":[],"Waiters":[]}`},
		line{"a limit is a number", "GET /v1/lock/free?limit=x", 400, "strconv.ParseUint…"},
		line{"a name in GET", "GET /v1/lock/.a", 400, "Invalid name…"},

		line{"an election has actions", "POST /v1/election/db?session=a", 404, "Invalid URL path: want /v1/election/<name>/campaign or /resign for the method POST"},
		line{"and no others", "POST /v1/election/db/observe?session=a", 404, "Invalid URL path…"},
		line{"one to read", "GET /v1/election/db/campaign", 404, "Invalid URL path: want /v1/election/<name>/observe for the method GET"},
		line{"an election has a name", "POST /v1/election//campaign?session=a", 307, "-"},
		line{"it has a good one", "POST /v1/election/.x/campaign?session=a", 400, `Invalid name ".x" of the election…`},
		line{"it has one leader", "POST /v1/election/db/campaign?session=a&slots=2", 400, "An election has one leader: ?mode and ?slots are for locks"},
		line{"it has no mode", "POST /v1/election/db/campaign?session=a&mode=shared", 400, "An election has one leader…"},
		line{"nobody leads", "GET /v1/election/db/observe", 200, `{"Name":"db","Leader":null,"Candidates":0}`},
		line{"somebody does", "POST /v1/election/db/campaign?session=a&wait=0s http://a", 200, `{"Name":"db","Key":"_holdfast/election/db","Held":true,"Session":"a",…`},
		line{"which is seen", "GET /v1/election/db/observe", 200, `{"Name":"db","Leader":{"Session":"a","Name":"name-a","Node":"node-1","Mode":"exclusive",…`},
		line{"who resigns names a session", "POST /v1/election/db/resign", 400, "Missing session…"},
		line{"who resigns", "POST /v1/election/db/resign?session=a", 200, "true"},

		line{"a group has members", "PUT /v1/group/web?session=a", 400, "Missing member: want /v1/group/<group>/<member>"},
		line{"with names", "PUT /v1/group/web/?session=a", 400, "Missing name of the member"},
		line{"good ones", "PUT /v1/group/.web/1?session=a", 400, `Invalid name ".web" of the group…`},
		line{"and sessions", "PUT /v1/group/web/1", 400, "Missing session…"},
		line{"that live", "PUT /v1/group/web/1?session=nobody", 404, "Session id 'nobody' not found"},
		line{"a member comes", "PUT /v1/group/web/1?session=A http://1", 200, `{"Name":"web","Member":"1","Key":"_holdfast/group/web/.members/1","Session":"a"}`},
		line{"it has a bound", "PUT /v1/group/web/2?session=a " + strings.Repeat("v", 4097), 413, "Request body is too large…"},
		line{"it is listed", "GET /v1/group/web", 200, `{"Name":"web","Members":[{"Member":"1","Session":"a","Name":"name-a","Node":"node-1","Since":…`},
		line{"a group of the group is another", "GET /v1/group/web/1", 200, `{"Name":"web/1","Members":[]}`},
		line{"a member of another session stays", "DELETE /v1/group/web/1?session=b", 200, "false"},
		line{"a session that is none removes nobody", "DELETE /v1/group/web/1?session=nobody", 404, "Session id 'nobody' not found"},
		line{"an empty session is a mistake", "DELETE /v1/group/web/1?session=", 400, "?session wants the id of a session"},
		line{"a member goes", "DELETE /v1/group/web/1?session=a", 200, "true"},
		line{"anybody can remove one", "DELETE /v1/group/web/1", 200, "true"},
		line{"a group has a name", "GET /v1/group/", 400, "Missing name of the group"},
	)
}

// TestRecipesInEveryLife: what a lock, an election and a group are does not depend on
// what the server has gone through in between.
func TestRecipesInEveryLife(t *testing.T) {
	for _, life := range lives {
		t.Run(life.name, func(t *testing.T) {
			s := newRecipeServer(t, nil)
			play(t, s.Server,
				line{"a holds", "POST /v1/lock/l?session=a&wait=0s me", 200, "-"},
				line{"b waits", "POST /v1/lock/l?session=b&wait=1ns", 202, "-"},
				line{"c waits", "POST /v1/lock/l?session=c&wait=1ns&mode=shared", 202, "-"},
				line{"d leads", "POST /v1/election/e/campaign?session=d&wait=0s http://d", 200, "-"},
				line{"e is a candidate", "POST /v1/election/e/campaign?session=e&wait=1ns", 202, "-"},
				line{"f is a member", "PUT /v1/group/g/f?session=f v", 200, "-"},
			)
			s = serveRecipes(life.next(s.node.localNode, t), nil)
			lock := shown[lockShown](t, ask(t, s.Server, "GET", "/v1/lock/l", ""))
			if got := describe(lock); got != "a | b c(shared)" || string(lock.Holders[0].Value) != "me" {
				t.Errorf("lock is %s, with %+v", got, lock.Holders)
			}
			fence := fmt.Sprint(lock.Holders[0].Fence)
			play(t, s.Server,
				line{"a still holds", "POST /v1/lock/l?session=a&wait=0s", 200, `{"Name":"l","Key":"_holdfast/lock/l","Held":true,"Session":"a","Fence":` + fence + `,…`},
				line{"its number is good", "PUT /v1/kv/r?fence=_holdfast/lock/l:" + fence + " x", 200, "true"},
				line{"b still waits", "POST /v1/lock/l?session=b&wait=1ns", 202, "-"},
				line{"a releases", "DELETE /v1/lock/l?session=a", 200, "true"},
				line{"its number is not good any more", "PUT /v1/kv/r?fence=_holdfast/lock/l:" + fence + " y", 409, "fence " + fence + ` of "_holdfast/lock/l" is out of date: who was given it does not hold any more`},
				line{"b holds", "POST /v1/lock/l?session=b&wait=0s", 200, "-"},
				line{"the leader is the same", "GET /v1/election/e/observe", 200, `{"Name":"e","Leader":{"Session":"d",…`},
				line{"it resigns", "POST /v1/election/e/resign?session=d", 200, "true"},
				line{"the next leads", "GET /v1/kv/_holdfast/election/e/.leader", 200, "-"},
				line{"the member is there", "GET /v1/group/g", 200, `{"Name":"g","Members":[{"Member":"f","Session":"f",…`},
			)
			s.end(t, "f")
			s.end(t, "b")
			play(t, s.Server, line{"it is gone with its session", "GET /v1/group/g", 200, `{"Name":"g","Members":[]}`})
			if lock := shown[lockShown](t, ask(t, s.Server, "GET", "/v1/lock/l", "")); describe(lock) != " | c(shared)" || lock.LockDelayLeft == "" {
				t.Errorf("lock after the end of its holder is %s, delay left %q", describe(lock), lock.LockDelayLeft)
			}
		})
	}
}

func describe(l lockShown) string {
	list := func(places []placeShown) string {
		var out []string
		for _, p := range places {
			if p.Mode == "shared" {
				p.Session += "(shared)"
			}
			out = append(out, p.Session)
		}
		return strings.Join(out, " ")
	}
	return list(l.Holders) + " | " + list(l.Waiters)
}

// TestLockIsFair: fifty who wait get the lock in the order in which they came, with
// numbers that grow.
func TestLockIsFair(t *testing.T) {
	const n = 50
	synctest.Test(t, func(t *testing.T) {
		s := newRecipeServer(t, nil)
		play(t, s.Server, line{"the first holds", "POST /v1/lock/l?session=a", 200, "-"})
		waiting := make([]*asking, n)
		for i := range waiting {
			s.born(t, fmt.Sprint("w", i))
			waiting[i] = s.start(t, "POST", fmt.Sprintf("/v1/lock/l?session=w%d", i), "")
			synctest.Wait()
		}
		holder, fence := "a", uint64(0)
		for i, a := range waiting {
			play(t, s.Server, line{"release", "DELETE /v1/lock/l?session=" + holder, 200, "true"})
			synctest.Wait()
			for j, other := range waiting {
				if other.answered() != (j <= i) {
					t.Fatalf("after %d releases waiter %d is answered: %v", i+1, j, other.answered())
				}
			}
			got := shown[contentionShown](t, a.w)
			if a.w.Code != 200 || !got.Held || got.Fence <= fence || a.w.Header().Get("X-Holdfast-Fence") != fmt.Sprint(got.Fence) {
				t.Fatalf("waiter %d is answered %d %+v after number %d", i, a.w.Code, got, fence)
			}
			holder, fence = got.Session, got.Fence
		}
	})
}

// TestNoHerd: with a thousand who wait, a hand-over is one release and one request of
// the next holder; nobody else is woken, since each waits on a key of its own.
func TestNoHerd(t *testing.T) {
	const n = 1000
	synctest.Test(t, func(t *testing.T) {
		s := newRecipeServer(t, func(settings *Settings) { settings.ParkedPerClient, settings.ParkedTotal = 0, 0 })
		play(t, s.Server, line{"the first holds", "POST /v1/lock/l?session=a", 200, "-"})
		waiting := make([]*asking, n)
		for i := range waiting {
			s.born(t, fmt.Sprint("w", i))
			waiting[i] = s.start(t, "POST", fmt.Sprintf("/v1/lock/l?session=w%d", i), "")
			synctest.Wait()
		}
		if keys := s.node.store.Hub().Len(); s.Parked() != n || keys != n {
			t.Fatalf("%d wait, on %d keys, want %d on as many", s.Parked(), keys, n)
		}
		holder := "a"
		for i := range 20 {
			proposals, index := s.node.proposals.Load(), s.node.store.Applied()
			play(t, s.Server, line{"release", "DELETE /v1/lock/l?session=" + holder, 200, "true"})
			synctest.Wait()
			if more := s.node.proposals.Load() - proposals; more != 2 {
				t.Errorf("a hand-over takes %d commands, want 2: the release, and the next who says that it knows", more)
			}
			changes := 0
			s.node.store.View().List("_holdfast/", func(v *kvs.Version) {
				if v.ModifyIndex > index {
					changes++
				}
			})
			if changes != 1 {
				t.Errorf("a hand-over changes %d places, want that of the next holder", changes)
			}
			if s.Parked() != n-i-1 {
				t.Errorf("%d wait after %d hand-overs", s.Parked(), i+1)
			}
			holder = fmt.Sprint("w", i)
		}
		s.Drain()
		synctest.Wait()
		if a := waiting[n-1]; a.w.Code != 202 || shown[contentionShown](t, a.w).Ahead != n-20 {
			t.Errorf("the last is answered %d %s when the server stops", a.w.Code, a.w.Body)
		}
	})
}

// TestLockWaits: what a request that waits is answered, and when.
func TestLockWaits(t *testing.T) {
	held := func(t *testing.T, s *recipeServer) *asking {
		play(t, s.Server, line{"a holds", "POST /v1/lock/l?session=a", 200, "-"})
		b := s.start(t, "POST", "/v1/lock/l?session=b&wait=40s", "")
		synctest.Wait()
		return b
	}
	for _, tc := range []struct {
		rule string
		test func(t *testing.T, s *recipeServer)
	}{
		{"202 when its time is over, with the place it has", func(t *testing.T, s *recipeServer) {
			began, b := time.Now(), held(t, s)
			<-b.done
			got := shown[contentionShown](t, b.w)
			if took := time.Since(began); took < 40*time.Second || took > 43*time.Second || b.w.Code != 202 || got.Held ||
				got.Place == 0 || got.Ahead != 1 || len(got.Holders) != 1 || got.Holders[0].Session != "a" {
				t.Errorf("after %s: %d %+v", took, b.w.Code, got)
			}
			s.node.expire(t)
			again := s.start(t, "POST", "/v1/lock/l?session=b&wait=1s", "")
			<-again.done
			if p := shown[contentionShown](t, again.w).Place; p != got.Place {
				t.Errorf("who asks again has place %d, want %d as before", p, got.Place)
			}
		}},
		{"a place is kept for 15 s after its last request", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			<-b.done
			time.Sleep(14 * time.Second)
			s.node.expire(t)
			if n := s.node.store.View().QueueLength("_holdfast/lock/l"); n != 2 {
				t.Errorf("%d places after 14 s, want 2", n)
			}
			time.Sleep(5 * time.Second)
			s.node.expire(t)
			if n := s.node.store.View().QueueLength("_holdfast/lock/l"); n != 1 {
				t.Errorf("%d places after 19 s, want 1", n)
			}
		}},
		{"a client that leaves does not hold up the others", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			c := s.start(t, "POST", "/v1/lock/l?session=c", "")
			synctest.Wait()
			b.cancel()
			<-b.done
			if b.w.Code != statusClientGone {
				t.Errorf("it is answered %d", b.w.Code)
			}
			play(t, s.Server, line{"release", "DELETE /v1/lock/l?session=a", 200, "true"})
			synctest.Wait()
			if c.answered() {
				t.Error("the next is passed before the other could come back")
			}
			time.Sleep(15 * time.Second)
			s.node.expire(t)
			<-c.done
			if c.w.Code != 200 || !shown[contentionShown](t, c.w).Held {
				t.Errorf("the next is answered %d %s", c.w.Code, c.w.Body)
			}
		}},
		{"a client that comes back in time has kept its place", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			b.cancel()
			<-b.done
			time.Sleep(10 * time.Second)
			again := s.start(t, "POST", "/v1/lock/l?session=b", "")
			synctest.Wait()
			time.Sleep(30 * time.Second)
			s.node.expire(t)
			play(t, s.Server, line{"release", "DELETE /v1/lock/l?session=a", 200, "true"})
			<-again.done
			if again.w.Code != 200 {
				t.Errorf("it is answered %d %s", again.w.Code, again.w.Body)
			}
		}},
		{"404 when its session ends", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			s.end(t, "b")
			<-b.done
			expect(t, b.w, 404, "Session id 'b' not found")
		}},
		{"409 when its place is removed", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			play(t, s.Server, line{"by another request", "DELETE /v1/lock/l?session=b", 200, "true"})
			<-b.done
			expect(t, b.w, 409, `"l": the place of session b was given back or removed while it waited`)
		}},
		{"after the lock-delay when the holder's session ends", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			s.end(t, "a")
			synctest.Wait()
			time.Sleep(14 * time.Second)
			s.node.expire(t)
			synctest.Wait()
			if b.answered() {
				t.Error("it is answered in the lock-delay")
			}
			time.Sleep(time.Second)
			s.node.expire(t)
			<-b.done
			if b.w.Code != 200 {
				t.Errorf("it is answered %d %s", b.w.Code, b.w.Body)
			}
		}},
		{"at once when the server stops", func(t *testing.T, s *recipeServer) {
			b := held(t, s)
			s.Drain()
			<-b.done
			if b.w.Code != 202 {
				t.Errorf("it is answered %d %s", b.w.Code, b.w.Body)
			}
		}},
		{"429 when too many wait, with a place for a while", func(t *testing.T, s *recipeServer) {
			settings := testSettings()
			settings.ParkedTotal = 1
			s.Configure(settings)
			held(t, s)
			w := ask(t, s.Server, "POST", "/v1/lock/l?session=c", "")
			if w.Code != http.StatusTooManyRequests {
				t.Errorf("it is answered %d %s", w.Code, w.Body)
			}
			time.Sleep(15 * time.Second)
			s.node.expire(t)
			if n := s.node.store.View().QueueLength("_holdfast/lock/l"); n != 2 {
				t.Errorf("%d places, want those of who holds and who waits", n)
			}
			s.Drain()
		}},
		{"a session that was made is renewed while its client waits, and its client can release it", func(t *testing.T, s *recipeServer) {
			play(t, s.Server, line{"a holds", "POST /v1/lock/l?session=a", 200, "-"})
			b := s.start(t, "POST", "/v1/lock/l?ttl=30s&lock-delay=1s", "")
			time.Sleep(61 * time.Second)
			if n := s.node.renewals.Load(); n < 6 || n > 8 {
				t.Errorf("renewed %d times in 61 s, want every 10 s", n)
			}
			play(t, s.Server, line{"release", "DELETE /v1/lock/l?session=a", 200, "true"})
			<-b.done
			got := shown[contentionShown](t, b.w)
			sessions, _ := s.node.store.View().Sessions()
			made := sessions.Get(got.Session)
			if made == nil || made.TTL != "30s" || made.Grace != 0 || made.LockDelay != time.Second || made.Name != "lock l" {
				t.Errorf("the session is %+v", made)
			}
			play(t, s.Server, line{"release", "DELETE /v1/lock/l?session=" + got.Session, 200, "true"})
			if sessions, _ := s.node.store.View().Sessions(); sessions.Get(got.Session) != nil {
				t.Error("the session outlives the lock it was made for")
			}
		}},
		{"it is renewed for a later request as well", func(t *testing.T, s *recipeServer) {
			play(t, s.Server, line{"a holds", "POST /v1/lock/l?session=a", 200, "-"})
			b := s.start(t, "POST", "/v1/lock/l?ttl=30s&wait=1s", "")
			<-b.done
			id, before := shown[contentionShown](t, b.w).Session, s.node.renewals.Load()
			again := s.start(t, "POST", "/v1/lock/l?session="+id, "")
			time.Sleep(61 * time.Second)
			if n := s.node.renewals.Load() - before; n < 6 || n > 8 {
				t.Errorf("renewed %d times in 61 s, want every 10 s", n)
			}
			again.cancel()
			<-again.done
		}},
		{"a session that was made ends with a client that leaves, or does not wait", func(t *testing.T, s *recipeServer) {
			play(t, s.Server, line{"a holds", "POST /v1/lock/l?session=a", 200, "-"})
			b := s.start(t, "POST", "/v1/lock/l?ttl=30s", "")
			synctest.Wait()
			b.cancel()
			<-b.done
			play(t, s.Server,
				line{"it is not free", "POST /v1/lock/l?ttl=30s&wait=0s", 409, `{"Name":"l","Key":"_holdfast/lock/l","Held":false,"Ahead":1,…`},
				line{"nor of that kind", "POST /v1/lock/l?ttl=30s&slots=2", 409, `"l": all…`},
			)
			if w := ask(t, s.Server, "GET", "/v1/session/list", ""); strings.Contains(w.Body.String(), `"lock l"`) {
				t.Errorf("sessions are %s", w.Body)
			}
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tc.test(t, newRecipeServer(t, nil)) })
		})
	}
}

// TestObserve: who observes an election is answered when another leads or the leader
// says something else, and not when candidates come and go.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRecipeServer(t, nil)
		play(t, s.Server, line{"a leads", "POST /v1/election/e/campaign?session=a one", 200, "-"})
		observe := func() *asking {
			w := ask(t, s.Server, "GET", "/v1/election/e/observe", "")
			o := s.start(t, "GET", "/v1/election/e/observe?wait=10m&index="+w.Header().Get("X-Consul-Index"), "")
			synctest.Wait()
			return o
		}
		leader := func(rule string, o *asking, session, value string) {
			t.Helper()
			synctest.Wait()
			if !o.answered() {
				t.Fatalf("%s: no answer", rule)
			}
			got := shown[electionShown](t, o.w)
			if session == "" && got.Leader != nil || session != "" && (got.Leader == nil || got.Leader.Session != session || string(got.Leader.Value) != value) {
				t.Errorf("%s: %s", rule, o.w.Body)
			}
		}
		o := observe()
		b := s.start(t, "POST", "/v1/election/e/campaign?session=b", "b")
		synctest.Wait()
		c := s.start(t, "POST", "/v1/election/e/campaign?session=c", "c")
		synctest.Wait()
		c.cancel()
		mustPut(t, s.Server, "other", "x")
		synctest.Wait()
		if o.answered() {
			t.Errorf("candidates are news: %s", o.w.Body)
		}
		play(t, s.Server, line{"a says something else", "POST /v1/election/e/campaign?session=a two", 200, "-"})
		leader("another value", o, "a", "two")
		o = observe()
		play(t, s.Server, line{"a resigns", "POST /v1/election/e/resign?session=a", 200, "true"})
		leader("another leader", o, "b", "b")
		<-b.done
		o = observe()
		s.end(t, "b")
		leader("nobody leads in the lock-delay", o, "", "")
		o = observe()
		if o.answered() {
			t.Errorf("nobody leads still: %s", o.w.Body)
		}
		s.Drain()
		synctest.Wait()
	})
}

// TestGroupBlocks: who reads a group with an index is answered when a member comes,
// goes or changes its value.
func TestGroupBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRecipeServer(t, nil)
		index := ask(t, s.Server, "GET", "/v1/group/g", "").Header().Get("X-Consul-Index")
		for _, step := range []struct {
			rule, members string
			do            func()
		}{
			{"one comes", "1", func() { ask(t, s.Server, "PUT", "/v1/group/g/1?session=a", "x") }},
			{"it changes its value", "1", func() { ask(t, s.Server, "PUT", "/v1/group/g/1?session=a", "y") }},
			{"another comes", "1 2", func() { ask(t, s.Server, "PUT", "/v1/group/g/2?session=b", "") }},
			{"one goes", "2", func() { ask(t, s.Server, "DELETE", "/v1/group/g/1?session=a", "") }},
			{"the session of one ends", "", func() { s.end(t, "b") }},
			{"one comes with a session made for it", "3", func() { ask(t, s.Server, "PUT", "/v1/group/g/3?ttl=30s", "") }},
			{"with which it goes", "", func() { ask(t, s.Server, "DELETE", "/v1/group/g/3", "") }},
		} {
			r := s.start(t, "GET", "/v1/group/g?index="+index, "")
			synctest.Wait()
			if r.answered() && index != "1" {
				t.Fatalf("%s: answered before: %s", step.rule, r.w.Body)
			}
			ask(t, s.Server, "PUT", "/v1/group/other/1?session=c", fmt.Sprint(step.rule))
			step.do()
			<-r.done
			var names []string
			for _, m := range shown[groupShown](t, ask(t, s.Server, "GET", "/v1/group/g", "")).Members {
				names = append(names, m.Member)
			}
			if strings.Join(names, " ") != step.members {
				t.Errorf("%s: members are %q, want %q", step.rule, names, step.members)
			}
			index = ask(t, s.Server, "GET", "/v1/group/g", "").Header().Get("X-Consul-Index")
		}
		if w := ask(t, s.Server, "GET", "/v1/session/list", ""); strings.Contains(w.Body.String(), `"member g/3"`) {
			t.Error("the session of the member outlives it")
		}
	})
}

// FuzzRecipeNames: whatever the name, the answer is a refusal or a lock that only its
// own requests see.
func FuzzRecipeNames(f *testing.F) {
	for _, name := range []string{"a", "a/b", ".a", "a/.b", "", "a//b", "ä", "a\x00", "\xff", strings.Repeat("x", 600), "a/.queue/00000000000000000001"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		valid := kvs.ValidName(name)
		c := &call{one: one{arg: name}}
		if err := checkName("lock", name); (err == nil) != valid {
			t.Fatalf("name %q is valid: %v, and refused: %v", name, valid, err)
		}
		if !valid {
			return
		}
		group, member, err := (&call{one: one{arg: "g/" + name}}).memberArg()
		if err != nil || group+"/"+member != "g/"+name || strings.Contains(member, "/") {
			t.Errorf("member %q of g is %q of %q: %v", name, member, group, err)
		}
		c.arg, c.r = name+"/observe", httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if got, action, err := c.electionArg("observe"); err != nil || got != name || action != "observe" {
			t.Errorf("election %q is %q, %q: %v", name, got, action, err)
		}
	})
}
