package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// How long both the gossip and Raft must have missed a server before it counts as
// dead, and how long Raft alone must have missed one that nobody has met.
const (
	deadAfter     = 30 * time.Second
	deadUnmet     = 72 * time.Hour
	pilotInterval = time.Second
)

// statusTimeout bounds the question to a server how it stands.
const statusTimeout = time.Second

// pilot looks after the servers of the cluster while this server leads: it gives
// stable servers their vote, and takes the dead ones out. It is what autopilot asks.
type pilot struct {
	a  *Agent
	ap *autopilot.Autopilot

	mu   sync.Mutex
	lost map[raft.ServerID]time.Time // since when a heartbeat fails; guarded by mu
}

func newPilot(a *Agent) *pilot {
	p := &pilot{a: a, lost: map[raft.ServerID]time.Time{}}
	p.ap = autopilot.New(a.raft, p,
		autopilot.WithLogger(a.logs.Named("autopilot")), autopilot.WithPromoter(&promoter{StablePromoter: &autopilot.StablePromoter{}}),
		autopilot.WithUpdateInterval(pilotInterval), autopilot.WithReconcileInterval(pilotInterval),
	)
	return p
}

// lead runs autopilot until ctx ends.
func (p *pilot) lead(ctx context.Context) {
	p.mu.Lock()
	p.lost = map[raft.ServerID]time.Time{}
	p.mu.Unlock()
	seen := make(chan raft.Observation, 64)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation:
			return true
		}
		return false
	})
	p.a.raft.RegisterObserver(observer)
	defer p.a.raft.DeregisterObserver(observer)
	p.ap.Start(ctx)
	defer func() { <-p.ap.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-seen:
			p.note(o)
		}
	}
}

func (p *pilot) note(o raft.Observation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch o := o.Data.(type) {
	case raft.FailedHeartbeatObservation:
		if p.lost[o.PeerID].IsZero() {
			p.lost[o.PeerID] = p.a.now()
		}
	case raft.ResumedHeartbeatObservation:
		delete(p.lost, o.PeerID)
	}
}

// lostFor is how long Raft has missed a server; 0 when it does not.
func (p *pilot) lostFor(id raft.ServerID) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.lost[id]
	if since.IsZero() {
		return 0
	}
	return p.a.now().Sub(since)
}

// AutopilotConfig is the configuration of autopilot.
func (a *Agent) AutopilotConfig() *fsm.Autopilot {
	if c := a.store.View().Autopilot(); c != nil {
		return c
	}
	c := &a.config().Autopilot
	return &fsm.Autopilot{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold, MaxTrailingLogs: c.MaxTrailingLogs,
		MinQuorum: uint64(c.MinQuorum), ServerStabilizationTime: c.ServerStabilizationTime,
	}
}

// keepConfig makes the configuration of autopilot part of the state as soon as there
// is more than one server, so that it does not change with the leader.
func (p *pilot) keepConfig(ctx context.Context) error {
	if p.a.store.View().Autopilot() != nil {
		return nil
	}
	_, err := p.a.Propose(ctx, &fsm.Command{Autopilot: &fsm.SetAutopilot{Compare: true, Config: *p.a.AutopilotConfig()}})
	if err != nil {
		return fmt.Errorf("write the first configuration of autopilot: %w", err)
	}
	return nil
}

// add gives a member its place in the Raft configuration.
func (p *pilot) add(m *gossip.Member) error {
	return p.ap.AddServer(p.asServer(m))
}

func (p *pilot) asServer(m *gossip.Member) *autopilot.Server {
	s := &autopilot.Server{
		ID: raft.ServerID(m.ID), Name: m.Name, Address: raft.ServerAddress(m.ServerAddress()), NodeStatus: autopilot.NodeAlive,
		Version: versionOf(m), Meta: map[string]string{"consul-network-segment": "", "consul-version": versionOf(m)},
		RaftVersion: int(raft.ProtocolVersionMax), NodeType: autopilot.NodeVoter, Ext: m.Replica(),
	}
	if m.Replica() {
		s.NodeType = nodeReplica
	}
	switch m.Status {
	case gossip.Left:
		s.NodeStatus = autopilot.NodeLeft
	case gossip.Failed:
		// A rumour; Raft must have missed it too.
		if p.lostFor(s.ID) > deadAfter {
			s.NodeStatus = autopilot.NodeFailed
		}
	}
	return s
}

func versionOf(m *gossip.Member) string {
	v, _, _ := strings.Cut(m.Tags["build"], ":")
	return v
}

// AutopilotConfig is part of autopilot.ApplicationIntegration.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	c := p.a.AutopilotConfig()
	return &autopilot.Config{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold, MaxTrailingLogs: c.MaxTrailingLogs,
		MinQuorum: uint(c.MinQuorum), ServerStabilizationTime: c.ServerStabilizationTime,
	}
}

// NotifyState is part of autopilot.ApplicationIntegration.
func (p *pilot) NotifyState(*autopilot.State) {}

// FetchServerStats is part of autopilot.ApplicationIntegration.
func (p *pilot) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var mu sync.Mutex
	stats := map[raft.ServerID]*autopilot.ServerStats{}
	var asked sync.WaitGroup
	for id, s := range servers {
		asked.Go(func() {
			status := p.statusOf(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			if status == nil {
				stats[id] = p.unanswered(id)
				return
			}
			stats[id] = &autopilot.ServerStats{
				LastContact: time.Duration(status.GetLastContact()), LastTerm: status.GetLastTerm(), LastIndex: status.GetLastIndex(),
			}
		})
	}
	asked.Wait()
	return stats
}

// unanswered is how a server stands that does not say so itself: as before, but for when
// this one heard of it. Without it autopilot would go on with the last answer.
func (p *pilot) unanswered(id raft.ServerID) *autopilot.ServerStats {
	var last autopilot.ServerStats
	if state := p.ap.GetState(); state != nil && state.Servers[id] != nil {
		last = state.Servers[id].Stats
	}
	last.LastContact = never
	if _, at := p.a.followers.heardOf(id); !at.IsZero() {
		last.LastContact = p.a.now().Sub(at)
	}
	return &last
}

// never is how long ago a server was in contact that never was.
const never time.Duration = -1

func (p *pilot) statusOf(ctx context.Context, s *autopilot.Server) *rpcpb.StatusResponse {
	if string(s.ID) == p.a.nodeID {
		return p.a.status()
	}
	if p.a.peers == nil {
		return nil
	}
	server, err := p.a.peers.client.Server(p.a.addressOf(string(s.ID), string(s.Address)))
	if err != nil {
		return nil
	}
	status, err := server.Status(ctx, &rpcpb.StatusRequest{})
	if err != nil || status.GetNodeId() != string(s.ID) {
		return nil
	}
	return status
}

// KnownServers is part of autopilot.ApplicationIntegration. A server of the Raft
// configuration that the gossip does not know is one all the same: after a restart of
// everybody, some have not met again yet.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := map[raft.ServerID]*autopilot.Server{}
	if p.a.gossip != nil {
		for _, m := range p.a.gossip.Members() {
			id := raft.ServerID(m.ID)
			if old := known[id]; m.ID != "" && (old == nil || m.Status == gossip.Alive) {
				known[id] = p.asServer(&m)
			}
		}
	}
	for _, s := range p.a.configuration().Servers {
		if known[s.ID] != nil {
			continue
		}
		server := &autopilot.Server{
			ID: s.ID, Name: string(s.ID), Address: s.Address, NodeStatus: autopilot.NodeAlive, RaftVersion: int(raft.ProtocolVersionMax),
			NodeType: autopilot.NodeVoter, Ext: false,
		}
		if string(s.ID) == p.a.nodeID {
			self := p.a.member()
			server.Name, server.Version = self.Name, version.Version
			server.Meta = map[string]string{"consul-network-segment": "", "consul-version": version.Version}
			server.Ext = p.a.config().ReadReplica
		} else if p.lostFor(s.ID) > deadUnmet {
			server.NodeStatus = autopilot.NodeFailed
		}
		known[s.ID] = server
	}
	for id, s := range known {
		s.IsLeader = string(id) == p.a.nodeID
	}
	return known
}

// RemoveFailedServer is part of autopilot.ApplicationIntegration.
func (p *pilot) RemoveFailedServer(s *autopilot.Server) {
	p.a.log.Warn("a server is dead and loses its place in the cluster", "name", s.Name, "id", s.ID)
	if p.a.memberOf(string(s.ID)) != nil {
		if err := p.a.gossip.ForceLeave(s.Name, false); err != nil { // keepMembers does the rest
			p.a.log.Warn("remove a dead server", "name", s.Name, "error", err)
		}
		return
	}
	p.a.raft.RemoveServer(s.ID, 0, 0) // logged by Raft; tried again when it fails
}

// nodeReplica is a server that never has a vote.
const nodeReplica autopilot.NodeType = "read-replica"

// promoter gives all stable servers a vote but those that want none.
type promoter struct{ *autopilot.StablePromoter }

func replica(s *autopilot.ServerState) bool {
	is, _ := s.Server.Ext.(bool)
	return is
}

// GetNodeTypes is part of autopilot.Promoter.
func (p *promoter) GetNodeTypes(_ *autopilot.Config, s *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	types := map[raft.ServerID]autopilot.NodeType{}
	for id, server := range s.Servers {
		types[id] = autopilot.NodeVoter
		if replica(server) {
			types[id] = nodeReplica
		}
	}
	return types
}

// CalculatePromotionsAndDemotions is part of autopilot.Promoter.
func (p *promoter) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	changes := p.StablePromoter.CalculatePromotionsAndDemotions(c, s)
	changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool { return replica(s.Servers[id]) })
	for id, server := range s.Servers {
		if replica(server) && server.HasVotingRights() && id != s.Leader {
			changes.Demotions = append(changes.Demotions, id)
		}
	}
	slices.Sort(changes.Demotions)
	return changes
}

// IsPotentialVoter is part of autopilot.Promoter.
func (p *promoter) IsPotentialVoter(t autopilot.NodeType) bool { return t != nodeReplica }

// state is what autopilot knows, on the leader.
func (p *pilot) state() httpapi.AutopilotState {
	state := p.ap.GetState()
	if state == nil {
		return httpapi.AutopilotState{}
	}
	out := httpapi.AutopilotState{
		Known: true, Healthy: state.Healthy, FailureTolerance: state.FailureTolerance, OptimisticFailureTolerance: state.FailureTolerance,
		Leader: string(state.Leader), Voters: []string{},
	}
	for _, id := range state.Voters {
		out.Voters = append(out.Voters, string(id))
	}
	for id, s := range state.Servers {
		node := string(s.Server.NodeStatus)
		status := node
		if m := p.a.memberOf(string(id)); m != nil {
			status = m.Status.String()
			if m.Status == gossip.Failed { // the rumour is told, though it decides nothing
				node = string(autopilot.NodeFailed)
			}
		}
		out.Servers = append(out.Servers, httpapi.AutopilotServer{
			ID: string(id), Name: s.Server.Name, Address: string(s.Server.Address), NodeStatus: node, SerfStatus: status,
			Version: s.Server.Version, Leader: s.State == autopilot.RaftLeader, Voter: s.HasVotingRights(), Status: string(s.State),
			LastContact: s.Stats.LastContact, LastTerm: s.Stats.LastTerm, LastIndex: s.Stats.LastIndex,
			Healthy: s.Health.Healthy, StableSince: s.Health.StableSince, ReadReplica: replica(s), Meta: s.Server.Meta,
			NodeType: string(s.Server.NodeType),
		})
	}
	slices.SortFunc(out.Servers, func(x, y httpapi.AutopilotServer) int { return strings.Compare(x.ID, y.ID) })
	slices.Sort(out.Voters)
	return out
}

func (p *pilot) encodeState() ([]byte, error) {
	data, err := json.Marshal(p.state())
	if err != nil {
		return nil, fmt.Errorf("encode the state of autopilot: %w", err)
	}
	return data, nil
}

// AutopilotState is what autopilot knows of the servers: the leader's knowledge, or
// with a stale mode at once what this server has, which is nothing if it does not lead.
func (a *Agent) AutopilotState(ctx context.Context, mode httpapi.Mode) (httpapi.AutopilotState, error) {
	if a.leading.Load() {
		return a.pilot.state(), nil
	}
	if mode == httpapi.Stale && a.otherLeader() == "" {
		return httpapi.AutopilotState{}, nil
	}
	var state httpapi.AutopilotState
	err := a.askLeader(ctx, func() error {
		state = a.pilot.state()
		return nil
	}, func(ctx context.Context, s rpcpb.ServerServiceClient) error {
		r, err := s.Health(ctx, &rpcpb.HealthRequest{})
		if err != nil {
			return err
		}
		return json.Unmarshal(r.GetState(), &state)
	})
	if err != nil && !errors.Is(err, httpapi.ErrNoLeader) {
		return state, fmt.Errorf("ask the leader for the state of autopilot: %w", err)
	}
	return state, err
}
