package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// guardedServer is a server that checks rights, of which nobody has any to begin with but
// the holder of root.
type guardedServer struct {
	*Server
	node  *localNode
	agent *localAgent
	root  string // secret of the management token

	mu     sync.Mutex
	slots  map[string]string
	log    bytes.Buffer
	logged sync.Mutex
}

// Token is part of Tokens.
func (g *guardedServer) Token(slot string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.slots[slot]
}

// SetToken is part of Tokens.
func (g *guardedServer) SetToken(slot, secret string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[slot] = secret
	return nil
}

// Write takes what is logged.
func (g *guardedServer) Write(p []byte) (int, error) {
	g.logged.Lock()
	defer g.logged.Unlock()
	return g.log.Write(p)
}

func (g *guardedServer) takeLog() string {
	g.logged.Lock()
	defer g.logged.Unlock()
	defer g.log.Reset()
	return g.log.String()
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newGuardedServer(t testing.TB, def acl.Default, adjust ...func(*Settings)) *guardedServer {
	t.Helper()
	g := &guardedServer{
		node: newLocalNode(t), agent: &localAgent{fakeAgent: &fakeAgent{tail: newFakeTail(), metrics: newFakeMetrics()}},
		root: newID(t), slots: map[string]string{},
	}
	g.node.clock = time.Now() // by which tokens expire too
	settings := testSettings()
	settings.ParkedPerClient, settings.ParkedTotal = 0, 0
	for _, change := range adjust {
		change(&settings)
	}
	g.Server = New(Options{
		Node: g.node, Cluster: g.node, Snapshots: g.node, Membership: &fakeMembership{}, Agent: g.agent,
		Log:        hclog.New(&hclog.LoggerOptions{Output: g, Level: hclog.Trace}),
		Datacenter: "dc1", NodeName: "node-1", Tokens: g, Sessions: renewing{g.node},
		ACL: acl.NewResolver(g.tables, acl.Settings{
			Default: def, Datacenter: "dc1", NodeName: "node-1", Now: time.Now,
			Recovery: func() string { return g.Token(slotRecovery) },
		}),
	}, settings)
	g.change(t, &acl.Change{Init: &acl.Init{
		Key:       testKey,
		Anonymous: &acl.Token{Accessor: acl.AnonymousAccessor, Secret: acl.AnonymousSecret, Hash: acl.HashSecret(testKey, acl.AnonymousSecret)},
		Management: &acl.Token{
			Accessor: newID(t), Secret: g.root, Hash: acl.HashSecret(testKey, g.root), Links: acl.Links{Policies: []string{acl.ManagementID}},
		},
	}})
	l := &localServer{Server: g.Server, node: g.node, agent: g.agent}
	l.registerSelf(t)
	return g
}

func newID(t testing.TB) string {
	t.Helper()
	id, err := uuid.GenerateUUID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (g *guardedServer) tables() acl.View { return g.node.store.View().ACL() }

// change changes the tables.
func (g *guardedServer) change(t testing.TB, c *acl.Change) {
	t.Helper()
	res, err := g.node.Propose(t.Context(), &fsm.Command{ACL: c})
	if err != nil || !res.Applied {
		t.Fatalf("the change was refused: %v %s", err, res.Invalid)
	}
}

// testToken is a token that can be changed.
type testToken struct{ accessor, secret, policy string }

// token makes a token with rules.
func (g *guardedServer) token(t testing.TB, rules string, adjust ...func(*acl.Token)) testToken {
	t.Helper()
	x := testToken{newID(t), newID(t), newID(t)}
	g.setRules(t, x, rules, 0)
	row := &acl.Token{
		Accessor: x.accessor, Secret: x.secret, Hash: acl.HashSecret(testKey, x.secret), Links: acl.Links{Policies: []string{x.policy}},
	}
	for _, f := range adjust {
		f(row)
	}
	g.change(t, &acl.Change{SetToken: &acl.SetToken{Token: row, Create: true}})
	return x
}

func (g *guardedServer) setRules(t testing.TB, x testToken, rules string, created uint64) {
	t.Helper()
	g.change(t, &acl.Change{SetPolicy: &acl.Policy{ID: x.policy, Name: "p-" + x.policy, Rules: rules, CreateIndex: created}})
}

// rule replaces the rules of a token.
func (g *guardedServer) rule(t testing.TB, x testToken, rules string) {
	t.Helper()
	g.setRules(t, x, rules, g.tables().Policy(x.policy).CreateIndex)
}

func (g *guardedServer) delete(t testing.TB, x testToken) {
	t.Helper()
	g.change(t, &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{x.accessor}}})
}

// put writes a key with all rights.
func (g *guardedServer) put(t testing.TB, key, value string) string {
	t.Helper()
	w := ask(t, g.Server, http.MethodPut, "/v1/kv/"+key, value, "X-Consul-Token", g.root)
	expect(t, w, http.StatusOK, "true")
	return w.Header().Get("X-Consul-Index")
}

// as asks with a token.
func (g *guardedServer) as(t testing.TB, x testToken, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, g.Server, method, target, body, "X-Consul-Token", x.secret)
}

const filteredHeader = "X-Consul-Results-Filtered-By-ACLs"

// wait begins a request that waits, in a bubble of synctest.
func (g *guardedServer) wait(t *testing.T, x testToken, target string) *waiter {
	t.Helper()
	w := startWaitingWith(t, g.Server, target, x.secret)
	synctest.Wait()
	select {
	case <-w.done:
		t.Fatalf("%s did not wait: %d %q", target, w.w.Code, w.w.Body)
	default:
	}
	return w
}

func startWaitingWith(t *testing.T, s http.Handler, target, secret string) *waiter {
	t.Helper()
	x := &waiter{w: httptest.NewRecorder(), began: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(x.done)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		r.Header.Set("X-Consul-Token", secret)
		serveTo(s, x.w, r)
		x.took = time.Since(x.began)
	}()
	return x
}

// mustWait checks that a request goes on waiting.
func (x *waiter) mustWait(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-x.done:
		t.Errorf("the query was answered %d %q, it should have gone on waiting", x.w.Code, x.w.Body)
	default:
	}
}

// mustEnd checks that a request is answered, and how soon.
func (x *waiter) mustEnd(t *testing.T, within time.Duration, status int, body string) {
	t.Helper()
	synctest.Wait()
	select {
	case <-x.done:
	default:
		t.Errorf("the query goes on waiting, want %d %q", status, body)
		return
	}
	expect(t, x.w, status, body)
	if x.took > within {
		t.Errorf("the query ended after %s, want within %s", x.took, within)
	}
}

// TestParkedQueryOfADeletedToken: whoever waits with a token ends when the token is
// deleted, at once, without a write to the key.
//
// Source: contract, ACL, 6.9 and acceptance test 7.
func TestParkedQueryOfADeletedToken(t *testing.T) {
	for _, target := range []string{
		"/v1/kv/app/a?index=%s", "/v1/kv/app/?recurse&index=%s", "/v1/kv/app/?keys&index=%s", "/v1/kv/app/a?index=%s&stale",
		"/v1/session/list?index=1000000", "/v1/catalog/nodes?index=1000000", "/v1/health/state/any?index=1000000",
		"/v1/event/list?index=1", "/v1/election/e/observe?index=1000000", "/v1/group/g?index=1000000",
	} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuardedServer(t, acl.DefaultDeny)
				x := g.token(t, `key_prefix "" { policy = "read" } session_prefix "" { policy = "read" }
					node_prefix "" { policy = "read" } service_prefix "" { policy = "read" } event_prefix "" { policy = "read" }`)
				index := g.put(t, "app/a", "secret")
				if strings.Contains(target, "%s") {
					target = fmt.Sprintf(target, index)
				}
				w := g.wait(t, x, target)
				g.delete(t, x)
				w.mustEnd(t, 0, http.StatusForbidden, "ACL not found")
				if n := g.Parked(); n != 0 || g.node.store.Topics().Len() != 0 || g.node.store.Hub().Len() != 0 {
					t.Errorf("%d queries are left, with %d topics", n, g.node.store.Topics().Len())
				}
			})
		})
	}
}

// TestParkedQueryLosesItsRight: the same when the token stays and its rules do not.
func TestParkedQueryLosesItsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `key "app/a" { policy = "read" }`)
		w := g.wait(t, x, "/v1/kv/app/a?index="+g.put(t, "app/a", "secret"))
		g.rule(t, x, "")
		w.mustEnd(t, 0, http.StatusForbidden,
			`Permission denied: token with AccessorID '`+x.accessor+`' lacks permission 'key:read' on "app/a"`)
	})
}

// TestParkedQueryWithOtherRightsGoesOnWaiting: what changes for others, or for this token
// but not for what it asks, is not answered.
func TestParkedQueryWithOtherRightsGoesOnWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `key_prefix "app/" { policy = "read" }`)
		index := g.put(t, "app/a", "1")
		one, list := g.wait(t, x, "/v1/kv/app/a?index="+index), g.wait(t, x, "/v1/kv/app/?recurse&index="+index)
		g.token(t, `key_prefix "app/" { policy = "write" }`)
		one.mustWait(t)
		g.rule(t, x, `key_prefix "app/" { policy = "write" } key_prefix "b" { policy = "read" }`)
		one.mustWait(t)
		list.mustWait(t)
		g.put(t, "app/a", "2")
		synctest.Wait()
		for _, w := range []*waiter{one, list} {
			<-w.done
			if w.w.Code != http.StatusOK {
				t.Errorf("answer is %d %q", w.w.Code, w.w.Body)
			}
		}
		if n := g.Wakeups().Unchanged.Load(); n != 0 {
			t.Errorf("%d false wake-ups were counted", n)
		}
	})
}

// TestWriteAfterRevocationIsNotSeen: the right goes and the key changes before anybody who
// was woken has had a look.
//
// Source: contract, ACL, worked examples 51 and 52.
func TestWriteAfterRevocationIsNotSeen(t *testing.T) {
	for rule, revoke := range map[string]func(*guardedServer, *testing.T, testToken){
		"policy emptied": func(g *guardedServer, t *testing.T, x testToken) { g.rule(t, x, "") },
		"token deleted":  func(g *guardedServer, t *testing.T, x testToken) { g.delete(t, x) },
	} {
		for _, target := range []string{"/v1/kv/app/a?index=", "/v1/kv/app/?recurse&index=", "/v1/kv/app/a?raw&index="} {
			t.Run(rule+" "+target, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newGuardedServer(t, acl.DefaultDeny)
					x := g.token(t, `key_prefix "app/" { policy = "read" }`)
					w := g.wait(t, x, target+g.put(t, "app/a", "old"))
					revoke(g, t, x)
					g.put(t, "app/a", "new")
					synctest.Wait()
					<-w.done
					if w.w.Code != http.StatusForbidden || strings.Contains(w.w.Body.String(), "new") {
						t.Errorf("answer is %d %q, want 403", w.w.Code, w.w.Body)
					}
				})
			})
		}
	}
}

// TestExpiryDuringAWait: a query ends when its token does.
//
// Source: contract, ACL, acceptance test 8.
func TestExpiryDuringAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `key_prefix "app/" { policy = "read" }`, func(row *acl.Token) { row.Expires = time.Now().Add(time.Minute) })
		index := g.put(t, "app/a", "1")
		one, list := g.wait(t, x, "/v1/kv/app/a?wait=10m&index="+index), g.wait(t, x, "/v1/kv/app/?recurse&wait=10m&index="+index)
		time.Sleep(time.Minute - time.Millisecond)
		one.mustWait(t)
		time.Sleep(20 * time.Millisecond)
		one.mustEnd(t, time.Minute+20*time.Millisecond, http.StatusForbidden, "ACL not found")
		list.mustEnd(t, time.Minute+20*time.Millisecond, http.StatusForbidden, "ACL not found")
	})
}

// TestRotatedTokenKeepsWaiting: a query goes on with a former secret until its grace
// ends, and no longer.
func TestRotatedTokenKeepsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `key_prefix "app/" { policy = "read" }`)
		w := g.wait(t, x, "/v1/kv/app/a?wait=10m&index="+g.put(t, "app/a", "1"))
		secret := newID(t)
		g.change(t, &acl.Change{Rotate: &acl.Rotate{
			Accessor: x.accessor, Hash: acl.HashSecret(testKey, secret), Secret: secret, FormerUntil: time.Now().Add(time.Minute),
		}})
		w.mustWait(t)
		time.Sleep(time.Minute + 20*time.Millisecond)
		w.mustEnd(t, time.Minute+20*time.Millisecond, http.StatusForbidden, "ACL not found")
	})
}

// TestParkedListSeesItsPart: when the rules of who waits with a list change, the list is
// answered if it is another one for that, and refused if nothing is left of it.
func TestParkedListSeesItsPart(t *testing.T) {
	for _, tc := range []struct {
		rule, before, after string
		status              int // 0: it goes on waiting
		body                string
	}{
		{"less is seen", `key_prefix "app/" { policy = "read" }`, `key "app/a" { policy = "read" }`, 200, `["app/a"]`},
		{"more is seen", `key "app/a" { policy = "read" }`, `key_prefix "app/" { policy = "read" }`, 200, `["app/a","app/b"]`},
		{"nothing is left", `key_prefix "app/" { policy = "read" }`, ``, 403, `lacks permission 'key:read' on "app/b"`},
		{"there was nothing", `key "x" { policy = "read" }`, `key "y" { policy = "read" }`, 0, ""},
		{"all the same by other rules", `key_prefix "app/" { policy = "read" }`, `key_prefix "" { policy = "write" }`, 0, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuardedServer(t, acl.DefaultDeny)
				x := g.token(t, tc.before)
				g.put(t, "app/a", "1")
				w := g.wait(t, x, "/v1/kv/app/?keys&index="+g.put(t, "app/b", "2"))
				g.rule(t, x, tc.after)
				if tc.status == 0 {
					w.mustWait(t)
					return
				}
				synctest.Wait()
				<-w.done
				if w.w.Code != tc.status || !strings.HasSuffix(w.w.Body.String(), tc.body) {
					t.Errorf("answer is %d %q, want %d ...%q", w.w.Code, w.w.Body, tc.status, tc.body)
				}
			})
		})
	}
}

// TestParkedTableLosesAllItShows: lists of sessions are cut down and refused alike.
func TestParkedTableLosesAllItShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `session_prefix "" { policy = "read" }`)
		made := ask(t, g.Server, http.MethodPut, "/v1/session/create", "", "X-Consul-Token", g.root)
		if made.Code != http.StatusOK {
			t.Fatal(made.Body)
		}
		w := g.wait(t, x, "/v1/session/list?index="+made.Header().Get("X-Consul-Index"))
		g.rule(t, x, `session_prefix "n" { policy = "read" }`) // the same is seen
		w.mustWait(t)
		g.rule(t, x, "")
		w.mustEnd(t, 0, http.StatusForbidden,
			`Permission denied: token with AccessorID '`+x.accessor+`' lacks permission 'session:read' on "node-1"`)
	})
}

// TestWaiterInAQueueLosesItsRight: who stands in line for a lock leaves it.
func TestWaiterInAQueueLosesItsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		rules := `key_prefix "" { policy = "write" } session_prefix "" { policy = "write" }`
		holder, x := g.token(t, rules), g.token(t, rules)
		post := func(secret string) *waiter {
			w := &waiter{w: httptest.NewRecorder(), began: time.Now(), done: make(chan struct{})}
			go func() {
				defer close(w.done)
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/lock/l?session="+g.session(t), nil)
				r.Header.Set("X-Consul-Token", secret)
				serveTo(g, w.w, r)
			}()
			synctest.Wait()
			return w
		}
		<-post(holder.secret).done
		w := post(x.secret)
		w.mustWait(t)
		g.delete(t, x)
		w.mustEnd(t, 0, http.StatusForbidden, "ACL not found")
	})
}

// session makes a session with all rights.
func (g *guardedServer) session(t testing.TB) string {
	t.Helper()
	w := ask(t, g.Server, http.MethodPut, "/v1/session/create", "", "X-Consul-Token", g.root)
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return made.ID
}

// TestStreamsEndWithTheRight: a stream says why it ends, in its own form.
func TestStreamsEndWithTheRight(t *testing.T) {
	for target, want := range map[string]string{
		"/v1/agent/monitor":         "403 Forbidden: ACL not found\n",
		"/v1/agent/monitor?logjson": `{"Error":"ACL not found","Status":403}` + "\n",
		"/v1/agent/metrics/stream":  `{"Error":"ACL not found","Status":403}` + "\n",
	} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuardedServer(t, acl.DefaultDeny)
				x := g.token(t, `agent "node-1" { policy = "read" }`)
				w := g.wait(t, x, target)
				g.token(t, "")
				w.mustWait(t)
				g.delete(t, x)
				w.mustEnd(t, 0, http.StatusOK, want)
				if g.Streams() != 0 || g.node.store.Topics().Len() != 0 {
					t.Errorf("%d streams and %d topics are left", g.Streams(), g.node.store.Topics().Len())
				}
			})
		})
	}
}

// TestListCacheDoesNotLeak: a list that one token was shown is not shown to another, with
// the right to less or to none, whichever came first and however often.
func TestListCacheDoesNotLeak(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	big := strings.Repeat("v", cacheFromBytes)
	g.put(t, "app/a", big)
	g.put(t, "app/secret", big)
	all, part, none := g.token(t, `key_prefix "app/" { policy = "read" }`),
		g.token(t, `key_prefix "app/" { policy = "read" } key "app/secret" { policy = "deny" }`), g.token(t, "")
	for range 4 { // the second time an answer is kept, the third it is found
		for _, coding := range []string{"identity", "gzip"} {
			read := func(x testToken) *httptest.ResponseRecorder {
				return ask(t, g.Server, http.MethodGet, "/v1/kv/app/?recurse", "", "X-Consul-Token", x.secret, "Accept-Encoding", coding)
			}
			if w := read(all); !strings.Contains(plain(t, w), `"app/secret"`) || w.Header().Get(filteredHeader) != "" {
				t.Errorf("who may read all is shown %q, filtered: %q", shortened(plain(t, w)), w.Header().Get(filteredHeader))
			}
			w := read(part)
			if text := plain(t, w); strings.Contains(text, "app/secret") || !strings.Contains(text, `"app/a"`) {
				t.Errorf("who may read a part is shown %q", shortened(text))
			}
			expectHeader(t, w, filteredHeader, "true")
			w = read(none)
			expect(t, w, http.StatusNotFound, "")
			expectHeader(t, w, filteredHeader, "true")
			expect(t, ask(t, g.Server, http.MethodGet, "/v1/kv/app/?recurse", ""), http.StatusNotFound, "")
		}
	}
}

// TestEtagDoesNotLeak: who sees a part of a list is not told that nothing is new by the
// tag of another part.
func TestEtagDoesNotLeak(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	g.put(t, "app/b", "2")
	x := g.token(t, `key_prefix "app/" { policy = "read" }`)
	tag := g.as(t, x, http.MethodGet, "/v1/kv/app/?keys", "").Header().Get("Etag")
	again := func() *httptest.ResponseRecorder {
		return ask(t, g.Server, http.MethodGet, "/v1/kv/app/?keys", "", "X-Consul-Token", x.secret, "If-None-Match", tag)
	}
	expect(t, again(), http.StatusNotModified, "")
	g.rule(t, x, `key "app/a" { policy = "read" }`)
	w := again()
	expect(t, w, http.StatusOK, `["app/a"]`)
	expectHeader(t, w, "Etag", "")
}

// TestFilteredHeader: it is there only when something was left out, and never for who sent
// no token.
//
// Source: contract, ACL enforcement, section 4; worked examples 10 to 13.
func TestFilteredHeader(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	g.put(t, "other/z", "2")
	x := g.token(t, `key_prefix "app/" { policy = "read" }`)
	for _, tc := range []struct {
		secret, target string
		status         int
		body, header   string
	}{
		{x.secret, "/v1/kv/?keys", 200, `["app/a"]`, "true"},
		{x.secret, "/v1/kv/app/?keys", 200, `["app/a"]`, ""},
		{x.secret, "/v1/kv/other/?recurse", 404, "", "true"},
		{x.secret, "/v1/kv/none/?recurse", 404, "", ""},
		{x.secret, "/v1/kv/?keys&separator=/", 200, `["app/"]`, "true"},
		{x.secret, "/v1/session/list", 200, `[]`, ""},
		{x.secret, "/v1/catalog/nodes", 200, `[]`, "true"},
		{x.secret, "/v1/agent/services", 200, `{}`, ""},
		{"anonymous", "/v1/kv/?keys", 200, `[]`, "true"},
		{"", "/v1/kv/other/?recurse", 404, "", ""},
		{"", "/v1/kv/?keys", 200, `[]`, ""},
		{"", "/v1/catalog/nodes", 200, `[]`, ""},
	} {
		w := ask(t, g.Server, http.MethodGet, tc.target, "", "X-Consul-Token", tc.secret)
		expect(t, w, tc.status, tc.body)
		expectHeader(t, w, filteredHeader, tc.header)
	}
	g.slots["default"] = x.secret
	w := ask(t, g.Server, http.MethodGet, "/v1/kv/?keys", "")
	expect(t, w, http.StatusOK, `["app/a"]`)
	expectHeader(t, w, filteredHeader, "true")
}

// TestTokenOrder: the first place that has a token counts, also when the token is wrong.
//
// Source: contract, ACL enforcement, section 2.
func TestTokenOrder(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	x := g.token(t, `key_prefix "app/" { policy = "read" }`)
	const denied, unknown = http.StatusForbidden, "ACL not found"
	bad := newID(t)
	for _, tc := range []struct {
		rule, query, header, authorization, slot string
		status                                   int
		body                                     string
	}{
		{"query", x.secret, bad, "Bearer " + bad, bad, 200, "1"},
		{"a wrong one in the query", bad, x.secret, "Bearer " + x.secret, x.secret, denied, unknown},
		{"header", "", x.secret, "Bearer " + bad, bad, 200, "1"},
		{"a wrong one in the header", "", bad, "Bearer " + x.secret, x.secret, denied, unknown},
		{"bearer", "", "", "Bearer " + x.secret, bad, 200, "1"},
		{"the scheme in any case, and blanks", "", "", "  bEaReR   " + x.secret + "  more", bad, 200, "1"},
		{"another scheme", "", "", "Basic " + x.secret, x.secret, 200, "1"},
		{"no blank after the scheme", "", "", "Bearer" + bad, x.secret, 200, "1"},
		{"an empty bearer", "", "", "Bearer  ", x.secret, 200, "1"},
		{"a wrong bearer", "", "", "Bearer " + bad, x.secret, denied, unknown},
		{"the server's own", "", "", "", x.secret, 200, "1"},
		{"none", "", "", "", "", denied, `Permission denied: anonymous token lacks permission 'key:read' on "app/a". ` +
			`The anonymous token is used implicitly when a request does not specify a token.`},
		{"in other case", "", strings.ToUpper(x.secret), "", "", denied, unknown},
		{"reserved", "", "manage", "", "", 500, "Cannot resolve root ACL"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			g.slots["default"] = tc.slot
			target := "/v1/kv/app/a?raw"
			if tc.query != "" {
				target += "&token=" + tc.query
			}
			w := ask(t, g.Server, http.MethodGet, target, "", "X-Consul-Token", tc.header, "Authorization", tc.authorization)
			expect(t, w, tc.status, tc.body)
		})
	}
}

// TestTokenInQueryCanBeSwitchedOff.
func TestTokenInQueryCanBeSwitchedOff(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny, func(s *Settings) { s.NoTokenInQuery = true })
	g.put(t, "app/a", "1")
	w := ask(t, g.Server, http.MethodGet, "/v1/kv/app/a?raw&token="+g.root, "")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "acl.token_in_query") {
		t.Errorf("answer is %d %q, want 400", w.Code, w.Body)
	}
	expect(t, ask(t, g.Server, http.MethodGet, "/v1/kv/app/a?raw&token=", "", "X-Consul-Token", g.root), http.StatusOK, "1")
}

// TestTokenInURLIsEchoedNowhere: neither in an answer, its headers, the log, the denials
// nor the metrics.
func TestTokenInURLIsEchoedNowhere(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	for _, secret := range []string{g.root, g.token(t, "").secret, newID(t), "manage"} {
		for _, target := range []string{
			"/v1/kv/app/a", "/v1/kv//app/a", "/v1/kv/app/../app/a", "/v1/kv", "/v1/session/info", "/v1//status/leader", "/v1/nope", "/nope//x",
			"/v1/kv/a%0Ab", "/v1/kv/a?cas=1&recurse", "/v1/kv/a?cas=1&acquire=x", "/v1/kv/a?index=x", "/v1/kv/a?dc=x", "/v1/txn", "/v1/catalog/nodes?filter=x",
			"/v1/agent/self", "/v1/snapshot", "/v1/acl/denials", "/v1/agent/host", "/metrics", "/debug/pprof/", "/",
		} {
			for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "FOO"} {
				for _, name := range []string{"token", "%74oken"} {
					join := "?"
					if strings.Contains(target, "?") {
						join = "&"
					}
					w := ask(t, g.Server, method, target+join+name+"="+secret, "[]")
					var head bytes.Buffer
					_ = w.Header().Write(&head) // to a buffer
					if text := head.String() + w.Body.String() + g.takeLog(); secret != "manage" && strings.Contains(text, secret) {
						t.Errorf("%s %s shows the token:\n%s", method, target, shortened(text))
					}
				}
			}
		}
	}
	w := ask(t, g.Server, http.MethodGet, "/v1/acl/denials", "", "X-Consul-Token", g.root)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "token=") || strings.Contains(w.Body.String(), g.root) {
		t.Errorf("the denials are %d %q", w.Code, shortened(w.Body.String()))
	}
}

// TestUncleanPathWithAToken: it is served where others are sent to, since the token must
// not be sent back.
func TestUncleanPathWithAToken(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	for _, path := range []string{"/v1/kv//app/a", "/v1/kv/app/./a", "/v1//kv/app/%61"} {
		w := ask(t, g.Server, http.MethodGet, path+"?raw&token="+g.root, "")
		expect(t, w, http.StatusOK, "1")
		expectHeader(t, w, "Location", "")
		w = ask(t, g.Server, http.MethodGet, path+"?raw", "", "X-Consul-Token", g.root)
		if w.Code != http.StatusTemporaryRedirect {
			t.Errorf("without a token in the URL %s is answered %d, want 307", path, w.Code)
		}
	}
	expect(t, ask(t, g.Server, http.MethodGet, "/v1/kv?token="+g.root, ""), http.StatusBadRequest, "Missing key name")
}

// TestWhyDenied: a refusal says on request which rule it comes from.
func TestWhyDenied(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `key_prefix "app/" { policy = "write" } key_prefix "app/secret/" { policy = "deny" }`)
	text := `Permission denied: token with AccessorID '` + x.accessor + `' lacks permission 'key:write' on "app/secret/x"`
	expect(t, g.as(t, x, http.MethodPut, "/v1/kv/app/secret/x", "1"), http.StatusForbidden, text)
	for _, headers := range [][]string{
		{"?explain", "X-Request-Id", "r-1"},
		{"", "X-Request-Id", "r-1", "Accept", "application/json"},
	} {
		w := ask(t, g.Server, http.MethodPut, "/v1/kv/app/secret/x"+headers[0], "1", append(headers[1:], "X-Consul-Token", x.secret)...)
		var why deniedShown
		if err := json.Unmarshal(w.Body.Bytes(), &why); err != nil || w.Code != http.StatusForbidden {
			t.Fatalf("answer is %d %q: %v", w.Code, w.Body, err)
		}
		r := why.Rule
		if why.Error != text || why.Accessor != x.accessor || why.Resource != "key" || why.Access != "write" ||
			why.Name != "app/secret/x" || why.DecidedBy != "rule" || why.RequestID != "r-1" ||
			r == nil || r.Resource != "key_prefix" || r.Label != "app/secret/" || r.Level != "deny" || r.Policy != "p-"+x.policy {
			t.Errorf("the explanation is %s", w.Body)
		}
		expectHeader(t, w, "X-Request-Id", "r-1")
	}
	// A browser that takes anything is told in words.
	w := ask(t, g.Server, http.MethodPut, "/v1/kv/app/secret/x", "1", "X-Consul-Token", x.secret, "Accept", "application/json, text/plain, */*")
	expect(t, w, http.StatusForbidden, text)
	if id := w.Header().Get("X-Request-Id"); id == "" {
		t.Error("a refusal has no request id")
	}
	w = ask(t, g.Server, http.MethodGet, "/v1/kv/b?explain", "")
	if !strings.Contains(w.Body.String(), `"DecidedBy":"default_policy"`) {
		t.Errorf("the explanation is %s", w.Body)
	}
}

// TestDenials: what was refused is kept, within a bound, and shown to who may read it.
func TestDenials(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x, reader := g.token(t, `key "a" { policy = "read" }`), g.token(t, `acl = "read"`)
	g.as(t, x, http.MethodGet, "/v1/kv/b?raw&x=hidden", "")
	g.as(t, x, http.MethodPut, "/v1/kv/a", "value")
	g.as(t, testToken{secret: newID(t)}, http.MethodGet, "/v1/kv/c", "")
	list := func(query string) []deniedShown {
		t.Helper()
		w := g.as(t, reader, http.MethodGet, "/v1/acl/denials"+query, "")
		var all []deniedShown
		if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		return all
	}
	all := list("")
	if len(all) != 3 || all[0].Error != "ACL not found" || all[0].Accessor != "" || all[0].Path != "/v1/kv/c" ||
		all[1].Method != "PUT" || all[1].Name != "a" || all[1].Access != "write" || all[1].Rule == nil || all[1].Rule.Level != "read" ||
		all[2].Path != "/v1/kv/b" || all[2].DecidedBy != "default_policy" || all[2].Time == nil {
		t.Errorf("the denials are %+v", all)
	}
	for query, want := range map[string]int{
		"?limit=1": 1, "?limit=0": 0, "?accessor=" + x.accessor: 2, "?resource=key&prefix=b": 1, "?resource=node": 0, "?prefix=a": 1,
	} {
		if n := len(list(query)); n != want {
			t.Errorf("%s lists %d, want %d", query, n, want)
		}
	}
	expect(t, g.as(t, x, http.MethodGet, "/v1/acl/denials", ""), http.StatusForbidden,
		`Permission denied: token with AccessorID '`+x.accessor+`' lacks permission 'acl:read'`)
	for i := range limit.Denials + 3 {
		g.as(t, x, http.MethodGet, fmt.Sprintf("/v1/kv/many/%d", i), "")
	}
	if all := list(""); len(all) != limit.Denials || all[0].Name != fmt.Sprintf("many/%d", limit.Denials+2) ||
		all[len(all)-1].Name != "many/3" {
		t.Errorf("%d denials are kept, from %q to %q", len(all), all[0].Name, all[len(all)-1].Name)
	}
}

// TestGuessingIsSlowed: after a burst of unknown tokens from one address, and not for good
// ones from there.
//
// Source: contract, ACL, section 6.6.
func TestGuessingIsSlowed(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "a", "1")
	for range limit.Attempts {
		expect(t, g.as(t, testToken{secret: newID(t)}, http.MethodGet, "/v1/kv/a", ""), http.StatusForbidden, "ACL not found")
	}
	w := g.as(t, testToken{secret: newID(t)}, http.MethodGet, "/v1/kv/a", "")
	if after := w.Header().Get("Retry-After"); w.Code != http.StatusTooManyRequests || after == "" {
		t.Errorf("one guess too many is answered %d %q, Retry-After %q", w.Code, w.Body, after)
	}
	expect(t, g.as(t, testToken{secret: g.root}, http.MethodGet, "/v1/kv/a?raw", ""), http.StatusOK, "1")
	x := g.token(t, "")
	if w := g.as(t, x, http.MethodGet, "/v1/kv/a", ""); w.Code != http.StatusForbidden {
		t.Errorf("a good token without rights is answered %d", w.Code)
	}
}

// TestNoMoreWorkWithRights: that rights are checked makes a read of a key no dearer to the
// memory.
func TestNoMoreWorkWithRights(t *testing.T) {
	g, plain := newGuardedServer(t, acl.DefaultDeny), newTestServer(t, newLocalNode(t))
	g.put(t, "app/a", "1")
	mustPut(t, plain, "app/a", "1")
	x := g.token(t, `key_prefix "app/" { policy = "read" }`)
	cost := func(s *Server) float64 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/kv/app/a", nil)
		r.Header.Set("X-Consul-Token", x.secret)
		w := &nowhere{header: http.Header{}}
		return testing.AllocsPerRun(200, func() {
			clear(w.header)
			s.ServeHTTP(w, r)
		})
	}
	if with, without := cost(g.Server), cost(plain); with > without {
		t.Errorf("a read allocates %v times with rights and %v times without", with, without)
	}
}

// nowhere is a ResponseWriter that keeps nothing.
type nowhere struct{ header http.Header }

func (d *nowhere) Header() http.Header         { return d.header }
func (d *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (d *nowhere) WriteHeader(int)             {}

// TestManyParkedQueriesAndAChange: a change of the rights of others wakes nobody to the
// client's notice, and everybody still waits.
func TestManyParkedQueriesAndAChange(t *testing.T) {
	const many = 2000
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `key_prefix "app/" { policy = "read" }`)
		index := g.put(t, "app/a", "1")
		waiting := make([]*waiter, many)
		for i := range waiting {
			waiting[i] = startWaitingWith(t, g.Server, "/v1/kv/app/a?wait=10m&index="+index, x.secret)
		}
		synctest.Wait()
		for range 5 {
			g.token(t, "")
		}
		synctest.Wait()
		if n := g.Parked(); n != many {
			t.Errorf("%d queries wait, want %d", n, many)
		}
		g.delete(t, x)
		synctest.Wait()
		for _, w := range waiting {
			<-w.done
			if w.w.Code != http.StatusForbidden {
				t.Fatalf("answer is %d %q", w.w.Code, w.w.Body)
			}
		}
	})
}

// FuzzSentToken: whatever a client sends as its token, what is taken for it is a part of
// that, has no blanks at its ends, and comes from the first place that has one.
func FuzzSentToken(f *testing.F) {
	f.Add("token=a", "b", "Bearer c")
	f.Add("", "", "bearer\t c d")
	f.Add("x=1&%74oken=a%20b&token=z", "", "Basic c")
	f.Add("token=&token=b", " ", "Bearer")
	f.Fuzz(func(t *testing.T, raw, header, authorization string) {
		var q query
		if q.parse(raw) != nil {
			return
		}
		h := http.Header{"X-Consul-Token": {header}, "Authorization": {authorization}}
		token := sentToken(&q, h)
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q is parsed here and not there: %v", raw, err)
		}
		switch asked := values.Get("token"); {
		case asked != "":
			if token != asked {
				t.Errorf("token is %q, the query has %q", token, asked)
			}
		case header != "":
			if token != header {
				t.Errorf("token is %q, the header has %q", token, header)
			}
		case token != "":
			if !strings.Contains(authorization, token) || strings.ContainsAny(token, " \t") || len(token) >= len(authorization) {
				t.Errorf("token is %q of %q", token, authorization)
			}
		}
	})
}

// plain is the body without its compression.
func plain(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Header().Get("Content-Encoding") == "" {
		return w.Body.String()
	}
	return gunzipped(w.Body.String())
}

// TestStreamEndsWithTheToken: also when that ends by itself.
func TestStreamEndsWithTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `agent "node-1" { policy = "read" }`, func(row *acl.Token) { row.Expires = time.Now().Add(time.Minute) })
		w := g.wait(t, x, "/v1/agent/metrics/stream")
		time.Sleep(time.Minute + 20*time.Millisecond)
		w.mustEnd(t, time.Minute+20*time.Millisecond, http.StatusOK, `{"Error":"ACL not found","Status":403}`+"\n")
	})
}

// TestFilteredHeaderIsOfTheAnswer: what was left out while a query waited, and is not any
// more, is not told.
func TestFilteredHeaderIsOfTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, "")
		made := ask(t, g.Server, http.MethodPut, "/v1/session/create", `{"Name":"s"}`, "X-Consul-Token", g.root)
		w := g.wait(t, x, "/v1/session/list?index="+made.Header().Get("X-Consul-Index"))
		g.rule(t, x, `session_prefix "" { policy = "read" }`)
		synctest.Wait()
		<-w.done
		if w.w.Code != http.StatusOK || !strings.Contains(w.w.Body.String(), `"Name":"s"`) {
			t.Errorf("answer is %d %q", w.w.Code, w.w.Body)
		}
		expectHeader(t, w.w, filteredHeader, "")
	})
}

// TestTransactionShowsAPart: what a transaction may not read is left out, whether it writes
// or not.
//
// Source: contract, ACL enforcement, section 5.2.
func TestTransactionShowsAPart(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "p/app/a", "1")
	g.put(t, "p/other/z", "2")
	x := g.token(t, `key_prefix "p/app/" { policy = "write" }`)
	const get = `{"KV":{"Verb":"get","Key":"p/other/z"}},{"KV":{"Verb":"get-tree","Key":"p/"}}`
	for _, body := range []string{
		`[` + get + `]`, `[{"KV":{"Verb":"set","Key":"p/app/b","Value":"MQ=="}},` + get + `]`,
		`[` + get + `,{"Node":{"Verb":"get","Node":{"Node":"node-1"}}}]`,
		`[{"KV":{"Verb":"set","Key":"p/app/b","Value":"MQ=="}},` + get + `,{"Node":{"Verb":"get","Node":{"Node":"node-1"}}}]`,
	} {
		w := g.as(t, x, http.MethodPut, "/v1/txn", body)
		if text := w.Body.String(); w.Code != http.StatusOK || strings.Contains(text, "p/other/z") || strings.Contains(text, "node-1") ||
			!strings.Contains(text, `"p/app/a"`) {
			t.Errorf("%s is answered %d %s", body, w.Code, text)
		}
		expectHeader(t, w, filteredHeader, "")
		if reads := !strings.Contains(body, "set"); reads != strings.Contains(w.Body.String(), `"ResultsFilteredByACLs":true`) {
			t.Errorf("%s is answered %s", body, w.Body)
		}
	}
}

// TestNamesOfHolders: who holds a lock is told with the right to read sessions.
func TestNamesOfHolders(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	all := g.token(t, allRules)
	made := g.as(t, all, http.MethodPut, "/v1/session/create", `{"Name":"nobody's business"}`)
	var session struct{ ID string }
	if err := json.Unmarshal(made.Body.Bytes(), &session); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"POST /v1/lock/l?session=", "PUT /v1/group/g/m?session=", "PUT /v1/kv/k?acquire="} {
		method, path, _ := strings.Cut(target, " ")
		if w := g.as(t, all, method, path+session.ID, ""); w.Code != http.StatusOK {
			t.Fatal(w.Body)
		}
	}
	x := g.token(t, `key_prefix "" { policy = "write" }`)
	for _, target := range []string{"GET /v1/lock/l", "GET /v1/group/g", "PUT /v1/kv/k?explain&acquire=" + g.session(t)} {
		method, path, _ := strings.Cut(target, " ")
		if w := g.as(t, all, method, path, ""); !strings.Contains(w.Body.String(), "business") {
			t.Errorf("%s hides who holds: %s", target, w.Body)
		}
		w := g.as(t, x, method, path, "")
		if text := w.Body.String(); strings.Contains(text, "business") || strings.Contains(text, "node-1") || !strings.Contains(text, session.ID) {
			t.Errorf("%s shows %s", target, text)
		}
		expectHeader(t, w, filteredHeader, "true")
	}
}

// TestNodeShowsItsServices: of a node only the services that may be read.
func TestNodeShowsItsServices(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	for _, name := range []string{"web", "db"} {
		ask(t, g.Server, http.MethodPut, "/v1/agent/service/register", `{"Name":"`+name+`"}`, "X-Consul-Token", g.root)
	}
	x := g.token(t, `node_prefix "" { policy = "read" } service "web" { policy = "read" }`)
	for _, target := range []string{"/v1/catalog/node/node-1", "/v1/catalog/node-services/node-1", "/v1/catalog/services", "/v1/agent/services"} {
		w := g.as(t, x, http.MethodGet, target, "")
		if text := w.Body.String(); strings.Contains(text, `"db"`) || !strings.Contains(text, `"web"`) {
			t.Errorf("%s shows %s", target, text)
		}
		expectHeader(t, w, filteredHeader, "true")
	}
}

// TestSnapshotIsCutOff: whoever loses the right while an archive is sent does not get the
// rest of it.
func TestSnapshotIsCutOff(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	for i := range 8 {
		value := make([]byte, 400<<10)
		_, _ = rand.Read(value) // never fails
		g.put(t, fmt.Sprintf("big/%d", i), string(value))
	}
	x := g.token(t, `acl = "write"`)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/snapshot", nil)
	r.Header.Set("X-Consul-Token", x.secret)
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // it is what net/http looks for
			t.Errorf("the answer ended with %v, want it cut off", cause)
		}
	}()
	g.ServeHTTP(&atFirstWrite{header: http.Header{}, then: func() { g.delete(t, x) }}, r)
	t.Error("the answer came to its end")
}

// atFirstWrite is a ResponseWriter that does something when the body begins.
type atFirstWrite struct {
	header http.Header
	then   func()
}

func (o *atFirstWrite) Header() http.Header { return o.header }
func (o *atFirstWrite) WriteHeader(int)     {}
func (o *atFirstWrite) Write(p []byte) (int, error) {
	if then := o.then; then != nil {
		o.then = nil
		then()
	}
	return len(p), nil
}

// TestHiddenExistence: a transaction tells whether a key exists that may not be read, as
// the wire has it, unless the configuration forbids that.
//
// Source: contract, ACL, section 5, number 5.
func TestHiddenExistence(t *testing.T) {
	const (
		get   = `{"KV":{"Verb":"get","Key":"other/none"}}`
		check = `{"KV":{"Verb":"check-index","Key":"app/a","Index":1}}`
		set   = `{"KV":{"Verb":"set","Key":"app/b","Value":"MQ=="}}`
		node  = `{"Node":{"Verb":"get","Node":{"Node":"node-1"}}}`
	)
	for _, hide := range []bool{false, true} {
		g := newGuardedServer(t, acl.DefaultDeny, func(s *Settings) { s.HideExistence = hide })
		g.put(t, "app/a", "1")
		g.put(t, "other/z", "2")
		x := g.token(t, `key_prefix "app/" { policy = "write" }`)
		for _, ops := range [][]string{{get}, {get, set}, {get, node}, {get, set, node}} {
			there := strings.ReplaceAll(strings.Join(ops, ","), "none", "z")
			w, with := g.as(t, x, http.MethodPut, "/v1/txn", "["+strings.Join(ops, ",")+"]"), g.as(t, x, http.MethodPut, "/v1/txn", "["+there+"]")
			same := w.Code == with.Code && strings.Contains(w.Body.String(), `other/`) == strings.Contains(with.Body.String(), `other/`)
			if with.Code != http.StatusOK || same != hide {
				t.Errorf("hide: %v, %s: a missing key is answered %d %s, one that is there %d %s", hide, ops, w.Code, w.Body, with.Code, with.Body)
			}
			// What fails is where it was sent.
			w = g.as(t, x, http.MethodPut, "/v1/txn", "["+there+","+check+"]")
			if want := fmt.Sprintf(`"OpIndex":%d`, len(ops)); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), want) {
				t.Errorf("hide: %v, %s: a failed check is answered %d %s, want %s", hide, ops, w.Code, w.Body, want)
			}
		}
		if w := ask(t, g.Server, http.MethodPut, "/v1/txn", "["+get+"]", "X-Consul-Token", g.root); w.Code != http.StatusConflict {
			t.Errorf("hide: %v: to who may read it a missing key is answered %d %s", hide, w.Code, w.Body)
		}
	}
}

// TestNodeInOtherLetters: a name that finds a node has its rights, however it is written.
func TestNodeInOtherLetters(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `node_prefix "" { policy = "write" } node "node-1" { policy = "deny" }
		session_prefix "" { policy = "write" } session "node-1" { policy = "deny" }`)
	before := g.node.store.View().Index()
	for _, tc := range []struct{ target, body string }{
		{"/v1/session/create", `{"Node":"NODE-1"}`},
		{"/v1/catalog/register", `{"Node":"NODE-1","Address":"10.9.9.9"}`},
		{"/v1/catalog/register", `{"Node":"Node-1","SkipNodeUpdate":true,"Check":{"CheckID":"c","Name":"c"}}`},
		{"/v1/catalog/deregister", `{"Node":"NODE-1"}`},
	} {
		if w := g.as(t, x, http.MethodPut, tc.target, tc.body); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `on "node-1"`) {
			t.Errorf("%s %s is answered %d %q, want 403", tc.target, tc.body, w.Code, w.Body)
		}
	}
	for _, op := range []string{
		`{"Node":{"Verb":"set","Node":{"Node":"NODE-1","Address":"10.9.9.9"}}}`, `{"Node":{"Verb":"delete","Node":{"Node":"NODE-1"}}}`,
		`{"Check":{"Verb":"set","Check":{"Node":"NODE-1","CheckID":"c","Name":"c"}}}`,
	} {
		if w := g.as(t, x, http.MethodPut, "/v1/txn", "["+op+"]"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "Permission denied") {
			t.Errorf("%s is answered %d %q, want 409", op, w.Code, w.Body)
		}
	}
	if now := g.node.store.View().Index(); now != before {
		t.Errorf("something has changed: the store is at %d, was at %d", now, before)
	}
	// And the session that somebody may make is made under the name of the node.
	g.rule(t, x, `session "node-1" { policy = "write" }`)
	if w := g.as(t, x, http.MethodPut, "/v1/session/create", `{"Node":"NODE-1"}`); w.Code != http.StatusOK {
		t.Errorf("answer is %d %q", w.Code, w.Body)
	}
	if w := g.as(t, x, http.MethodGet, "/v1/session/list", ""); !strings.Contains(w.Body.String(), `"Node":"node-1"`) {
		t.Errorf("the sessions are %s", w.Body)
	}
}
