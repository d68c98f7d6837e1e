package clustertest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// damages is the build tag of a server that applies writes to damage/this wrongly.
const damages = "holdfast_damage"

// TestBrokenServer: a server that applies one entry of the log otherwise than the others
// is found, says so, and ends; the others go on. With a new data dir it is well.
func TestBrokenServer(t *testing.T) {
	slow(t)
	testcluster.BinaryWith(t, damages)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	broken := c.Followers()[0]
	broken.Term()
	broken.SetBuild(damages)
	broken.Launch()
	c.AwaitFormed()
	leader := c.Leader()
	leader.Put("damage/this?flags=7", "v")
	flags := func(s *testcluster.Server) int {
		t.Helper()
		var entries []struct{ Flags int }
		ask(t, s, http.MethodGet, "/v1/kv/damage/this", "", &entries)
		return entries[0].Flags
	}
	if got, want := flags(broken), flags(leader)+1; got != want {
		t.Fatalf("the broken server has the flags %d, want %d, or nothing is broken", got, want)
	}
	// They compare the state at every 1,024th index.
	fill(t, c, 1100)
	if code := broken.Wait(time.Minute); code == 0 {
		t.Error("it ends as if all were well")
	}
	if log := broken.Log(); !strings.Contains(log, "[ERROR] holdfast.agent: the state of this server differs from that of others with the same log") ||
		!strings.Contains(log, "its memory or disk may be broken") {
		t.Error("it does not say why it ends")
	}
	for _, s := range c.Servers() {
		if s == broken {
			continue
		}
		if !s.Running() {
			t.Errorf("%s has ended, too", s.Name())
		}
		s.Put("after/"+s.Name(), "v")
	}
	broken.Wipe()
	broken.SetBuild("")
	broken.Launch()
	c.AwaitFormed()
	if got, want := flags(broken), flags(leader); got != want {
		t.Errorf("with a new data dir it has the flags %d, want %d", got, want)
	}
}

// fill writes so many keys, through all servers that run.
func fill(t *testing.T, c *testcluster.Cluster, n int) {
	t.Helper()
	const clients = 16
	errs := make(chan error, clients)
	servers := c.Servers()
	for i := range clients {
		go func() {
			var err error
			for k := i; k < n && err == nil; k += clients {
				s := servers[k%len(servers)]
				resp, e := s.TryDo(t.Context(), http.MethodPut, fmt.Sprintf("/v1/kv/fill/%05d", k), []byte("x"))
				if err = e; err == nil {
					err = expect(resp.Status == http.StatusOK, "put through %s: %d %s", s.Name(), resp.Status, resp.Body)
				}
			}
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}
