package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// A new cluster has one first configuration, written by one server: that with the
// lowest id of those that have met. Before it writes, each of them promises to be part
// of exactly this cluster. So two sets that overlap, which servers that see each other
// at different times could come to, never both get all their promises.

// How long a promise holds, and in which time of it the cluster must be founded.
const (
	promiseHolds = 20 * time.Second
	foundWithin  = 5 * time.Second
	foundingLook = 200 * time.Millisecond
)

// founding is what this server has promised.
type founding struct {
	now      func() time.Time
	self     string
	hasState func() bool

	mu    sync.Mutex
	ids   []string  // guarded by mu
	by    string    // guarded by mu
	until time.Time // guarded by mu
}

// promise makes this server part of the cluster that by will found with exactly these
// servers, in ascending order; the error says why not.
func (f *founding) promise(ids []string, by string) error {
	if f.hasState() {
		return errors.New("this server belongs to a cluster already")
	}
	if !slices.Contains(ids, f.self) {
		return errors.New("this server is not one of those")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Before(f.until) && (f.by != by || !slices.Equal(f.ids, ids)) {
		return fmt.Errorf("this server has promised server %s to be part of another cluster", f.by)
	}
	f.ids, f.by, f.until = slices.Clone(ids), by, now.Add(promiseHolds)
	return nil
}

// found founds a cluster with the servers that this one meets, as soon as there are
// as many as bootstrap_expect says, unless they belong to one already.
func (a *Agent) found(ctx context.Context) error {
	expect := a.config().BootstrapExpect
	if expect < 2 || a.gossip == nil || a.config().ReadReplica {
		return nil
	}
	for {
		changed := a.gossip.Changed()
		if a.hasPeers() {
			return nil
		}
		if set := foundingSet(a.gossip.Members(), a.nodeID, expect); set != nil {
			if err := a.tryToFound(ctx, set); err != nil {
				a.log.Info("a new cluster was not founded yet", "reason", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(foundingLook):
		}
	}
}

// foundingSet are the servers to found a cluster with; nil as long as that is not for
// this one to do.
func foundingSet(members []gossip.Member, self string, expect int) []gossip.Member {
	var set []gossip.Member
	for _, m := range members {
		if m.Status == gossip.Alive && m.ID != "" && !m.Replica() && m.Expect() == expect {
			set = append(set, m)
		}
	}
	if len(set) < expect {
		return nil
	}
	slices.SortFunc(set, func(x, y gossip.Member) int {
		if x.ID < y.ID {
			return -1
		}
		return 1
	})
	if set = set[:expect]; set[0].ID != self {
		return nil
	}
	return set
}

func (a *Agent) tryToFound(ctx context.Context, set []gossip.Member) error {
	began := a.now()
	ctx, cancel := context.WithTimeout(ctx, foundWithin)
	defer cancel()
	for _, m := range a.gossip.Members() { // also those that expect nothing
		if m.Status != gossip.Alive || m.ID == a.nodeID {
			continue
		}
		server, err := a.peers.client.Server(m.ServerAddress())
		if err != nil {
			return err
		}
		status, err := server.Status(ctx, &rpcpb.StatusRequest{})
		switch {
		case err != nil:
			return fmt.Errorf("ask %s: %w", m.Name, rpc.AsError(err))
		case status.GetNodeId() != m.ID:
			return fmt.Errorf("at the address of %s answers the server with the id %s", m.Name, status.GetNodeId())
		case status.GetHasState():
			return fmt.Errorf("%s belongs to a cluster already, which this server will be part of", m.Name)
		}
	}
	ids := make([]string, len(set))
	servers := make([]raft.Server, len(set))
	for i, m := range set {
		ids[i] = m.ID
		servers[i] = raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.ServerAddress())}
	}
	if err := a.founding.promise(ids, a.nodeID); err != nil {
		return err
	}
	for _, m := range set[1:] {
		server, err := a.peers.client.Server(m.ServerAddress())
		if err != nil {
			return err
		}
		answer, err := server.Found(ctx, &rpcpb.FoundRequest{Ids: ids, By: a.nodeID})
		switch {
		case err != nil:
			return fmt.Errorf("ask %s: %w", m.Name, rpc.AsError(err))
		case !answer.GetAgreed():
			return fmt.Errorf("%s refuses: %s", m.Name, answer.GetReason())
		}
	}
	if a.now().Sub(began) > foundWithin { // the first promise may be over
		return errors.New("it took too long")
	}
	if err := a.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	a.log.Info("founded a cluster", "servers", len(servers))
	return nil
}
