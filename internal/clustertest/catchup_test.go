package clustertest

import (
	"context"
	"fmt"
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
