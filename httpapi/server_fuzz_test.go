package httpapi

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// fixed500 are the answers 500 that the contract fixes and a request alone can
// bring about, by how they begin or end.
var fixed500 = []string{
	"No path to datacenter", "raft apply failed: invalid session ", "raft apply failed: missing session",
	"stale not allowed for restore", "failed to decompress snapshot: ", "failed to read snapshot file: ",
	"this server has not reached min-index yet", "cannot find peer", "Could not find address for server id ", "id ", "address ",
	"Failed to create boolean expression evaluator: ", "autopilot has no configuration yet",
}

// slow are parts of targets whose answers take as long as the client stays.
var slow = []string{"agent/monitor", "metrics/stream", "pprof"}

// FuzzServeHTTP sends arbitrary requests, as far as net/http lets them through:
// never a panic, never a 5xx but those that the contract fixes, and every answer
// sound in itself.
func FuzzServeHTTP(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/kv/a", ""},
		{"PUT", "/v1/kv/a?cas=4&flags=9", "value"},
		{"DELETE", "/v1/kv/?recurse", ""},
		{"HEAD", "/v1/kv/p/?keys&separator=/&limit=1&after=x", ""},
		{"GET", "/v1/kv/p/?recurse&index=5&wait=1ms&stale&pretty", ""},
		{"GET", "/v1/kv/a?history=2&raw", ""},
		{"GET", "/v1/kv/a?revision=4", ""},
		{"GET", "/v1/kv/?keys&at=2026-01-02T03:04:06Z", ""},
		{"PUT", "/v1/txn?consistent", `[{"KV":{"Verb":"get-tree","Key":"p"}},{}]`},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"lock","Key":"a","Session":"s"}}]`},
		{"PUT", "/v1/kv/a?acquire=x&min-index=99", "1"},
		{"GET", "/v1/status/leader?dc=x", ""},
		{"PUT", "/v1/snapshot", "\x1f\x8b\x08"},
		{"GET", "/v1/snapshot?stale", ""},
		{"POST", "/v1/operator/raft/transfer-leader?id=x", ""},
		{"DELETE", "/v1/operator/raft/peer?id", ""},
		{"PUT", "/v1/operator/autopilot/configuration?cas=4", `{"LastContactThreshold":"1s","MinQuorum":null}`},
		{"DELETE", "/v1/operator/keyring?relay-factor=1&local-only=0", `{"Key":""}`},
		{"GET", "/v1//kv/../a/./b%2F%zz", ""},
		{"GET", "/v1/kv/%00%ff?exact", ""},
		{"FOO", "/v1/kv", ""},
		{"OPTIONS", "*", ""},
		{"CONNECT", "h:1", ""},
		{"GET", "http://h", ""},
		{"GET", "/v1/catalog/nodes?filter=Node==x", ""},
		{"GET", "/v1/agent/members?filter=(", ""},
		{"GET", "/readyz?verbose", ""},
		{"PUT", "/v1/kv/a HTTP/1.1\r\nX-Holdfast-Reason: why\r\nCache-Control: max-age=x\r\nIf-None-Match: *\r\nAccept-Encoding: gzip\r\nX: ", "1"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Skip("net/http refuses it")
		}
		for _, part := range slow {
			if strings.Contains(r.URL.Path, part) {
				t.Skip("takes as long as the client stays")
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				t.Fatalf("%q %q %q: panic: %v", method, target, body, p)
			}
			if ctx.Err() != nil {
				t.Errorf("%q %q %q took 10 s", method, target, body)
			}
		}()
		fuzzedServer(t).ServeHTTP(w, r.WithContext(ctx))
		checkSound(t, r, w)
	})
}

// fuzzedServer has some keys with some history, and does not wait long.
func fuzzedServer(t *testing.T) *Server {
	node := newLocalNode(t)
	settings := testSettings()
	settings.DefaultQueryTime, settings.MaxQueryTime, settings.HoldTime = time.Millisecond, time.Millisecond, time.Millisecond
	s := New(Options{
		Node: node, Cluster: node, Membership: &fakeMembership{}, Snapshots: node, Agent: &fakeAgent{tail: newFakeTail(), metrics: newFakeMetrics()},
		Log: hclog.NewNullLogger(), Datacenter: "dc1",
	}, settings)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "p/x", "2")
	mustPut(t, s, "p/y/z", strings.Repeat("3", 3000))
	mustPut(t, s, "a", "4")
	mustDelete(t, s, "p/x")
	return s
}

// checkSound checks what must hold for every answer.
func checkSound(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	h, text := w.Header(), w.Body.String()
	what := r.Method + " " + shortened(r.URL.String())
	if w.Code >= 500 && r.Method != http.MethodHead {
		known := false
		for _, fixed := range fixed500 {
			known = known || strings.HasPrefix(text, fixed)
		}
		if !known && !strings.HasSuffix(text, " unread uncompressed bytes remain") {
			t.Errorf("%s is answered %d %q", what, w.Code, text)
		}
	}
	if index, ok := h["X-Consul-Index"]; ok {
		if n, err := strconv.ParseUint(index[0], 10, 64); err != nil || n == 0 {
			t.Errorf("%s has index %q", what, index)
		}
	}
	if w.Code == http.StatusMethodNotAllowed && h.Get("Allow") == "" {
		t.Errorf("%s is 405 without Allow", what)
	}
	if length := h.Get("Content-Length"); r.Method != http.MethodHead && length != "" && length != strconv.Itoa(len(text)) {
		t.Errorf("%s says it has %s bytes and has %d", what, length, len(text))
	}
	if r.Method == http.MethodHead && text != "" {
		t.Errorf("%s has a body: %q", what, text)
	}
	if w.Code >= 400 && text != "" && !strings.HasPrefix(h.Get("Content-Type"), "text/plain") && w.Code != http.StatusConflict {
		t.Errorf("%s is an error of type %q", what, h.Get("Content-Type"))
	}
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				t.Errorf("%s has a header of two lines: %s: %q", what, name, v)
			}
		}
	}
}
