package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"
)

// TestOrderOfChecks sends requests with two faults each: the answer is that of
// the fault that the contract examines first.
//
// Source: contract, README, section 2; KV, section 4.
func TestOrderOfChecks(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) {
		s.Blocked = []string{"/v1/kv/blocked"}
		s.WritersFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		s.ValueBytes, s.TxnBytes = 10, 10
	})
	const semicolon = "query string has a semicolon: separate parameters with &, and write a semicolon in a value as %3B"
	for _, tc := range []struct {
		rule, method, target, body string
		from                       string // address of the client; empty: one that may write
		status                     int
		text                       string // the body begins with it
	}{
		{"path before cleaning", "GET", "/v1/kv/a%0A//b", "", "", 400, "The path has a character that cannot be printed"},
		{"cleaning before route", "GET", "/v1//nope", "", "", 307, ""},
		{"route before query", "GET", "/v1/nope?a;b", "", "", 404, "Invalid URL path"},
		{"query before blocking", "GET", "/v1/kv/blocked?a;b", "", "", 400, semicolon},
		{"query before OPTIONS", "OPTIONS", "/v1/kv/a?a;b", "", "", 400, semicolon},
		{"blocking before OPTIONS", "OPTIONS", "/v1/kv/blocked", "", "", 403, "Endpoint is blocked by agent configuration"},
		{"blocking before method", "POST", "/v1/kv/blocked", "", "", 403, "Endpoint is blocked by agent configuration"},
		{"OPTIONS is not a write", "OPTIONS", "/v1/kv/a", "", "192.0.2.1", 200, ""},
		{"method before restriction", "POST", "/v1/kv/a", "", "192.0.2.1", 405, "method POST not allowed"},
		{"restriction before parameters", "PUT", "/v1/kv/?stale&consistent", "", "192.0.2.1", 403, "Access is restricted"},
		{"a read transaction is a write here", "PUT", "/v1/txn", "[]", "192.0.2.1", 403, "Access is restricted"},
		{"a read is not restricted", "GET", "/v1/kv/a", "", "192.0.2.1", 404, ""},
		{"consistency before cache control and wait", "GET", "/v1/kv/?stale&consistent&wait=x", "", "", 400, "Cannot specify ?stale with ?consistent"},
		{"wait before index", "GET", "/v1/kv/?wait=x&index=x", "", "", 400, "Invalid wait time"},
		{"index before namespace", "GET", "/v1/kv/?index=x&ns=y", "", "", 400, "Invalid index"},
		{"ns before partition", "GET", "/v1/kv/?partition=x&ns=y", "", "", 400, `Invalid query parameter: "ns"`},
		{"namespace before key", "PUT", "/v1/kv/?ns=y", "", "", 400, `Invalid query parameter: "ns"`},
		{"key before conflicting flags", "PUT", "/v1/kv/?cas=1&acquire=x", "", "", 400, "Missing key name"},
		{"conflicting flags before numbers", "PUT", "/v1/kv/a?flags=x&cas=1&acquire=x", "", "", 400, "Conflicting flags"},
		{"flags before cas", "PUT", "/v1/kv/a?cas=x&flags=y", "", "", 400, `strconv.ParseUint: parsing "y"`},
		{"numbers before size", "PUT", "/v1/kv/a?cas=x", "more than ten bytes", "", 400, `strconv.ParseUint: parsing "x"`},
		{"size before datacenter", "PUT", "/v1/kv/a?dc=x", "more than ten bytes", "", 413, "Request body(19 bytes) too large"},
		{"datacenter last", "PUT", "/v1/kv/a?dc=x", "1", "", 500, "No path to datacenter"},
		{"a put checks the parameters of reads", "PUT", "/v1/kv/a?index=abc", "1", "", 400, "Invalid index"},
		{"a delete checks the parameters of reads", "DELETE", "/v1/kv/a?wait=abc", "", "", 400, "Invalid wait time"},
		{"conflict of delete before its number", "DELETE", "/v1/kv/a?cas=x&recurse", "", "", 400, "Conflicting flags: cas=x&recurse=\n"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if tc.from == "" {
				tc.from = "10.1.2.3"
			}
			r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.target, strings.NewReader(tc.body))
			r.RemoteAddr = tc.from + ":1234"
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != tc.status || !strings.HasPrefix(w.Body.String(), tc.text) {
				t.Errorf("answer is %d %q, want %d %q...", w.Code, w.Body, tc.status, tc.text)
			}
		})
	}
}

// TestPrintablePath: a decoded path with a character that cannot be printed is
// refused, and bytes that are no UTF-8 pass.
//
// Source: contract, README, section 2, step 2; KV, section 2.
func TestPrintablePath(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, tc := range []struct {
		escaped string
		ok      bool
	}{
		{"a%20b", true},
		{"%E2%82%AC", true},
		{"x%FFy", true},
		{"%EF%BF%BD", true},
		{"%C3%28", true},
		{"a%CC%81", true},
		{"a%0Ab", false},
		{"a%09b", false},
		{"a%00b", false},
		{"a%7Fb", false},
		{"a%C2%A0b", false},
		{"a%E2%80%8Bb", false},
		{"a%C2%85b", false},
		{"a%E2%80%A8b", false},
		{"%EF%BB%BFa", false},
		{"%EE%80%80", false},
	} {
		t.Run(tc.escaped, func(t *testing.T) {
			w := ask(t, s, http.MethodPut, "/v1/kv/"+tc.escaped, "1")
			if got := w.Code == http.StatusOK; got != tc.ok || !got && w.Code != http.StatusBadRequest {
				t.Errorf("answer is %d %q, want it taken: %v", w.Code, w.Body, tc.ok)
			}
			w = ask(t, s, http.MethodPut, "/v1/kv/"+tc.escaped+"?exact", "2")
			expect(t, w, http.StatusOK, "true")
			w = ask(t, s, http.MethodHead, "/v1/kv/"+tc.escaped, "")
			if w.Body.Len() > 0 {
				t.Errorf("HEAD has a body: %q", w.Body)
			}
		})
	}
	t.Run("the configuration can let all through", func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.AnyPath = true })
		expect(t, ask(t, s, http.MethodPut, "/v1/kv/a%00b", "1"), http.StatusOK, "true")
		expect(t, ask(t, s, http.MethodGet, "/v1/kv/a%00b?raw", ""), http.StatusOK, "1")
	})
}

// TestPathCleaning: what is redirected where, and that ?exact never is.
//
// Source: contract, README, section 2, step 3; KV, section 2.
func TestPathCleaning(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, tc := range []struct{ path, location string }{
		{"/v1/kv//a", "/v1/kv/a"},
		{"/v1/kv/a//b", "/v1/kv/a/b"},
		{"/v1/kv/a/./b", "/v1/kv/a/b"},
		{"/v1/kv/a/../b", "/v1/kv/b"},
		{"/v1/kv/a//", "/v1/kv/a/"},
		{"/v1/kv/../../../a//b", "/a/b"},
		{"//evil.example/v1", "/evil.example/v1"},
		{"/v1/kv/%2Fa//b", "/v1/kv/%2Fa/b"},
		{"/v1/kv/%2Fa", ""},
		{"/v1/kv/a%2F%2Fb", ""},
		{"/v1/kv/a/%2e%2e/b", ""},
		{"/v1/kv/a/...", ""},
		{"/v1/kv/a/.b/..c", ""},
	} {
		t.Run(tc.path, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				w := ask(t, s, method, tc.path+"?flags=1&x=%2F", "1")
				location := ""
				if tc.location != "" {
					location = tc.location + "?flags=1&x=%2F"
					if w.Code != http.StatusTemporaryRedirect {
						t.Errorf("%s is answered %d, want 307, so that a PUT stays a PUT", method, w.Code)
					}
				} else if w.Code >= 300 && w.Code < 400 {
					t.Errorf("%s is answered %d", method, w.Code)
				}
				expectHeader(t, w, "Location", location)
				if method != http.MethodGet && w.Body.Len() > 0 && location != "" {
					t.Errorf("%s has a page: %q", method, w.Body)
				}
			}
			if !strings.HasPrefix(tc.path, kvPrefix) {
				return
			}
			for _, exact := range []string{"?exact", "?exact=false&raw", "?raw&%65xact"} {
				w := ask(t, s, http.MethodPut, tc.path+exact, "1")
				expect(t, w, http.StatusOK, "true")
			}
		})
	}
}

// TestExact: any key that can be sent in a path is reachable as it stands.
func TestExact(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for target, key := range map[string]string{
		"/v1/kv//a":          "/a",
		"/v1/kv/a//b":        "a//b",
		"/v1/kv/a/../b":      "a/../b",
		"/v1/kv/.":           ".",
		"/v1/kv/..":          "..",
		"/v1/kv/x%00%0A%7F":  "x\x00\n\x7f",
		"/v1/kv//":           "/",
		"/v1/kv/%E2%80%8B//": "\u200b//",
	} {
		t.Run(target, func(t *testing.T) {
			expect(t, ask(t, s, http.MethodPut, target+"?exact", key), http.StatusOK, "true")
			w := ask(t, s, http.MethodGet, target+"?exact", "")
			want := string(appendString(nil, key))
			if !strings.Contains(w.Body.String(), `"Key":`+want+`,`) {
				t.Errorf("answer is %d %s, want the key %s", w.Code, w.Body, want)
			}
			if v, _ := s.node.Store().View().Get(key); v == nil || string(v.Value) != key {
				t.Errorf("the store has %v under %q", v, key)
			}
			expect(t, ask(t, s, http.MethodDelete, target+"?exact", ""), http.StatusOK, "true")
		})
	}
	t.Run("of other paths makes no other route", func(t *testing.T) {
		if w := ask(t, s, http.MethodGet, "/v1//status/leader?exact", ""); w.Code != http.StatusNotFound {
			t.Errorf("answer is %d %q", w.Code, w.Body)
		}
	})
	t.Run("in a query that cannot be parsed does not count", func(t *testing.T) {
		if w := ask(t, s, http.MethodGet, "/v1/kv/a//b?exact&a;b", ""); w.Code != http.StatusTemporaryRedirect {
			t.Errorf("answer is %d %q", w.Code, w.Body)
		}
	})
}

// TestBlockedEndpoints: the decoded path counts.
//
// Source: contract, README, sections 2 and 17.
func TestBlockedEndpoints(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.Blocked = []string{"/v1/snapshot", "/v1/kv/secret"} })
	for target, blocked := range map[string]bool{
		"/v1/snapshot":              true,
		"/v1/kv/secret/a":           true,
		"/v1/kv/secrets":            true,
		"/v1/kv/%73ecret":           true,
		"/v1/kv/secre%74?exact":     true,
		"/v1/kv/%2Fsecret":          false,
		"/v1/kv/other":              false,
		"/v1/status/leader":         false,
		"/v1/kv/x/../secret/?exact": false,
	} {
		w := ask(t, s, http.MethodGet, target, "")
		if (w.Code == http.StatusForbidden) != blocked {
			t.Errorf("GET %s is answered %d %q, want it blocked: %v", target, w.Code, w.Body, blocked)
		}
	}
}

// TestWritersFrom: writes are taken from the given networks only, by the address
// of the TCP peer.
//
// Source: contract, README, sections 2, step 10, and 17.
func TestWritersFrom(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) {
		s.WritersFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	})
	for remote, may := range map[string]bool{
		"127.0.0.1:99":           true,
		"[::ffff:127.0.0.1]:99":  true,
		"[fe80::1]:99":           true,
		"[fe80::1%eth0]:99":      true,
		"10.0.0.1:99":            false,
		"[2001:db8::1]:99":       false,
		"@":                      false, // a Unix socket has no address to be judged by
		"[::ffff:10.127.0.1]:99": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/kv/a", strings.NewReader("1"))
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if (w.Code == http.StatusOK) != may {
			t.Errorf("PUT from %s is answered %d %q, want it taken: %v", remote, w.Code, w.Body, may)
		}
	}
}

func TestClientOfIsTheConnections(t *testing.T) {
	want := netip.MustParseAddr("192.0.2.77")
	r := httptest.NewRequestWithContext(WithClient(context.Background(), want), http.MethodGet, "/", nil)
	if got := clientOf(r); got != want {
		t.Errorf("client is %v, want the one noted for the connection, %v", got, want)
	}
}

// TestConfiguredHeaders: they are sent on every answer.
//
// Source: contract, README, sections 2, step 5, and 17.
func TestConfiguredHeaders(t *testing.T) {
	node := newLocalNode(t)
	s := newServerWith(t, node, func(s *Settings) {
		s.Headers = http.Header{"Access-Control-Allow-Origin": {"*"}, "X-Two": {"a", "b"}}
		s.DefaultPolicy = []string{"deny"}
	})
	for target, api := range map[string]bool{
		"/v1/kv/none": true, "/v1/kv/?recurse&raw;": true, "/v1/kv/a?index=x": true, "/v1/status/leader": true,
		"/v1/nope": false, "/nope": false, "/v1/kv": false, "/v1/kv/a//b": false, "/v1/kv/%00": false,
	} {
		w := ask(t, s, http.MethodGet, target, "")
		if got := w.Header()["X-Two"]; len(got) != 2 || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("GET %s: configured headers are missing: %v", target, w.Header())
		}
		policy, vary := w.Header().Get("X-Consul-Default-Acl-Policy"), w.Header().Get("Vary")
		if api && (policy != "deny" || vary != "Accept-Encoding") || !api && policy != "" {
			t.Errorf("GET %s: policy is %q, Vary is %q", target, policy, vary)
		}
	}
	s.Configure(testSettings())
	w := ask(t, s, http.MethodGet, "/v1/kv/none", "")
	expectHeader(t, w, "X-Two", "")
	expectHeader(t, w, "X-Consul-Default-Acl-Policy", "allow")
}

// FuzzCleanPath: a cleaned path need not be cleaned again, so that no client is
// sent in circles, stays on this host, and is what path.Clean says.
func FuzzCleanPath(f *testing.F) {
	for _, seed := range []string{
		"", "/", "//", "/..", "/../", "/./", "/a/.", "/a/..", "/a//b/../c/", "//evil.example/", "/v1/kv/a/%2e%2e/b", "a/b", "/a/./../..//x/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got := cleanPath(p)
		if unclean(got) {
			t.Errorf("cleanPath(%q) = %q, which must be cleaned again", p, got)
		}
		if again := cleanPath(got); again != got {
			t.Errorf("cleanPath(%q) = %q, and cleaned again %q", p, got, again)
		}
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") {
			t.Errorf("cleanPath(%q) = %q leaves this host", p, got)
		}
		if want := path.Clean("/" + p); strings.TrimSuffix(got, "/") != strings.TrimSuffix(want, "/") {
			t.Errorf("cleanPath(%q) = %q, path.Clean has %q", p, got, want)
		}
	})
}

// TestPlainPath: a path that passes as plain would pass all the other looks too, and most
// keys pass.
func TestPlainPath(t *testing.T) {
	for _, path := range []string{
		"/v1/kv/app/motd", "/v1/kv/", "/v1/kv/a.b-c_d~e/F9/", "/v1/kv/a..b",
	} {
		if !plainPath(path) {
			t.Errorf("%q is not plain", path)
		}
	}
	for _, path := range []string{"*", "/v1/kv/a b", "/v1/kv/ü", "/v1/kv/a%b", "/v1/kv/a\x00", "/v1//kv", "/v1/kv/./a", "/v1/kv/..", "/v1/kv/a?b"} {
		if plainPath(path) {
			t.Errorf("%q is plain", path)
		}
	}
	const bytes = "aZ9/.-_~:@!$&'()*+,;=%? \x00\x7f\x80\xff"
	for i := range len(bytes) * len(bytes) * len(bytes) {
		path := "/" + string([]byte{bytes[i%len(bytes)], bytes[i/len(bytes)%len(bytes)], bytes[i/len(bytes)/len(bytes)]})
		if escaped := (&url.URL{Path: path}).EscapedPath(); plainPath(path) && (!printable(path) || unclean(escaped) || escaped != path) {
			t.Errorf("%q is plain: printable %v, unclean %v, escaped %q", path, printable(path), unclean(escaped), escaped)
		}
	}
}
