package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// localNode is a Node without Raft: a command is applied at once, under the next
// index, at a clock that the test moves.
type localNode struct {
	store   *fsm.Store
	machine *fsm.FSM

	mu    sync.Mutex
	index uint64    // guarded by mu
	clock time.Time // guarded by mu
}

func newLocalNode(t testing.TB) *localNode {
	store := fsm.NewStore()
	return &localNode{
		store: store, index: 3, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		machine: fsm.New(store, hclog.NewNullLogger(), func(err error) { t.Errorf("state machine stopped: %v", err) }),
	}
}

func (n *localNode) Propose(_ context.Context, c *fsm.Command) (fsm.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index++
	n.clock = n.clock.Add(time.Second)
	data, err := fsm.Encode(c, n.clock.UnixNano())
	if err != nil {
		return fsm.Result{}, err
	}
	switch answer := n.machine.Apply(&raft.Log{Index: n.index, Type: raft.LogCommand, Data: data}).(type) {
	case fsm.Result:
		return answer, nil
	case error:
		return fsm.Result{}, answer
	default:
		return fsm.Result{}, fmt.Errorf("answer is a %T", answer)
	}
}

func (n *localNode) ReadIndex(context.Context, Mode) (Contact, error) {
	return Contact{KnownLeader: true}, nil
}
func (n *localNode) Contact() Contact  { return Contact{KnownLeader: true} }
func (n *localNode) Store() *fsm.Store { return n.store }

func testSettings() Settings {
	return Settings{
		ValueBytes: limit.ValueBytes, TxnBytes: limit.TxnBytes, TxnOps: limit.TxnOps,
		DefaultQueryTime: limit.DefaultQueryTime, MaxQueryTime: limit.MaxQueryTime, HoldTime: time.Second,
		ParkedPerClient: 100, ParkedTotal: 200,
	}
}

func newTestServer(t testing.TB, node Node) *Server {
	return New(Options{Node: node, Log: hclog.NewNullLogger(), Datacenter: "dc1"}, testSettings())
}

// ask sends one request and returns the answer.
func ask(t testing.TB, s *Server, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// discard is the cheapest ResponseWriter there is.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// TestGetAllocations holds the hot path to what it costs: a GET of one key makes
// few objects beside those of net/http.
func TestGetAllocations(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	ask(t, s, http.MethodPut, "/v1/kv/app/motd", strings.Repeat("x", 1024))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/kv/app/motd", nil)
	w := &discard{h: http.Header{}}
	got := testing.AllocsPerRun(200, func() {
		clear(w.h)
		s.ServeHTTP(w, r)
	})
	t.Logf("GET: %.0f allocations", got)
	const want = 9
	if got > want {
		t.Errorf("GET makes %.0f allocations, want at most %d", got, want)
	}
}

func BenchmarkGet(b *testing.B) {
	s := newTestServer(b, newLocalNode(b))
	ask(b, s, http.MethodPut, "/v1/kv/app/motd", strings.Repeat("x", 1024))
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/kv/app/motd", nil)
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		s.ServeHTTP(w, r)
	}
}

func BenchmarkRecurse1000(b *testing.B) { benchmarkTree(b, 1000, "/v1/kv/list/?recurse") }
func BenchmarkKeys10000(b *testing.B)   { benchmarkTree(b, 10000, "/v1/kv/list/?keys") }

func benchmarkTree(b *testing.B, keys int, target string) {
	s := newTestServer(b, newLocalNode(b))
	for i := range keys {
		ask(b, s, http.MethodPut, fmt.Sprintf("/v1/kv/list/service-%05d/config", i), strings.Repeat("x", 1024))
	}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, target, nil)
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		s.ServeHTTP(w, r)
	}
}
