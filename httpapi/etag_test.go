package httpapi

import (
	"net/http"
	"testing"
)

// TestMatchesTag: how If-None-Match is compared.
//
// Source: RFC 9110, sections 8.8.3.2 and 13.1.2.
func TestMatchesTag(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		headers []string
		matches bool
	}{
		{"weak", []string{`W/"7"`}, true},
		{"strong", []string{`"7"`}, true},
		{"any", []string{`*`}, true},
		{"one of a list", []string{`"1", W/"7" , "9"`}, true},
		{"on a second line", []string{`"1"`, `"7"`}, true},
		{"another", []string{`W/"8"`}, false},
		{"part of another", []string{`W/"77"`}, false},
		{"without quotes", []string{`7`}, false},
		{"empty", []string{``}, false},
		{"nothing", nil, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			h := http.Header{}
			if tc.headers != nil {
				h["If-None-Match"] = tc.headers
			}
			if got := matchesTag(h, `W/"7"`); got != tc.matches {
				t.Errorf("%q matches: %v, want %v", tc.headers, got, tc.matches)
			}
		})
	}
}

// TestETag: the tag of a read stands for what it says, and 304 is answered as long
// as that is the same.
func TestETag(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "p/a", "1")
	for _, target := range []string{"/v1/kv/a", "/v1/kv/a?raw", "/v1/kv/p/?recurse", "/v1/kv/p/?keys", "/v1/kv/p/?keys&limit=1", "/v1/kv/a?revision=4"} {
		t.Run(target, func(t *testing.T) {
			first := ask(t, s, http.MethodGet, target, "")
			tag := first.Header().Get("Etag")
			if first.Code != http.StatusOK || tag == "" {
				t.Fatalf("answer is %d with tag %q", first.Code, tag)
			}
			again := ask(t, s, http.MethodGet, target, "", "If-None-Match", tag)
			expect(t, again, http.StatusNotModified, "")
			expectHeader(t, again, "Etag", tag)
			expectHeader(t, again, "Content-Type", "")
			expectHeader(t, again, "Vary", "Accept-Encoding")
			expectHeader(t, again, "X-Consul-Index", first.Header().Get("X-Consul-Index"))
			expectHeader(t, again, "X-Consul-Knownleader", "true")
			mustPut(t, s, "unrelated", "1")
			if w := ask(t, s, http.MethodGet, target, "", "If-None-Match", tag); w.Code != http.StatusNotModified {
				t.Errorf("after a write to another key it is answered %d", w.Code)
			}
		})
	}
	tag := ask(t, s, http.MethodGet, "/v1/kv/a", "").Header().Get("Etag")
	mustPut(t, s, "a", "2")
	if w := ask(t, s, http.MethodGet, "/v1/kv/a", "", "If-None-Match", tag); w.Code != http.StatusOK {
		t.Errorf("after a change it is answered %d", w.Code)
	}
	if w := ask(t, s, http.MethodGet, "/v1/kv/none", "", "If-None-Match", "*"); w.Code != http.StatusNotFound {
		t.Errorf("a missing key is answered %d", w.Code)
	}
}

// TestETagAfterRestore: a tag does not come again for other content when indexes
// do.
func TestETagAfterRestore(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	mustPut(t, s, "a", "one")
	saved := string(node.archive(t))
	before := ask(t, s, http.MethodGet, "/v1/kv/a", "").Header().Get("Etag")
	expect(t, ask(t, s, http.MethodPut, "/v1/snapshot", saved), http.StatusOK, "")
	w := ask(t, s, http.MethodGet, "/v1/kv/a", "")
	if tag := w.Header().Get("Etag"); tag == before {
		t.Errorf("tag is %s before and after the restore", tag)
	}
	expectHeader(t, w, "X-Consul-Index", "4")
}
