package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const oneNode = `[{"ID":"id-1","Node":"node-1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"127.0.0.1"},` +
	`"Meta":{"consul-network-segment":"","rack":"7"},"CreateIndex":1,"ModifyIndex":1}]`

func TestCatalogAnswers(t *testing.T) {
	for _, tc := range []struct {
		rule, target string
		status       int
		body         string // the beginning
		consistency  string // header; empty: absent
	}{
		{"the datacenter of the server", "/v1/catalog/datacenters", 200, `["dc1"]`, ""},
		{"an unknown datacenter", "/v1/catalog/datacenters?dc=x", 500, "No path to datacenter", ""},
		{"this server", "/v1/catalog/nodes", 200, oneNode, "leader"},
		{"stale", "/v1/catalog/nodes?stale", 200, oneNode, "stale"},
		{"consistent", "/v1/catalog/nodes?consistent", 200, oneNode, "consistent"},
		{"both", "/v1/catalog/nodes?stale&consistent", 400, "Cannot specify ?stale with ?consistent", ""},
		{"with a pair of the metadata", "/v1/catalog/nodes?node-meta=rack:7", 200, oneNode, "leader"},
		{"with two", "/v1/catalog/nodes?node-meta=rack:7&node-meta=consul-network-segment:", 200, oneNode, "leader"},
		{"all pairs must match", "/v1/catalog/nodes?node-meta=rack:7&node-meta=no:such", 200, "[]", "leader"},
		{"another value", "/v1/catalog/nodes?node-meta=rack:8", 200, "[]", "leader"},
		{"a filter", "/v1/catalog/nodes?filter=Node%3D%3D%22zz%22", 200, "[]", "leader"},
		{"a filter over what is not there", "/v1/catalog/nodes?filter=Bogus%3D%3D1", 500, `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`, ""},
		{"its own datacenter", "/v1/catalog/nodes?dc=dc1", 200, oneNode, "leader"},
		{"another datacenter", "/v1/catalog/nodes?dc=x", 500, "No path to datacenter", ""},
		{"a bad wait", "/v1/catalog/nodes?wait=10", 400, "Invalid wait time", ""},
		{"a bad index", "/v1/catalog/nodes?index=x", 400, "Invalid index", ""},
		{"a namespace", "/v1/catalog/nodes?ns=default", 400, `Invalid query parameter: "ns"`, ""},
		{"an index below the catalog's does not wait", "/v1/catalog/nodes?index=0&wait=10m", 200, oneNode, "leader"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := ask(t, newAgentServer(t, &fakeAgent{}), http.MethodGet, tc.target, "")
			if w.Code != tc.status || !strings.HasPrefix(w.Body.String(), tc.body) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body.String(), tc.status, tc.body)
			}
			if got := w.Header().Get("X-Consul-Effective-Consistency"); got != tc.consistency {
				t.Errorf("consistency is %q, want %q", got, tc.consistency)
			}
			nodes := strings.HasPrefix(tc.target, "/v1/catalog/nodes")
			index, known := w.Header().Get("X-Consul-Index"), w.Header().Get("X-Consul-Knownleader")
			switch {
			case nodes && tc.status == 200:
				if index != "1" || known != "true" || w.Header().Get("X-Consul-Query-Backend") != "blocking-query" {
					t.Errorf("index %q, leader known %q", index, known)
				}
			case nodes && tc.status == 500: // contract, README, section 8
				if index != "1" || known != "false" || w.Header().Get("X-Consul-Lastcontact") != "0" {
					t.Errorf("index %q, leader known %q", index, known)
				}
			default:
				if index != "" {
					t.Errorf("index %q, want none", index)
				}
			}
		})
	}
}

func TestCatalogWaitsForItselfOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAgentServer(t, &fakeAgent{})
		began := time.Now()
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/catalog/nodes?index=1&wait=16s", nil))
		}()
		synctest.Wait()
		if s.Parked() != 1 {
			t.Fatal("the query does not wait")
		}
		ask(t, s, http.MethodPut, "/v1/kv/app/motd", "x")
		synctest.Wait()
		if s.Parked() != 1 {
			t.Error("a write of a key woke a query of the catalog")
		}
		<-done
		if took := time.Since(began); took < 16*time.Second || took > 17*time.Second {
			t.Errorf("answered after %s, want 16 s to 17 s", took)
		}
		if w.Code != 200 || w.Body.String() != oneNode || w.Header().Get("X-Consul-Index") != "1" {
			t.Errorf("%d %s, index %q", w.Code, w.Body.String(), w.Header().Get("X-Consul-Index"))
		}
		if got := time.Duration(routeMetrics(t, s, "/v1/catalog/nodes").Nanos.Load()); got != 0 {
			t.Errorf("the wait counts as an answer of %s", got)
		}
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
				s := newAgentServer(t, &fakeAgent{})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				w := httptest.NewRecorder()
				done := make(chan struct{})
				go func() {
					defer close(done)
					s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/catalog/nodes?index=7", nil))
				}()
				synctest.Wait()
				tc.end(s, leave)
				<-done
				if w.Code != tc.status || s.Parked() != 0 {
					t.Errorf("%d, want %d; %d still wait", w.Code, tc.status, s.Parked())
				}
			})
		})
	}
}

func TestCatalogWaitsAreBounded(t *testing.T) {
	s := newAgentServer(t, &fakeAgent{})
	s.parked.count = testSettings().ParkedTotal
	if w := ask(t, s, http.MethodGet, "/v1/catalog/nodes?index=1", ""); w.Code != 429 {
		t.Errorf("%d, want 429", w.Code)
	}
}
