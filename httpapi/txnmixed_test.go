package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

// TestTransactionsOnTheCatalog: one after the other on one server.
//
// Source: contract, transactions, section 4.
func TestTransactionsOnTheCatalog(t *testing.T) {
	s := newLocalServer(t)
	send := func(body string, status int, want ...string) string {
		t.Helper()
		w := ask(t, s.Server, http.MethodPut, "/v1/txn", body)
		got := w.Body.String()
		if w.Code != status {
			t.Fatalf("%s\n%d %s", body, w.Code, got)
		}
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s\nanswer %s\nlacks %s", body, got, part)
			}
		}
		return got
	}
	send(`[{"Node":{"Verb":"set","Node":{"Node":"n","Address":"a","Meta":{"m":"1"}}}},
		{"Service":{"Verb":"set","Node":"N","Service":{"Service":"web","Port":80}}},
		{"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"c","Status":"passing","ServiceID":"web"}}},
		{"KV":{"Verb":"set","Key":"k","Value":"YQ=="}}, {}]`, 200,
		`{"Results":[{"Node":{"ID":"","Node":"n","Address":"a","Datacenter":"dc1"`, `{"Service":{"ID":"web","Service":"web"`, `"Port":80`,
		`{"Check":{"Node":"n","CheckID":"c","Name":"","Status":"passing"`, `"ServiceName":"web"`, `{"KV":{"LockIndex":0,"Key":"k"`, `],"Errors":null}`)
	send(`[{"Service":{"Verb":"get","Node":"n","Service":{"Service":"web"}}},{"KV":{"Verb":"get","Key":"k"}}]`, 200,
		`{"Results":[{"Service":{"ID":"web"`, `"Value":"YQ=="`, `"KnownLeader":true`)
	send(`[{"Node":{"Verb":"get","Node":{"Node":"x"}}},{"Service":{"Verb":"get","Node":"n","Service":{"Service":"x"}}},{"Check":{"Verb":"get","Check":{"Node":"n","CheckID":"x"}}}]`, 409,
		`{"OpIndex":0,"What":"node \"x\" doesn't exist"}`, `{"OpIndex":1,"What":"service \"x\" on node \"n\" doesn't exist"}`, `{"OpIndex":2,"What":"check \"x\" on node \"n\" doesn't exist"}`)

	// What cannot be done at all is reported alone.
	send(`[{"Node":{"Verb":"SET","Node":{"Node":"n"}}},{"Node":{"Verb":"set"}},{"Service":{"Verb":"set","Node":"n"}},{"Service":{"Verb":"set","Service":{"Service":"s"}}},
		{"Check":{"Verb":"set","Check":{"Node":"n"}}},{"Check":{"Verb":"set","Check":{"Node":"n","Name":"x","Status":"well"}}},{"KV":{"Verb":"get"}},{"Node":{"Verb":"get","Node":{"Node":"none"}}}]`, 409,
		`{"OpIndex":0,"What":"unknown Node operation: SET"},{"OpIndex":1,"What":"Must provide node"},{"OpIndex":2,"What":"Must provide service name"},`+
			`{"OpIndex":3,"What":"Must provide node"},{"OpIndex":4,"What":"Must provide check ID or its name"},{"OpIndex":5,"What":"Invalid check status: 'well'"},{"OpIndex":6,"What":"Must provide key"}]`)
	for _, body := range []string{`[{"Node":{"Foo":1}}]`, `[{"Node":{"Verb":1}}]`, `[{"Service":{"Verb":"get","Node":{},"Service":{"Service":"s"}}}]`, `[{"Check":{"Verb":"get","Check":{"Foo":1}}}]`} {
		send(body, 400, "Failed to parse body: json: ")
	}

	// A refusal takes everything back, the end of sessions included.
	session := create(t, s.Server, `{"Node":"n","NodeChecks":["c"],"LockDelay":"0s"}`)
	send(`[{"KV":{"Verb":"lock","Key":"k","Session":"`+session+`"}}]`, 200)
	critical := `{"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"c","Status":"critical","ServiceID":"web"}}}`
	send(`[`+critical+`,{"KV":{"Verb":"check-session","Key":"k","Session":""}},{"Node":{"Verb":"cas","Node":{"Node":"n","ModifyIndex":1}}},{"Service":{"Verb":"set","Node":"x","Service":{"Service":"s"}}},
		{"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"d","ServiceID":"x"}}},{"Node":{"Verb":"delete-cas","Node":{"Node":"n","ModifyIndex":1}}}]`, 409,
		`[{"OpIndex":2,"What":"failed to set node \"n\", index is stale"},{"OpIndex":3,"What":"Missing node registration"},{"OpIndex":4,"What":"Unknown service ID 'x' for check ID 'd'"},`+
			`{"OpIndex":5,"What":"failed to delete node \"n\", index is stale"}]`)
	renew := func() int { return ask(t, s.Server, http.MethodGet, "/v1/session/info/"+session, "").Body.Len() }
	if renew() < 10 {
		t.Fatal("the session has ended with a transaction that was refused")
	}
	send(`[{"KV":{"Verb":"check-session","Key":"k","Session":"`+session+`"}}]`, 200)
	send(`[`+critical+`,{"KV":{"Verb":"check-session","Key":"k","Session":""}}]`, 200)
	if renew() > 10 {
		t.Error("a check that became critical in a transaction has not ended its session")
	}
	send(`[{"Service":{"Verb":"delete","Node":"n","Service":{"ID":"web","Service":"web"}}},{"Check":{"Verb":"delete-cas","Check":{"Node":"n","CheckID":"c","ModifyIndex":5}}},
		{"Node":{"Verb":"delete","Node":{"Node":"n"}}}]`, 200, `{"Results":[],"Errors":null}`)
	if got := ask(t, s.Server, http.MethodGet, "/v1/catalog/node/n", "").Body.String(); strings.TrimSpace(got) != "null" {
		t.Errorf("the node is still %s", got)
	}
}

func TestCatalogCompareAndSet(t *testing.T) {
	s := newLocalServer(t)
	for _, tc := range []struct {
		rule, op string
		status   int
	}{
		{"zero creates what is absent", `{"Node":{"Verb":"cas","Node":{"Node":"n","Address":"a"}}}`, 200},
		{"zero never replaces", `{"Node":{"Verb":"cas","Node":{"Node":"n","Address":"b"}}}`, 409},
		{"an index for what is absent does not create it", `{"Node":{"Verb":"cas","Node":{"Node":"m","ModifyIndex":9}}}`, 409},
		{"what is absent is deleted", `{"Node":{"Verb":"delete-cas","Node":{"Node":"m","ModifyIndex":9}}}`, 200},
		{"a check of the node", `{"Check":{"Verb":"cas","Check":{"Node":"n","CheckID":"c","Status":"passing"}}}`, 200},
		{"a service as well", `{"Service":{"Verb":"cas","Node":"n","Service":{"Service":"s"}}}`, 200},
		{"but once only", `{"Service":{"Verb":"cas","Node":"n","Service":{"Service":"s","Port":1}}}`, 409},
	} {
		if w := ask(t, s.Server, http.MethodPut, "/v1/txn", "["+tc.op+"]"); w.Code != tc.status {
			t.Errorf("%s: %d %s", tc.rule, w.Code, w.Body)
		}
	}
	w := ask(t, s.Server, http.MethodPut, "/v1/txn", `[{"Node":{"Verb":"get","Node":{"Node":"n"}}}]`)
	_, after, _ := strings.Cut(w.Body.String(), `"ModifyIndex":`)
	index, _, _ := strings.Cut(after, "}")
	if w := ask(t, s.Server, http.MethodPut, "/v1/txn", `[{"Node":{"Verb":"cas","Node":{"Node":"n","Address":"b","ModifyIndex":`+index+`}}}]`); w.Code != 200 {
		t.Errorf("the right index does not replace: %s", w.Body)
	}
}

// create makes a session and returns its id.
func create(t *testing.T, s *Server, body string) string {
	t.Helper()
	w := ask(t, s, http.MethodPut, "/v1/session/create", body)
	_, after, found := strings.Cut(w.Body.String(), `"ID":"`)
	if w.Code != 200 || !found {
		t.Fatalf("create a session: %d %s", w.Code, w.Body)
	}
	id, _, _ := strings.Cut(after, `"`)
	return id
}
