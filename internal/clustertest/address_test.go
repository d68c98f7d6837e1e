package clustertest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestAddressesAreExchanged: servers that all come back, each at the address that another
// one had, are the cluster they were. Nobody loses a place or a vote to who has the address
// now, the leader's own address is told like those of the others.
func TestAddressesAreExchanged(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{Each: testcluster.Options{Config: map[string]any{"log_level": "info"}}})
	c.Leader().Put("a", "1")
	for round := range 2 { // so that leaders and followers of all kinds are among them
		from := map[*testcluster.Server]int{}
		for _, s := range c.Servers() {
			s.Kill9()
			from[s] = len(s.Log())
		}
		c.Rotate(c.Servers()...)
		for _, s := range c.Servers() {
			s.Launch()
		}
		c.AwaitFormed()
		await(t, func() error {
			for _, s := range c.Servers() {
				known := raftServers(t, s)
				for _, of := range c.Servers() {
					if r := known[of.Name()]; r.Address != of.PeerAddr() || !r.Voter {
						return fmt.Errorf("round %d: %s has %s as %+v, want a voter at %s", round, s.Name(), of.Name(), r, of.PeerAddr())
					}
				}
			}
			return nil
		})
		var addresses []string
		ask(t, c.Followers()[0], http.MethodGet, "/v1/status/peers", "", &addresses)
		for _, s := range c.Servers() {
			if !slices.Contains(addresses, s.PeerAddr()) {
				t.Errorf("round %d: the peers are %q, without %s", round, addresses, s.PeerAddr())
			}
			if v, _ := s.Get("a"); v != "1" {
				t.Errorf("round %d: %s has %q", round, s.Name(), v)
			}
			for _, line := range []string{"removed server with duplicate address", "was taken out of the cluster"} {
				if strings.Contains(s.Log()[from[s]:], line) {
					t.Errorf("round %d: %s says that it %s", round, s.Name(), line)
				}
			}
		}
	}
}

// TestAnAddressHasNoVote: a server at the address of another one, which is down, does not
// count for it. Two of five are no majority, whatever they are called by.
func TestAnAddressHasNoVote(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{Servers: 5, Each: testcluster.Options{Config: map[string]any{"log_level": "info"}}})
	c.Leader().Put("a", "1")
	for _, s := range c.Servers() {
		s.Kill9()
	}
	stays, moves, down := c.Server(0), c.Server(1), c.Server(2)
	c.Rotate(moves, down)
	from := map[*testcluster.Server]int{stays: len(stays.Log()), moves: len(moves.Log())}
	stays.Launch()
	moves.Launch()
	await(t, func() error { // several elections, in each of which it is asked for its vote as the other one
		n := strings.Count(moves.Log()[from[moves]:], "it is for another server")
		return expect(n >= 5, "%s was taken for another server %d times", moves.Name(), n)
	})
	for s, n := range from {
		if strings.Contains(s.Log()[n:], "entering leader state") {
			t.Errorf("%s leads with two of five", s.Name())
		}
	}
	for _, s := range c.Servers() {
		if s != stays && s != moves {
			s.Launch()
		}
	}
	c.AwaitFormed()
	for _, s := range c.Servers() {
		s.Put("after/"+s.Name(), "v")
	}
}
