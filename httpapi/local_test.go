package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// HeardOfCheck is for tests in which no time runs.
func (f *fakeAgent) HeardOfCheck(context.Context, string) error { return nil }

// localAgent is a fakeAgent that notes which checks it has heard of.
type localAgent struct {
	*fakeAgent

	mu    sync.Mutex
	heard []string              // guarded by mu
	on    func(id string) error // called for each, if not nil; set before it is used
}

func (a *localAgent) HeardOfCheck(_ context.Context, id string) error {
	a.mu.Lock()
	a.heard = append(a.heard, id)
	a.mu.Unlock()
	if a.on != nil {
		return a.on(id)
	}
	return nil
}

// take returns what was heard of since it was last called.
func (a *localAgent) take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard := strings.Join(a.heard, " ")
	a.heard = nil
	return heard
}

// localServer is a server that has registered itself, at index 4.
type localServer struct {
	*Server
	node  *localNode
	agent *localAgent
}

func newLocalServer(t testing.TB) *localServer {
	t.Helper()
	l := &localServer{node: newLocalNode(t), agent: &localAgent{fakeAgent: &fakeAgent{}}}
	l.Server = New(Options{
		Node: l.node, Agent: l.agent, Log: hclog.NewNullLogger(), Datacenter: "dc1", NodeName: "node-1",
	}, testSettings())
	l.registerSelf(t)
	return l
}

// registerSelf does what the server's agent would.
func (l *localServer) registerSelf(t testing.TB) {
	t.Helper()
	self := l.agent.CatalogNode()
	l.propose(t, &fsm.Command{Register: &catalog.Registration{
		Node:    self.Row(),
		Service: &catalog.Service{ID: SelfService, Name: SelfService, Port: 8300, PassingWeight: 1, WarningWeight: 1},
		Checks:  []catalog.Check{{ID: SelfCheck, Name: SelfCheckName, Status: catalog.Passing, Output: SelfCheckOutput}},
	}})
}

func (l *localServer) propose(t testing.TB, c *fsm.Command) {
	t.Helper()
	if res, err := l.node.Propose(t.Context(), c); err != nil || !res.Applied {
		t.Fatalf("propose %+v: %+v, %v", c, res, err)
	}
}

// line is a line of a conversation: a request and what its answer must be.
type line struct {
	rule   string
	send   string // method, target, and the body after the second space
	status int
	answer string // exact, or the beginning when it ends in "…"; "-" for any
}

// play has a conversation with one server.
func play(t *testing.T, s http.Handler, lines ...line) {
	t.Helper()
	for _, x := range lines {
		method, rest, _ := strings.Cut(x.send, " ")
		target, body, _ := strings.Cut(rest, " ")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body)))
		got := w.Body.String()
		want, prefix := strings.CutSuffix(x.answer, "…")
		if w.Code != x.status || got != want && x.answer != "-" && !(prefix && strings.HasPrefix(got, want)) {
			t.Errorf("%s: %s\nanswer: %d %s\nwant:   %d %s", x.rule, x.send, w.Code, got, x.status, x.answer)
		}
	}
}

// mustRegister registers with the catalog and returns the index of that.
func mustRegister(t *testing.T, s *Server, body string) string {
	t.Helper()
	return mustWrite(t, s, http.MethodPut, "/v1/catalog/register", body)
}

// waiter is a request that waits, in a bubble of synctest.
type waiter struct {
	w     *httptest.ResponseRecorder
	began time.Time
	done  chan struct{}
	took  time.Duration // once done is closed
}

func startWaiting(t *testing.T, s http.Handler, target string) *waiter {
	t.Helper()
	x := &waiter{w: httptest.NewRecorder(), began: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(x.done)
		serveTo(s, x.w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		x.took = time.Since(x.began)
	}()
	return x
}
