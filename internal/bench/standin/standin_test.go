package standin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func call(t *testing.T, h http.Handler, method, target, body string) (int, string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body)))
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b), w.Header()
}

func TestStandIn(t *testing.T) {
	h, err := NewHandler("")
	if err != nil {
		t.Fatal(err)
	}
	var archive string
	for _, tc := range []struct {
		rule, method, target, body string
		status                     int
		want                       string
	}{
		{"there is a leader", "GET", "/v1/status/leader", "", 200, `"127.0.0.1:8300"`},
		{"a missing key is 404", "GET", "/v1/kv/a", "", 404, ""},
		{"a key is put", "PUT", "/v1/kv/a", "1", 200, "true"},
		{"and read", "GET", "/v1/kv/a?stale", "", 200, `[{"LockIndex":0,"Key":"a","Flags":0,"Value":"MQ==","CreateIndex":2,"ModifyIndex":2}]`},
		{"as it is, when asked", "GET", "/v1/kv/a?raw", "", 200, "1"},
		{"keys are set in a transaction", "PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"d/b","Value":"MQ=="}},{"KV":{"Verb":"set","Key":"d/a","Value":"MQ=="}}]`, 200, `{"Results":[],"Errors":null}`},
		{"names are listed in order", "GET", "/v1/kv/d/?keys", "", 200, `["d/a","d/b"]`},
		{"what is no transaction is refused", "PUT", "/v1/txn", "x", 400, "invalid character 'x' looking for beginning of value\n"},
		{"a passed index is answered at once", "GET", "/v1/kv/a?index=1&wait=1m", "", 200, `[{"LockIndex":0,"Key":"a","Flags":0,"Value":"MQ==","CreateIndex":2,"ModifyIndex":2}]`},
		{"a wait that is over gives what there was", "GET", "/v1/kv/none?index=3&wait=1ms", "", 404, ""},
		{"what is no archive is refused", "PUT", "/v1/snapshot", "x", 500, "unexpected EOF\n"},
	} {
		status, body, _ := call(t, h, tc.method, tc.target, tc.body)
		if status != tc.status || body != tc.want {
			t.Errorf("%s: %d %s, want %d %s", tc.rule, status, body, tc.status, tc.want)
		}
	}
	_, archive, _ = call(t, h, "GET", "/v1/snapshot", "")
	if _, body, _ := call(t, h, "DELETE", "/v1/kv/?recurse", ""); body != "true" {
		t.Error("nothing was deleted")
	}
	if _, body, _ := call(t, h, "GET", "/v1/kv/?keys", ""); body != "[]" {
		t.Errorf("after the deletion there is %s", body)
	}
	if status, _, _ := call(t, h, "PUT", "/v1/snapshot", archive); status != 200 {
		t.Errorf("restore: status %d", status)
	}
	if _, body, _ := call(t, h, "GET", "/v1/kv/?keys", ""); body != `["a","d/a","d/b"]` {
		t.Errorf("after the restore there is %s", body)
	}
	h.Faults.Refuse = true
	if status, _, _ := call(t, h, "PUT", "/v1/kv/a", "1"); status != 500 {
		t.Errorf("a write that is to be refused has status %d", status)
	}
}

func TestStandInKeepsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "entries")
	for i, want := range []int{404, 200} {
		h, err := NewHandler(file)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, _ := call(t, h, "GET", "/v1/kv/a", ""); status != want {
			t.Errorf("opened %d times before: status %d, want %d", i, status, want)
		}
		call(t, h, "PUT", "/v1/kv/a", "1")
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
