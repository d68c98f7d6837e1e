package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// askBody sends a request with a body of the given announced length; -1 is
// chunked.
func askBody(t *testing.T, s *Server, method, target string, body io.Reader, length int64) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, body)
	r.ContentLength = length
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestBodyLimits: the bytes that arrive count, whatever was announced.
//
// Source: contract, README, section 11 and "Where Holdfast should differ" 6.
func TestBodyLimits(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ValueBytes, s.TxnBytes = 1000, 2000 })
	for _, tc := range []struct {
		rule, target string
		size         int
		announced    bool
		status       int
		text         string
	}{
		{"value of the limit, announced", "/v1/kv/a", 1000, true, 200, "true"},
		{"value of the limit, chunked", "/v1/kv/a", 1000, false, 200, "true"},
		{"value above, announced", "/v1/kv/a", 1001, true, 413, "Request body(1001 bytes) too large, max size: 1000 bytes. See limits.kv_max_value_size."},
		{"value above, chunked", "/v1/kv/a", 1001, false, 413, "Request body too large, max size: 1000 bytes. See limits.kv_max_value_size."},
		{"value far above, chunked", "/v1/kv/a", 1 << 20, false, 413, "Request body too large, max size: 1000 bytes. See limits.kv_max_value_size."},
		{"transaction of the limit", "/v1/txn", 2000, true, 200, ""},
		{"transaction of the limit, chunked", "/v1/txn", 2000, false, 200, ""},
		{"transaction above, announced", "/v1/txn", 2001, true, 413, "Request body(2001 bytes) too large, max size: 2000 bytes. See limits.txn_max_req_len."},
		{"transaction above, chunked", "/v1/txn", 2001, false, 413, "Request body too large, max size: 2000 bytes. See limits.txn_max_req_len."},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			mustDelete(t, s, "a")
			length := int64(tc.size)
			if !tc.announced {
				length = -1
			}
			w := askBody(t, s, http.MethodPut, tc.target, strings.NewReader("[]"+strings.Repeat(" ", tc.size-2)), length)
			if w.Code != tc.status || tc.text != "" && w.Body.String() != tc.text {
				t.Errorf("answer is %d %q, want %d %q", w.Code, w.Body, tc.status, tc.text)
			}
			if tc.status == 413 {
				expectHeader(t, w, "Connection", "close")
			}
			if v, _ := s.node.Store().View().Get("a"); (v != nil) != (tc.status == 200 && tc.target == "/v1/kv/a") {
				t.Errorf("the store has %v", v)
			}
		})
	}
}

// TestLargerLimitCounts: a value that is allowed fits a transaction.
func TestLargerLimitCounts(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ValueBytes, s.TxnBytes = 2000, 1000 })
	expect(t, askBody(t, s, http.MethodPut, "/v1/txn", strings.NewReader("[]"+strings.Repeat(" ", 2000)), 2002), 413,
		"Request body(2002 bytes) too large, max size: 2000 bytes. See limits.txn_max_req_len.")
	w := askBody(t, s, http.MethodPut, "/v1/txn", strings.NewReader("[]"+strings.Repeat(" ", 1998)), 2000)
	if w.Code != http.StatusOK {
		t.Errorf("answer is %d %q", w.Code, w.Body)
	}
}

// TestBrokenBodies: a body that does not come to its end is 400, and nothing is
// written.
func TestBrokenBodies(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, target := range []string{"/v1/kv/a", "/v1/txn"} {
		for _, length := range []int64{10, -1} {
			w := askBody(t, s, http.MethodPut, target, io.MultiReader(strings.NewReader("[]"), iotest.ErrReader(errors.New("cut off"))), length)
			expect(t, w, http.StatusBadRequest, "Request body ended early")
		}
		expect(t, askBody(t, s, http.MethodPut, target, strings.NewReader("[]"), 10), http.StatusBadRequest, "Request body ended early")
	}
	if index := s.node.Store().Applied(); index != 0 {
		t.Errorf("something was written at index %d", index)
	}
}

// TestIgnoredBodies: GET and DELETE do not look at a body, unless it is larger than
// any could be.
func TestIgnoredBodies(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ValueBytes, s.TxnBytes = 1000, 1000 })
	mustPut(t, s, "a", "1")
	for _, length := range []int64{1000, -1} {
		expect(t, askBody(t, s, http.MethodGet, "/v1/kv/a?raw", strings.NewReader(strings.Repeat("x", 1000)), length), 200, "1")
		expect(t, askBody(t, s, http.MethodDelete, "/v1/kv/b", strings.NewReader(strings.Repeat("x", 1000)), length), 200, "true")
	}
	w := askBody(t, s, http.MethodGet, "/v1/kv/a?raw", strings.NewReader(strings.Repeat("x", 1001)), -1)
	expect(t, w, http.StatusRequestEntityTooLarge, "Request body too large, max size: 1000 bytes. See limits.kv_max_value_size.")
}

// TestRefusedBodyIsRead: a client that reads only when it has sent everything
// gets the answer, not a reset of its connection.
func TestRefusedBodyIsRead(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(*Settings) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := serveOn(t, s, l)
	defer stop()
	for _, size := range []int{1 << 20, mostDiscarded} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := send(c, http.MethodPut, "/v1/kv/big", strings.Repeat("x", size)); err != nil {
			t.Errorf("send %d bytes: %v", size, err)
		} else if a, err := receive(c, http.MethodPut); err != nil || !strings.HasPrefix(a.status, "413") {
			t.Errorf("answer to %d bytes is %q, %v, want a 413", size, a.status, err)
		}
		_ = c.Close()
	}
}
