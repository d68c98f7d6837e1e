package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

// TestMethods: which methods an endpoint takes, in the order of Allow.
//
// Source: contract, README, section 4.
func TestMethods(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for target, allow := range map[string]string{
		"/v1/kv/a":                             "OPTIONS,GET,PUT,DELETE",
		"/v1/kv/":                              "OPTIONS,GET,PUT,DELETE",
		"/v1/txn":                              "OPTIONS,PUT",
		"/v1/status/leader":                    "OPTIONS,GET",
		"/v1/status/peers":                     "OPTIONS,GET",
		"/v1/operator/raft/configuration":      "OPTIONS,GET",
		"/v1/operator/raft/transfer-leader":    "OPTIONS,POST",
		"/v1/operator/raft/peer":               "OPTIONS,DELETE",
		"/v1/operator/keyring":                 "OPTIONS,GET,POST,PUT,DELETE",
		"/v1/operator/usage":                   "OPTIONS,GET",
		"/v1/operator/autopilot/health":        "OPTIONS,GET",
		"/v1/operator/autopilot/state":         "OPTIONS,GET",
		"/v1/agent/join/a":                     "OPTIONS,PUT",
		"/v1/agent/leave":                      "OPTIONS,PUT",
		"/v1/agent/force-leave/a":              "OPTIONS,PUT",
		"/v1/snapshot":                         "OPTIONS,GET,PUT",
		"/v1/operator/autopilot/configuration": "OPTIONS,GET,PUT",
		"/v1/lock/l":                           "OPTIONS,GET,POST,DELETE",
		"/v1/election/e/observe":               "OPTIONS,GET,POST",
		"/v1/group/g":                          "OPTIONS,GET,PUT,DELETE",
	} {
		t.Run(target, func(t *testing.T) {
			w := ask(t, s, http.MethodOptions, target, "")
			expect(t, w, http.StatusOK, "")
			expectHeader(t, w, "Allow", allow)
			expectHeader(t, w, "Content-Type", "application/json")
			for _, method := range []string{"GET", "PUT", "DELETE", "POST", "PATCH", "TRACE", "FOO", "get"} {
				if strings.Contains(","+allow+",", ","+method+",") {
					continue
				}
				w := ask(t, s, method, target, "")
				expect(t, w, http.StatusMethodNotAllowed, "method "+method+" not allowed")
				expectHeader(t, w, "Allow", allow)
				expectHeader(t, w, "Content-Type", "text/plain; charset=utf-8")
			}
			w = ask(t, s, http.MethodHead, target, "")
			if w.Body.Len() > 0 {
				t.Errorf("HEAD has a body: %q", w.Body)
			}
			if takesGet := strings.Contains(allow, ",GET"); takesGet == (w.Code == http.StatusMethodNotAllowed) {
				t.Errorf("HEAD is answered %d, the endpoint takes GET: %v", w.Code, takesGet)
			}
		})
	}
}

// TestOptionsHasNoEffect: asking what may be done does nothing.
func TestOptionsHasNoEffect(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", "1")
	expect(t, ask(t, s, http.MethodOptions, "/v1/kv/a?recurse&cas=1", "body"), http.StatusOK, "")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?raw", ""), http.StatusOK, "1")
}

// TestHead: like GET without the body.
//
// Source: contract, README, "Where Holdfast should differ" 2.
func TestHead(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", strings.Repeat("v", 3000))
	for _, target := range []string{"/v1/kv/a", "/v1/kv/a?raw", "/v1/kv/?recurse", "/v1/kv/?keys", "/v1/kv/none", "/v1/kv/a?history", "/v1/status/leader"} {
		for _, coding := range []string{"identity", "gzip"} {
			get := ask(t, s, http.MethodGet, target, "", "Accept-Encoding", coding)
			head := ask(t, s, http.MethodHead, target, "", "Accept-Encoding", coding)
			if head.Code != get.Code || head.Body.Len() > 0 {
				t.Errorf("HEAD %s is answered %d with %d bytes, GET %d", target, head.Code, head.Body.Len(), get.Code)
			}
			for name := range get.Header() {
				expectHeader(t, head, name, get.Header().Get(name))
			}
		}
	}
}

// TestUnknownPaths: 404 with a hint, for every method.
func TestUnknownPaths(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	const (
		inside  = "Invalid URL path: not a recognized HTTP API endpoint\n"
		outside = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
	)
	for target, text := range map[string]string{
		"/v1/nope": inside, "/v1/": inside, "/v1/txn/": inside, "/v1/status/leader/x": inside, "/v1/k%76/a": inside,
		"/v1/KV/a": inside, "/v1/kv%2Fa": inside, "/nope": outside, "/v1": outside, "/v2/kv/a": outside, "/%76%31/kv/a": inside,
	} {
		for _, method := range []string{"GET", "PUT", "OPTIONS", "FOO"} {
			w := ask(t, s, method, target, "")
			expect(t, w, http.StatusNotFound, text)
			expectHeader(t, w, "Content-Type", "text/plain; charset=utf-8")
			expectHeader(t, w, "X-Consul-Default-Acl-Policy", "")
		}
		expect(t, ask(t, s, http.MethodHead, target, ""), http.StatusNotFound, "")
	}
}

// TestMissingSlash: a prefix endpoint without its slash is redirected to it.
func TestMissingSlash(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} {
		w := ask(t, s, method, "/v1/kv?keys&separator=%2F", "")
		if w.Code != http.StatusTemporaryRedirect {
			t.Errorf("%s is answered %d, want 307", method, w.Code)
		}
		expectHeader(t, w, "Location", "/v1/kv/?keys&separator=%2F")
		expectHeader(t, w, "X-Consul-Default-Acl-Policy", "")
	}
}

// TestRequestMetrics: every answer is counted once, by endpoint and class.
func TestRequestMetrics(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	ask(t, s, http.MethodGet, "/v1/kv/none", "")
	ask(t, s, http.MethodPut, "/v1/kv/a", "1")
	ask(t, s, http.MethodGet, "/v1/kv/a", "")
	ask(t, s, http.MethodGet, "/v1/kv/a?dc=x", "")
	ask(t, s, http.MethodGet, "/v1/kv/a", "", "If-None-Match", "*")
	ask(t, s, http.MethodPut, "/v1/txn", "[null]")
	ask(t, s, http.MethodGet, "/v1/a-path-of-the-client", "")
	ask(t, s, "FOO", "/another", "")
	ask(t, s, http.MethodGet, "/v1/kv", "")
	ask(t, s, "FOO", "/v1/kv", "")
	ask(t, s, http.MethodGet, "/v1//kv/a", "")
	ask(t, s, http.MethodGet, "/v1/kv/a%01", "")
	for _, m := range s.RequestMetrics() {
		want := map[string][statusClasses]uint64{
			kvPrefix:  {2: 2, 3: 1, 4: 1, 5: 1},
			"/v1/txn": {4: 1},
			"none":    {3: 3, 4: 3},
		}[m.Path]
		var all, buckets uint64
		for class := range m.Codes {
			if got := m.Codes[class].Load(); got != want[class] {
				t.Errorf("%s has %d answers of class %d, want %d", m.Path, got, class, want[class])
			}
			all += want[class]
		}
		for i := range m.Buckets {
			buckets += m.Buckets[i].Load()
		}
		if buckets != all {
			t.Errorf("%s has %d answers in its histogram, want %d", m.Path, buckets, all)
		}
	}
	if got, want := len(s.RequestMetrics()[0].Buckets), len(LatencyBounds())+1; got != want {
		t.Errorf("histogram has %d buckets for %d bounds", got, want-1)
	}
}
