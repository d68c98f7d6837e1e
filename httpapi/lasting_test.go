package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// lasting is a way in which an answer takes as long as somebody likes: its client, or
// whoever changes what it waits for.
type lasting struct {
	route  string // the method and the path of the table of routes
	target string
	body   string

	// How it ends when its token is deleted: with a status and a text, or, 0, cut off.
	status int
	text   string
	orCut  bool // or cut off, if it has begun

	client client
	before func(*testing.T, *guardedServer) // what has to be there
}

// client is how a client makes an answer last.
type client uint8

const (
	waits   client = iota // for what the server sends
	profile               // the same, for what only real time brings
	readsSlowly
	sendsSlowly
)

// lastingAnswers are all of them.
func lastingAnswers() []lasting {
	const gone = "ACL not found"
	var all []lasting
	for _, target := range []string{
		"/v1/session/info/SESSION", "/v1/session/node/node-1", "/v1/session/list",
		"/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/web", "/v1/catalog/node/node-1",
		"/v1/catalog/node-services/node-1", "/v1/health/node/node-1", "/v1/health/checks/web", "/v1/health/state/any",
		"/v1/health/service/web", "/v1/election/e/observe", "/v1/group/g", "/v1/operator/usage",
		"/v1/acl/tokens", "/v1/acl/policies", "/v1/acl/roles", "/v1/acl/auth-methods", "/v1/acl/binding-rules",
		"/v1/acl/token/TOKEN", "/v1/acl/policy/" + acl.ManagementID, "/v1/acl/role/ROLE", "/v1/acl/auth-method/m", "/v1/acl/binding-rule/ROLE",
		"/v1/acl/policy/name/p", "/v1/acl/role/name/r",
	} {
		all = append(all, lasting{route: "GET " + target, target: target + "?index=1000000", status: 403, text: gone})
	}
	queue := func(path string) func(*testing.T, *guardedServer) {
		return func(t *testing.T, g *guardedServer) {
			w := ask(t, g.Server, http.MethodPost, path+"?session="+g.session(t), "", "X-Consul-Token", g.root)
			if w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	return append(all, []lasting{
		{route: "GET /v1/kv/", target: "/v1/kv/app/a?index=1000000", status: 403, text: gone},
		{route: "GET /v1/kv/", target: "/v1/kv/app/?recurse&index=1000000", status: 403, text: gone},
		{route: "GET /v1/acl/token/self", target: "/v1/acl/token/self?index=1000000", status: 403, text: "token does not exist: " + gone},
		{route: "GET /v1/event/list", target: "/v1/event/list?index=1", status: 403, text: gone},
		{route: "POST /v1/lock/", target: "/v1/lock/l?session=SESSION", before: queue("/v1/lock/l"), status: 403, text: gone},
		{
			route: "POST /v1/election/", target: "/v1/election/e/campaign?session=SESSION", before: queue("/v1/election/e/campaign"),
			status: 403, text: gone,
		},

		{route: "GET /v1/agent/monitor", target: "/v1/agent/monitor", status: 200, text: "403 Forbidden: ACL not found\n"},
		{route: "GET /v1/agent/metrics/stream", target: "/v1/agent/metrics/stream", status: 200, text: `{"Error":"ACL not found","Status":403}` + "\n"},

		{route: "GET /debug/pprof/", target: "/debug/pprof/profile?seconds=3600", client: profile, status: 403, text: gone},
		{route: "GET /debug/pprof/", target: "/debug/pprof/trace?seconds=3600", client: profile, status: 403, text: gone, orCut: true},
		{route: "GET /debug/pprof/", target: "/debug/pprof/heap?seconds=3600", client: profile, status: 403, text: gone},

		{route: "GET /v1/operator/keyring", target: "/v1/operator/keyring", status: 403, text: gone},
		{route: "GET /v1/operator/autopilot/health", target: "/v1/operator/autopilot/health", status: 403, text: gone},
		{route: "GET /v1/operator/autopilot/state", target: "/v1/operator/autopilot/state", status: 403, text: gone},

		{route: "GET /v1/snapshot", target: "/v1/snapshot", client: readsSlowly},
		{route: "PUT /v1/snapshot", target: "/v1/snapshot", client: sendsSlowly, status: 403, text: gone},

		// Any large answer lasts for as long as its client takes to read it.
		{route: "GET /v1/kv/", target: "/v1/kv/app/big", client: readsSlowly},
		{route: "GET /v1/kv/", target: "/v1/kv/app/big?raw", client: readsSlowly},
		{route: "GET /v1/kv/", target: "/v1/kv/app/?recurse", client: readsSlowly},
	}...)
}

// rightsToAll are rules that give everything.
const rightsToAll = `acl = "write" operator = "write" keyring = "write" agent_prefix "" { policy = "write" } key_prefix "" { policy = "write" }
	session_prefix "" { policy = "write" } node_prefix "" { policy = "write" } service_prefix "" { policy = "write" }
	event_prefix "" { policy = "write" } query_prefix "" { policy = "write" }`

// newLastingServer has something behind each target.
func newLastingServer(t *testing.T) *guardedServer {
	t.Helper()
	g := newGuardedServer(t, acl.DefaultDeny, func(s *Settings) { s.EnableDebug = true })
	g.opts.Membership = askingMembership{g.opts.Membership}
	g.put(t, "app/big", strings.Repeat("v", 2*writeAtOnce))
	return g
}

// underWay is a request that somebody waits for.
type underWay struct {
	w    *httptest.ResponseRecorder
	cut  bool // the handler gave up in the middle of the answer
	done chan struct{}
}

// begin sends the request.
func (x *lasting) begin(t *testing.T, g *guardedServer, secret string) *underWay {
	t.Helper()
	method, _, _ := strings.Cut(x.route, " ")
	target := x.target
	if strings.Contains(target, "SESSION") {
		target = strings.ReplaceAll(target, "SESSION", g.session(t))
	}
	target = strings.NewReplacer("TOKEN", acl.AnonymousAccessor, "ROLE", newID(t)).Replace(target)
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(x.body))
	r.Header.Set("X-Consul-Token", secret)
	u := &underWay{w: httptest.NewRecorder(), done: make(chan struct{})}
	serve := func() { serveTo(g, u.w, r) }
	if x.client != waits {
		slow := &slowClient{ResponseRecorder: u.w, slow: x.client, over: make(chan struct{})}
		if x.client == sendsSlowly {
			r.Body, r.ContentLength = io.NopCloser(slow), -1
		}
		serve = func() { g.ServeHTTP(slow, r) }
	}
	go func() {
		defer close(u.done)
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler: //nolint:errorlint // it is what net/http looks for
				u.cut = true
			default:
				panic(cause)
			}
		}()
		serve()
	}()
	return u
}

// slowClient is a client that never goes on, of a connection with deadlines.
type slowClient struct {
	*httptest.ResponseRecorder
	slow client

	once sync.Once
	over chan struct{} // closed when a deadline has passed
}

func (s *slowClient) Write(p []byte) (int, error) {
	if s.slow == readsSlowly {
		<-s.over
		return 0, os.ErrDeadlineExceeded
	}
	return s.ResponseRecorder.Write(p)
}

func (s *slowClient) Read([]byte) (int, error) {
	<-s.over
	return 0, os.ErrDeadlineExceeded
}

func (s *slowClient) SetWriteDeadline(at time.Time) error {
	if s.slow == readsSlowly && !at.IsZero() && !at.After(time.Now()) {
		s.once.Do(func() { close(s.over) })
	}
	return nil
}

func (s *slowClient) SetReadDeadline(at time.Time) error {
	if s.slow == sendsSlowly && !at.IsZero() && !at.After(time.Now()) {
		s.once.Do(func() { close(s.over) })
	}
	return nil
}

// askingMembership has to ask others who do not answer.
type askingMembership struct{ Membership }

func (m askingMembership) Keyring(ctx context.Context, r KeyringRequest) ([]KeyringMembers, error) {
	if r.Op != KeyringList { // a change that all are told of cannot be taken back
		return m.Membership.Keyring(ctx, r)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (askingMembership) AutopilotState(ctx context.Context, _ Mode) (AutopilotState, error) {
	<-ctx.Done()
	return AutopilotState{}, ctx.Err()
}

// TestEveryLastingAnswerEndsWithItsToken: whatever takes long ends at once when its token is
// deleted: with 403 if nothing was sent, and else cut off, so that the client knows.
//
// Source: contract, ACL, 6.9.
func TestEveryLastingAnswerEndsWithItsToken(t *testing.T) {
	for _, x := range lastingAnswers() {
		check := func(t *testing.T, wait func(), ended func(*underWay) bool) {
			g := newLastingServer(t)
			if x.before != nil {
				x.before(t, g)
			}
			token := g.token(t, rightsToAll)
			g.token(t, "")
			u := x.begin(t, g, token.secret)
			if x.client == profile {
				eventually(t, "the rights are watched", func() bool { return g.node.store.Topics().Len() > 0 })
			}
			wait()
			select {
			case <-u.done:
				t.Fatalf("it does not last: %d %q, cut off: %t", u.w.Code, u.w.Body, u.cut)
			default:
			}
			g.token(t, "") // of somebody else
			wait()
			g.delete(t, token)
			if !ended(u) {
				t.Fatal("it goes on")
			}
			switch {
			case u.cut && (x.status == 0 || x.orCut):
			case x.status == 0:
				t.Errorf("the answer is %d, %d bytes, and looks whole; it should be cut off", u.w.Code, u.w.Body.Len())
			case u.cut:
				t.Errorf("it is cut off, want %d %q", x.status, x.text)
			default:
				expect(t, u.w, x.status, x.text)
				if kind := u.w.Header().Get("Content-Disposition"); kind != "" {
					t.Errorf("the refusal is an attachment: %q", kind)
				}
			}
			if n := u.w.Body.Len(); x.client == readsSlowly && n != 0 {
				t.Errorf("%d bytes were sent after the token was deleted", n)
			}
			if n := g.node.store.Topics().Len(); n != 0 || g.Parked() != 0 || g.Streams() != 0 {
				t.Errorf("%d topics, %d queries and %d streams are left", n, g.Parked(), g.Streams())
			}
		}
		t.Run(x.route+" "+x.target, func(t *testing.T) {
			if x.client == profile {
				check(t, func() {}, func(u *underWay) bool {
					select {
					case <-u.done:
						return true
					case <-time.After(time.Minute):
						return false
					}
				})
				return
			}
			synctest.Test(t, func(t *testing.T) {
				check(t, synctest.Wait, func(u *underWay) bool {
					synctest.Wait()
					select {
					case <-u.done:
						return true
					default:
						return false
					}
				})
			})
		})
	}
}

// TestRoutesThatAreNotInTheListDoNotLast: every route is either in the list of the test
// above, with each way in which it lasts, or is answered at once whatever it is asked.
// Whoever adds one that waits says there how it ends with its token.
func TestRoutesThatAreNotInTheListDoNotLast(t *testing.T) {
	lasts := map[string]bool{}
	for _, x := range lastingAnswers() {
		e := routeOf(t, x.route)
		lasts[e] = true
	}
	answers := append(anonymousAnswers(), anonymousACLAnswers()...)
	listed := map[string]bool{}
	for _, tc := range answers {
		listed[tc.route] = true
		if lasts[tc.route] {
			continue
		}
		t.Run(tc.route, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newLastingServer(t)
				x := lasting{route: tc.route, target: tc.target, body: tc.body}
				if strings.Contains(x.target, "?") {
					x.target += "&index=1000000&wait=10m&seconds=3600"
				} else {
					x.target += "?index=1000000&wait=10m&seconds=3600"
				}
				u := x.begin(t, g, g.root)
				synctest.Wait()
				select {
				case <-u.done:
				default:
					t.Error("it lasts: it must be in lastingAnswers")
				}
			})
		})
	}
	for _, e := range table() {
		for _, m := range e.methods {
			if route := m.name + " " + e.path; !listed[route] && !lasts[route] {
				t.Errorf("%s is in no list", route)
			}
		}
	}
}

// routeOf is the row of the table of routes that a method and a path belong to.
func routeOf(t *testing.T, route string) string {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	best := ""
	for _, e := range table() {
		if e.handler(method) != nil && (path == e.path || strings.HasSuffix(e.path, "/") && strings.HasPrefix(path, e.path)) && len(e.path) > len(best) {
			best = e.path
		}
	}
	if best == "" || best == indexPath {
		t.Errorf("%s is no route", route)
	}
	return method + " " + best
}
