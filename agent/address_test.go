package agent

import (
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc"
)

func TestPlainAddress(t *testing.T) {
	for _, tc := range []struct{ written, want string }{
		{"10.0.0.1", "10.0.0.1"},
		{"FD00:0:0::1", "fd00::1"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
		{"a name", "a name"},
	} {
		if got := plainAddress(tc.written); got != tc.want {
			t.Errorf("%q is %q, want %q", tc.written, got, tc.want)
		}
	}
}

func TestWhoLivesAtAnAddress(t *testing.T) {
	at := func(status gossip.Status, addr string) *gossip.Member {
		return &gossip.Member{ID: "a", Name: "a", Addr: addr, Status: status, Tags: map[string]string{gossip.TagPort: "8300"}}
	}
	for _, tc := range []struct {
		rule   string
		member *gossip.Member
		lives  bool
	}{
		{"who is alive there", at(gossip.Alive, "10.0.0.1"), true},
		{"not who is dead", at(gossip.Failed, "10.0.0.1"), false},
		{"nor who has moved", at(gossip.Alive, "10.0.0.2"), false},
		{"nor who is not known", nil, false},
	} {
		got := livesAt("10.0.0.1:8300", []raft.Server{{ID: "b", Address: "10.0.0.9:8300"}, {ID: "a", Address: "10.0.0.1:8300"}},
			func(string) *gossip.Member { return tc.member })
		if (got != nil) != tc.lives {
			t.Errorf("%s: %v", tc.rule, got)
		}
	}
}

// TestAddressesInTheConfiguration: who moves keeps its place, so does who had the address
// before, and nobody comes back by it.
func TestAddressesInTheConfiguration(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	own := m.address
	if err := m.raft.AddNonvoter("peer", "127.0.0.1:1", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	expect := func(step string, err error, want map[raft.ServerID]raft.ServerAddress) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		servers := m.configuration().Servers
		if len(servers) != len(want) {
			t.Fatalf("%s: %v", step, servers)
		}
		for _, s := range servers {
			if s.Address != want[s.ID] {
				t.Errorf("%s: %s is at %s, want %s", step, s.ID, s.Address, want[s.ID])
			}
			if voter := s.ID == raft.ServerID(m.nodeID); voter != (s.Suffrage == raft.Voter) {
				t.Errorf("%s: %s has become a %s", step, s.ID, s.Suffrage)
			}
		}
	}
	self := raft.ServerID(m.nodeID)
	expect("a move", m.moveTo("peer", "127.0.0.1:2"), map[raft.ServerID]raft.ServerAddress{self: own, "peer": "127.0.0.1:2"})
	expect("a move to the address of another one", m.moveTo("peer", own), map[raft.ServerID]raft.ServerAddress{self: rpc.Nowhere(self), "peer": own})
	expect("the leader's own", m.keepOwnAddress(), map[raft.ServerID]raft.ServerAddress{self: own, "peer": rpc.Nowhere("peer")})
	if err := m.raft.RemoveServer("peer", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if err := m.moveTo("peer", "127.0.0.1:3"); err == nil || !strings.Contains(err.Error(), "not part of the cluster any more") {
		t.Errorf("a move of a server that was removed: %v", err)
	}
	expect("after it", nil, map[raft.ServerID]raft.ServerAddress{self: own})
}
