package httpapi

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/holdfast-kv/holdfast/acl"
)

// slot changes one of the server's own tokens over the API.
func (g *guardedServer) slot(t testing.TB, name, secret string) {
	t.Helper()
	expect(t, ask(t, g.Server, http.MethodPut, "/v1/agent/token/"+name, `{"Token":"`+secret+`"}`, "X-Consul-Token", g.root), http.StatusOK, "")
}

// TestWhatRunsEndsWithTheRecoveryToken: whoever waits with the recovery token of a server
// ends at once when the server gets another one, or none, and not when something else
// changes.
func TestWhatRunsEndsWithTheRecoveryToken(t *testing.T) {
	for _, tc := range []struct {
		target string
		status int
		body   string
	}{
		{"/v1/catalog/nodes?index=1000000", http.StatusForbidden, "ACL not found"},
		{"/v1/catalog/node/node-1?index=1000000&wait=50ms", http.StatusForbidden, "ACL not found"},
		{"/v1/agent/monitor", http.StatusOK, "403 Forbidden: ACL not found\n"},
		{"/v1/agent/metrics/stream", http.StatusOK, `{"Error":"ACL not found","Status":403}` + "\n"},
	} {
		for rule, next := range map[string]string{"replaced": "3e0b2a55-5f5c-4b8e-8f43-0c3d5a1b2c3d", "cleared": ""} {
			t.Run(rule+" "+tc.target, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newGuardedServer(t, acl.DefaultDeny)
					x := testToken{secret: newID(t)}
					g.slot(t, "agent_recovery", x.secret)
					g.takeLog()
					w := g.wait(t, x, tc.target)
					g.slot(t, "agent_recovery", x.secret)
					g.slot(t, "agent", newID(t))
					g.token(t, "")
					w.mustWait(t)
					g.slot(t, "agent_recovery", next)
					w.mustEnd(t, 0, tc.status, tc.body)
					if g.Parked() != 0 || g.Streams() != 0 || g.node.store.Topics().Len() != 0 {
						t.Errorf("%d queries, %d streams and %d topics are left", g.Parked(), g.Streams(), g.node.store.Topics().Len())
					}
				})
			})
		}
	}
}

// TestWhatRunsEndsWithTheTokenOfTheServer: a request without a token waits with the one
// that the server has for such requests, and has its rights for as long as it has.
func TestWhatRunsEndsWithTheTokenOfTheServer(t *testing.T) {
	for _, tc := range []struct {
		rule, next, body string // next: rules of the token that comes then; "": none comes
	}{
		{"cleared", "", lacks("key:read", "app/a")},
		{"replaced by one with less", `key_prefix "b" { policy = "read" }`, "lacks permission 'key:read' on \"app/a\""},
		{"replaced by one with the same", `key_prefix "app/" { policy = "read" }`, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuardedServer(t, acl.DefaultDeny)
				x := g.token(t, `key_prefix "app/" { policy = "read" }`)
				g.slot(t, "default", x.secret)
				w := g.wait(t, testToken{}, "/v1/kv/app/a?index="+g.put(t, "app/a", "1"))
				sent := g.wait(t, x, "/v1/kv/app/a?index="+g.put(t, "b", "1"))
				var y testToken
				if tc.next != "" {
					y = g.token(t, tc.next)
				}
				g.slot(t, "default", y.secret)
				sent.mustWait(t) // it has the token by itself
				if tc.body == "" {
					w.mustWait(t)
					g.delete(t, y)
					w.mustEnd(t, 0, http.StatusForbidden, "ACL not found")
					return
				}
				want := tc.body
				if tc.next != "" {
					want = "Permission denied: token with AccessorID '" + y.accessor + "' " + want
				}
				w.mustEnd(t, 0, http.StatusForbidden, want)
			})
		})
	}
}
