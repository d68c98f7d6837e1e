package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// sum is a state machine whose state tells every applied entry: their number and
// a sum over their content.
type sum struct {
	mu    sync.Mutex
	n     uint64
	total uint64
}

func (s *sum) Apply(l *raft.Log) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.total = s.total*31 + binary.BigEndian.Uint64(l.Data)
	return s.total
}

func (s *sum) state() (n, total uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.total
}

func (s *sum) Snapshot() (raft.FSMSnapshot, error) {
	n, total := s.state()
	return sumSnapshot{n, total}, nil
}

func (s *sum) Restore(r io.ReadCloser) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := fmt.Fscan(r, &s.n, &s.total)
	return errors.Join(err, r.Close())
}

type sumSnapshot struct{ n, total uint64 }

func (s sumSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := fmt.Fprintln(sink, s.n, s.total); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s sumSnapshot) Release() {}

// server is one raft server on a store.
type server struct {
	t     *testing.T
	raft  *raft.Raft
	fsm   *sum
	store *Store
}

func startServer(t *testing.T, dir string, o Options) *server {
	t.Helper()
	store, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, store)
}

// startOn starts a server on an open store, and bootstraps it if that is fresh.
func startOn(t *testing.T, store *Store) *server {
	t.Helper()
	conf := raft.DefaultConfig()
	conf.LocalID = "one"
	conf.Logger = hclog.NewNullLogger()
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	conf.CommitTimeout = 5 * time.Millisecond
	conf.TrailingLogs = 10
	_, trans := raft.NewInmemTransport("one")
	state, err := store.State()
	if err != nil {
		t.Fatal(err)
	}
	if state.Fresh() {
		servers := raft.Configuration{Servers: []raft.Server{{ID: "one", Address: "one"}}}
		if err := raft.BootstrapCluster(conf, store, store.Stable(), store.Snapshots(), trans, servers); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{t: t, fsm: &sum{}, store: store}
	if s.raft, err = raft.NewRaft(conf, s.fsm, store, store.Stable(), store.Snapshots(), trans); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) stop() {
	s.t.Helper()
	if err := s.raft.Shutdown().Error(); err != nil {
		s.t.Error(err)
	}
	mustClose(s.t, s.store)
}

// await waits until the server leads and has applied what it has.
func (s *server) await() {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if s.raft.State() == raft.Leader && s.raft.Barrier(5*time.Second).Error() == nil {
			return
		}
		select {
		case <-s.raft.LeaderCh():
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.t.Fatal("no leader")
}

func (s *server) apply(v uint64, pad int) error {
	data := append(binary.BigEndian.AppendUint64(nil, v), make([]byte, pad)...)
	return s.raft.Apply(data, time.Second).Error()
}

func (s *server) mustApply(from, to uint64) {
	s.t.Helper()
	for v := from; v <= to; v++ {
		if err := s.apply(v, 0); err != nil {
			s.t.Fatalf("apply %d: %v", v, err)
		}
	}
}

func TestRaftRestartsWithEverythingAcknowledged(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		o := testOptions(backend)
		next := uint64(1)
		var wantN, wantTotal uint64
		for round := range 4 {
			o.Initialised = round > 0
			s := startServer(t, dir, o)
			s.await()
			if n, total := s.fsm.state(); n != wantN || total != wantTotal {
				t.Fatalf("round %d: state %d, %d, want %d, %d", round, n, total, wantN, wantTotal)
			}
			s.mustApply(next, next+39)
			next += 40
			if round%2 == 1 {
				if err := s.raft.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
			}
			wantN, wantTotal = s.fsm.state()
			s.stop()
		}
	})
}

// The restore of an archive replaces state and log, in either kind of log.
func TestRaftRestoresAnArchive(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		s := startServer(t, dir, testOptions(backend))
		s.await()
		s.mustApply(1, 20)
		snap := s.raft.Snapshot()
		if err := snap.Error(); err != nil {
			t.Fatal(err)
		}
		meta, content, err := snap.Open()
		if err != nil {
			t.Fatal(err)
		}
		wantN, wantTotal := s.fsm.state()
		s.mustApply(21, 50)
		if err := s.raft.Restore(meta, content, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
		mustGoOn(t, s, dir, testOptions(backend), wantN, wantTotal)
	})
}

// mustGoOn wants a server that has restored a state to have it, and to go on from it, also when it
// is started anew.
func mustGoOn(t *testing.T, s *server, dir string, o Options, wantN, wantTotal uint64) {
	t.Helper()
	if n, total := s.fsm.state(); n != wantN || total != wantTotal {
		t.Fatalf("restored state %d, %d, want %d, %d", n, total, wantN, wantTotal)
	}
	s.mustApply(51, 60)
	wantN, wantTotal = s.fsm.state()
	s.stop()
	s = startServer(t, dir, o)
	defer s.stop()
	s.await()
	if n, total := s.fsm.state(); n != wantN || total != wantTotal {
		t.Fatalf("state after restart %d, %d, want %d, %d", n, total, wantN, wantTotal)
	}
}

func TestRaftInMemory(t *testing.T) {
	store := Memory()
	if st, err := store.State(); err != nil || !st.Fresh() {
		t.Errorf("state = %+v, %v", st, err)
	}
	s := startOn(t, store)
	defer s.stop()
	s.await()
	s.mustApply(1, 10)
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Error(err)
	}
	if st, err := store.State(); err != nil || st.Fresh() || !st.Initialised {
		t.Errorf("state = %+v, %v", st, err)
	}
}
