package gossip

import (
	"testing"

	"github.com/hashicorp/serf/serf"
)

func TestGate(t *testing.T) {
	g := &gate{datacenter: "dc1", id: "1", name: "a"}
	member := func(name, role, dc, id string, status serf.MemberStatus) *serf.Member {
		return &serf.Member{Name: name, Status: status, Tags: map[string]string{TagRole: role, TagDatacenter: dc, TagID: id}}
	}
	other := member("b", RoleServer, "dc1", "2", serf.StatusNone)
	for _, tc := range []struct {
		rule string
		of   []*serf.Member
		in   bool
	}{
		{"another server is let in", []*serf.Member{other}, true},
		{"so is this one", []*serf.Member{member("a", RoleServer, "dc1", "1", serf.StatusNone)}, true},
		{"who is no server is not", []*serf.Member{member("b", "node", "dc1", "2", serf.StatusNone)}, false},
		{"nor one of another datacenter, in whatever company", []*serf.Member{other, member("c", RoleServer, "dc2", "3", serf.StatusNone)}, false},
		{"nor one with the id of this one", []*serf.Member{member("b", RoleServer, "dc1", "1", serf.StatusNone)}, false},
		{"unless it has left", []*serf.Member{member("b", RoleServer, "dc1", "1", serf.StatusLeft)}, true},
		{"or others tell of it, who may mean the former name of this one", []*serf.Member{other, member("c", RoleServer, "dc1", "1", serf.StatusNone)}, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if err := g.NotifyMerge(tc.of); (err == nil) != tc.in {
				t.Errorf("error %v, want let in = %v", err, tc.in)
			}
		})
	}
}
