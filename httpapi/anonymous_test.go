package httpapi

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// anonymousAnswer is what somebody without a token gets where all is denied by default.
type anonymousAnswer struct {
	route        string // the method and the path of the table of routes
	target, body string
	status       int
	text         string // the body; of a refusal only what is lacking
	open         bool   // a token that nobody issued is not looked at either
}

// lacks is the refusal of an anonymous request.
func lacks(permission, name string) string {
	on := ""
	if name != "" {
		on = ` on "` + name + `"`
	}
	return `Permission denied: anonymous token lacks permission '` + permission + `'` + on +
		`. The anonymous token is used implicitly when a request does not specify a token.`
}

func anonymousAnswers() []anonymousAnswer {
	const denied = http.StatusForbidden
	node, operator := "node-1", func(level string) string { return lacks("operator:"+level, "") }
	check := `{"Name":"c","TTL":"10s"}`
	return []anonymousAnswer{
		{"GET /v1/kv/", "/v1/kv/a", "", denied, lacks("key:read", "a"), false},
		{"PUT /v1/kv/", "/v1/kv/a", "1", denied, lacks("key:write", "a"), false},
		{"DELETE /v1/kv/", "/v1/kv/a", "", denied, lacks("key:write", "a"), false},
		{
			"PUT /v1/txn", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]`, 409,
			`{"Results":null,"Errors":[{"OpIndex":0,"What":"` + strings.ReplaceAll(lacks("key:write", "a"), `"`, `\"`) + `"}]}`, false,
		},

		{"PUT /v1/session/create", "/v1/session/create", "", denied, lacks("session:write", node), false},
		{"PUT /v1/session/destroy/", "/v1/session/destroy/SESSION", "", denied, lacks("session:write", node), false},
		{"PUT /v1/session/renew/", "/v1/session/renew/SESSION", "", denied, lacks("session:write", node), false},
		{"GET /v1/session/info/", "/v1/session/info/SESSION", "", 200, `[]`, false},
		{"GET /v1/session/node/", "/v1/session/node/node-1", "", 200, `[]`, false},
		{"GET /v1/session/list", "/v1/session/list", "", 200, `[]`, false},

		{"GET /v1/lock/", "/v1/lock/l", "", denied, lacks("key:read", "_holdfast/lock/l"), false},
		{"POST /v1/lock/", "/v1/lock/l?session=SESSION", "", denied, lacks("key:write", "_holdfast/lock/l"), false},
		{"DELETE /v1/lock/", "/v1/lock/l?session=SESSION", "", denied, lacks("key:write", "_holdfast/lock/l"), false},
		{"GET /v1/election/", "/v1/election/e/observe", "", denied, lacks("key:read", "_holdfast/election/e"), false},
		{"POST /v1/election/", "/v1/election/e/campaign?session=SESSION", "", denied, lacks("key:write", "_holdfast/election/e"), false},
		{"GET /v1/group/", "/v1/group/g", "", 200, `{"Name":"g","Members":[]}`, false},
		{"PUT /v1/group/", "/v1/group/g/m?session=SESSION", "", denied, lacks("key:write", "_holdfast/group/g/.members/m"), false},
		{"DELETE /v1/group/", "/v1/group/g/m", "", denied, lacks("key:write", "_holdfast/group/g/.members/m"), false},

		{"GET /v1/status/leader", "/v1/status/leader", "", 200, `"127.0.0.1:8300"`, true},
		{"GET /v1/status/peers", "/v1/status/peers", "", 200, `["127.0.0.1:8300"]`, true},

		{"GET /v1/operator/raft/configuration", "/v1/operator/raft/configuration", "", denied, operator("read"), false},
		{"POST /v1/operator/raft/transfer-leader", "/v1/operator/raft/transfer-leader", "", denied, operator("write"), false},
		{"DELETE /v1/operator/raft/peer", "/v1/operator/raft/peer?id=x", "", denied, operator("write"), false},
		{"GET /v1/operator/autopilot/configuration", "/v1/operator/autopilot/configuration", "", denied, operator("read"), false},
		{"PUT /v1/operator/autopilot/configuration", "/v1/operator/autopilot/configuration", "{}", denied, operator("write"), false},
		{"GET /v1/operator/autopilot/health", "/v1/operator/autopilot/health", "", denied, operator("read"), false},
		{"GET /v1/operator/autopilot/state", "/v1/operator/autopilot/state", "", denied, operator("read"), false},
		{"GET /v1/operator/keyring", "/v1/operator/keyring", "", denied, lacks("keyring:read", ""), false},
		{"POST /v1/operator/keyring", "/v1/operator/keyring", `{"Key":"k"}`, denied, lacks("keyring:write", ""), false},
		{"PUT /v1/operator/keyring", "/v1/operator/keyring", `{"Key":"k"}`, denied, lacks("keyring:write", ""), false},
		{"DELETE /v1/operator/keyring", "/v1/operator/keyring", `{"Key":"k"}`, denied, lacks("keyring:write", ""), false},
		{"GET /v1/operator/usage", "/v1/operator/usage", "", denied, operator("read"), false},

		{"GET /v1/snapshot", "/v1/snapshot", "", denied, lacks("acl:write", ""), false},
		{"PUT /v1/snapshot", "/v1/snapshot", "no archive", denied, lacks("acl:write", ""), false},

		{"GET /v1/agent/self", "/v1/agent/self", "", denied, lacks("agent:read", node), false},
		{"GET /v1/agent/version", "/v1/agent/version", "", 200, "*", true},
		{"GET /v1/agent/host", "/v1/agent/host", "", denied, operator("read"), false},
		{"GET /v1/agent/members", "/v1/agent/members", "", 200, `[]`, false},
		{"PUT /v1/agent/join/", "/v1/agent/join/127.0.0.1", "", denied, lacks("agent:write", node), false},
		{"PUT /v1/agent/leave", "/v1/agent/leave", "", denied, lacks("agent:write", node), false},
		{"PUT /v1/agent/force-leave/", "/v1/agent/force-leave/x", "", denied, operator("write"), false},
		{"GET /v1/agent/metrics", "/v1/agent/metrics", "", denied, lacks("agent:read", node), false},
		{"GET /v1/agent/metrics/stream", "/v1/agent/metrics/stream", "", denied, lacks("agent:read", node), false},
		{"GET /v1/agent/monitor", "/v1/agent/monitor", "", denied, lacks("agent:read", node), false},
		{"PUT /v1/agent/reload", "/v1/agent/reload", "", denied, lacks("agent:write", node), false},
		{"PUT /v1/agent/maintenance", "/v1/agent/maintenance?enable=true", "", denied, lacks("node:write", node), false},

		{"PUT /v1/agent/service/register", "/v1/agent/service/register", `{"Name":"s"}`, denied, lacks("service:write", "s"), false},
		{"PUT /v1/agent/service/deregister/", "/v1/agent/service/deregister/web", "", denied, lacks("service:write", "web"), false},
		{"PUT /v1/agent/service/maintenance/", "/v1/agent/service/maintenance/web?enable=true", "", denied, lacks("service:write", "web"), false},
		{"GET /v1/agent/service/", "/v1/agent/service/web", "", denied, lacks("service:read", "web"), false},
		{"GET /v1/agent/services", "/v1/agent/services", "", 200, `{}`, false},
		{"GET /v1/agent/health/service/id/", "/v1/agent/health/service/id/web", "", denied, lacks("service:read", "web"), false},
		{"GET /v1/agent/health/service/name/", "/v1/agent/health/service/name/web", "", denied, lacks("service:read", "web"), false},
		{"PUT /v1/agent/check/register", "/v1/agent/check/register", check, denied, lacks("node:write", node), false},
		{"PUT /v1/agent/check/deregister/", "/v1/agent/check/deregister/service:web", "", denied, lacks("service:write", "web"), false},
		{"PUT /v1/agent/check/pass/", "/v1/agent/check/pass/service:web", "", denied, lacks("service:write", "web"), false},
		{"PUT /v1/agent/check/warn/", "/v1/agent/check/warn/service:web", "", denied, lacks("service:write", "web"), false},
		{"PUT /v1/agent/check/fail/", "/v1/agent/check/fail/service:web", "", denied, lacks("service:write", "web"), false},
		{"PUT /v1/agent/check/update/", "/v1/agent/check/update/service:web", `{"Status":"passing"}`, denied, lacks("service:write", "web"), false},
		{"GET /v1/agent/checks", "/v1/agent/checks", "", 200, `{}`, false},

		{"PUT /v1/catalog/register", "/v1/catalog/register", `{"Node":"n","Address":"10.0.0.1"}`, denied, lacks("node:write", "n"), false},
		{"PUT /v1/catalog/deregister", "/v1/catalog/deregister", `{"Node":"node-1","ServiceID":"web"}`, denied, lacks("service:write", "web"), false},
		{"GET /v1/catalog/datacenters", "/v1/catalog/datacenters", "", 200, `["dc1"]`, true},
		{"GET /v1/catalog/nodes", "/v1/catalog/nodes", "", 200, `[]`, false},
		{"GET /v1/catalog/services", "/v1/catalog/services", "", 200, `{}`, false},
		{"GET /v1/catalog/service/", "/v1/catalog/service/web", "", 200, `[]`, false},
		{"GET /v1/catalog/node/", "/v1/catalog/node/node-1", "", 200, `null`, false},
		{"GET /v1/catalog/node-services/", "/v1/catalog/node-services/node-1", "", 200, `{"Node":null,"Services":null}`, false},

		{"GET /v1/health/node/", "/v1/health/node/node-1", "", 200, `[]`, false},
		{"GET /v1/health/checks/", "/v1/health/checks/web", "", 200, `[]`, false},
		{"GET /v1/health/state/", "/v1/health/state/any", "", 200, `[]`, false},
		{"GET /v1/health/service/", "/v1/health/service/web", "", 200, `[]`, false},

		{"GET /v1/acl/denials", "/v1/acl/denials", "", denied, lacks("acl:read", ""), false},

		{"PUT /v1/event/fire/", "/v1/event/fire/deploy", "", denied, "Permission denied", false},
		{"GET /v1/event/list", "/v1/event/list", "", 200, `[]`, false},

		{"GET /livez", "/livez", "", 200, "ok\n", true},
		{"GET /readyz", "/readyz", "", 200, "ok\n", true},
		{"GET /metrics", "/metrics", "", denied, lacks("agent:read", node), false},
		{"GET /debug/pprof/", "/debug/pprof/", "", denied, operator("read"), false},
		{"GET /", "/", "", 200, "*", true},
	}
}

// TestAnonymousOnEachEndpoint: what each endpoint does for somebody without a token where
// nothing is allowed by default, that a token nobody issued gets less, and that neither
// changes anything. An endpoint that is not in the list fails the test: whoever adds one
// says here what it asks for.
func TestAnonymousOnEachEndpoint(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny, func(s *Settings) { s.EnableDebug, s.AuthFailures = true, -1 })
	g.put(t, "a", "1")
	session := g.session(t)
	root := func(target, body string) {
		t.Helper()
		w := ask(t, g.Server, http.MethodPut, target, body, "X-Consul-Token", g.root)
		if w.Code != http.StatusOK {
			t.Fatalf("PUT %s: %d %s", target, w.Code, w.Body)
		}
	}
	root("/v1/agent/service/register", `{"Name":"web","Check":{"TTL":"10s"}}`)
	root("/v1/event/fire/deploy", "")
	root("/v1/group/g/m?session="+session, "")

	listed := map[string]bool{}
	index := g.node.store.View().Applied()
	for _, tc := range append(anonymousAnswers(), anonymousACLAnswers()...) {
		listed[tc.route] = true
		method, path, _ := strings.Cut(tc.route, " ")
		if before, _, _ := strings.Cut(path, "{"); !strings.HasPrefix(tc.target, before) {
			t.Errorf("%s is not %s", tc.target, tc.route)
		}
		t.Run(tc.route, func(t *testing.T) {
			target := strings.ReplaceAll(tc.target, "SESSION", session)
			w := ask(t, g.Server, method, target, tc.body)
			if w.Code != tc.status || tc.text != "*" && w.Body.String() != tc.text {
				t.Errorf("answer is %d %q, want %d %q", w.Code, w.Body, tc.status, tc.text)
			}
			expectHeader(t, w, filteredHeader, "")
			w = ask(t, g.Server, method, target, tc.body, "X-Consul-Token", newID(t))
			switch {
			case tc.open && w.Code != http.StatusOK:
				t.Errorf("with an unknown token the answer is %d %q, want it not looked at", w.Code, w.Body)
			case !tc.open && w.Code != http.StatusForbidden:
				t.Errorf("with an unknown token the answer is %d %q, want it refused", w.Code, w.Body)
			}
			if now := g.node.store.View().Applied(); now != index {
				t.Errorf("something was written: the store is at %d, was at %d", now, index)
			}
			if asked := g.opts.Membership.(*fakeMembership).take(); asked != "" {
				t.Errorf("something was done: %s", asked)
			}
		})
	}
	for _, e := range g.endpoints {
		for _, m := range e.methods {
			if route := m.name + " " + e.path; !listed[route] {
				t.Errorf("%s is not in the list of what anonymous requests may do", route)
			}
			delete(listed, m.name+" "+e.path)
		}
	}
	for route := range listed {
		t.Errorf("%s is in the list and not in the table of routes", route)
	}
}

// FuzzAnonymous sends arbitrary requests without a good token to a server on which nothing
// is allowed by default: nothing is changed or done, and no value is shown.
func FuzzAnonymous(f *testing.F) {
	for _, tc := range append(anonymousAnswers(), anonymousACLAnswers()...) {
		method, _, _ := strings.Cut(tc.route, " ")
		f.Add(method, strings.ReplaceAll(tc.target, "SESSION", "x"), tc.body)
	}
	const value = "b9e1c7b0-the-value"
	g := newGuardedServer(f, acl.DefaultDeny, func(s *Settings) {
		s.EnableDebug = true
		s.DefaultQueryTime, s.MaxQueryTime, s.HoldTime = time.Millisecond, time.Millisecond, time.Millisecond
	})
	g.put(f, "a", value)
	g.put(f, "p/x", value)
	g.session(f)
	index := g.node.store.View().Applied()
	f.Fuzz(func(t *testing.T, method, target, body string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Skip("net/http refuses it")
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r.WithContext(t.Context()))
		if now := g.node.store.View().Applied(); now != index {
			t.Errorf("%q %q %q was written: the store is at %d, was at %d", method, target, body, now, index)
		}
		if asked := g.opts.Membership.(*fakeMembership).take(); asked != "" {
			t.Errorf("%q %q %q: something was done: %s", method, target, body, asked)
		}
		text := plain(t, w)
		if strings.Contains(text, value) && !strings.Contains(raw, value) ||
			strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(value))) || strings.Contains(text, g.root) {
			t.Errorf("%q %q %q shows %s", method, target, body, shortened(text))
		}
	})
}
