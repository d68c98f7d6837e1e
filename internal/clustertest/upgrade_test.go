package clustertest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// nextVersion is the build tag of a server that pretends to be the next version: it
// writes user events as a kind of log entry that this one does not know.
const nextVersion = "holdfast_next"

// TestUpgrade: servers of the next version take the place of those of this one, one after
// the other. Whoever leads, what only the newer ones know is refused until all are, and
// no server of this version stops. Afterwards one of this version gets no place any more.
func TestUpgrade(t *testing.T) {
	slow(t)
	testcluster.BinaryWith(t, nextVersion)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"autopilot": quickVotes}},
	})
	fire := func(s *testcluster.Server) (int, string) {
		t.Helper()
		resp := s.Do(http.MethodPut, "/v1/event/fire/new-kind", []byte("x"))
		return resp.Status, string(resp.Body)
	}
	heldBack := func(s *testcluster.Server, says string) {
		t.Helper()
		if status, body := fire(s); status != http.StatusInternalServerError || !strings.Contains(body, says) {
			t.Errorf("an event through %s: %d %q; want a 500 that says %q", s.Name(), status, body, says)
		}
	}
	lead := func(s *testcluster.Server) {
		t.Helper()
		if c.Leader() == s {
			return
		}
		id := raftServers(t, s)[s.Name()].ID
		ask(t, s, http.MethodPost, "/v1/operator/raft/transfer-leader?id="+id, "", nil)
		c.AwaitFormed()
		if c.Leader() != s {
			t.Fatalf("%s does not lead", s.Name())
		}
	}
	upgrade := func(s *testcluster.Server) {
		t.Helper()
		s.Term()
		s.SetBuild(nextVersion)
		s.Launch()
		c.AwaitFormed()
	}
	works := func(c *testcluster.Cluster, key string) { // what both versions know goes on, on every server
		t.Helper()
		for _, s := range c.Servers() {
			s.Put(key+s.Name(), "v")
		}
		for _, s := range c.Servers() {
			for _, of := range c.Servers() {
				if v, _ := s.Get(key + of.Name()); v != "v" {
					t.Errorf("%s has %q of what was written through %s", s.Name(), v, of.Name())
				}
			}
		}
	}
	older := c.Leader()
	first, second := c.Followers()[0], c.Followers()[1]
	if status, body := fire(older); status != http.StatusOK {
		t.Fatalf("an event of the kind that all know: %d %s", status, body)
	}

	upgrade(first)
	lead(older)
	works(c, "one-new/")
	heldBack(first, "runs an older version that does not know this kind of write: upgrade all servers first")
	lead(first)
	works(c, "new-leads/")
	heldBack(first, "does not know it: upgrade all servers first")
	if status, body := fire(older); status != http.StatusOK { // in its own way, which all know
		t.Errorf("an event of the kind that all know: %d %s", status, body)
	}
	upgrade(second)
	works(c, "two-new/")
	heldBack(second, older.Name()+", of version")
	for _, s := range c.Servers() {
		if !s.Running() || strings.Contains(s.Log(), "server must stop") {
			t.Fatalf("%s has stopped", s.Name())
		}
	}

	upgrade(older)
	await(t, func() error { // the last leader hears of it from the gossip
		status, body := fire(second)
		return expect(status == http.StatusOK, "an event when all know its kind: %d %s", status, body)
	})
	await(t, func() error { // the list is what a server has heard of
		var events []struct{ Name string }
		ask(t, older, http.MethodGet, "/v1/event/list", "", &events)
		return expect(len(events) == 3, "%s has the events %v, want 3", older.Name(), events)
	})

	archive := c.Server(0).Snapshot() // of a state that only the next version understands
	mixed := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	newer := mixed.Followers()[0]
	newer.Term()
	newer.SetBuild(nextVersion)
	newer.Launch()
	mixed.AwaitFormed()
	for range 2 { // an older server leads, then the newer one
		for _, s := range mixed.Servers() {
			if resp := s.Do(http.MethodPut, "/v1/snapshot", archive); resp.Status != http.StatusInternalServerError ||
				!strings.Contains(string(resp.Body), "does not know it: upgrade all servers first") {
				t.Errorf("the archive is restored through %s: %d %s", s.Name(), resp.Status, resp.Body)
			}
		}
		if mixed.Leader() != newer {
			id := raftServers(t, newer)[newer.Name()].ID
			ask(t, newer, http.MethodPost, "/v1/operator/raft/transfer-leader?id="+id, "", nil)
			mixed.AwaitFormed()
		}
	}
	works(mixed, "mixed/")

	late := c.Add()
	late.Launch()
	awaitLine(t, c.Leader(), 0, "it gets no place in the cluster", late.Name(), "does not understand what this cluster has written")
	if _, there := raftServers(t, c.Leader())[late.Name()]; there {
		t.Error("a server of the older version has a place")
	}
	late.Kill9()
	late.SetBuild(nextVersion)
	late.Launch()
	c.AwaitFormed()
}
