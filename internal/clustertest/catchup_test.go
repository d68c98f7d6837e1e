package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// writers write keys through some servers until stop, and then say what was acknowledged
// of which.
type writers struct {
	t     *testing.T
	ctx   context.Context
	end   context.CancelFunc
	group sync.WaitGroup
	acked atomic.Int64

	mu   sync.Mutex
	last map[string]string // value by key; guarded by mu
}

func startWriters(t *testing.T) *writers {
	w := &writers{t: t, last: map[string]string{}}
	w.ctx, w.end = context.WithCancel(t.Context())
	t.Cleanup(func() { w.end(); w.group.Wait() })
	return w
}

// through begins to write through a server.
func (w *writers) through(s *testcluster.Server) {
	for client := range 2 {
		w.group.Go(func() {
			for n := 0; w.ctx.Err() == nil; n++ {
				key, value := fmt.Sprintf("load/%s/%d/%d", s.Name(), client, n%50), fmt.Sprint(n)
				resp, err := s.TryDo(context.WithoutCancel(w.ctx), http.MethodPut, "/v1/kv/"+key, []byte(value))
				if err != nil || resp.Status != http.StatusOK {
					w.t.Errorf("put through %s: %v %d %s", s.Name(), err, resp.Status, resp.Body)
					return
				}
				w.acked.Add(1)
				w.mu.Lock()
				w.last[key] = value
				w.mu.Unlock()
			}
		})
	}
}

// await waits until so many more writes are acknowledged.
func (w *writers) await(more int64) {
	w.t.Helper()
	want := w.acked.Load() + more
	await(w.t, func() error {
		got := w.acked.Load()
		return expect(got >= want, "%d writes, want %d", got, want)
	})
}

// stop ends the writes and checks that a server has all of them.
func (w *writers) stop(servers ...*testcluster.Server) {
	w.t.Helper()
	w.end()
	w.group.Wait()
	for _, s := range servers {
		for key, value := range w.last {
			if got, _ := s.Get(key); got != value {
				w.t.Errorf("%s has %q as %s; %q was acknowledged", s.Name(), got, key, value)
			}
		}
	}
}

// TestCatchUpBySnapshot: a server that was away for longer than the log reaches gets a
// snapshot, and then the log, while writes go on; so does one that is new, through which
// writes go as soon as it is there.
func TestCatchUpBySnapshot(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{
			"autopilot": quickVotes, "log_level": "info",
			"performance":             map[string]any{"raft_multiplier": 5}, // nobody is elected for a machine that is slow
			"raft_snapshot_threshold": 100, "raft_snapshot_interval": "100ms", "raft_trailing_logs": 20,
		}},
	})
	leader, away, other := c.Leader(), c.Followers()[0], c.Followers()[1]
	load := startWriters(t)
	load.through(leader)
	load.through(other)
	load.await(100)

	away.Kill9()
	load.await(400)
	awaitLine(t, leader, 0, "compacting logs")
	from := len(away.Log())
	away.Launch()
	awaitLine(t, away, from, "Installed remote snapshot")
	c.AwaitFormed()
	if v, found := away.Get("load/" + leader.Name() + "/0/0"); !found {
		t.Errorf("it has %q of the load", v)
	}
	load.await(100)

	added := c.Add()
	added.Launch()
	awaitLine(t, added, 0, "Installed remote snapshot")
	await(t, func() error { return added.AnswersReads(t.Context()) })
	load.through(added) // it has no vote yet
	load.await(200)
	c.AwaitFormed()
	load.await(100)
	load.stop(leader, away, other, added)
	for _, s := range c.Servers() {
		if strings.Contains(s.Log(), "the state of this server differs") {
			t.Errorf("%s differs from others", s.Name())
		}
	}
}

// TestASnapshotIsSentSlowly: no faster than the configuration says. The log that the
// follower needs next is kept meanwhile, though the leader makes further snapshots and
// keeps next to nothing behind them otherwise: one snapshot is enough.
func TestASnapshotIsSentSlowly(t *testing.T) {
	slow(t)
	const rate, value, values = 1 << 20, 256 << 10, 16
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{
			"log_level": "info", "raft_snapshot_send_rate": rate,
			"raft_snapshot_threshold": 100, "raft_snapshot_interval": "100ms", "raft_trailing_logs": 50,
		}},
	})
	leader, away, other := c.Leader(), c.Followers()[0], c.Followers()[1]
	load := startWriters(t)
	load.through(leader)
	load.through(other)
	load.await(100)
	away.Kill9()
	random := rand.NewChaCha8([32]byte{})
	for i := range values { // what cannot be compressed
		v := make([]byte, value)
		_, _ = random.Read(v) // it has no end
		leader.Put(fmt.Sprintf("large/%d", i), string(v))
	}
	from := len(leader.Log())
	load.await(200)
	awaitLine(t, leader, from, "snapshot complete up to") // with all of it
	from = len(leader.Log())
	load.await(200)
	awaitLine(t, leader, from, "snapshot complete up to")

	from, began := len(away.Log()), len(leader.Log())
	away.Launch()
	c.AwaitFormed()
	sent := seriesOf(t, leader, "holdfast_raft_replication_snapshot_seconds_sum")
	if least := float64(value*values) / rate; sent < least {
		t.Errorf("%d bytes and more were sent in %.2f s, want %.2f s at least", value*values, sent, least)
	}
	if n := strings.Count(leader.Log()[began:], "snapshot complete up to"); n < 2 {
		t.Errorf("the leader made %d snapshots meanwhile; with fewer than 2 there is nothing to see", n)
	}
	if n := strings.Count(away.Log()[from:], "Installed remote snapshot"); n != 1 {
		t.Errorf("it was sent %d snapshots; the log behind the first was gone", n)
	}
	load.stop(leader, away, other)
}
