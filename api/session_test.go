package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

func TestSessionCreateOnTheWire(t *testing.T) {
	client, rec := record(t, answer(200, `{"ID":"adf4"}`))
	for _, tc := range []struct {
		rule string
		spec api.SessionSpec
		opts []api.CallOption
		body string
		uri  string
	}{
		{"what is not said is not sent", api.SessionSpec{}, nil, `{}`, "/v1/session/create"},
		{
			"everything",
			api.SessionSpec{
				Name: "n", Node: "m", TTL: 90 * time.Second, Grace: new(time.Duration(0)), LockDelay: new(5 * time.Second),
				Behavior: api.BehaviorDelete, NodeChecks: []string{"c"}, ServiceChecks: []api.ServiceCheck{{ID: "s"}},
			},
			nil,
			`{"Name":"n","Node":"m","TTL":"1m30s","Grace":"0s","LockDelay":"5s","Behavior":"delete","NodeChecks":["c"],"ServiceChecks":[{"ID":"s","Namespace":""}]}`,
			"/v1/session/create",
		},
		{"no lock-delay is said", api.SessionSpec{LockDelay: new(time.Duration(0))}, nil, `{"LockDelay":"0s"}`, "/v1/session/create"},
		{"no checks are said", api.SessionSpec{NodeChecks: []string{}}, nil, `{"NodeChecks":[]}`, "/v1/session/create"},
		{"in another datacenter", api.SessionSpec{}, []api.CallOption{api.Datacenter("dc2")}, `{}`, "/v1/session/create?dc=dc2"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			id, err := client.Sessions().Create(t.Context(), tc.spec, tc.opts...)
			if err != nil || id != "adf4" {
				t.Fatalf("id %q, %v", id, err)
			}
			if got := rec.last(t); got.method != "PUT" || got.uri != tc.uri || got.body != tc.body {
				t.Errorf("sent %s %s %s\nwant %s %s", got.method, got.uri, got.body, tc.uri, tc.body)
			}
		})
	}
}

const oneSession = `[{"ID":"adf4","Name":"web","Node":"n1","LockDelay":3000000000,"Behavior":"delete","TTL":"15s","NodeChecks":[],` +
	`"ServiceChecks":null,"Grace":"0s","CreateIndex":51,"ModifyIndex":51}]`

func TestSessionReads(t *testing.T) {
	client, rec := record(t, answer(200, oneSession, "X-Consul-Index", "51"))
	s := client.Sessions()
	want := &api.Session{
		ID: "adf4", Name: "web", Node: "n1", LockDelay: 3 * time.Second, Behavior: api.BehaviorDelete, TTL: "15s", Grace: "0s",
		NodeChecks: []string{}, CreateIndex: 51, ModifyIndex: 51,
	}
	for _, tc := range []struct {
		rule string
		call func() (*api.Session, api.Meta, error)
		uri  string
	}{
		{"info", func() (*api.Session, api.Meta, error) { return s.Info(t.Context(), "adf4", api.Stale()) }, "GET /v1/session/info/adf4?stale="},
		{"waiting for its end", func() (*api.Session, api.Meta, error) {
			return s.Info(t.Context(), "adf4", api.WaitIndex(51, time.Second))
		}, "GET /v1/session/info/adf4?index=51&wait=1000ms"},
		{"list", func() (*api.Session, api.Meta, error) {
			list, meta, err := s.List(t.Context())
			return list[0], meta, err
		}, "GET /v1/session/list"},
		{"those of a node", func() (*api.Session, api.Meta, error) {
			list, meta, err := s.Node(t.Context(), "n 1/x", api.Consistent())
			return list[0], meta, err
		}, "GET /v1/session/node/n%201/x?consistent="},
		{"renewing", func() (*api.Session, api.Meta, error) {
			one, err := s.Renew(t.Context(), "adf4", api.Token("t"))
			return one, api.Meta{Index: 51}, err
		}, "PUT /v1/session/renew/adf4"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, meta, err := tc.call()
			if err != nil || meta.Index != 51 {
				t.Fatalf("index %d, %v", meta.Index, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if sent := rec.last(t); sent.method+" "+sent.uri != tc.uri {
				t.Errorf("sent %s %s, want %s", sent.method, sent.uri, tc.uri)
			}
		})
	}
}

func TestASessionThatIsNotThere(t *testing.T) {
	t.Run("info", func(t *testing.T) {
		client, _ := record(t, answer(200, `[]`, "X-Consul-Index", "9"))
		_, meta, err := client.Sessions().Info(t.Context(), "none")
		if !errors.Is(err, api.ErrNoSession) || meta.Index != 9 {
			t.Errorf("error = %v, index %d", err, meta.Index)
		}
	})
	t.Run("renew", func(t *testing.T) {
		client, _ := record(t, answer(404, `Session id 'none' not found`))
		if _, err := client.Sessions().Renew(t.Context(), "none"); !errors.Is(err, api.ErrNoSession) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("is not what a proxy's 404 says", func(t *testing.T) {
		client, _ := record(t, answer(404, `404 page not found`))
		if _, err := client.Sessions().Renew(t.Context(), "none"); errors.Is(err, api.ErrNoSession) || err == nil {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("destroy", func(t *testing.T) {
		client, rec := record(t, answer(200, `true`))
		if err := client.Sessions().Destroy(t.Context(), "none"); err != nil {
			t.Error(err)
		}
		if got := rec.last(t); got.method+" "+got.uri != "PUT /v1/session/destroy/none" {
			t.Errorf("sent %s %s", got.method, got.uri)
		}
	})
	t.Run("an empty id asks nobody", func(t *testing.T) {
		client, rec := record(t, answer(200, `true`))
		s := client.Sessions()
		_, renewed := s.Renew(t.Context(), "")
		_, _, read := s.Info(t.Context(), "")
		if s.Destroy(t.Context(), "") == nil || renewed == nil || read == nil || rec.count() > 0 {
			t.Error("an empty id was accepted")
		}
	})
}

func TestEventsOnTheWire(t *testing.T) {
	client, rec := record(t, answer(200, `{"ID":"e1","Name":"deploy","Payload":"djQy","Version":1,"LTime":0}`))
	ev, err := client.Events().Fire(t.Context(), api.UserEvent{
		Name: "deploy", Payload: []byte("v42"), NodeFilter: "^n", ServiceFilter: "web", TagFilter: "a",
	})
	if err != nil || ev.ID != "e1" || string(ev.Payload) != "v42" {
		t.Errorf("fired %+v, %v", ev, err)
	}
	if got := rec.last(t); got.method != "PUT" || got.uri != "/v1/event/fire/deploy?node=%5En&service=web&tag=a" || got.body != "v42" || got.header.Get("Content-Length") != "3" {
		t.Errorf("sent %s %s %s", got.method, got.uri, got.body)
	}
	if _, err := client.Events().Fire(t.Context(), api.UserEvent{}); err == nil || rec.count() != 1 {
		t.Error("an event without a name was sent")
	}
	client, rec = record(t, answer(200, `[{"ID":"e1","Name":"deploy","Payload":null,"LTime":7}]`, "X-Consul-Index", "18000475865545407713"))
	events, meta, err := client.Events().List(t.Context(), "deploy", api.WaitIndex(3, time.Minute))
	if err != nil || len(events) != 1 || events[0].LTime != 7 || meta.Index != 18000475865545407713 {
		t.Errorf("listed %+v, %+v, %v", events, meta, err)
	}
	if got := rec.last(t).uri; got != "/v1/event/list?index=3&name=deploy&wait=60000ms" {
		t.Errorf("URI = %s", got)
	}
}

func TestCatalogOnTheWire(t *testing.T) {
	client, rec := record(t, answer(200, `[{"ID":"u","Node":"n1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":{"a":"b"},"ModifyIndex":7}]`))
	nodes, _, err := client.Catalog().Nodes(t.Context())
	if err != nil || len(nodes) != 1 || nodes[0].Node != "n1" || nodes[0].Meta["a"] != "b" {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
	if got := rec.last(t).uri; got != "/v1/catalog/nodes" {
		t.Errorf("URI = %s", got)
	}
	client, rec = record(t, answer(200, `[{"Node":"n1","CheckID":"serfHealth","Status":"passing","ServiceTags":[],"Definition":{}}]`))
	checks, _, err := client.Catalog().Checks(t.Context(), "n1", api.Stale())
	if err != nil || len(checks) != 1 || checks[0].Status != api.CheckPassing {
		t.Errorf("checks %+v, %v", checks, err)
	}
	if got := rec.last(t).uri; got != "/v1/health/node/n1?stale=" {
		t.Errorf("URI = %s", got)
	}
	if _, _, err := client.Catalog().Checks(t.Context(), ""); err == nil {
		t.Error("an empty name was accepted")
	}
}

func TestTiesOnTheWire(t *testing.T) {
	client, rec := record(t, answer(200, `true`))
	kv := client.KV()
	for _, tc := range []struct {
		rule string
		call func() (api.WriteResult, error)
		sent string
	}{
		{"ephemeral", func() (api.WriteResult, error) {
			return kv.Put(t.Context(), "k", []byte("v"), api.Ephemeral("s1"))
		}, "PUT /v1/kv/k?ephemeral=s1 v"},
		{"ttl", func() (api.WriteResult, error) {
			return kv.CAS(t.Context(), "k", []byte("v"), 7, api.TTL(90*time.Second))
		}, "PUT /v1/kv/k?cas=7&ttl=1m30s v"},
		{"fence, of a key with a colon", func() (api.WriteResult, error) {
			return kv.Put(t.Context(), "k", nil, api.Fence("a:b", 17))
		}, "PUT /v1/kv/k?fence=a%3Ab%3A17 "},
		{"fence of a delete", func() (api.WriteResult, error) {
			return kv.Delete(t.Context(), "k", api.Fence("l", 17))
		}, "DELETE /v1/kv/k?fence=l%3A17 "},
		{"touch", func() (api.WriteResult, error) { return kv.Touch(t.Context(), "k") }, "PUT /v1/kv/k?touch= "},
		{"persist", func() (api.WriteResult, error) { return kv.Persist(t.Context(), "k") }, "PUT /v1/kv/k?persist= "},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			res, err := tc.call()
			if err != nil || !res.Applied {
				t.Fatal(res, err)
			}
			got := rec.last(t)
			if line := got.method + " " + got.uri + " " + got.body; line != tc.sent {
				t.Errorf("sent %s, want %s", line, tc.sent)
			}
		})
	}
}

func TestWhatCannotBeTied(t *testing.T) {
	client, rec := record(t, answer(200, `true`))
	kv := client.KV()
	for rule, call := range map[string]func() error{
		"an empty session": func() error { _, err := kv.Put(t.Context(), "k", nil, api.Ephemeral("")); return err },
		"a key that only a transaction can carry": func() error {
			_, err := kv.Put(t.Context(), "k\n", nil, api.TTL(time.Minute))
			return err
		},
		"touching such a key":              func() error { _, err := kv.Touch(t.Context(), "k\n"); return err },
		"touching no key":                  func() error { _, err := kv.Touch(t.Context(), ""); return err },
		"a directory that does not end so": func() error { _, err := kv.PutSequential(t.Context(), "d", 0, nil); return err },
		"one that no path can carry":       func() error { _, err := kv.PutSequential(t.Context(), "d\n/", 0, nil); return err },
	} {
		if err := call(); err == nil || rec.count() > 0 {
			t.Errorf("%s: %v after %d requests", rule, err, rec.count())
		}
	}
}

func TestSequentialKeys(t *testing.T) {
	client, rec := record(t, answer(200, `"q/0000000007"`, "X-Consul-Index", "9"))
	res, err := client.KV().PutSequential(t.Context(), "q/", 0, []byte("v"), api.Ephemeral("s1"))
	if err != nil || !res.Applied || res.Key != "q/0000000007" || res.Index != 9 {
		t.Errorf("%+v, %v", res, err)
	}
	if got := rec.last(t); got.uri != "/v1/kv/q/?ephemeral=s1&sequential=" || got.body != "v" {
		t.Errorf("sent %s %s", got.uri, got.body)
	}
	if _, err := client.KV().PutSequential(t.Context(), "q/", 4, nil); err != nil || rec.last(t).uri != "/v1/kv/q/?sequential=&width=4" {
		t.Errorf("sent %s, %v", rec.last(t).uri, err)
	}
	client, _ = record(t, answer(200, `true`))
	if _, err := client.KV().PutSequential(t.Context(), "q/", 0, nil); err == nil || !strings.Contains(err.Error(), "does not know sequential keys") {
		t.Errorf("error = %v", err)
	}
}

func TestAnAcquireTellsItsNumberOrWhyNot(t *testing.T) {
	client, rec := record(t, answer(200, `true`, "X-Holdfast-Fence", "42"))
	res, err := client.KV().Acquire(t.Context(), "k", []byte("v"), "s1", api.Explain())
	if err != nil || !res.Applied || res.Fence != 42 || res.Refused != nil {
		t.Errorf("%+v, %v", res, err)
	}
	if got := rec.last(t).uri; got != "/v1/kv/k?acquire=s1&explain=" {
		t.Errorf("URI = %s", got)
	}
	for _, tc := range []struct {
		rule, body string
		want       *api.Refusal
	}{
		{"an older server does not say", `false`, nil},
		{
			"a holder",
			`{"Acquired":false,"Key":"k","Holder":{"Session":"s2","Name":"job","Node":"n1","Since":"2026-11-22T02:04:50Z","Held":"3s","Fence":41}}`,
			&api.Refusal{Holder: &api.Holder{Session: "s2", Name: "job", Node: "n1", Since: time.Date(2026, 11, 22, 2, 4, 50, 0, time.UTC), Fence: 41}},
		},
		{"a lock-delay", `{"Acquired":false,"Key":"k","LockDelayLeft":"3.25s"}`, &api.Refusal{LockDelay: 3250 * time.Millisecond}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, _ := record(t, answer(200, tc.body))
			res, err := client.KV().Acquire(t.Context(), "k", nil, "s1", api.Explain())
			if err != nil || res.Applied {
				t.Fatal(res, err)
			}
			if diff := cmp.Diff(tc.want, res.Refused); diff != "" {
				t.Error(diff)
			}
		})
	}
	holder := api.Holder{Session: "s2", Name: "job", Node: "n1", Since: time.Date(2026, 11, 22, 2, 4, 50, 0, time.UTC)}
	if got, want := holder.String(), `session s2 ("job", on node n1, since 2026-11-22T02:04:50Z)`; got != want {
		t.Errorf("holder = %s, want %s", got, want)
	}
}

func TestAFencedWrite(t *testing.T) {
	client, _ := record(t, answer(409, `fence 7 of lock "l" is out of date: it was acquired again at 9`))
	_, err := client.KV().Put(t.Context(), "k", nil, api.Fence("l", 7))
	if !errors.Is(err, api.ErrFenced) || !strings.Contains(err.Error(), "acquired again at 9") {
		t.Errorf("error = %v, want ErrFenced with the server's words", err)
	}
}

func TestAnAnswerThatIsNoAnswer(t *testing.T) {
	for _, body := range []string{`7`, `[1]`, `{"Holder":7}`, `nul`, ``} {
		client, _ := record(t, answer(200, body))
		if _, err := client.KV().Acquire(t.Context(), "k", nil, "s"); err == nil {
			t.Errorf("%q was taken for an answer", body)
		}
	}
}
