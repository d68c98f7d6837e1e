package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

func TestUsage(t *testing.T) {
	l := newLocalServer(t)
	const before = `{"Usage":{"dc1":{"Services":1,"ServiceInstances":1,` + noMesh + `"BillableServiceInstances":0,"Nodes":1}},"Index":4,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"leader","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`
	w := ask(t, l.Server, http.MethodGet, "/v1/operator/usage?global", "")
	expect(t, w, http.StatusOK, before)
	for name, want := range map[string]string{
		"X-Consul-Index": "4", "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0", "X-Consul-Effective-Consistency": "leader",
	} {
		expectHeader(t, w, name, want)
	}
	for _, id := range []string{"web-1", "web-2"} {
		l.propose(t, &fsm.Command{Register: &catalog.Registration{
			Node: catalog.Node{Name: "db", Address: "10.0.0.9"}, Service: &catalog.Service{ID: id, Name: "web"},
		}})
	}
	l.node.setContact(Contact{KnownLeader: true, LastContact: 3 * time.Millisecond}, nil)
	w = ask(t, l.Server, http.MethodGet, "/v1/operator/usage?stale", "")
	expect(t, w, http.StatusOK, `{"Usage":{"dc1":{"Services":2,"ServiceInstances":3,`+noMesh+`"BillableServiceInstances":2,"Nodes":2}},"Index":6,"LastContact":3000000,"KnownLeader":true,"ConsistencyLevel":"stale","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`)
	expectHeader(t, w, "X-Consul-LastContact", "3")
	w = ask(t, l.Server, http.MethodGet, "/v1/operator/usage?dc=nodc", "")
	expect(t, w, http.StatusInternalServerError, "No path to datacenter")
	expectHeader(t, w, "X-Consul-Index", "1")
}

const noMesh = `"ConnectServiceInstances":{"api-gateway":0,"connect-native":0,"connect-proxy":0,"ingress-gateway":0,"mesh-gateway":0,"terminating-gateway":0},`

func TestUsageWaitsForTheCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocalServer(t)
		answered := make(chan *httptest.ResponseRecorder)
		go func() { answered <- ask(t, l.Server, http.MethodGet, "/v1/operator/usage?index=4&wait=10s", "") }()
		synctest.Wait()
		l.propose(t, &fsm.Command{Register: &catalog.Registration{Node: catalog.Node{Name: "db", Address: "10.0.0.9"}}})
		w := <-answered
		expectHeader(t, w, "X-Consul-Index", "5")
		if !strings.Contains(w.Body.String(), `"Nodes":2}},"Index":5`) {
			t.Errorf("answered %s", w.Body)
		}
	})
}
