package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func askTxn(t *testing.T, s *Server, body string) (int, string) {
	t.Helper()
	w := ask(t, s, http.MethodPut, "/v1/txn", body)
	return w.Code, w.Body.String()
}

// readPart is what the answer of a transaction that only reads has in addition.
func readPart(index int) string {
	return fmt.Sprintf(`,"Index":%d,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`, index)
}

// TestTxnVerbs: every verb on the key a, which has the value b at index 4, and on
// the key none, which is missing.
//
// Source: contract, transactions, section 1.
func TestTxnVerbs(t *testing.T) {
	const (
		entry  = `{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":"Yg==","CreateIndex":4,"ModifyIndex":4}}`
		bare   = `{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":4,"ModifyIndex":4}}`
		writes = `{"KV":{"LockIndex":0,"Key":"a","Flags":9,"Value":null,"CreateIndex":4,"ModifyIndex":5}}`
	)
	for _, tc := range []struct {
		op      string
		write   bool
		results string
		what    string // why it was refused
	}{
		{`"Verb":"set","Key":"a","Value":"eA==","Flags":9`, true, writes, ""},
		{`"Verb":"set","Key":"a","Value":"Yg=="`, true, bare, ""}, // unchanged
		{`"Verb":"cas","Key":"a","Value":"eA==","Flags":9,"Index":4`, true, writes, ""},
		{`"Verb":"cas","Key":"a","Index":3`, true, "", `failed to set key "a", index is stale`},
		{`"Verb":"cas","Key":"a"`, true, "", `failed to set key "a", index is stale`},
		{`"Verb":"cas","Key":"none","Index":4`, true, "", `failed to set key "none", index is stale`},
		{`"Verb":"lock","Key":"a","Session":"s"`, true, "", `invalid session "s"`},
		{`"Verb":"lock","Key":"a"`, true, "", `missing session`},
		{`"Verb":"unlock","Key":"a","Session":"s"`, true, "", `failed to unlock key "a", lock isn't held, or is held by another session`},
		{`"Verb":"unlock","Key":"a"`, true, "", `missing session`},
		{`"Verb":"get","Key":"a"`, false, entry, ""},
		{`"Verb":"get","Key":"none"`, false, "", `key "none" doesn't exist`},
		{`"Verb":"get-or-empty","Key":"a"`, false, entry, ""},
		{`"Verb":"get-or-empty","Key":"none","Flags":3`, false, `{"KV":{"LockIndex":0,"Key":"none","Flags":3,"Value":null,"CreateIndex":0,"ModifyIndex":0}}`, ""},
		{`"Verb":"get-tree","Key":"a"`, false, entry, ""},
		{`"Verb":"get-tree","Key":"none"`, false, "-", ""},
		{`"Verb":"check-index","Key":"a","Index":4`, false, bare, ""},
		{`"Verb":"check-index","Key":"a","Index":9`, false, "", `failed index check for key "a", current modify index 4 != 9`},
		{`"Verb":"check-index","Key":"none"`, false, "", `failed to check index, key "none" doesn't exist`},
		{`"Verb":"check-session","Key":"a"`, false, bare, ""},
		{`"Verb":"check-session","Key":"a","Session":"s"`, false, "", `failed session check for key "a", current session "" != "s"`},
		{`"Verb":"check-session","Key":"none"`, false, "", `failed to check session, key "none" doesn't exist`},
		{`"Verb":"check-not-exists","Key":"none"`, false, "-", ""},
		{`"Verb":"check-not-exists","Key":"a"`, false, "", `key "a" exists`},
		{`"Verb":"delete","Key":"a"`, true, "-", ""},
		{`"Verb":"delete","Key":"none"`, true, "-", ""},
		{`"Verb":"delete-tree","Key":"a"`, true, "-", ""},
		{`"Verb":"delete-tree","Key":""`, true, "-", ""},
		{`"Verb":"delete-cas","Key":"a","Index":4`, true, "-", ""},
		{`"Verb":"delete-cas","Key":"a","Index":3`, true, "", `failed to delete key "a", index is stale`},
		{`"Verb":"delete-cas","Key":"a"`, true, "", `failed to delete key "a", index is stale`},
		{`"Verb":"delete-cas","Key":"none","Index":3`, true, "-", ""},
		{`"Verb":"frobnicate","Key":"a"`, false, "", `unknown KV operation: frobnicate`},
		{`"Verb":"SET","Key":"a"`, false, "", `unknown KV operation: SET`},
		{`"Verb":"","Key":"a"`, false, "", `unknown KV operation: `},
		{`"Verb":"set"`, true, "", `Must provide key`},
		{`"Verb":"get-tree","Key":""`, false, "", `Must provide key`},
	} {
		t.Run(tc.op, func(t *testing.T) {
			s := newTestServer(t, newLocalNode(t))
			mustPut(t, s, "a", "b")
			want := `{"Results":[` + strings.Trim(tc.results, "-") + `],"Errors":null`
			if tc.what != "" {
				want = `{"Results":null,"Errors":[{"OpIndex":0,"What":` + string(appendString(nil, tc.what)) + `}]`
			}
			if tc.write {
				want += "}"
			} else {
				want += readPart(4)
			}
			w := ask(t, s, http.MethodPut, "/v1/txn", `[{"KV":{`+tc.op+`}}]`)
			status := http.StatusOK
			if tc.what != "" {
				status = http.StatusConflict
			}
			expect(t, w, status, want)
			expectHeader(t, w, "Content-Type", "application/json")
			if tc.write {
				expectHeader(t, w, "X-Consul-Knownleader", "")
			} else {
				expectHeader(t, w, "X-Consul-Knownleader", "true")
				expectHeader(t, w, "X-Consul-Lastcontact", "0")
				expectHeader(t, w, "X-Consul-Index", "")
			}
			if v, _ := s.node.Store().View().Get("a"); tc.what != "" && (v == nil || v.ModifyIndex != 4) {
				t.Errorf("a refused operation changed a: %+v", v)
			}
		})
	}
}

// TestTxnAsAWhole: all or nothing, in order, under one index.
//
// Source: contract, transactions, sections 2 and 3.
func TestTxnAsAWhole(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	op := func(parts ...string) string { return `[{"KV":{` + strings.Join(parts, `}},{"KV":{`) + `}}]` }
	result := func(key string, create, modify int, value string) string {
		return fmt.Sprintf(`{"KV":{"LockIndex":0,"Key":%q,"Flags":0,"Value":%s,"CreateIndex":%d,"ModifyIndex":%d}}`, key, value, create, modify)
	}
	for _, tc := range []struct {
		rule, body string
		status     int
		want       string
	}{
		{
			"later operations see earlier ones, and all writes have one index", op(`"Verb":"set","Key":"a","Value":"MQ=="`, `"Verb":"set","Key":"b"`, `"Verb":"get-tree","Key":"a"`, `"Verb":"check-index","Key":"b","Index":4`),
			200, `{"Results":[` + result("a", 4, 4, "null") + "," + result("b", 4, 4, "null") + "," + result("a", 4, 4, `"MQ=="`) + "," + result("b", 4, 4, "null") + `],"Errors":null}`,
		},
		{
			"every refusal is reported and nothing is done", op(`"Verb":"cas","Key":"a","Index":1`, `"Verb":"set","Key":"c"`, `"Verb":"check-not-exists","Key":"c"`, `"Verb":"get","Key":"c"`),
			409, `{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"a\", index is stale"},{"OpIndex":2,"What":"key \"c\" exists"}]}`,
		},
		{
			"nothing was done", op(`"Verb":"check-not-exists","Key":"c"`),
			200, `{"Results":[],"Errors":null` + readPart(4),
		},
		{
			"what cannot be done at all is reported alone", op(`"Verb":"cas","Key":"a","Index":1`, `"Verb":"set"`, `"Verb":"nope","Key":"x"`),
			409, `{"Results":null,"Errors":[{"OpIndex":1,"What":"Must provide key"},{"OpIndex":2,"What":"unknown KV operation: nope"}]}`,
		},
		{
			"an element without an operation does not count for OpIndex", `[{},{"KV":null},{"KV":{"Verb":"get","Key":"none"}},{},{"KV":{"Verb":"get","Key":"nope"}}]`,
			409, `{"Results":null,"Errors":[{"OpIndex":0,"What":"key \"none\" doesn't exist"},{"OpIndex":1,"What":"key \"nope\" doesn't exist"}]` + readPart(4),
		},
		{
			"of several kinds in one element the first counts", `[{"Check":{"Verb":"set"},"Node":{"x":[1,{"y":null}]},"KV":{"Verb":"get","Key":"b"}}]`,
			200, `{"Results":[` + result("b", 4, 4, "null") + `],"Errors":null` + readPart(4),
		},
		{
			"keys are taken as they are", op(`"Verb":"set","Key":"//x/../\u0000\n"`, `"Verb":"delete","Key":"//x/../\u0000\n"`, `"Verb":"check-not-exists","Key":"//x/../\u0000\n"`),
			200, `{"Results":[{"KV":{"LockIndex":0,"Key":"//x/../\u0000\n","Flags":0,"Value":null,"CreateIndex":6,"ModifyIndex":6}}],"Errors":null}`,
		},
		{"an empty list", `[]`, 200, `{"Results":[],"Errors":null` + readPart(6)},
		{"null", ` null `, 200, `{"Results":[],"Errors":null` + readPart(6)},
		{"selectors of namespaces are ignored", op(`"Verb":"get","Key":"b","Namespace":"n","Partition":"p"`), 200, `{"Results":[` + result("b", 4, 4, "null") + `],"Errors":null` + readPart(6)},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			status, body := askTxn(t, s, tc.body)
			if status != tc.status || body != tc.want {
				t.Errorf("answer is %d %s\nwant %d %s", status, body, tc.status, tc.want)
			}
		})
	}
}

// TestTxnLimits: in the order of the contract, section 3.
func TestTxnLimits(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ValueBytes, s.TxnBytes, s.TxnOps = 10, 1<<20, 4 })
	get := `{"KV":{"Verb":"get-or-empty","Key":"a"}}`
	list := func(n int, op string) string { return "[" + strings.TrimSuffix(strings.Repeat(op+",", n), ",") + "]" }
	for _, tc := range []struct {
		rule, body string
		status     int
		text       string
	}{
		{"as many as allowed", list(4, get), 200, ""},
		{"one more", list(5, get), 413, "Transaction contains too many operations (5 > 4)"},
		{"elements without an operation count", list(5, "{}"), 413, "Transaction contains too many operations (5 > 4)"},
		{"very many", list(100_000, "{}"), 413, "Transaction contains too many operations (100000 > 4)"},
		{"the body is read to its end before they are counted", list(5, get) + "x", 400, "Failed to parse body: "},
		{"value of the limit", `[{"KV":{"Verb":"set","Key":"a","Value":"AAAAAAAAAAAAAA=="}}]`, 200, ""},
		{"value above it", `[{"KV":{"Verb":"set","Key":"z","Value":"AAAAAAAAAAAAAAA="}}]`, 413, `Value for key "z" is too large (11 > 10 bytes)`},
		{"size of a value before what cannot be done", `[{"KV":{"Verb":"set"}},{"KV":{"Verb":"set","Key":"z","Value":"AAAAAAAAAAAAAAA="}}]`, 413, `Value for key "z" is too large (11 > 10 bytes)`},
		{"number of operations before sizes", list(5, `{"KV":{"Verb":"set","Key":"z","Value":"AAAAAAAAAAAAAAA="}}`), 413, "Transaction contains too many operations (5 > 4)"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			status, body := askTxn(t, s, tc.body)
			if status != tc.status || !strings.HasPrefix(body, tc.text) || tc.status == 413 && body != tc.text {
				t.Errorf("answer is %d %q, want %d %q", status, shortened(body), tc.status, tc.text)
			}
		})
	}
}

// TestTxnParameters: a transaction that writes does not look at the parameters of
// reads, one that only reads checks them and never waits.
//
// Source: contract, transactions, section 2.
func TestTxnParameters(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	const read, write = `[{"KV":{"Verb":"get-or-empty","Key":"a"}}]`, `[{"KV":{"Verb":"set","Key":"a"}}]`
	for query, status := range map[string]int{
		"stale": 200, "consistent": 200, "index=4&wait=10m": 200, "min-index=0": 200,
		"stale&consistent": 400, "index=x": 400, "wait=1": 400, "max_stale=x": 400, "ns=x": 400,
	} {
		if w := ask(t, s, http.MethodPut, "/v1/txn?"+query, read); w.Code != status {
			t.Errorf("?%s on a read is answered %d %q, want %d", query, w.Code, w.Body, status)
		}
		if w := ask(t, s, http.MethodPut, "/v1/txn?"+query, write); w.Code != http.StatusOK {
			t.Errorf("?%s on a write is answered %d %q", query, w.Code, w.Body)
		}
	}
}
