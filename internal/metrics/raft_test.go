package metrics

import (
	"io"
	"testing"
	"time"

	gometrics "github.com/hashicorp/go-metrics/compat"
	"github.com/hashicorp/raft"
)

// machine is a state machine that does nothing.
type machine struct{}

func (machine) Apply(*raft.Log) any                 { return nil }
func (machine) Snapshot() (raft.FSMSnapshot, error) { return machine{}, nil }
func (machine) Restore(r io.ReadCloser) error       { return r.Close() }
func (machine) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (machine) Release()                            {}

func (machine) ApplyBatch(logs []*raft.Log) []any { return make([]any, len(logs)) }

// TestRaftNamesAreKnown runs a server of the library through what it measures. A
// name that the tables do not have is dropped, and found here.
func TestRaftNamesAreKnown(t *testing.T) {
	sink, ok := Raft().(*raftSink)
	if !ok {
		t.Fatalf("Raft() is a %T", Raft())
	}
	before := sink.counters["raft.apply"].n.Load()

	conf := raft.DefaultConfig()
	conf.LocalID, conf.LogOutput = "a", io.Discard
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	conf.NoLegacyTelemetry, conf.BatchApplyCh = true, true
	logs, snaps := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	address, transport := raft.NewInmemTransport("")
	err := raft.BootstrapCluster(conf, logs, logs, snaps, transport, raft.Configuration{Servers: []raft.Server{{ID: "a", Address: address}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(conf, machine{}, logs, logs, snaps, transport)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.LeaderCh():
	case <-time.After(10 * time.Second):
		t.Fatal("no leader after 10 s")
	}
	// One after the other: a snapshot is refused while there is nothing in it.
	for _, begin := range []func() raft.Future{
		func() raft.Future { return r.Apply([]byte("x"), 0) },
		func() raft.Future { return r.Barrier(0) },
		func() raft.Future { return r.VerifyLeader() },
		func() raft.Future { return r.Snapshot() },
	} {
		if err := begin().Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}

	if got := sink.unknown.Load(); got != 0 {
		t.Errorf("%d measurements have a name that the tables do not know", got)
	}
	if got := sink.counters["raft.apply"].n.Load() - before; got != 1 {
		t.Errorf("one command was applied, %d counted", got)
	}
	for _, name := range []string{"raft.commitTime", "raft.fsm.applyBatch", "raft.snapshot.takeSnapshot"} {
		var n uint64
		for i := range sink.samples[name].counts {
			n += sink.samples[name].counts[i].Load()
		}
		if n == 0 {
			t.Errorf("%s has no samples", name)
		}
	}
}

func TestRaftSinkUnits(t *testing.T) {
	s := newRaftSink()
	s.SetGauge([]string{"raft", "leader", "oldestLogAge"}, 1500)
	s.IncrCounterWithLabels([]string{"raft", "replication", "appendEntries", "logs"}, 3, []gometrics.Label{{Name: "peer_id", Value: "b"}})
	s.IncrCounter([]string{"raft", "replication", "appendEntries", "logs"}, 4)
	s.EmitKey([]string{"raft", "what"}, 1)
	s.SetGauge([]string{"raft", "what"}, 1)
	r, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	_, gauges, _ := interval(t, r.Interval())
	if got := gauges["holdfast.raft.oldest_log_age_seconds"].Value; got != 1.5 {
		t.Errorf("1500 ms are %v s", got)
	}
	if got := s.counters["raft.replication.appendEntries.logs"].n.Load(); got != 7 {
		t.Errorf("peers are not added up: %d, want 7", got)
	}
	if got := s.unknown.Load(); got != 2 {
		t.Errorf("%d unknown measurements, want 2", got)
	}
}

// TestRaftSinkAllocatesNothing holds what is on the way of each write to no
// garbage.
func TestRaftSinkAllocatesNothing(t *testing.T) {
	s := newRaftSink()
	counter, sample := []string{"raft", "apply"}, []string{"raft", "fsm", "applyBatch"}
	if n := testing.AllocsPerRun(100, func() {
		s.IncrCounterWithLabels(counter, 1, nil)
		s.AddSampleWithLabels(sample, 0.25, nil)
	}); n != 0 {
		t.Errorf("a measurement makes %.0f allocations", n)
	}
}
