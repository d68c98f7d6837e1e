package httpapi

import (
	"net/http"
	"testing"
	"time"
)

// TestReadParameters: what the common parameters of reads take and refuse, on all
// methods of a key.
//
// Source: contract, README, sections 5, 12, 13, 15.
func TestReadParameters(t *testing.T) {
	const (
		ok       = "" // no error
		wait     = "Invalid wait time"
		index    = "Invalid index"
		stale    = "Cannot specify ?stale with ?consistent, conflicting semantics."
		cached   = "Cannot specify ?cached with ?consistent, conflicting semantics."
		ns       = `Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature`
		nsHeader = `Invalid header: "X-Consul-Namespace" - Namespaces are a Consul Enterprise feature`
	)
	s := newTestServer(t, newLocalNode(t))
	for _, tc := range []struct{ query, text string }{
		{"wait=1s", ok},
		{"wait=1m30s", ok},
		{"wait=0.5s", ok},
		{"wait=15000ms", ok},
		{"wait=1us", ok},
		{"wait=1%C2%B5s", ok}, // the micro sign
		{"wait=1h2m3s4ms", ok},
		{"wait=-5s", ok},
		{"wait=%2B5s", ok},
		{"wait=0", ok},
		{"wait=", ok},
		{"wait", ok},
		{"wait=.5s", ok},
		{"wait=10", wait},
		{"wait=10d", wait},
		{"wait=s", wait},
		{"wait=1s1", wait},
		{"wait=9999999h", wait},
		{"wait=1+s", wait},
		{"index=0", ok},
		{"index=", ok},
		{"index=007", ok},
		{"index=18446744073709551616", index},
		{"index=-1", index},
		{"index=%2B1", index},
		{"index=0x1", index},
		{"index=1_0", index},
		{"index=1.0", index},
		{"index=+1", index}, // a space
		{"index=abc", index},
		{"min-index=x", "Invalid min-index"},
		{"min-index=0", ok},
		{"min-index=", ok},
		{"stale", ok},
		{"consistent", ok},
		{"leader", ok},
		{"leader&stale", ok},
		{"cached", ok},
		{"cached&stale", ok},
		{"stale&consistent", stale},
		{"stale=false&consistent=false", stale},
		{"consistent&cached", cached},
		{"consistent&max_stale=1s", stale},
		{"consistent&max_stale=0s", ok},
		{"consistent&max_stale=-1s", ok},
		{"max_stale=5s", ok},
		{"max_stale=", ok},
		{"max_stale=abc", `Invalid max_stale value "abc"`},
		{"max_stale=5", `Invalid max_stale value "5"`},
		{"ns=", ok},
		{"ns", ok},
		{"ns=default", ns},
		{"ns=x&partition=y", ns},
		{"partition=", ok},
		{"partition=default", `Invalid query parameter: "partition" - Partitions are a Consul Enterprise feature`},
		{"Index=abc", ok}, // names are case sensitive
	} {
		t.Run(tc.query, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut} {
				w := ask(t, s, method, "/v1/kv/none?"+tc.query, "")
				switch {
				case tc.text != "":
					expect(t, w, http.StatusBadRequest, tc.text)
					expectHeader(t, w, "X-Consul-Index", "")
				case w.Code == http.StatusBadRequest:
					t.Errorf("%s is answered %d %q", method, w.Code, w.Body)
				}
				mustDelete(t, s, "none")
			}
		})
	}
	for _, tc := range []struct{ rule, query, name, value, text string }{
		{"namespace header", "", "X-Consul-Namespace", "default", nsHeader},
		{"namespace header before ns", "ns=x", "X-Consul-Namespace", "x", nsHeader},
		{"ns before partition header", "ns=x", "X-Consul-Partition", "x", ns},
		{"partition header", "", "X-Consul-Partition", "p", `Invalid header: "X-Consul-Partition" - Partitions are a Consul Enterprise feature`},
		{"empty namespace header", "", "X-Consul-Namespace", "", ok},
		{"max-age", "", "Cache-Control", "max-age=5", ok},
		{"several directives", "", "Cache-Control", "max-age=5, stale-if-error=10 , must-revalidate", ok},
		{"unknown directive", "", "Cache-Control", "no-cache, x=y", ok},
		{"max-age that is no number", "", "Cache-Control", "max-age=x", "Invalid Cache-Control header."},
		{"negative max-age", "", "Cache-Control", "max-age=-1", "Invalid Cache-Control header."},
		{"stale-if-error that is no number", "", "Cache-Control", "must-revalidate, stale-if-error=", "Invalid Cache-Control header."},
		{"directives in capitals", "", "Cache-Control", "Max-Age=x", "Invalid Cache-Control header."},
		{"cache control after consistency", "stale&consistent", "Cache-Control", "max-age=x", stale},
		{"cache control before wait", "wait=x", "Cache-Control", "max-age=x", "Invalid Cache-Control header."},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := ask(t, s, http.MethodGet, "/v1/kv/none?"+tc.query, "", tc.name, tc.value)
			if tc.text == ok {
				expect(t, w, http.StatusNotFound, "")
				return
			}
			expect(t, w, http.StatusBadRequest, tc.text)
		})
	}
}

// TestMode: which reads ask for which leave.
//
// Source: contract, README, section 12.
// TestWait: what is read quickly is read as package time reads it.
func TestWait(t *testing.T) {
	for _, text := range []string{
		"", "s", "m", "0s", "1s", "5m", "10m", "007s", "999999s", "1000000s", "9999999999999999999s", "5", "5h", "5ms", "1m30s", "1.5s", "-1s", "+1s", " 1s", "1 s", "1s ", "5µs", "x5s", "5x",
	} {
		want, wantErr := time.ParseDuration(text)
		got, err := parseWait(text)
		if got != want || (err == nil) != (wantErr == nil) {
			t.Errorf("%q is %v, %v; want %v, %v", text, got, err, want, wantErr)
		}
	}
}

func TestMode(t *testing.T) {
	for query, want := range map[string]Mode{
		"":                        Default,
		"leader":                  Default,
		"cached":                  Default,
		"max_stale=0s":            Default,
		"max_stale=-1s":           Default,
		"consistent":              Consistent,
		"consistent=0":            Consistent,
		"consistent&max_stale=0s": Consistent,
		"stale":                   Stale,
		"stale=false":             Stale,
		"max_stale=1ns":           Stale,
	} {
		node := newLocalNode(t)
		s := newTestServer(t, node)
		for _, target := range []string{"/v1/kv/none", "/v1/kv/?keys", "/v1/kv/none?history", "/v1/txn"} {
			method, body := http.MethodGet, ""
			if target == "/v1/txn" {
				method, body = http.MethodPut, "[]"
			}
			sep := "?"
			if target != "/v1/kv/none" && target != "/v1/txn" {
				sep = "&"
			}
			node.gates = nil
			ask(t, s, method, target+sep+query, body)
			if len(node.gates) != 1 || node.gates[0] != want {
				t.Errorf("%s%s%s asked for leave to read as %v, want [%v]", target, sep, query, node.gates, want)
			}
		}
	}
}

// TestContact: what is known of the leader stands in the answer.
//
// Source: contract, README, section 8.
func TestContact(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	for _, tc := range []struct {
		contact     Contact
		known, last string
	}{
		{Contact{KnownLeader: true}, "true", "0"},
		{Contact{}, "false", "0"},
		{Contact{LastContact: 1999 * time.Microsecond}, "false", "1"},
		{Contact{KnownLeader: true, LastContact: time.Minute}, "true", "60000"},
		{Contact{KnownLeader: true, LastContact: -time.Second}, "true", "0"},
	} {
		node.setContact(tc.contact, nil)
		for _, target := range []string{"/v1/kv/none?stale", "/v1/kv/?keys&stale", "/v1/kv/none?index=99&wait=1ms"} {
			w := ask(t, s, http.MethodGet, target, "")
			expectHeader(t, w, "X-Consul-Knownleader", tc.known)
			expectHeader(t, w, "X-Consul-Lastcontact", tc.last)
			expectHeader(t, w, "X-Consul-Query-Backend", "blocking-query")
		}
	}
}

// TestDatacenter: our own name or none is served, any other is 500, for reads and
// writes.
//
// Source: contract, README, section 14.
func TestDatacenter(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", "1")
	requests := []struct{ method, target, body string }{
		{"GET", "/v1/kv/a", ""},
		{"PUT", "/v1/kv/a", "1"},
		{"DELETE", "/v1/kv/b", ""},
		{"GET", "/v1/kv/a?history", ""},
		{"PUT", "/v1/txn", "[]"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]`},
		{"GET", "/v1/status/leader", ""},
		{"GET", "/v1/status/peers", ""},
		{"GET", "/v1/operator/raft/configuration", ""},
		{"GET", "/v1/snapshot", ""},
	}
	for query, served := range map[string]bool{
		"dc=dc1": true, "dc=": true, "datacenter=dc1": true, "datacenter=&dc=dc1": true, "datacenter=dc1&dc=x": true,
		"dc=DC1": false, "dc=x": false, "datacenter=x&dc=dc1": false, "datacenter=x": false,
	} {
		for _, r := range requests {
			target := r.target + "?" + query
			if r.target == "/v1/kv/a?history" {
				target = r.target + "&" + query
			}
			w := ask(t, s, r.method, target, r.body)
			if served && w.Code != http.StatusOK {
				t.Errorf("%s %s is answered %d %q", r.method, target, w.Code, w.Body)
			}
			if !served {
				expect(t, w, http.StatusInternalServerError, "No path to datacenter")
			}
		}
	}
	for _, r := range requests[1:3] {
		if w := ask(t, s, r.method, r.target+"?dc=x", ""); w.Header().Get("X-Consul-Index") != "" {
			t.Errorf("%s for another datacenter was done at index %s", r.method, w.Header().Get("X-Consul-Index"))
		}
	}
}

// TestRefusedReads: a read that fails carries none of the headers of a read.
//
// Source: contract, README, section 8.
func TestRefusedReads(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	node.setContact(Contact{}, ErrNoLeader)
	for _, target := range []string{"/v1/kv/a", "/v1/kv/?recurse", "/v1/kv/a?history", "/v1/kv/a?index=5&wait=1ms"} {
		w := ask(t, s, http.MethodGet, target, "")
		expect(t, w, http.StatusInternalServerError, "No cluster leader")
		for _, name := range []string{"X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact", "X-Consul-Query-Backend", "Etag"} {
			expectHeader(t, w, name, "")
		}
	}
}
