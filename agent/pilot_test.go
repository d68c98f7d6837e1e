package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// TestWhoIsDead: a member is dead for autopilot when the gossip and Raft's heartbeats
// have missed it, and Raft for long enough; neither is enough by itself.
func TestWhoIsDead(t *testing.T) {
	now := time.Unix(1000, 0)
	p := &pilot{a: &Agent{now: func() time.Time { return now }}, lost: map[raft.ServerID]time.Time{}}
	heartbeat := func(fails bool) {
		var data any = raft.ResumedHeartbeatObservation{PeerID: "b"}
		if fails {
			data = raft.FailedHeartbeatObservation{PeerID: "b"}
		}
		p.note(raft.Observation{Data: data})
	}
	for _, step := range []struct {
		rule   string
		do     func()
		status gossip.Status
		want   autopilot.NodeStatus
	}{
		{"all is well", func() {}, gossip.Alive, autopilot.NodeAlive},
		{"the gossip alone has missed it", func() { now = now.Add(time.Hour) }, gossip.Failed, autopilot.NodeAlive},
		{"Raft has missed it, too, just now", func() { heartbeat(true) }, gossip.Failed, autopilot.NodeAlive},
		{"and still, which begins no new count", func() { now = now.Add(deadAfter); heartbeat(true) }, gossip.Failed, autopilot.NodeAlive},
		{"for long enough", func() { now = now.Add(time.Second) }, gossip.Failed, autopilot.NodeFailed},
		{"but the gossip has it", func() {}, gossip.Alive, autopilot.NodeAlive},
		{"or Raft has it again", func() { heartbeat(false) }, gossip.Failed, autopilot.NodeAlive},
		{"it left", func() {}, gossip.Left, autopilot.NodeLeft},
	} {
		step.do()
		m := &gossip.Member{Name: "b", ID: "b", Addr: "10.0.0.1", Status: step.status, Tags: map[string]string{gossip.TagPort: "8300", "build": "1.2.3:x"}}
		got := p.asServer(m)
		if got.NodeStatus != step.want {
			t.Errorf("%s: %s, want %s", step.rule, got.NodeStatus, step.want)
		}
		if got.Address != "10.0.0.1:8300" || got.Version != "1.2.3" || got.NodeType != autopilot.NodeVoter {
			t.Errorf("%s: %+v", step.rule, got)
		}
	}
}

// TestReadReplicasHaveNoVote: they are never promoted, and lose a vote that they have; the
// others are promoted when they are stable.
func TestReadReplicasHaveNoVote(t *testing.T) {
	now := time.Unix(1000, 0)
	server := func(id raft.ServerID, state autopilot.RaftState, isReplica bool) *autopilot.ServerState {
		return &autopilot.ServerState{
			Server: autopilot.Server{ID: id, Ext: isReplica, NodeStatus: autopilot.NodeAlive}, State: state,
			Health: autopilot.ServerHealth{Healthy: true, StableSince: now.Add(-time.Hour)},
		}
	}
	state := &autopilot.State{Leader: "leader", Servers: map[raft.ServerID]*autopilot.ServerState{
		"leader": server("leader", autopilot.RaftLeader, true), // it must lead until another does
		"voter":  server("voter", autopilot.RaftVoter, false),
		"new":    server("new", autopilot.RaftNonVoter, false),
		"reader": server("reader", autopilot.RaftNonVoter, true),
		"former": server("former", autopilot.RaftVoter, true),
	}}
	p := &promoter{StablePromoter: &autopilot.StablePromoter{}}
	types := p.GetNodeTypes(nil, state)
	for id, want := range map[raft.ServerID]autopilot.NodeType{"voter": autopilot.NodeVoter, "new": autopilot.NodeVoter, "reader": nodeReplica, "former": nodeReplica} {
		if types[id] != want {
			t.Errorf("%s is a %s, want %s", id, types[id], want)
		}
		if p.IsPotentialVoter(types[id]) != (want == autopilot.NodeVoter) {
			t.Errorf("%s may have a vote: %v", id, p.IsPotentialVoter(types[id]))
		}
	}
	changes := p.CalculatePromotionsAndDemotions(&autopilot.Config{ServerStabilizationTime: time.Second}, state)
	if len(changes.Promotions) != 1 || changes.Promotions[0] != "new" {
		t.Errorf("promoted are %v, want new", changes.Promotions)
	}
	if len(changes.Demotions) != 1 || changes.Demotions[0] != "former" {
		t.Errorf("demoted are %v, want former", changes.Demotions)
	}
}

// TestTheLeadersLogLeads: whoever subtracts the others' figures from the leader's gets no
// less than 0.
func TestTheLeadersLogLeads(t *testing.T) {
	for _, tc := range []struct {
		rule string
		in   []httpapi.RaftServer
		want []uint64
	}{
		{"figures of different moments", []httpapi.RaftServer{{LastIndex: 9}, {LastIndex: 7, Leader: true}, {LastIndex: 8}}, []uint64{9, 9, 8}},
		{"a leader that is ahead", []httpapi.RaftServer{{LastIndex: 9, Leader: true}, {LastIndex: 7}}, []uint64{9, 7}},
		{"no leader is known", []httpapi.RaftServer{{LastIndex: 9}, {}}, []uint64{9, 0}},
		{"nobody", nil, nil},
	} {
		leadLogs(tc.in)
		var got []uint64
		for _, s := range tc.in {
			got = append(got, s.LastIndex)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %d, want %d", tc.rule, got, tc.want)
		}
	}
}
