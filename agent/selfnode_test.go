package agent

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/session"
)

// eventually waits until the state of a server is as a test wants it.
func (m *inMemory) eventually(t *testing.T, what string, ok func(catalog.View) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		index := m.store.Applied()
		if ok(m.store.View().Catalog()) {
			return
		}
		if m.store.WaitApplied(ctx, index+1) != nil {
			t.Fatalf("%s: not so after 10 s\n%s", what, m.log)
		}
	}
}

func (m *inMemory) mustPropose(t *testing.T, c *fsm.Command) {
	t.Helper()
	if res, err := m.Propose(t.Context(), c); err != nil || !res.Applied {
		t.Fatalf("propose %+v: %+v, %v", c, res, err)
	}
}

// loadedOf is a configuration as if it had been read.
func loadedOf(cfg *config.Config) *config.Loaded { return &config.Loaded{Config: cfg} }

func holdsSelf(m *inMemory) func(catalog.View) bool {
	return func(v catalog.View) bool { return v.Holds(m.selfRegistration()) }
}

// TestAServerIsANodeBeforeItServes: requests that come before the server runs find it
// in the catalog, however early they are served.
func TestAServerIsANodeBeforeItServes(t *testing.T) {
	m := newInMemory(t, Options{})
	type answer struct {
		status int
		body   string
	}
	answers := make([]answer, 20)
	var asked sync.WaitGroup
	for i := range answers {
		asked.Go(func() {
			method, path := http.MethodPut, "/v1/session/create"
			if i%2 == 0 {
				method, path = http.MethodGet, "/v1/health/node/node-1"
			}
			answers[i].status, _, answers[i].body = m.ask(t, method, path, "")
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	asked.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	for i, a := range answers {
		if a.status != 200 || i%2 == 0 && !strings.Contains(a.body, `"CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable"`) {
			t.Errorf("request %d: %d %s", i, a.status, a.body)
		}
	}
}

// TestAWriteWaitsUntilTheServerIsANode: Raft takes writes before the server has
// registered itself, and a session would be refused then.
func TestAWriteWaitsUntilTheServerIsANode(t *testing.T) {
	m := newInMemory(t, Options{}) // its duties have not begun
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	for range m.raft.LeaderCh() {
		break // Raft leads
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if res, err := m.Propose(ctx, &fsm.Command{Restored: true}); !errors.Is(err, httpapi.ErrNoLeader) || m.store.Applied() != 0 {
		t.Errorf("the write came to %+v, %v; applied %d", res, err, m.store.Applied())
	}
}

func TestAServerRegistersItself(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	view := m.store.View().Catalog()
	n, s := view.Node("node-1"), view.Service("node-1", "consul")
	if n == nil || n.ID != m.nodeID || n.Address != "127.0.0.1" || n.TaggedAddresses["lan_ipv4"] != "127.0.0.1" || n.Meta["consul-version"] == "" {
		t.Errorf("node is %+v", n)
	}
	if s == nil || s.Name != "consul" || s.Port != m.config().Ports.Server {
		t.Errorf("service is %+v", s)
	}
	before := m.store.Applied()
	if err := m.registerSelf(t.Context()); err != nil {
		t.Error(err)
	}
	if got := m.store.Applied(); got != before {
		t.Error("a server that is registered wrote to the log")
	}
}

func TestAServerComesBackToTheCatalog(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		command fsm.Command
	}{
		{"after its node is removed", fsm.Command{Deregister: &fsm.Deregistration{Node: "NODE-1"}}},
		{"after its check is removed", fsm.Command{Deregister: &fsm.Deregistration{Node: "node-1", CheckID: httpapi.SelfCheck}}},
		{"after its service is removed", fsm.Command{Deregister: &fsm.Deregistration{Node: "node-1", ServiceID: httpapi.SelfService}}},
		{"after its check is made critical", fsm.Command{Register: &catalog.Registration{
			Node: catalog.Node{Name: "node-1"}, SkipNode: true, Checks: []catalog.Check{selfCheck(catalog.Critical, "")},
		}}},
		{"after its node is given another address", fsm.Command{Register: &catalog.Registration{Node: catalog.Node{Name: "node-1", Address: "x"}}}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			m, _ := startInMemory(t, Options{})
			m.mustPropose(t, &tc.command)
			m.eventually(t, tc.rule, holdsSelf(m))
		})
	}
	t.Run("after an archive is restored that does not know it", func(t *testing.T) {
		m, _ := startInMemory(t, Options{})
		_, _, archive := m.ask(t, http.MethodGet, "/v1/snapshot", "")
		other := testConfig()
		other.NodeName = "node-2"
		m2, _ := startInMemory(t, Options{Loaded: loadedOf(other)})
		if status, _, body := m2.ask(t, http.MethodPut, "/v1/snapshot", archive); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		m2.eventually(t, "restored", holdsSelf(m2))
		if m2.store.View().Catalog().Node("node-1") == nil {
			t.Error("the archive's node is not there")
		}
	})
}

// TestAServerThatIsRenamed takes along what was registered with it.
func TestAServerThatIsRenamed(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	old := catalog.Node{ID: m.nodeID, Name: "node-0", Address: "x"}
	const ends, stays = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
	create := func(s session.Session) {
		t.Helper()
		s.Node, s.Behavior, s.Grace = "node-0", session.Release, -1
		s.NodeChecks, s.Implied = []string{httpapi.SelfCheck}, true
		m.mustPropose(t, &fsm.Command{Session: &s})
	}
	// All of it without the id at first, so that the server does not see it for its own
	// before it is complete.
	foreign := old
	foreign.ID = ""
	for _, r := range []catalog.Registration{
		{
			Node: foreign, Service: &catalog.Service{ID: "web", Name: "web", Port: 1}, Checks: []catalog.Check{
				selfCheck(catalog.Passing, ""),
				{ID: "mem", Name: "mem", Status: catalog.Warning},
				{ID: "service:web", Name: "c", Status: catalog.Passing, ServiceID: "web", Type: catalog.TypeTTL, TTL: time.Hour},
			},
		},
		{Node: foreign, Service: &catalog.Service{ID: "both", Name: "old"}},
		{Node: foreign, Service: &catalog.Service{ID: httpapi.SelfService, Name: httpapi.SelfService, Port: 1}},
		{Node: m.selfRegistration().Node, Service: &catalog.Service{ID: "both", Name: "new"}},
	} {
		m.mustPropose(t, &fsm.Command{Register: &r})
	}
	create(session.Session{ID: ends})
	create(session.Session{ID: stays, TTL: "1h", Lifetime: time.Hour})
	m.mustPropose(t, &fsm.Command{Register: &catalog.Registration{Node: old}})

	m.eventually(t, "the former node is dead", func(v catalog.View) bool {
		c := v.Check("node-0", httpapi.SelfCheck)
		return c != nil && c.Status == catalog.Critical && c.Output == deadOutput
	})
	view := m.store.View().Catalog()
	if c := view.Check("node-1", "service:web"); c == nil || c.Status != catalog.Passing || c.TTL != time.Hour || view.Service("node-1", "web") == nil {
		t.Errorf("the service was not taken along with its check: %+v", c)
	}
	if c := view.Check("node-1", "mem"); c == nil || c.Status != catalog.Warning {
		t.Errorf("the node's check was not taken along: %+v", c)
	}
	if s := view.Service("node-1", "both"); s.Name != "new" {
		t.Errorf("what was there was overwritten: %+v", s)
	}
	if view.Service("node-0", "web") != nil || view.Check("node-0", "mem") != nil {
		t.Error("what was taken along is still there")
	}
	if s := view.Service("node-1", httpapi.SelfService); s.Port != m.config().Ports.Server {
		t.Errorf("the server's own service is %+v", s)
	}
	sessions, _ := m.store.View().Sessions()
	if sessions.Get(ends) != nil {
		t.Error("a session that only the node kept alive lives")
	}
	if sessions.Get(stays) == nil {
		t.Fatal("a session with a TTL has ended before it")
	}

	m.mustPropose(t, &fsm.Command{EndSession: &fsm.EndSession{IDs: []string{stays}}})
	if settled, err := m.keepSelf(t.Context(), m.Propose); err != nil || !settled {
		t.Errorf("settled: %v, %v", settled, err)
	}
	if m.store.View().Catalog().Node("node-0") != nil {
		t.Error("the former node is there although no session is left on it")
	}
}

// TestARestartBringsNoChange: a server that comes back finds itself in the catalog,
// and times its checks again.
func TestARestartBringsNoChange(t *testing.T) {
	cfg := testConfig()
	cfg.Dev, cfg.DataDir = false, t.TempDir()
	m, stop := startInMemory(t, Options{Loaded: loadedOf(cfg)})
	if status, _, body := m.ask(t, http.MethodPut, "/v1/agent/service/register", `{"Name":"web","Check":{"TTL":"1h","Status":"passing"}}`); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	view := m.store.View().Catalog()
	node, check := view.Node("node-1"), view.Check("node-1", "service:web")
	stop()
	again := testConfig()
	again.Dev, again.DataDir = false, cfg.DataDir
	m, _ = startInMemory(t, Options{Loaded: loadedOf(again)})
	view = m.store.View().Catalog()
	if got := view.Node("node-1"); got == nil || got.ModifyIndex != node.ModifyIndex || got.ID != node.ID {
		t.Errorf("node is %+v, was %+v", got, node)
	}
	if got := view.Check("node-1", "service:web"); got == nil || got.ModifyIndex != check.ModifyIndex {
		t.Errorf("check is %+v, was %+v", got, check)
	}
	if status, _, body := m.ask(t, http.MethodPut, "/v1/agent/check/pass/service:web", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}
