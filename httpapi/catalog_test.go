package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	oneNode = `{"ID":"id-1","Node":"node-1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"127.0.0.1"},` +
		`"Meta":{"consul-network-segment":"","rack":"7"},"CreateIndex":4,"ModifyIndex":4}`

	// What dbRegistered makes, at index 5.
	dbRegistered = `{"Node":"db-1","Address":"192.0.2.5","NodeMeta":{"rack":"8"},"Service":{"Service":"pg","Port":5432,"Tags":["primary","Blue"]},` +
		`"Check":{"Name":"pg up","Status":"passing","ServiceID":"pg"}}`
	dbNode     = `{"ID":"","Node":"db-1","Address":"192.0.2.5","Datacenter":"dc1","TaggedAddresses":null,"Meta":{"rack":"8"},"CreateIndex":5,"ModifyIndex":5}`
	dbService  = `{"ID":"pg","Service":"pg","Tags":["primary","Blue"],"Address":"","Meta":null,"Port":5432,` + serviceEnd
	serviceEnd = `"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":5,"ModifyIndex":5}`
	dbInstance = `{"ID":"","Node":"db-1","Address":"192.0.2.5","Datacenter":"dc1","TaggedAddresses":null,"NodeMeta":{"rack":"8"},"ServiceKind":"",` +
		`"ServiceID":"pg","ServiceName":"pg","ServiceTags":["primary","Blue"],"ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},` +
		`"ServicePort":5432,"ServiceSocketPath":"","ServiceEnableTagOverride":false,"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},` +
		`"ServiceConnect":{},"ServiceLocality":null,"CreateIndex":5,"ModifyIndex":5}`
)

func TestCatalogAnswers(t *testing.T) {
	s := newLocalServer(t)
	mustRegister(t, s.Server, dbRegistered)
	play(t, s, []line{
		{"the datacenter of the server", "GET /v1/catalog/datacenters", 200, `["dc1"]`},
		{"an unknown datacenter", "GET /v1/catalog/datacenters?dc=x", 500, "No path to datacenter"},

		{"every node, by name", "GET /v1/catalog/nodes", 200, "[" + dbNode + "," + oneNode + "]"},
		{"with a pair of the metadata", "GET /v1/catalog/nodes?node-meta=rack:7", 200, "[" + oneNode + "]"},
		{"with two", "GET /v1/catalog/nodes?node-meta=rack:7&node-meta=consul-network-segment:", 200, "[" + oneNode + "]"},
		{"all pairs must match", "GET /v1/catalog/nodes?node-meta=rack:7&node-meta=no:such", 200, "[]"},
		{"a filter", "GET /v1/catalog/nodes?filter=Node%3D%3D%22db-1%22", 200, "[" + dbNode + "]"},
		{"a filter over what is not there", "GET /v1/catalog/nodes?filter=Bogus%3D%3D1", 500, `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},

		{"services with their tags", "GET /v1/catalog/services", 200, `{"consul":[],"pg":["Blue","primary"]}`},
		{"services of nodes with a pair of the metadata", "GET /v1/catalog/services?node-meta=rack:7", 200, `{"consul":[]}`},
		{"services of no node", "GET /v1/catalog/services?node-meta=rack:9", 200, `{}`},

		{"a service", "GET /v1/catalog/service/pg", 200, "[" + dbInstance + "]"},
		{"its name ignores case", "GET /v1/catalog/service/PG", 200, "[" + dbInstance + "]"},
		{"with a tag", "GET /v1/catalog/service/pg?tag=primary", 200, "[" + dbInstance + "]"},
		{"with two, in any case", "GET /v1/catalog/service/pg?tag=primary&tag=blue", 200, "[" + dbInstance + "]"},
		{"all tags must match", "GET /v1/catalog/service/pg?tag=primary&tag=replica", 200, "[]"},
		{"on nodes with a pair of the metadata", "GET /v1/catalog/service/pg?node-meta=rack:7", 200, "[]"},
		{"a filter of instances", "GET /v1/catalog/service/pg?filter=ServicePort%3D%3D5432", 200, "[" + dbInstance + "]"},
		{"no such service", "GET /v1/catalog/service/none", 200, "[]"},
		{"no service", "GET /v1/catalog/service/", 400, "Missing service name"},

		{"a node with its services", "GET /v1/catalog/node/db-1", 200, `{"Node":` + dbNode + `,"Services":{"pg":` + dbService + `}}`},
		{"its name ignores case", "GET /v1/catalog/node/DB-1", 200, `{"Node":` + dbNode + `,"Services":{"pg":` + dbService + `}}`},
		{"a filter of its services", "GET /v1/catalog/node/db-1?filter=Service%3D%3Dnone", 200, `{"Node":` + dbNode + `,"Services":{}}`},
		{"no such node", "GET /v1/catalog/node/none", 200, "null"},
		{"no node", "GET /v1/catalog/node/", 400, "Missing node name"},
		{"the same as a list", "GET /v1/catalog/node-services/db-1", 200, `{"Node":` + dbNode + `,"Services":[` + dbService + `]}`},
		{"no such node has nothing", "GET /v1/catalog/node-services/none", 200, `{"Node":null,"Services":null}`},
		{"no node has no services", "GET /v1/catalog/node-services/", 400, "Missing node name"},
	}...)
}

// TestCatalogReads: what all reads of the catalog and of health have in common.
func TestCatalogReads(t *testing.T) {
	s := newLocalServer(t)
	for _, path := range []string{
		"/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/consul", "/v1/catalog/node/node-1", "/v1/catalog/node-services/node-1",
		"/v1/health/node/node-1", "/v1/health/checks/consul", "/v1/health/state/any", "/v1/health/service/consul",
	} {
		t.Run(path, func(t *testing.T) {
			for query, consistency := range map[string]string{
				"": "leader", "?leader": "leader", "?stale": "stale", "?max_stale=5s": "stale", "?consistent": "consistent",
				"?dc=dc1": "leader", "?near=_agent": "leader", "?cached": "leader", "?wait=10m": "leader", "?index=0&wait=10m": "leader", "?index=3": "leader",
			} {
				w := ask(t, s.Server, http.MethodGet, path+query, "")
				if w.Code != 200 {
					t.Errorf("%s: %d %s", query, w.Code, w.Body)
				}
				expectHeader(t, w, "X-Consul-Effective-Consistency", consistency)
				expectHeader(t, w, "X-Consul-Index", "4")
				expectHeader(t, w, "X-Consul-Knownleader", "true")
				expectHeader(t, w, "X-Consul-Lastcontact", "0")
				expectHeader(t, w, "X-Consul-Query-Backend", "blocking-query")
			}
			for query, text := range map[string]string{
				"?stale&consistent": "Cannot specify ?stale with ?consistent, conflicting semantics.", "?wait=10": "Invalid wait time",
				"?index=x": "Invalid index", "?ns=default": `Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature`,
			} {
				w := ask(t, s.Server, http.MethodGet, path+query, "")
				expect(t, w, 400, text)
				expectHeader(t, w, "X-Consul-Index", "")
			}
			w := ask(t, s.Server, http.MethodGet, path+"?dc=x", "")
			expect(t, w, 500, "No path to datacenter")
			expectHeader(t, w, "X-Consul-Index", "1")
			expectHeader(t, w, "X-Consul-Knownleader", "false")
		})
	}
}

// TestCatalogOlderThanMaxStale: what is older than the client takes is read again, as if
// ?max_stale had not been given; with a leader or, if there is none, with its error.
//
// Source: contract, README, section 5.
func TestCatalogOlderThanMaxStale(t *testing.T) {
	s := newLocalServer(t)
	cut := Contact{LastContact: 3 * time.Second}
	for _, path := range []string{"/v1/catalog/nodes", "/v1/catalog/service/consul", "/v1/health/service/consul", "/v1/operator/usage"} {
		for query, gates := range map[string][]Mode{
			"?max_stale=4s": {Stale}, "?stale": {Stale}, "?max_stale=3s": {Stale}, "?max_stale=2s": {Stale, Default}, "?stale&max_stale=1ns": {Stale, Default},
			"?max_stale=2s&index=99&wait=1ms": {Stale, Default}, "?max_stale=4s&index=99&wait=1ms": {Stale},
		} {
			t.Run(path+query, func(t *testing.T) {
				s.node.setContact(cut, nil)
				s.node.takeGates()
				w := ask(t, s.Server, http.MethodGet, path+query, "")
				if got := s.node.takeGates(); w.Code != 200 || !slices.Equal(got, gates) {
					t.Errorf("%d after %v, want %v", w.Code, got, gates)
				}
				expectHeader(t, w, "X-Consul-Effective-Consistency", consistencyNames[gates[len(gates)-1]][0])

				s.node.failDefault(ErrNoLeader)
				defer s.node.failDefault(nil)
				w = ask(t, s.Server, http.MethodGet, path+query, "")
				if len(gates) > 1 {
					expect(t, w, 500, "No cluster leader")
				} else if w.Code != 200 {
					t.Errorf("without a leader: %d %s", w.Code, w.Body)
				}
			})
		}
	}
	s.node.takeGates()
	if w := ask(t, s.Server, http.MethodGet, "/v1/session/list?max_stale=1s", ""); w.Code != 200 || len(s.node.takeGates()) != 1 {
		t.Errorf("sessions are no part of the catalog: %d %s", w.Code, w.Body)
	}
}

func TestAnEmptyCatalogHasIndexOne(t *testing.T) {
	w := ask(t, newAgentServer(t, &fakeAgent{}), http.MethodGet, "/v1/catalog/nodes", "")
	expect(t, w, 200, "[]")
	expectHeader(t, w, "X-Consul-Index", "1")
}

// TestCatalogWakes: a waiting read is answered by a change of its own answer and by
// nothing else.
func TestCatalogWakes(t *testing.T) {
	const (
		aNode    = `{"Node":"n2","Address":"x"}`
		aService = `{"Node":"node-1","Address":"x","SkipNodeUpdate":true,"Service":{"Service":"web"}}`
		aCheck   = `{"Node":"node-1","Address":"x","SkipNodeUpdate":true,"Check":{"Name":"c"}}`
	)
	// path: which of node, service, check wake it, as they change its answer; and which
	// move its index, as they change a table that it is made of.
	wakes := map[string]struct{ by, moved string }{
		"/v1/catalog/nodes":                           {"n", "n"},
		"/v1/catalog/services":                        {"s", "s"},
		"/v1/catalog/services?node-meta=rack:7":       {"s", "ns"},
		"/v1/catalog/services?node-meta=rack:8":       {"", "ns"},
		"/v1/catalog/service/web":                     {"s", "ns"},
		"/v1/catalog/service/other":                   {"", "ns"},
		"/v1/catalog/node/n2":                         {"n", "ns"},
		"/v1/catalog/node/node-1":                     {"s", "ns"},
		"/v1/catalog/node-services/n2":                {"n", "ns"},
		"/v1/health/node/node-1":                      {"c", "c"},
		"/v1/health/node/n2":                          {"", "c"},
		"/v1/health/checks/web":                       {"", "c"},
		"/v1/health/state/critical":                   {"c", "c"},
		"/v1/health/state/passing":                    {"", "c"},
		"/v1/health/state/critical?node-meta=rack:7":  {"c", "nc"},
		"/v1/health/service/web":                      {"s", "nsc"},
		"/v1/health/service/web?passing&tag=x&tag=y&": {"", "nsc"},
	}
	for path, want := range wakes {
		for name, body := range map[string]string{"n": aNode, "s": aService, "c": aCheck} {
			t.Run(path+" by "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newLocalServer(t)
					join := "?"
					if strings.Contains(path, "?") {
						join = "&"
					}
					x := startWaiting(t, s, path+join+"index=4&wait=16s")
					synctest.Wait()
					if s.Parked() != 1 {
						t.Fatal("it does not wait")
					}
					mustPut(t, s.Server, "app/motd", "x")
					ask(t, s.Server, http.MethodPut, "/v1/event/fire/x", "")
					synctest.Wait()
					if s.Parked() != 1 {
						t.Fatal("a key or an event woke it")
					}
					mustRegister(t, s.Server, body)
					synctest.Wait()
					if woken, want := s.Parked() == 0, strings.Contains(want.by, name); woken != want {
						t.Errorf("woken: %v, want %v", woken, want)
					}
					<-x.done
					index := "4"
					if strings.Contains(want.moved, name) {
						index = "7"
					}
					expectHeader(t, x.w, "X-Consul-Index", index)
				})
			})
		}
	}
}

func TestCatalogWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocalServer(t)
		x := startWaiting(t, s, "/v1/catalog/nodes?index=4&wait=16s")
		<-x.done
		if x.took < 16*time.Second || x.took > 17*time.Second {
			t.Errorf("answered after %s, want 16 s to 17 s", x.took)
		}
		expect(t, x.w, 200, "["+oneNode+"]")
		if got := time.Duration(routeMetrics(t, s.Server, "/v1/catalog/nodes").Nanos.Load()); got != 0 {
			t.Errorf("the wait counts as an answer of %s", got)
		}
	})
}

// TestANodeCanBeWaitedFor: the answer null has an index with which it can.
//
// Source: contract, catalog, "Where Holdfast should differ" 2.
func TestANodeCanBeWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocalServer(t)
		index := ask(t, s.Server, http.MethodGet, "/v1/catalog/node/db-1", "").Header().Get("X-Consul-Index")
		x := startWaiting(t, s, "/v1/catalog/node/db-1?index="+index)
		synctest.Wait()
		if s.Parked() != 1 {
			t.Fatal("it does not wait")
		}
		mustRegister(t, s.Server, dbRegistered)
		<-x.done
		expect(t, x.w, 200, `{"Node":`+dbNode+`,"Services":{"pg":`+dbService+`}}`)
	})
}

func TestCatalogWaitEnds(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		end    func(s *Server, leave context.CancelFunc)
		status int
	}{
		{"when the server stops, with an answer", func(s *Server, _ context.CancelFunc) { s.Drain() }, http.StatusOK},
		{"when the client leaves, without", func(_ *Server, leave context.CancelFunc) { leave() }, statusClientGone},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLocalServer(t)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				w := httptest.NewRecorder()
				done := make(chan struct{})
				go func() {
					defer close(done)
					serveTo(s, w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/catalog/nodes?index=7", nil))
				}()
				synctest.Wait()
				tc.end(s.Server, leave)
				<-done
				if w.Code != tc.status || s.Parked() != 0 {
					t.Errorf("%d, want %d; %d still wait", w.Code, tc.status, s.Parked())
				}
			})
		})
	}
}

func TestCatalogWaitsAreBounded(t *testing.T) {
	s := newLocalServer(t)
	s.parked.count = testSettings().ParkedTotal
	for _, path := range []string{"/v1/catalog/nodes?index=4", "/v1/event/list?index=1"} {
		if w := ask(t, s.Server, http.MethodGet, path, ""); w.Code != 429 {
			t.Errorf("%s: %d, want 429", path, w.Code)
		}
	}
}
