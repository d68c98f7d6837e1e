package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

// TestTakesGzip: when Accept-Encoding lets an answer be compressed.
//
// Source: contract, README, section 10; RFC 9110, section 12.5.3.
func TestTakesGzip(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		lines []string
		takes bool
	}{
		{"nothing said", nil, false},
		{"empty", []string{""}, false},
		{"gzip", []string{"gzip"}, true},
		{"among others", []string{"deflate, gzip, br"}, true},
		{"in capitals", []string{"GZIP"}, true},
		{"on a second line", []string{"br", "gzip"}, true},
		{"weight above 0", []string{"gzip;q=0.001"}, true},
		{"weight 1 with spaces", []string{" gzip ; q=1 "}, true},
		{"weight 0", []string{"gzip;q=0"}, false},
		{"weight 0.000", []string{"gzip;q=0.000"}, false},
		{"weight in capitals", []string{"gzip;Q=0"}, false},
		{"weight that is no number", []string{"gzip;q=x"}, false},
		{"another coding", []string{"deflate, br"}, false},
		{"a name that begins alike", []string{"gzipped"}, false},
		{"any", []string{"*"}, true},
		{"any with weight 0", []string{"*;q=0"}, false},
		{"its own weight counts before that of any", []string{"*;q=0, gzip"}, true},
		{"its own weight 0 counts before any", []string{"*, gzip;q=0"}, false},
		{"identity only", []string{"identity"}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			h := http.Header{}
			if tc.lines != nil {
				h["Accept-Encoding"] = tc.lines
			}
			if got := takesGzip(h); got != tc.takes {
				t.Errorf("%q takes gzip: %v, want %v", tc.lines, got, tc.takes)
			}
		})
	}
}

// TestCompression: from 1400 bytes on, whatever the type, and never errors.
//
// Source: contract, README, section 10.
func TestCompression(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "small", strings.Repeat("s", 1399))
	mustPut(t, s, "big", strings.Repeat("b", 1400))
	longError := "/v1/kv/a?max_stale=" + strings.Repeat("x", 2000)
	for target, compressed := range map[string]bool{
		"/v1/kv/small?raw":       false,
		"/v1/kv/big?raw":         true,
		"/v1/kv/small":           true, // base64 makes it longer
		"/v1/kv/?recurse":        true,
		"/v1/kv/?recurse&pretty": true,
		"/v1/kv/?keys":           false,
		"/v1/kv/big?history":     true,
		longError:                false,
	} {
		plain := ask(t, s, http.MethodGet, target, "")
		w := ask(t, s, http.MethodGet, target, "", "Accept-Encoding", "gzip")
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("%.40s is compressed: %v, want %v", target, got, compressed)
		}
		body := w.Body.String()
		if compressed {
			body = gunzipped(body)
		}
		if body != plain.Body.String() || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%.40s: compressed it is %d bytes, plain %d", target, len(body), plain.Body.Len())
		}
		expectHeader(t, w, "Content-Type", plain.Header().Get("Content-Type"))
	}
}

// TestArchivesAreNotCompressedAgain.
//
// Source: contract, README, "Where Holdfast should differ" 8.
func TestArchivesAreNotCompressedAgain(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", strings.Repeat("v", 100_000))
	expectHeader(t, ask(t, s, http.MethodGet, "/v1/snapshot", "", "Accept-Encoding", "gzip"), "Content-Encoding", "")
}

// TestRequestsAreNotDecoded: a body is kept as it comes.
func TestRequestsAreNotDecoded(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	body := string(compress([]byte("hello")))
	expect(t, ask(t, s, http.MethodPut, "/v1/kv/z", body, "Content-Encoding", "gzip", "Content-Type", "application/json"), http.StatusOK, "true")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/z?raw", ""), http.StatusOK, body)
}
