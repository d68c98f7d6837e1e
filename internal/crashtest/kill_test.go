package crashtest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// rounds is how often a server is killed over the same data.
func rounds() int {
	if testing.Short() {
		return 2
	}
	return 20
}

// TestKill9UnderLoad kills a server again and again while clients write, with
// snapshots taken and the log cut so often that the kill meets those too.
func TestKill9UnderLoad(t *testing.T) {
	for _, store := range testcluster.LogStores() {
		t.Run(store, func(t *testing.T) {
			s := testcluster.Start(t, testcluster.Options{
				LogStore: store,
				Config: map[string]any{
					"log_level":               "info",
					"raft_snapshot_threshold": 100,
					"raft_snapshot_interval":  "250ms",
					"raft_trailing_logs":      50,
				},
			})
			ws := newWriters(8)
			for round := range rounds() {
				acks := 1 + rand.New(rand.NewPCG(1, uint64(round))).Int64N(300)
				load(t, s, ws, acks, s.Kill9)
				s.Launch()
				settleAll(t, ws, held(t, s))
				if t.Failed() {
					t.Fatalf("in round %d, killed after %d acknowledged writes", round, acks)
				}
			}
		})
	}
}

// TestKill9WhileStarting kills a server at moments of its first second, from before
// it has made its folder to after it has bootstrapped: it must start afterwards, and
// be the node that it was.
func TestKill9WhileStarting(t *testing.T) {
	for _, store := range testcluster.LogStores() {
		t.Run(store, func(t *testing.T) {
			for round := range rounds() {
				t.Run(fmt.Sprint(round), func(t *testing.T) {
					s := testcluster.New(t, testcluster.Options{LogStore: store})
					for life := range 3 {
						moment := time.Duration(1+round*20+life*7) * time.Millisecond
						s.Launch()
						select { // the moment is what is tested: there is no condition to wait for
						case <-time.After(moment):
						case <-t.Context().Done():
						}
						s.Kill9()
					}
					s.Start()
					s.Put("crash/alive", "yes")
					s.Kill9()
					s.Start()
					if value, _ := s.Get("crash/alive"); value != "yes" {
						t.Errorf("an acknowledged write is gone: holds %q", value)
					}
				})
			}
		})
	}
}
