package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestPut: parameters of a put and what they do, on a key that has been written at
// index 4 with flags 1.
//
// Source: contract, KV, section 4; README, section 5.
func TestPut(t *testing.T) {
	const parse = "strconv.ParseUint: parsing "
	for _, tc := range []struct {
		rule, target string
		status       int
		body         string
		value        string // of the key named in the target afterwards; "-" when it is missing
		flags        uint64
	}{
		{"plain resets flags", "a", 200, "true", "new", 0},
		{"flags", "a?flags=7", 200, "true", "new", 7},
		{"largest flags", "a?flags=18446744073709551615", 200, "true", "new", math.MaxUint64},
		{"flags with leading zeros", "a?flags=007", 200, "true", "new", 7},
		{"the first flags count", "a?flags=1&flags=x", 200, "true", "new", 1},
		{"flags too large", "a?flags=18446744073709551616", 400, parse + `"18446744073709551616": value out of range`, "old", 1},
		{"negative flags", "a?flags=-1", 400, parse + `"-1": invalid syntax`, "old", 1},
		{"signed flags", "a?flags=%2B1", 400, parse + `"+1": invalid syntax`, "old", 1},
		{"flags in hex", "a?flags=0x10", 400, parse + `"0x10": invalid syntax`, "old", 1},
		{"empty flags", "a?flags=", 400, parse + `"": invalid syntax`, "old", 1},
		{"flags without a value", "a?flags", 400, parse + `"": invalid syntax`, "old", 1},
		{"cas=0 creates", "b?cas=0", 200, "true", "new", 0},
		{"cas=0 never replaces", "a?cas=0", 200, "false", "old", 1},
		{"the right cas replaces", "a?cas=4", 200, "true", "new", 0},
		{"the right cas with leading zeros", "a?cas=0004", 200, "true", "new", 0},
		{"another cas does not", "a?cas=3", 200, "false", "old", 1},
		{"cas does not create", "b?cas=4", 200, "false", "-", 0},
		{"bad cas", "a?cas=abc", 400, parse + `"abc": invalid syntax`, "old", 1},
		{"empty cas", "a?cas", 400, parse + `"": invalid syntax`, "old", 1},
		{"recurse and keys are ignored", "a?recurse&keys&raw&separator=/", 200, "true", "new", 0},
		{"cas and acquire", "a?cas=1&acquire=s", 400, "Conflicting flags: acquire=s&cas=1\n", "old", 1},
		{"all parameters are listed, sorted", "a?release=x&acquire=y&flags=1&foo=b+r", 400, "Conflicting flags: acquire=y&flags=1&foo=b+r&release=x\n", "old", 1},
		{"conflict by presence", "a?cas&release", 400, "Conflicting flags: cas=&release=\n", "old", 1},
		{"every value of a repeated one is listed", "a?cas=2&acquire=&cas=1", 400, "Conflicting flags: acquire=&cas=2&cas=1\n", "old", 1},
		{"acquire of a session that does not exist", "a?acquire=s", 500, `raft apply failed: invalid session "s"`, "old", 1},
		{"acquire of none", "a?acquire=", 500, "raft apply failed: missing session", "old", 1},
		{"release of a session that does not hold it", "a?release=s", 200, "false", "old", 1},
		{"release of none", "a?release", 500, "raft apply failed: missing session", "old", 1},
		{"empty key", "?cas=x", 400, "Missing key name", "-", 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newTestServer(t, newLocalNode(t))
			mustPut(t, s, "a?flags=1", "old")
			w := ask(t, s, http.MethodPut, "/v1/kv/"+tc.target, "new")
			expect(t, w, tc.status, tc.body)
			wantIndex := ""
			if tc.status == http.StatusOK {
				wantIndex = "5"
			}
			expectHeader(t, w, "X-Consul-Index", wantIndex)
			expectHeader(t, w, "X-Consul-Knownleader", "")
			expectHeader(t, w, "X-Consul-Lastcontact", "")
			key, _, _ := strings.Cut(tc.target, "?")
			v, _ := s.node.Store().View().Get(key)
			switch {
			case tc.value == "-":
				if v != nil {
					t.Errorf("key %q exists", key)
				}
			case v == nil || string(v.Value) != tc.value || v.Flags != tc.flags:
				t.Errorf("key %q is %+v, want %q with flags %d", key, v, tc.value, tc.flags)
			}
		})
	}
}

// TestUnchangedPut: a put that changes nothing leaves the index alone and may be
// repeated.
//
// Source: contract, KV, section 6.
func TestUnchangedPut(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a?flags=2", "v")
	for range 3 {
		mustPut(t, s, "a?flags=2&cas=4", "v")
		expectHeader(t, ask(t, s, http.MethodGet, "/v1/kv/a", ""), "X-Consul-Index", "4")
	}
}

// TestDelete: parameters of a delete.
//
// Source: contract, KV, section 5.
func TestDelete(t *testing.T) {
	for _, tc := range []struct {
		rule, target string
		status       int
		body, left   string
	}{
		{"exactly that key", "a", 200, "true", `["a/b","ab","b"]`},
		{"a missing key", "none", 200, "true", `["a","a/b","ab","b"]`},
		{"by plain prefix", "a?recurse", 200, "true", `["b"]`},
		{"by prefix whatever the value", "a/?recurse=false", 200, "true", `["a","ab","b"]`},
		{"by prefix without a match", "z?recurse", 200, "true", `["a","a/b","ab","b"]`},
		{"everything", "?recurse", 200, "true", `[]`},
		{"an empty key", "", 400, "Missing key name", `["a","a/b","ab","b"]`},
		{"the right cas", "a?cas=4", 200, "true", `["a/b","ab","b"]`},
		{"another cas", "a?cas=5", 200, "false", `["a","a/b","ab","b"]`},
		{"cas=0", "a?cas=0", 200, "false", `["a","a/b","ab","b"]`},
		{"any cas of a missing key", "none?cas=99", 200, "true", `["a","a/b","ab","b"]`},
		{"cas=0 of a missing key", "none?cas=0", 200, "true", `["a","a/b","ab","b"]`},
		{"bad cas", "a?cas=x", 400, `strconv.ParseUint: parsing "x": invalid syntax`, `["a","a/b","ab","b"]`},
		{"cas and recurse", "a?recurse&cas=4", 400, "Conflicting flags: cas=4&recurse=\n", `["a","a/b","ab","b"]`},
		{"flags of a put are ignored", "a?flags=x&acquire=y&release=z", 200, "true", `["a/b","ab","b"]`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newTestServer(t, newLocalNode(t))
			for _, k := range []string{"a", "a/b", "ab", "b"} {
				mustPut(t, s, k, "1")
			}
			w := ask(t, s, http.MethodDelete, "/v1/kv/"+tc.target, "a body is ignored")
			expect(t, w, tc.status, tc.body)
			if tc.status == http.StatusOK {
				expectHeader(t, w, "X-Consul-Index", "8")
			}
			expect(t, ask(t, s, http.MethodGet, "/v1/kv/?keys", ""), http.StatusOK, tc.left)
		})
	}
}

// TestKeepRoot: with the switch on, nobody deletes every key at once, by either
// way.
//
// Source: contract, KV, "Where Holdfast should differ" 6.
func TestKeepRoot(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.KeepRoot = true })
	mustPut(t, s, "a", "1")
	mustPut(t, s, "b", "1")
	const text = "eleting every key at once is switched off on this server (disable_root_recursive_delete)"
	expect(t, ask(t, s, http.MethodDelete, "/v1/kv/?recurse", ""), http.StatusForbidden, "D"+text)
	expect(t, ask(t, s, http.MethodPut, "/v1/txn", `[{},{"KV":{"Verb":"get","Key":"a"}},{"KV":{"Verb":"delete-tree","Key":""}}]`), http.StatusConflict,
		`{"Results":null,"Errors":[{"OpIndex":1,"What":"d`+text+`"}]}`)
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/?keys", ""), http.StatusOK, `["a","b"]`)
	mustDelete(t, s, "a?recurse")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/?keys", ""), http.StatusOK, `["b"]`)
}

// TestReason: it is kept with the change as it was given, and never cut.
func TestReason(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	longest := strings.Repeat("x", limit.ReasonBytes)
	set := `[{"KV":{"Verb":"set","Key":"a","Value":"dA=="}},{"KV":{"Verb":"set","Key":"b"}}]`
	for _, tc := range []struct {
		reason string
		status int
		body   string
	}{
		{"because", 200, ""},
		{"für später, 为什么", 200, ""},
		{longest, 200, ""},
		{longest + "x", 400, "X-Holdfast-Reason is longer than 1024 bytes"},
		{"not \xff UTF-8", 400, "X-Holdfast-Reason is not valid UTF-8"},
	} {
		t.Run(tc.reason[:min(20, len(tc.reason))], func(t *testing.T) {
			for _, w := range []struct{ method, target, body string }{
				{"PUT", "/v1/kv/a", tc.reason}, {"PUT", "/v1/txn", set}, {"DELETE", "/v1/kv/a", ""},
			} {
				got := ask(t, s, w.method, w.target, w.body, "X-Holdfast-Reason", tc.reason)
				if tc.status != 200 {
					expect(t, got, tc.status, tc.body)
					continue
				}
				if got.Code != 200 {
					t.Errorf("%s %s is answered %d %q", w.method, w.target, got.Code, got.Body)
				}
				if h := history(t, s, "a?history=1"); h[0].Reason != tc.reason {
					t.Errorf("after %s %s the reason is %q", w.method, w.target, h[0].Reason)
				}
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		mustPut(t, s, "a", "1")
		if h := history(t, s, "a?history=1"); h[0].Reason != "" {
			t.Errorf("reason is %q", h[0].Reason)
		}
	})
}

// TestWriteIndex: every write says from which index on its effect can be read, and
// the entry has that index if it was changed.
func TestWriteIndex(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	for i, w := range []struct{ method, target, body string }{
		{"PUT", "/v1/kv/a", "1"},
		{"PUT", "/v1/kv/a", "1"},
		{"PUT", "/v1/kv/a?cas=0", "2"},
		{"DELETE", "/v1/kv/a", ""},
		{"DELETE", "/v1/kv/a", ""},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a"}}]`},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"cas","Key":"a","Index":1}}]`},
	} {
		got := ask(t, s, w.method, w.target, w.body)
		expectHeader(t, got, "X-Consul-Index", fmt.Sprint(4+i))
		if applied := node.store.Applied(); applied != uint64(4+i) {
			t.Errorf("index %d is applied, want %d", applied, 4+i)
		}
	}
}

// TestValues: any bytes survive, and a key holds what its last put brought.
func TestValues(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, value := range []string{"", "\x00", "\xff\xfe", "hello", strings.Repeat("\x01\x80", 4000), strings.Repeat("m", limit.ValueBytes)} {
		mustPut(t, s, "v", value)
		expect(t, ask(t, s, http.MethodGet, "/v1/kv/v?raw", ""), http.StatusOK, value)
		var entries []struct{ Value []byte }
		if err := json.Unmarshal(ask(t, s, http.MethodGet, "/v1/kv/v", "").Body.Bytes(), &entries); err != nil {
			t.Fatal(err)
		}
		if string(entries[0].Value) != value {
			t.Errorf("value of %d bytes comes back as %d", len(value), len(entries[0].Value))
		}
	}
}

// TestEmptyValueIsTheSameInAllWays: a put without a body, one with an empty one
// and one in a transaction.
func TestEmptyValueIsTheSameInAllWays(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", "")
	for _, value := range []string{`null`, `""`} {
		expect(t, ask(t, s, http.MethodPut, "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":`+value+`}}]`), http.StatusOK,
			`{"Results":[{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":4,"ModifyIndex":4}}],"Errors":null}`)
	}
	if v, _ := s.node.Store().View().Get("a"); v.ModifyIndex != 4 {
		t.Errorf("an empty value was another empty value: %+v", kvs.Version{ModifyIndex: v.ModifyIndex})
	}
}
