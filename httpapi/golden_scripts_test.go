package httpapi

import (
	"bytes"
	"strings"
	"testing"
)

type goldenScript struct {
	name  string
	steps func(testing.TB) []step
}

// goldenScripts are the requests behind the golden files, one script for each
// area. Indexes begin at 4 and every write takes one.
func goldenScripts() []goldenScript {
	return []goldenScript{
		{"conventions", conventionsScript},
		{"kv", kvScript},
		{"history", historyScript},
		{"txn", txnScript},
		{"blocking", blockingScript},
		{"status", statusScript},
		{"snapshot", snapshotScript},
	}
}

func conventionsScript(testing.TB) []step {
	return []step{
		{send: "PUT /v1/kv/app/name", body: "shop"},
		{send: "GET /v1/kv/app/name"},
		{send: "GET /v1/kv/app/name?pretty=false"},
		{send: "GET /v1/kv/app/none"},
		{send: "HEAD /v1/kv/app/name"},
		{send: "HEAD /v1/kv/app/none"},
		{send: "OPTIONS /v1/kv/app/name"},
		{send: "OPTIONS /v1/nope"},
		{send: "POST /v1/kv/app/name", body: "x"},
		{send: "FOO /v1/kv/app/name"},
		{send: "HEAD /v1/txn"},
		{send: "GET /v1/nope"},
		{send: "GET /nope"},
		{send: "GET /v1/kv?keys"},
		{send: "PUT /v1/kv/app//name?flags=1", body: "x"},
		{send: "PUT /v1/kv/app/../name", body: "x"},
		{send: "PUT /v1/kv/app/a%0Ab", body: "x"},
		{send: "GET /v1/kv/app/name?stale&consistent"},
		{send: "GET /v1/kv/app/name?cached&consistent"},
		{send: "GET /v1/kv/app/name?max_stale=abc"},
		{send: "GET /v1/kv/app/name?dc=dc1"},
		{send: "GET /v1/kv/app/name?dc=nodc"},
		{send: "GET /v1/kv/app/name?ns=default"},
		{send: "GET /v1/kv/app/name", headers: []string{"X-Consul-Namespace", "default"}},
		{send: "GET /v1/kv/app/name", headers: []string{"Cache-Control", "max-age=x"}},
		{send: "GET /v1/kv/app/name?raw;x=1"},
		{send: "GET /v1/kv/app/name?%zz"},
		{send: "PUT /v1/kv/app/big", body: strings.Repeat("a", 1400)},
		{send: "GET /v1/kv/app/big?raw", headers: []string{"Accept-Encoding", "gzip"}},
		{send: "GET /v1/kv/app/big?raw", headers: []string{"Accept-Encoding", "gzip;q=0"}},
		{send: "PUT /v1/kv/app/small", body: strings.Repeat("a", 1399)},
		{send: "GET /v1/kv/app/small?raw", headers: []string{"Accept-Encoding", "gzip"}},
		{send: "GET /v1/kv/app/name", body: "a body on a GET is ignored"},
		{send: "GET /v1/kv/app/name", headers: []string{"If-None-Match", `W/"4"`}},
		{send: "GET /v1/kv/app/name", headers: []string{"If-None-Match", `"3", "5"`}},
	}
}

func kvScript(testing.TB) []step {
	return []step{
		{send: "GET /v1/kv/?keys"},
		{send: "GET /v1/kv/?recurse"},
		{send: "GET /v1/kv/cfg/none"},
		{send: "PUT /v1/kv/cfg/a", body: "hello"},
		{send: "GET /v1/kv/cfg/a"},
		{send: "GET /v1/kv/cfg/a?raw"},
		{send: "PUT /v1/kv/cfg/a", body: "hello"},
		{send: "GET /v1/kv/cfg/a"},
		{send: "PUT /v1/kv/cfg/a?flags=18446744073709551615", body: "hello"},
		{send: "GET /v1/kv/cfg/a"},
		{send: "PUT /v1/kv/cfg/a?cas=0", body: "x"},
		{send: "PUT /v1/kv/cfg/a?cas=6", body: "v2"},
		{send: "PUT /v1/kv/cfg/a?cas=6", body: "v3"},
		{send: "GET /v1/kv/cfg/a"},
		{send: "PUT /v1/kv/cfg/a?flags=-1", body: "x"},
		{send: "PUT /v1/kv/cfg/a?cas=", body: "x"},
		{send: "PUT /v1/kv/cfg/a?cas=1&acquire=s", body: "x"},
		{send: "PUT /v1/kv/cfg/l?acquire=nobody", body: "x"},
		{send: "PUT /v1/kv/cfg/l?acquire=", body: "x"},
		{send: "PUT /v1/kv/cfg/a?release=nobody", body: "x"},
		{send: "PUT /v1/kv/cfg/e"},
		{send: "GET /v1/kv/cfg/e"},
		{send: "GET /v1/kv/cfg/e?raw"},
		{send: "PUT /v1/kv/cfg/d/", body: "1"},
		{send: "PUT /v1/kv/cfg/d/x", body: "1"},
		{send: "PUT /v1/kv/cfg/d/y", body: "2"},
		{send: "GET /v1/kv/cfg/?recurse"},
		{send: "GET /v1/kv/cfg/?keys"},
		{send: "GET /v1/kv/cfg/?keys&separator=/"},
		{send: "GET /v1/kv/cfg/d?keys&separator=/"},
		{send: "GET /v1/kv/cfg/?keys&recurse&raw"},
		{send: "GET /v1/kv/"},
		{send: "PUT /v1/kv/", body: "x"},
		{send: "DELETE /v1/kv/"},
		{send: "GET /v1/kv/?keys&seperator=/"},
		{send: "DELETE /v1/kv/cfg/d/y?cas=0"},
		{send: "DELETE /v1/kv/cfg/d/y?cas=1"},
		{send: "DELETE /v1/kv/cfg/none?cas=99"},
		{send: "DELETE /v1/kv/cfg/a?cas=x"},
		{send: "DELETE /v1/kv/cfg/d/y"},
		{send: "GET /v1/kv/cfg/d/?recurse"},
		{send: "DELETE /v1/kv/cfg/d/?recurse"},
		{send: "GET /v1/kv/cfg/d/?recurse"},
		{send: "PUT /v1/kv/other", body: "1"},
		{send: "GET /v1/kv/cfg/d/?recurse"},
		{send: "GET /v1/kv/cfg/none"},
		{send: "DELETE /v1/kv/cfg/a?cas=1&recurse"},
		{send: "PUT /v1/kv/%2Flead", body: "1"},
		{send: "PUT /v1/kv/x%2F%2Fy", body: "1"},
		{send: "PUT /v1/kv/x%FFy", body: "1"},
		{send: "PUT /v1/kv/%3Ca%20href%3D%22%26%22%3E+%E2%82%AC", body: "1"},
		{send: "GET /v1/kv/?keys"},
		{send: "GET /v1/kv/?keys&limit=2"},
		{send: "GET /v1/kv/?keys&limit=2&after=%3Ca+href%3D%22%26%22%3E%2B%E2%82%AC"},
		{send: "DELETE /v1/kv/?recurse"},
		{send: "GET /v1/kv/?keys"},
	}
}

func historyScript(testing.TB) []step {
	return []step{
		{send: "PUT /v1/kv/h/a", body: "one", headers: []string{"X-Holdfast-Reason", "first try, für später"}},
		{send: "PUT /v1/kv/h/b", body: "1"},
		{send: "PUT /v1/kv/h/a?flags=7", body: "two"},
		{send: "DELETE /v1/kv/h/a", headers: []string{"X-Holdfast-Reason", "gone"}},
		{send: "PUT /v1/kv/h/a"},
		{send: "GET /v1/kv/h/a?history"},
		{send: "GET /v1/kv/h/a?history=2&pretty"},
		{send: "GET /v1/kv/h/a?history=0"},
		{send: "GET /v1/kv/h/a?history=x"},
		{send: "GET /v1/kv/h/?history&recurse"},
		{send: "GET /v1/kv/h/none?history"},
		{send: "GET /v1/kv/h/a?revision=4"},
		{send: "GET /v1/kv/h/a?revision=6&raw"},
		{send: "GET /v1/kv/h/a?revision=7"},
		{send: "GET /v1/kv/h/?revision=5&recurse"},
		{send: "GET /v1/kv/h/?revision=7&keys"},
		{send: "GET /v1/kv/h/?revision=8&keys&limit=1"},
		{send: "GET /v1/kv/h/?revision=8&keys&limit=1&after=h%2Fa"},
		{send: "GET /v1/kv/h/a?at=2026-01-02T03:04:07Z"},
		{send: "GET /v1/kv/h/?at=2026-01-02T03:04:09.5Z&keys"},
		{send: "GET /v1/kv/h/a?at=2026-01-02"},
		{send: "GET /v1/kv/h/a?revision=0"},
		{send: "GET /v1/kv/h/a?revision=9"},
		{send: "GET /v1/kv/h/a?revision=5&at=2026-01-02T03:04:07Z"},
		{send: "GET /v1/kv/h/a?min-index=8"},
		{send: "GET /v1/kv/h/a?min-index=9"},
		{send: "GET /v1/kv/h/a?min-index=x"},
	}
}

func txnScript(testing.TB) []step {
	txn := func(body string) step { return step{send: "PUT /v1/txn", body: body} }
	return []step{
		txn(`[{"KV":{"Verb":"set","Key":"t/a","Value":"aGVsbG8=","Flags":3}},{"KV":{"Verb":"get","Key":"t/a"}}]`),
		txn(`[{"KV":{"Verb":"get","Key":"t/a"}}]`),
		{send: "PUT /v1/txn?pretty", body: `[{"KV":{"Verb":"get","Key":"t/a"}}]`},
		txn(`[{"KV":{"Verb":"get","Key":"t/none"}}]`),
		txn(`[{"KV":{"Verb":"get-or-empty","Key":"t/none"}}]`),
		txn(`[{"KV":{"Verb":"get-tree","Key":"t/zz"}}]`),
		txn(`[{"KV":{"Verb":"cas","Key":"t/a","Value":"YQ==","Index":1}},{"KV":{"Verb":"set","Key":"t/b","Value":"YQ=="}},{"KV":{"Verb":"check-not-exists","Key":"t/a"}}]`),
		{send: "GET /v1/kv/t/b"},
		txn(`[{"KV":{"Verb":"check-index","Key":"t/a","Index":4}},{"KV":{"Verb":"delete-cas","Key":"t/a","Index":4}}]`),
		txn(`[{"KV":{"Verb":"delete-cas","Key":"t/never","Index":9}}]`),
		txn(`[{"KV":{"Verb":"check-not-exists","Key":"t/a"}},{"kv":{"VERB":"set","key":"t/a","value":"YQ=="}}]`),
		txn(`[{"KV":{"Verb":"set","Key":"t/c\n","Value":null}},{"KV":{"Verb":"get-tree","Key":"t/"}},{"KV":{"Verb":"delete-tree","Key":"t/c"}}]`),
		txn(`[{"KV":{"Verb":"lock","Key":"t/a","Session":"nobody"}},{"KV":{"Verb":"unlock","Key":"t/a","Session":"nobody"}},{"KV":{"Verb":"check-session","Key":"t/a","Session":""}}]`),
		txn(`[]`),
		txn(`null`),
		txn(`[{},{"KV":null},{"KV":{"Verb":"get","Key":"t/none"}}]`),
		txn(`{}`),
		txn(`[null]`),
		txn(``),
		txn(`[{"Foo":{}}]`),
		txn(`[{"KV":{"Verb":"set","Key":"x","Value":"not base64!"}}]`),
		txn(`[{"KV":{"Verb":"SET","Key":"x"}}]`),
		txn(`[{"KV":{"Verb":"get","Key":""}},{"KV":{"Verb":"set","Key":"x"}}]`),
		txn(`[{"KV":{"Verb":"get","Key":"x"}}] x`),
		txn("[" + strings.Repeat("{},", 128) + "{}]"),
		txn(`[{"KV":{"Verb":"set","Key":"z","Value":"` + strings.Repeat("AAAA", 131072) + `"}}]`).inBrief(),
		{send: "GET /v1/txn"},
		{send: "PUT /v1/txn?stale&consistent", body: `[{"KV":{"Verb":"get","Key":"t/a"}}]`},
		{send: "PUT /v1/txn?stale&consistent", body: `[{"KV":{"Verb":"set","Key":"t/a"}}]`},
		{send: "PUT /v1/txn?dc=nodc", body: `[{"KV":{"Verb":"set","Key":"t/a"}}]`},
	}
}

func (s step) inBrief() step {
	s.brief = true
	return s
}

func blockingScript(testing.TB) []step {
	return []step{
		{send: "GET /v1/kv/watch/a?index=1&wait=10s"},
		{send: "PUT /v1/kv/watch/a", body: "1"},
		{send: "GET /v1/kv/watch/a?index=4&wait=10s", during: []step{{send: "PUT /v1/kv/watch/a", body: "2"}}},
		{send: "GET /v1/kv/watch/a?index=5&wait=2s"},
		{send: "GET /v1/kv/watch/a?index=5&wait=3s", during: []step{
			{send: "PUT /v1/kv/watch/b", body: "1"},
			{send: "PUT /v1/kv/watch/a", body: "2"}, // the same value
		}},
		{send: "GET /v1/kv/watch/a?index=1&wait=10s"},
		{send: "GET /v1/kv/watch/a?index=0&wait=10s"},
		{send: "GET /v1/kv/watch/a?index=abc"},
		{send: "GET /v1/kv/watch/a?wait=10"},
		{send: "GET /v1/kv/watch/a?index=999999&wait=1s"},
		{send: "GET /v1/kv/watch/none?index=1&wait=10s"},
		{send: "GET /v1/kv/watch/none"},
		{send: "GET /v1/kv/watch/none?index=6&wait=10s", during: []step{
			{send: "PUT /v1/kv/watch/c", body: "1"},
			{send: "PUT /v1/kv/watch/none", body: "now"},
		}},
		{send: "GET /v1/kv/watch/?keys&index=9&wait=10s", during: []step{{send: "DELETE /v1/kv/watch/c"}}},
		{send: "GET /v1/kv/watch/never/?recurse"},
		{send: "GET /v1/kv/watch/never/?recurse&index=10&wait=3s", during: []step{{send: "PUT /v1/kv/watch/zz", body: "1"}}},
		{send: "GET /v1/kv/watch/never/?recurse&index=10&wait=3s"},
		{send: "GET /v1/kv/watch/a?index=5&wait=10s", during: []step{{send: "DELETE /v1/kv/watch/a"}}},
		{send: "GET /v1/kv/watch/a?index=12&wait=1s&raw"},
		{send: "GET /v1/kv/watch/b?index=6&wait=1s", headers: []string{"If-None-Match", `W/"6"`}},
	}
}

func statusScript(testing.TB) []step {
	return []step{
		{send: "GET /v1/status/leader"},
		{send: "GET /v1/status/leader?pretty"},
		{send: "GET /v1/status/leader?stale&consistent"},
		{send: "GET /v1/status/leader?dc=nodc"},
		{send: "GET /v1/status/peers"},
		{send: "PUT /v1/status/peers"},
		{send: "GET /v1/operator/raft/configuration"},
		{send: "DELETE /v1/operator/raft/peer"},
		{send: "DELETE /v1/operator/raft/peer?id=x&address=y"},
		{send: "DELETE /v1/operator/raft/peer?id=x"},
		{send: "DELETE /v1/operator/raft/peer?address=127.0.0.1:1"},
		{send: "POST /v1/operator/raft/transfer-leader"},
		{send: "POST /v1/operator/raft/transfer-leader?id=x"},
		{send: "GET /v1/operator/raft/transfer-leader"},
	}
}

func snapshotScript(t testing.TB) []step {
	other := newLocalNode(t)
	s := newTestServer(t, other)
	mustPut(t, s, "saved/a", "1")
	mustPut(t, s, "saved/b", "2")
	mustDelete(t, s, "saved/b")
	good := string(other.archive(t))
	put := func(body string) step { return step{send: "PUT /v1/snapshot", body: body, brief: true} }
	return []step{
		// Who waits has seen an index above those of the archive, so that the answer comes
		// from the state in which the restore is noted, and not from one just before.
		{send: "PUT /v1/kv/before", body: "1"},
		{send: "PUT /v1/kv/before", body: "2"},
		{send: "PUT /v1/kv/before", body: "3"},
		{send: "PUT /v1/kv/before", body: "4"},
		step{send: "GET /v1/snapshot"}.inBrief(),
		step{send: "GET /v1/snapshot?stale"}.inBrief(),
		{send: "HEAD /v1/snapshot"},
		{send: "GET /v1/snapshot?dc=nodc"},
		{send: "PUT /v1/snapshot"},
		{send: "PUT /v1/snapshot", body: "garbage"},
		{send: "PUT /v1/snapshot", body: "garbage-garbage"},
		{send: "PUT /v1/snapshot?stale", body: "garbage"},
		{send: "POST /v1/snapshot", body: "garbage"},
		step{send: "PUT /v1/snapshot", body: good[:len(good)/2]}.withBody("(half an archive)"),
		{send: "GET /v1/kv/before"},
		{send: "GET /v1/kv/before?index=7&wait=10s", during: []step{put(good)}},
		{send: "GET /v1/kv/before?index=7&wait=10s"},
		{send: "GET /v1/kv/saved/a"},
		{send: "GET /v1/kv/saved/?recurse"},
		{send: "GET /v1/kv/saved/b?history"},
		{send: "PUT /v1/kv/after", body: "1"},
		{send: "GET /v1/kv/?keys"},
	}
}

// withBody shows another text for the body of the request in the golden file.
func (s step) withBody(shown string) step {
	s.shown = shown
	return s
}

// TestGoldenIsComplete fails when a golden file lies about that no script has.
func TestGoldenIsComplete(t *testing.T) {
	var names bytes.Buffer
	for _, s := range goldenScripts() {
		names.WriteString(s.name + "\n")
	}
	for _, name := range goldenFiles(t) {
		if !strings.Contains(names.String(), name+"\n") {
			t.Errorf("testdata/%s.golden belongs to no script", name)
		}
	}
}
