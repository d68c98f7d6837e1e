package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// maxAppendEntries is how many waiting writes share one append to the log, and
// one flush of it: 64 costs 10 to 20 % more CPU a write, and no less latency
// (ARCHITECTURE.md has the measurements).
const maxAppendEntries = 512

// Raft's timeouts in a cluster, before performance.raft_multiplier: how long a
// follower waits for a word of the leader before it stands for election, how long a
// candidate waits, and how long a leader that reaches no majority goes on. With these
// the longest time without writes after the death of a leader is about a second.
const (
	heartbeatTimeout = 500 * time.Millisecond
	electionTimeout  = 500 * time.Millisecond
	leaderLease      = 400 * time.Millisecond
)

// commitTimeout is how long followers may wait to hear that what they have is
// committed, when no further entry tells them. A read on a follower right after a
// write waits for it.
const commitTimeout = 3 * time.Millisecond

// soleTimeout is the heartbeat and election timeout of a server that is alone for
// ever: it waits for nobody, so it may lead at once after a start. It is also how
// often an idle leader looks at its lease: at 20 ms an idle server took 1.3 % of a core.
const soleTimeout = 50 * time.Millisecond

// plainAddress is an address as the gossip writes it: an IPv6 address can be written in
// many ways.
func plainAddress(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		return ip.Unmap().String()
	}
	return address
}

// openRaft starts Raft over the storage, and a new cluster if there is none and
// the configuration says so.
func (a *Agent) openRaft() error {
	cfg := a.config()
	a.address = raft.ServerAddress(net.JoinHostPort(plainAddress(cfg.AdvertiseAddr), strconv.Itoa(a.portOfServer())))
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(a.nodeID)
	conf.Logger = a.logs.Named("raft")
	conf.BatchApplyCh = true
	conf.MaxAppendEntries = maxAppendEntries
	conf.SnapshotThreshold = cfg.Raft.SnapshotThreshold
	conf.SnapshotInterval = cfg.Raft.SnapshotInterval
	conf.TrailingLogs = cfg.Raft.TrailingLogs
	conf.NotifyCh = a.leaderCh
	conf.NoLegacyTelemetry = true // metrics that have a peer's id for a name
	conf.ShutdownOnRemove = false // the process goes on to say what it is

	state, err := a.storage.State()
	if err != nil {
		return fmt.Errorf("look for raft state: %w", err)
	}
	var transport raft.Transport
	if a.peers == nil {
		conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = soleTimeout, soleTimeout, soleTimeout
		_, local := raft.NewInmemTransport(a.address)
		transport = a.followers.listen(local)
	} else {
		m := time.Duration(cfg.Performance.RaftMultiplier)
		conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = m*heartbeatTimeout, m*electionTimeout, m*leaderLease
		conf.CommitTimeout = commitTimeout
		transport = a.followers.listen(a.peers.raft)
	}
	fresh := a.dir == nil || state.Fresh()
	if fresh && cfg.Bootstrap {
		if err := a.bootstrap(conf, transport, []raft.Server{a.asServer()}); err != nil {
			return err
		}
	}
	if fresh && !cfg.Bootstrap && a.peers == nil {
		return errors.New("there is no state and the configuration does not allow to start a new cluster: set bootstrap = true for the first server")
	}
	if err := a.recoverPeers(conf, transport); err != nil {
		return err
	}
	a.machine = fsm.New(a.store, a.logs.Named("fsm"), a.stop)
	a.verifier = newVerifier(a.readIndexRound)
	a.restoring = &restoringSnapshots{SnapshotStore: a.storage.Snapshots()}
	a.raft, err = raft.NewRaft(conf, a.machine, cutLog{a.storage}, a.storage.Stable(), a.restoring, transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	if a.peers == nil || a.onlyVoter() {
		return a.checkMembership()
	}
	return nil
}

// asServer is this server as a voter.
func (a *Agent) asServer() raft.Server {
	return raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(a.nodeID), Address: a.address}
}

// configuration is the latest configuration that this server has in its log.
func (a *Agent) configuration() raft.Configuration { return a.raft.GetConfiguration().Configuration() }

// hasPeers tells whether this server belongs to a cluster, be it of one.
func (a *Agent) hasPeers() bool { return len(a.configuration().Servers) > 0 }

// onlyVoter tells whether no other server has a vote.
func (a *Agent) onlyVoter() bool { return countVoters(a.configuration()) == 1 }

// bootstrap writes the first configuration of a new cluster.
func (a *Agent) bootstrap(conf *raft.Config, transport raft.Transport, servers []raft.Server) error {
	err := raft.BootstrapCluster(conf, a.storage, a.storage.Stable(), a.storage.Snapshots(), transport, raft.Configuration{Servers: servers})
	if err != nil {
		return fmt.Errorf("start a new cluster: %w", err)
	}
	return nil
}

// checkMembership refuses to run as a server that its own cluster does not know,
// which would wait for a leader for ever.
func (a *Agent) checkMembership() error {
	future := a.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return fmt.Errorf("read raft configuration: %w", err)
	}
	for _, s := range future.Configuration().Servers {
		if string(s.ID) == a.nodeID {
			return nil
		}
	}
	where := "memory"
	if a.dir != nil {
		where = a.dir.RaftDir()
	}
	return fmt.Errorf("the raft configuration in %s does not name this server, %s: it is damaged or belongs to another server; "+
		"put the data dir back from a copy, or start with a new one and load a backup with \"holdfast snapshot restore FILE\"", where, a.nodeID)
}

// LeaderAddress is the server address of the leader; empty when unknown.
func (a *Agent) LeaderAddress() string {
	address, _ := a.raft.LeaderWithID()
	return string(address)
}

// PeerAddresses are the server addresses of all members.
func (a *Agent) PeerAddresses() []string {
	peers := []string{}
	for _, s := range a.configuration().Servers {
		peers = append(peers, string(s.Address))
	}
	return peers
}

// RaftConfiguration returns the members and the index of the configuration. How far the
// logs of the others reach is what the leader knows of them, and with a stale mode what
// this server does, which is nothing if it does not lead.
func (a *Agent) RaftConfiguration(ctx context.Context, mode httpapi.Mode) ([]httpapi.RaftServer, uint64, error) {
	servers, index, err := a.raftServers()
	if err != nil {
		return nil, 0, err
	}
	reached := map[string]uint64{}
	if a.leading.Load() || mode != httpapi.Stale {
		state, err := a.AutopilotState(ctx, mode)
		if err != nil {
			return nil, 0, err
		}
		for _, s := range state.Servers {
			reached[s.ID] = s.LastIndex
		}
	}
	for i := range servers {
		if s := &servers[i]; s.ID == a.nodeID {
			s.LastIndex = a.raft.LastIndex()
		} else {
			s.LastIndex = reached[s.ID]
		}
	}
	leadLogs(servers)
	return servers, index, nil
}

// leadLogs has the leader's log reach as far as any other, as it does: the figures were
// taken one after the other, and tools subtract them from the leader's.
func leadLogs(servers []httpapi.RaftServer) {
	var furthest uint64
	for _, s := range servers {
		furthest = max(furthest, s.LastIndex)
	}
	for i := range servers {
		if servers[i].Leader {
			servers[i].LastIndex = furthest
		}
	}
}

// raftServers are the members of the configuration, without how far they are, and its
// index.
func (a *Agent) raftServers() ([]httpapi.RaftServer, uint64, error) {
	future := a.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, 0, fmt.Errorf("read raft configuration: %w", err)
	}
	_, leader := a.raft.LeaderWithID()
	servers := []httpapi.RaftServer{}
	for _, s := range future.Configuration().Servers {
		server := httpapi.RaftServer{
			ID: string(s.ID), Node: "(unknown)", Address: string(s.Address), ProtocolVersion: "unknown",
			Leader: s.ID == leader, Voter: s.Suffrage == raft.Voter,
		}
		if m := a.memberOf(string(s.ID)); m != nil {
			server.Node, server.ProtocolVersion = m.Name, m.Tags["raft_vsn"]
		}
		if string(s.ID) == a.nodeID {
			server.Node, server.ProtocolVersion = a.config().NodeName, strconv.Itoa(int(raft.ProtocolVersionMax))
		}
		servers = append(servers, server)
	}
	return servers, future.Index(), nil
}

// TransferLeader hands leadership over. given is the right of who asked for it.
//
// Source: contract, status and operator, section 2, for the texts.
func (a *Agent) TransferLeader(ctx context.Context, id string, given *acl.Given) error {
	asked, err := givenToProto(given)
	if err != nil {
		return err
	}
	return a.askLeaderOnce(ctx, func() error { return a.transferHere(ctx, id, given) }, func(ctx context.Context, s rpcpb.ServerServiceClient) error {
		_, err := s.TransferLeader(ctx, &rpcpb.TransferLeaderRequest{Id: id, Given: asked})
		return err
	})
}

func (a *Agent) transferHere(ctx context.Context, id string, given *acl.Given) error {
	if err := a.stillGiven(ctx, given); err != nil {
		return err
	}
	servers := a.configuration().Servers
	if id == "" {
		if len(servers) < 2 {
			return errors.New("cannot find peer")
		}
		return a.raft.LeadershipTransfer().Error()
	}
	for _, s := range servers {
		if string(s.ID) == id {
			switch {
			case id == a.nodeID:
				return errors.New("cannot transfer leadership to itself")
			case s.Suffrage != raft.Voter: // it would end this one's leadership, and get none
				return errors.New("cannot transfer leadership to a server without a vote")
			}
			return a.raft.LeadershipTransferToServer(s.ID, s.Address).Error()
		}
	}
	//lint:ignore ST1005 the text is the wire's
	return fmt.Errorf("Could not find address for server id %s", id)
}

// RemovePeer takes a server out, named by its id or its address. When an answer is lost,
// as that of a leader that takes itself out can be, it is asked for again; then it is
// done, too, if the server is not there any more. given is the right of who asked for it.
func (a *Agent) RemovePeer(ctx context.Context, id, address string, given *acl.Given) error {
	asked, err := givenToProto(given)
	if err != nil {
		return err
	}
	lost := false // an attempt may have done it
	err = a.askLeader(ctx, func() error {
		err := a.removeHere(ctx, id, address, given)
		if errors.Is(err, httpapi.ErrUnknownOutcome) {
			lost = true
			return errNotThere // it leads no more: the next one knows
		}
		return err
	}, func(ctx context.Context, s rpcpb.ServerServiceClient) error {
		ctx, cancel := context.WithTimeout(ctx, onceTimeout)
		defer cancel()
		_, err := s.RemovePeer(ctx, &rpcpb.RemovePeerRequest{Id: id, Address: address, Given: asked})
		var refused *rpc.Refused
		switch err := rpc.AsError(err); {
		case err == nil:
		case !errors.As(err, &refused):
			lost = true
		case refused.Why == rpcpb.Refusal_REFUSAL_UNKNOWN_OUTCOME:
			lost = true
			return notLeader()
		}
		return err
	})
	if err != nil && lost && err.Error() == notInConfiguration(id, address).Error() {
		return nil
	}
	return err
}

// removeHere takes a server out, on the leader. The error is httpapi.ErrUnknownOutcome
// when leadership was lost over it.
func (a *Agent) removeHere(ctx context.Context, id, address string, given *acl.Given) error {
	if err := a.stillGiven(ctx, given); err != nil {
		return err
	}
	for _, s := range a.configuration().Servers {
		if id != "" && string(s.ID) == id || address != "" && string(s.Address) == address {
			run := ""
			if string(s.ID) != a.nodeID {
				run = a.runOf(ctx, string(s.ID))
			}
			err := a.raft.RemoveServer(s.ID, 0, 0).Error()
			switch {
			case err == nil && run != "":
				a.removed.note(string(s.ID), run)
			case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
				return errNotThere
			case errors.Is(err, raft.ErrLeadershipLost):
				return httpapi.ErrUnknownOutcome
			}
			return err
		}
	}
	return notInConfiguration(id, address)
}

// notInConfiguration is the wire's text for a server that is not there.
//
// Source: contract, status and operator, section 2.
func notInConfiguration(id, address string) error {
	if address != "" {
		return fmt.Errorf("address %q was not found in the Raft configuration", address)
	}
	return fmt.Errorf("id %q was not found in the Raft configuration", id)
}

// SnapshotMeta describes the state in s for an archive.
func (a *Agent) SnapshotMeta(s *fsm.Snapshot) (httpapi.SnapshotMeta, error) {
	servers, index, err := a.raftServers()
	if err != nil {
		return httpapi.SnapshotMeta{}, err
	}
	term := a.raft.CurrentTerm()
	return httpapi.SnapshotMeta{
		ID:    fmt.Sprintf("%d-%d-%d", term, s.Index(), a.now().UnixMilli()),
		Index: s.Index(), Term: term, Peers: a.PeerAddresses(), Servers: servers, ConfigurationIndex: index,
	}, nil
}

// Writable returns why the server takes no writes now; nil when it does.
func (a *Agent) Writable() error { return a.writable() }
