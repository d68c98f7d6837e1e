package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestGetShapes: which parameters give which form of answer.
//
// Source: contract, KV, section 3.
func TestGetShapes(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "p/a", "1")
	mustPut(t, s, "p/d/x", "1")
	mustPut(t, s, "p/d/y", "1")
	mustPut(t, s, "p/e/", "1")
	mustPut(t, s, "px", "")
	const (
		a     = `{"LockIndex":0,"Key":"p/a","Flags":0,"Value":"MQ==","CreateIndex":4,"ModifyIndex":4}`
		px    = `{"LockIndex":0,"Key":"px","Flags":0,"Value":null,"CreateIndex":8,"ModifyIndex":8}`
		names = `["p/a","p/d/x","p/d/y","p/e/"]`
	)
	for _, tc := range []struct {
		rule, target string
		status       int
		body         string
	}{
		{"one key", "p/a", 200, "[" + a + "]"},
		{"a missing key", "p/none", 404, ""},
		{"a prefix is no key", "p/", 404, ""},
		{"raw", "p/a?raw", 200, "1"},
		{"raw whatever its value", "p/a?raw=false", 200, "1"},
		{"raw empty", "px?raw", 200, ""},
		{"raw missing", "none?raw", 404, ""},
		{"recurse", "px?recurse", 200, "[" + px + "]"},
		{"recurse whatever its value", "px?recurse=0", 200, "[" + px + "]"},
		{"recurse without a match", "q?recurse", 404, ""},
		{"recurse ignores raw", "px?recurse&raw", 200, "[" + px + "]"},
		{"keys", "p/?keys", 200, names},
		{"keys by plain prefix, the key itself too", "p?keys", 200, names[:len(names)-1] + `,"px"]`},
		{"keys wins over recurse and raw", "p/?recurse&raw&keys=false", 200, names},
		{"keys without a match", "q?keys", 404, ""},
		{"separator folds behind the prefix", "p/?keys&separator=/", 200, `["p/a","p/d/","p/e/"]`},
		{"separator folds once", "p/d?keys&separator=/", 200, `["p/d/"]`},
		{"separator in the prefix does not count", "p/d/?keys&separator=/", 200, `["p/d/x","p/d/y"]`},
		{"separator of several characters", "p?keys&separator=d/", 200, `["p/a","p/d/","p/e/","px"]`},
		{"empty separator", "p/?keys&separator=", 200, names},
		{"seperator", "p/?keys&seperator=/", 200, `["p/a","p/d/","p/e/"]`},
		{"the right spelling wins", "p/?keys&seperator=/&separator=d", 200, `["p/a","p/d","p/e/"]`},
		{"the right spelling wins when it is empty", "p/?keys&seperator=/&separator=", 200, names},
		{"separator without keys", "px?recurse&separator=/", 200, "[" + px + "]"},
		{"parameters of writes are ignored", "p/a?cas=x&flags=y&acquire=1&release=2", 200, "[" + a + "]"},
		{"limit without a list", "p/a?limit=x", 200, "[" + a + "]"},
		{"limit of a list must be a number", "p/?keys&limit=x", 400, `strconv.ParseUint: parsing "x": invalid syntax`},
		{"empty key", "?", 400, "Missing key name"},
		{"empty key raw", "?raw", 400, "Missing key name"},
		{"all keys", "?keys&separator=/", 200, `["p/","px"]`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := ask(t, s, http.MethodGet, "/v1/kv/"+tc.target, "")
			expect(t, w, tc.status, tc.body)
			if tc.status == 404 {
				expectHeader(t, w, "Content-Type", "")
				expectHeader(t, w, "X-Consul-Index", "8")
				expectHeader(t, w, "Content-Length", "0")
			}
			raw := tc.status == 200 && strings.HasPrefix(tc.rule, "raw")
			if got := w.Header().Get("Content-Security-Policy") == "sandbox"; got != raw {
				t.Errorf("browsers are told to be careful: %v, want %v", got, raw)
			}
		})
	}
}

// TestKeysAtTheRoot: 200 with an empty list where there is nothing; recurse is 404.
func TestKeysAtTheRoot(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	w := ask(t, s, http.MethodGet, "/v1/kv/?keys", "")
	expect(t, w, http.StatusOK, "[]")
	expectHeader(t, w, "X-Consul-Index", "1")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/?recurse", ""), http.StatusNotFound, "")
}

// TestKeysInPaths: every way to write a key in a path.
//
// Source: contract, KV, section 2; README, section 3.
func TestKeysInPaths(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for path, key := range map[string]string{
		"a/b": "a/b", "a/": "a/", "%2Fa": "/a", "a%2F%2Fb": "a//b", "a/%2e%2e/b": "a/../b", "%2e": ".", "sp%20ace": "sp ace",
		"pl+us": "pl+us", "q%3Fx": "q?x", "h%23x": "h#x", "p%25": "p%", "%E2%82%AC": "€", "x%FFy": "x\xffy", "a;b": "a;b", "a=b&c": "a=b&c",
		"%41": "A", "a:b@c!$'()*,": "a:b@c!$'()*,", "é": "é",
	} {
		t.Run(path, func(t *testing.T) {
			mustPut(t, s, path, "v")
			v, _ := s.node.Store().View().Get(key)
			if v == nil {
				t.Fatalf("no key %q in the store", key)
			}
			want := fmt.Sprintf(`[{"LockIndex":0,"Key":%s,"Flags":0,"Value":"dg==","CreateIndex":%d,"ModifyIndex":%[2]d}]`,
				appendString(nil, key), v.ModifyIndex)
			expect(t, ask(t, s, http.MethodGet, "/v1/kv/"+path, ""), http.StatusOK, want)
			expect(t, ask(t, s, http.MethodGet, "/v1/kv/"+path+"?recurse", ""), http.StatusOK, want)
			mustDelete(t, s, path)
		})
	}
}

// TestPretty: four spaces and a newline at the end, for lists, entries and bare
// values, by presence.
//
// Source: contract, README, section 7.
func TestPretty(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	expect(t, ask(t, s, http.MethodPut, "/v1/kv/a?pretty", "1"), http.StatusOK, "true\n")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/?keys&pretty=false", ""), http.StatusOK, "[\n    \"a\"\n]\n")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/none?keys&pretty", ""), http.StatusNotFound, "")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?pretty&raw", ""), http.StatusOK, "1")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?pretty&index=x", ""), http.StatusBadRequest, "Invalid index")
	expect(t, ask(t, s, http.MethodGet, "/v1/status/leader?pretty", ""), http.StatusOK, "\"127.0.0.1:8300\"\n")
}

// TestIndexes: what X-Consul-Index says, and that it does not go down.
//
// Source: contract, KV, section 6.
func TestIndexes(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	index := func(target, want string) {
		t.Helper()
		expectHeader(t, ask(t, s, http.MethodGet, "/v1/kv/"+target, ""), "X-Consul-Index", want)
	}
	index("none", "1")
	mustPut(t, s, "p/a", "1")   // 4
	mustPut(t, s, "p/d/x", "1") // 5
	mustPut(t, s, "other", "1") // 6
	index("p/a", "4")
	index("none", "6")
	index("p/?recurse", "5")
	index("p/?keys", "5")
	index("p/?keys&limit=1", "5")
	index("q/?recurse", "6")
	index("?keys", "6")
	mustDelete(t, s, "p/d/?recurse") // 7
	index("p/?recurse", "7")
	index("p/d/?recurse", "7")
	index("p/d/x", "7")
	mustPut(t, s, "other", "2") // 8
	index("p/d/?recurse", "7")
	index("p/d/x", "8")
	index("p/a", "4")
	if got := mustPut(t, s, "other", "2"); got != "9" {
		t.Errorf("a write without effect is at index %s, want 9", got)
	}
	index("other", "8")
	index("none", "8")
	mustDelete(t, s, "none")
	index("?recurse", "8")
}

// TestRevisions: reading back as of an index or a time.
func TestRevisions(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", "one")                                   // 4, 03:04:06
	mustPut(t, s, "b", "1")                                     // 5, 03:04:07
	mustPut(t, s, "a", "two")                                   // 6
	mustDelete(t, s, "a")                                       // 7
	mustPut(t, s, "a", "three")                                 // 8
	ask(t, s, http.MethodPut, "/v1/kv/a?cas=1", "refused")      // 9, no change
	ask(t, s, http.MethodPut, "/v1/kv/a?release=x", "no owner") // 10, no change
	for _, tc := range []struct {
		target string
		status int
		body   string
		index  string
	}{
		{"a?raw&revision=3", 404, "", "3"},
		{"a?raw&revision=4", 200, "one", "4"},
		{"a?raw&revision=5", 200, "one", "4"},
		{"a?raw&revision=6", 200, "two", "6"},
		{"a?raw&revision=7", 404, "", "7"},
		{"a?raw&revision=10", 200, "three", "8"},
		{"?keys&revision=3", 200, "[]", "3"},
		{"b?keys&revision=3", 404, "", "3"},
		{"?keys&revision=6", 200, `["a","b"]`, "6"},
		{"?keys&revision=7", 200, `["b"]`, "7"},
		{"?keys&revision=8&limit=1&after=a", 200, `["b"]`, "8"},
		{"a?raw&revision=4&index=8&wait=10m", 200, "one", "4"}, // never waits
		{"?keys&revision=8&index=6", 200, `["a","b"]`, "8"},
		{"b?keys&revision=8&index=6", 200, `["b"]`, "8"}, // b has not changed since 6, and 8 is what was asked for
		{"a?raw&at=2026-01-02T03:04:05Z", 404, "", "1"},
		{"a?raw&at=2026-01-02T03:04:06Z", 200, "one", "4"},
		{"a?raw&at=2026-01-02T03:04:07.999Z", 200, "one", "4"},
		{"a?raw&at=2026-01-02T05:04:08%2B02:00", 200, "two", "6"},
		{"a?raw&at=2030-01-01T00:00:00Z", 200, "three", "8"},
		{"a?at=yesterday", 400, "Invalid time in ?at, want RFC 3339 such as 2006-01-02T15:04:05Z", ""},
		{"a?at=", 400, "Invalid time in ?at, want RFC 3339 such as 2006-01-02T15:04:05Z", ""},
		{"a?revision=", 400, `strconv.ParseUint: parsing "": invalid syntax`, ""},
		{"a?revision=0", 400, "?revision must be an index above 0", ""},
		{"a?revision=11", 400, "?revision=11 lies ahead of this server, which is at index 10", ""},
		{"a?revision=4&at=2026-01-02T03:04:06Z", 400, "Specify ?revision or ?at, not both", ""},
	} {
		t.Run(tc.target, func(t *testing.T) {
			w := ask(t, s, http.MethodGet, "/v1/kv/"+tc.target, "")
			expect(t, w, tc.status, tc.body)
			expectHeader(t, w, "X-Consul-Index", tc.index)
		})
	}
}

// TestPrunedRevisions: 410 with the oldest index that can be read back, from which
// on everything can.
func TestPrunedRevisions(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	for i := range 6 {
		mustPut(t, s, "a", fmt.Sprint(i)) // 4 to 9
	}
	mustPut(t, s, "b", "1") // 10
	prune(t, node, kvs.Plan{Through: 6})
	for _, target := range []string{"a?revision=5", "?keys&revision=5", "?recurse&revision=5", "none?revision=1", "a?at=2026-01-02T03:04:06Z", "?keys&at=2026-01-02T03:04:06Z"} {
		w := ask(t, s, http.MethodGet, "/v1/kv/"+target, "")
		expect(t, w, http.StatusGone, "history before index 6 is no longer kept")
		expectHeader(t, w, "X-Holdfast-Oldest-Index", "6")
	}
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?raw&revision=6", ""), http.StatusOK, "2")
	prune(t, node, kvs.Plan{Trims: []kvs.Trim{{Key: "a", Keep: 2}}}) // the versions at 8 and 9
	w := ask(t, s, http.MethodGet, "/v1/kv/a?revision=7", "")
	expect(t, w, http.StatusGone, "history before index 8 is no longer kept")
	expectHeader(t, w, "X-Holdfast-Oldest-Index", "8")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/?keys&revision=7", ""), http.StatusGone, "history before index 8 is no longer kept")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/b?revision=7", ""), http.StatusNotFound, "")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?raw&revision=8", ""), http.StatusOK, "4")
	if got := len(history(t, s, "a?history")); got != 2 {
		t.Errorf("history has %d versions, want 2", got)
	}
}

func prune(t *testing.T, node *localNode, p kvs.Plan) {
	t.Helper()
	if _, err := node.Propose(t.Context(), &fsm.Command{Prune: &p}); err != nil {
		t.Fatal(err)
	}
}

// pastVersion is what ?history says of a version, as a client would read it.
type pastVersion struct {
	Index, CreateIndex, Flags uint64
	Time                      time.Time
	Op, Reason, Address       string
	Size                      int
	Value                     *[]byte
}

func history(t *testing.T, s *Server, target string) []pastVersion {
	t.Helper()
	w := ask(t, s, http.MethodGet, "/v1/kv/"+target, "")
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s answered %d %q", target, w.Code, w.Body)
	}
	var out []pastVersion
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHistory: who, when, what and why, newest first.
func TestHistory(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/kv/a?flags=3", strings.NewReader("one"))
	r.Header.Set("X-Holdfast-Reason", "for Jürgen <1>")
	r.RemoteAddr = "[::ffff:198.51.100.7]:99"
	s.ServeHTTP(httptest.NewRecorder(), r)
	mustPut(t, s, "a", "one") // other flags
	mustPut(t, s, "a", "one") // no change
	mustDelete(t, s, "?recurse")
	mustPut(t, s, "a", "")
	got := history(t, s, "a?history")
	if len(got) != 4 {
		t.Fatalf("history has %d versions, want 4", len(got))
	}
	for i, want := range []pastVersion{
		{Index: 8, CreateIndex: 8, Op: "set", Address: "192.0.2.1"},
		{Index: 7, CreateIndex: 4, Op: "delete", Address: "192.0.2.1"},
		{Index: 5, CreateIndex: 4, Op: "set", Size: 3, Address: "192.0.2.1"},
		{Index: 4, CreateIndex: 4, Op: "set", Size: 3, Flags: 3, Reason: "for Jürgen <1>", Address: "198.51.100.7"},
	} {
		have := got[i]
		if wantTime := time.Date(2026, 1, 2, 3, 4, 2+int(want.Index), 0, time.UTC); !have.Time.Equal(wantTime) {
			t.Errorf("version %d is of %v, want %v", want.Index, have.Time, wantTime)
		}
		if (have.Value == nil) != (want.Size == 0) || have.Value != nil && string(*have.Value) != "one" {
			t.Errorf("version %d has the value %v", want.Index, have.Value)
		}
		have.Time, have.Value = time.Time{}, nil
		if have != want {
			t.Errorf("version is %+v, want %+v", have, want)
		}
	}
	for n, want := range map[string]int{"": 4, "=": 4, "=1": 1, "=3": 3, "=4": 4, "=0": 0, "=99": 4, "=18446744073709551615": 4} {
		if got := len(history(t, s, "a?history"+n)); got != want {
			t.Errorf("?history%s has %d versions, want %d", n, got, want)
		}
	}
	for target, text := range map[string]string{
		"a?history=x":          `strconv.ParseUint: parsing "x": invalid syntax`,
		"a?history=-1":         `strconv.ParseUint: parsing "-1": invalid syntax`,
		"a?history&recurse":    "?history is for one key, not for a prefix",
		"a?history&keys":       "?history is for one key, not for a prefix",
		"?history":             "Missing key name",
		"a?history&revision=0": "?revision must be an index above 0",
	} {
		expect(t, ask(t, s, http.MethodGet, "/v1/kv/"+target, ""), http.StatusBadRequest, text)
	}
}

// TestMinIndex: a read with ?min-index waits until this server has applied it, so
// that a client reads its own write wherever it asks.
func TestMinIndex(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.HoldTime = time.Millisecond })
	index := mustPut(t, s, "a", "1")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?raw&stale&min-index="+index, ""), http.StatusOK, "1")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?raw&stale&min-index=5", ""), http.StatusInternalServerError,
		"this server has not reached min-index yet; ask again or ask another server")
	refused := ask(t, s, http.MethodPut, "/v1/kv/a?cas=0", "2").Header().Get("X-Consul-Index")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/a?raw&stale&min-index="+refused, ""), http.StatusOK, "1")
}
