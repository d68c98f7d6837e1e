package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// localNode is a Node without Raft: a command is applied at once, under the next
// index, at a clock that moves a second with each. It is its own cluster of one
// and keeps its log, so that a test can come to the same state another way.
type localNode struct {
	store   *fsm.Store
	machine *fsm.FSM
	full    error  // what Writable returns
	scratch string // where restores keep their archive
	loads   bool   // restores load it while they check it
	between func() // called between the two steps of a restore, if not nil

	mu      sync.Mutex
	index   uint64      // guarded by mu
	clock   time.Time   // guarded by mu
	base    []byte      // snapshot that the log begins at; nil is the empty state; guarded by mu
	log     []*raft.Log // guarded by mu
	contact Contact     // what is known of the leader; guarded by mu
	readErr error       // why reads are not served, if they are not; guarded by mu
	current error       // why reads that are not stale are not served; guarded by mu
	gates   []Mode      // of every read that asked for leave; guarded by mu
}

func newLocalNode(t testing.TB) *localNode {
	store := fsm.NewStore()
	return &localNode{
		store: store, index: 3, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		scratch: t.TempDir(), contact: Contact{KnownLeader: true},
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
	entry := &raft.Log{Index: n.index, Type: raft.LogCommand, Data: data}
	n.log = append(n.log, entry)
	switch answer := n.machine.Apply(entry).(type) {
	case fsm.Result:
		return answer, nil
	case error:
		return fsm.Result{}, answer
	default:
		return fsm.Result{}, fmt.Errorf("answer is a %T", answer)
	}
}

func (n *localNode) ReadIndex(_ context.Context, mode Mode) (Contact, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gates = append(n.gates, mode)
	if mode != Stale && n.current != nil {
		return Contact{}, n.current
	}
	return n.contact, n.readErr
}

func (n *localNode) Contact() Contact {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.contact
}

func (n *localNode) Store() *fsm.Store { return n.store }

// setContact changes what the node knows of the leader, and whether it serves reads.
func (n *localNode) setContact(contact Contact, readErr error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.contact, n.readErr = contact, readErr
}

// takeGates are the modes of the reads since it was called last.
func (n *localNode) takeGates() []Mode {
	n.mu.Lock()
	defer n.mu.Unlock()
	gates := n.gates
	n.gates = nil
	return gates
}

// failDefault has all reads fail that are not stale; nil has them served again.
func (n *localNode) failDefault(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current = err
}

const localAddress = "127.0.0.1:8300"

func (n *localNode) LeaderAddress() string   { return localAddress }
func (n *localNode) PeerAddresses() []string { return []string{localAddress} }

func (n *localNode) RaftConfiguration(context.Context, Mode) ([]RaftServer, uint64, error) {
	return []RaftServer{{
		ID: "11111111-2222-3333-4444-555555555555", Node: "alpha", Address: localAddress,
		ProtocolVersion: "3", Leader: true, Voter: true, LastIndex: 3,
	}}, 1, nil
}

func (n *localNode) TransferLeader(_ context.Context, id string, _ *acl.Given) error {
	if id == "" {
		return errors.New("cannot find peer")
	}
	return errors.New("Could not find address for server id " + id)
}

func (n *localNode) RemovePeer(_ context.Context, id, address string, _ *acl.Given) error {
	if id != "" {
		return fmt.Errorf("id %q was not found in the Raft configuration", id)
	}
	return fmt.Errorf("address %q was not found in the Raft configuration", address)
}

func (n *localNode) SnapshotMeta(s *fsm.Snapshot) (SnapshotMeta, error) {
	servers, index, err := n.RaftConfiguration(context.Background(), Stale)
	return SnapshotMeta{
		ID: fmt.Sprintf("2-%d-1767322999000", s.Index()), Index: s.Index(), Term: 2,
		Peers: n.PeerAddresses(), Servers: servers, ConfigurationIndex: index,
	}, err
}

// keptFile is a Kept in a file, and its state if it was loaded.
type keptFile struct {
	n      *localNode
	f      *os.File
	loaded *fsm.Loaded
}

// Keep is part of Snapshots.
func (n *localNode) Keep() (Kept, error) {
	f, err := os.CreateTemp(n.scratch, "restore-*")
	if err != nil {
		return nil, err
	}
	return &keptFile{n: n, f: f}, nil
}

// Take is part of Kept. Whether the state is loaded or only checked must not matter.
func (k *keptFile) Take(state io.Reader) (broken, err error) {
	kept := io.TeeReader(state, k.f)
	if k.n.loads {
		k.loaded, broken = fsm.LoadSnapshot(kept)
	} else {
		broken = fsm.CheckSnapshot(kept)
	}
	_, err = io.Copy(io.Discard, kept)
	return broken, err
}

// Discard is part of Kept.
func (k *keptFile) Discard() { _ = errors.Join(k.f.Close(), os.Remove(k.f.Name())) } // a test looks for what is left

// Restore goes on above every index ever used, as Raft does, and notes the
// restore in the log.
func (n *localNode) Restore(ctx context.Context, meta SnapshotMeta, kept Kept, _ *acl.Given) error {
	k := kept.(*keptFile)
	if _, err := k.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := n.replaceWith(meta, k.f, k.loaded); err != nil {
		return err
	}
	if n.between != nil {
		n.between()
	}
	_, err := n.Propose(ctx, &fsm.Command{Restored: true})
	return err
}

// replaceState is the part of a restore before it is noted in the log.
func (n *localNode) replaceState(meta SnapshotMeta, r io.Reader) error {
	return n.replaceWith(meta, r, nil)
}

func (n *localNode) replaceWith(meta SnapshotMeta, r io.Reader, loaded *fsm.Loaded) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	state, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := n.machine.Restore(loadedState{bytes.NewReader(state), loaded}); err != nil {
		return err
	}
	n.index = max(n.index, meta.Index) + 1
	n.base, n.log = state, nil
	return nil
}

// loadedState is the content of a snapshot whose state may be in memory.
type loadedState struct {
	io.Reader
	loaded *fsm.Loaded
}

func (l loadedState) Close() error        { return nil }
func (l loadedState) Loaded() *fsm.Loaded { return l.loaded }

// Writable is part of Snapshots.
func (n *localNode) Writable() error { return n.full }

// born returns a new node at the same point of the same log, with the state that
// fill gives it.
func (n *localNode) born(t testing.TB, fill func(*fsm.FSM)) *localNode {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	next := newLocalNode(t)
	next.index, next.clock, next.base, next.log = n.index, n.clock, n.base, n.log
	next.contact, next.scratch = n.contact, n.scratch
	fill(next.machine)
	return next
}

// lives are the ways in which a server can come to its state. What it answers must
// not depend on which it was.
var lives = []struct {
	name string
	next func(*localNode, testing.TB) *localNode
}{
	{"single", func(n *localNode, _ testing.TB) *localNode { return n }},
	{"restarted", (*localNode).restarted},
	{"restored", (*localNode).restored},
	{"from-archive", (*localNode).fromArchive},
}

// restarted returns a node that has replayed the log, in one batch.
func (n *localNode) restarted(t testing.TB) *localNode {
	return n.born(t, func(m *fsm.FSM) {
		restore(t, m, n.base)
		if len(n.log) > 0 {
			m.ApplyBatch(n.log)
		}
	})
}

// restored returns a node that has read what Raft keeps as its snapshot.
func (n *localNode) restored(t testing.TB) *localNode {
	snap, err := n.machine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	return n.born(t, func(m *fsm.FSM) { restore(t, m, sink.Bytes()) })
}

// fromArchive returns a node that has read the state out of an archive.
func (n *localNode) fromArchive(t testing.TB) *localNode {
	var state bytes.Buffer
	if _, err := readArchive(bytes.NewReader(n.archive(t)), &state); err != nil {
		t.Fatal(err)
	}
	return n.born(t, func(m *fsm.FSM) { restore(t, m, state.Bytes()) })
}

// archive is the present state as an archive.
func (n *localNode) archive(t testing.TB) []byte {
	t.Helper()
	snap := n.store.Snapshot()
	meta, err := n.SnapshotMeta(snap)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeArchive(&out, meta, snap); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func restore(t testing.TB, m *fsm.FSM, state []byte) {
	t.Helper()
	if state == nil {
		return
	}
	if err := m.Restore(io.NopCloser(bytes.NewReader(state))); err != nil {
		t.Fatal(err)
	}
}

// memorySink is a raft.SnapshotSink in memory.
type memorySink struct{ bytes.Buffer }

func (s *memorySink) Close() error  { return nil }
func (s *memorySink) Cancel() error { return errors.New("snapshot was cancelled") }
func (s *memorySink) ID() string    { return "memory" }

func testSettings() Settings {
	return Settings{
		ValueBytes: limit.ValueBytes, TxnBytes: limit.TxnBytes, TxnOps: limit.TxnOps,
		DefaultQueryTime: limit.DefaultQueryTime, MaxQueryTime: limit.MaxQueryTime, HoldTime: time.Second,
		ParkedPerClient: 100, ParkedTotal: 200, BodyTimeout: 30 * time.Second,
		AuthFailures: limit.Attempts, AuthFailuresTime: limit.AttemptsTime,
	}
}

func newTestServer(t testing.TB, node Node) *Server {
	return newServerWith(t, node, func(*Settings) {})
}

// newServerWith returns a server whose settings differ from the usual.
func newServerWith(_ testing.TB, node Node, change func(*Settings)) *Server {
	settings := testSettings()
	change(&settings)
	opts := Options{Node: node, Log: hclog.NewNullLogger(), Datacenter: "dc1"}
	if local, ok := node.(*localNode); ok {
		opts.Cluster, opts.Snapshots, opts.Membership = local, local, &fakeMembership{}
	}
	return New(opts, settings)
}

// ask sends one request and returns the answer.
func ask(t testing.TB, s *Server, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return askIn(t.Context(), t, s, method, target, body, headers...)
}

// askIn sends one request of a client that leaves when ctx ends.
func askIn(ctx context.Context, t testing.TB, s *Server, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	serveTo(s, w, r)
	return w
}

// mustPut writes a key and returns the index of the write.
func mustPut(t testing.TB, s *Server, key, value string) string {
	t.Helper()
	return mustWrite(t, s, http.MethodPut, "/v1/kv/"+key, value)
}

func mustDelete(t testing.TB, s *Server, target string) string {
	t.Helper()
	return mustWrite(t, s, http.MethodDelete, "/v1/kv/"+target, "")
}

func mustWrite(t testing.TB, s *Server, method, target, body string) string {
	t.Helper()
	w := ask(t, s, method, target, body)
	if w.Code != http.StatusOK || w.Body.String() != "true" {
		t.Fatalf("%s %s answered %d %q, want 200 true", method, target, w.Code, w.Body)
	}
	return w.Header().Get("X-Consul-Index")
}

// expect compares an answer with a status and a body.
func expect(t testing.TB, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Errorf("answer is %d %q, want %d %q", w.Code, shortened(w.Body.String()), status, shortened(body))
	}
}

// expectHeader compares a header of an answer; an empty want says that it must be
// absent.
func expectHeader(t testing.TB, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := strings.Join(w.Header().Values(name), " | "); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func shortened(s string) string {
	if len(s) > 2000 {
		return s[:2000] + "..."
	}
	return s
}

// discard is the cheapest ResponseWriter there is.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

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
