package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// tidyInterval is how often a leader compares members, Raft's configuration and the
// catalog, besides whenever a member changes.
const tidyInterval = 5 * time.Second

// tidySoon is how soon it tries again what did not work for a member, such as a server
// that is still starting. The log says so once in a tidyInterval for each.
const tidySoon = 500 * time.Millisecond

// keepMembers makes, while this server leads, the Raft configuration and the catalog
// follow the members of the gossip: who joins gets a place, who leaves gives it up,
// who fails is marked.
func (a *Agent) keepMembers(ctx context.Context) error {
	if a.gossip == nil {
		return nil
	}
	said := map[string]time.Time{} // by node id, of members that something did not work for
	for {
		changed := a.gossip.Changed()
		wait := tidyInterval
		a.peers.client.Keep(a.addresses())
		if a.leading.Load() {
			if err := a.keepOwnAddress(); err == nil {
				delete(said, a.nodeID)
			} else {
				wait = tidySoon
				if now := a.now(); ctx.Err() == nil && now.Sub(said[a.nodeID]) >= tidyInterval {
					said[a.nodeID] = now
					a.log.Warn("have the raft configuration say where this server is", "error", err)
				}
			}
			for _, m := range a.gossip.Members() {
				if m.ID == a.nodeID || m.ID == "" || ctx.Err() != nil || !a.leading.Load() {
					continue
				}
				err := a.keepMember(ctx, &m)
				if err == nil {
					delete(said, m.ID)
					continue
				}
				wait = tidySoon
				if now := a.now(); ctx.Err() == nil && now.Sub(said[m.ID]) >= tidyInterval {
					said[m.ID] = now
					a.log.Warn("bring the cluster in line with a member", "member", m.Name, "status", m.Status, "error", err)
				}
			}
		}
		_, reign := a.leader.get()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-reign.Done():
		case <-time.After(wait):
		}
	}
}

// addresses are where other servers may be asked: members, and who is part of the Raft
// configuration. Connections to others are of no use any more.
func (a *Agent) addresses() map[string]bool {
	known := map[string]bool{}
	for _, m := range a.gossip.Members() {
		known[m.ServerAddress()] = true
	}
	for _, s := range a.configuration().Servers {
		known[string(s.Address)] = true
	}
	return known
}

func (a *Agent) keepMember(ctx context.Context, m *gossip.Member) error {
	switch m.Status {
	case gossip.Alive:
		if err := a.pilot.keepConfig(ctx); err != nil {
			return err
		}
		if err := a.admit(ctx, m); errors.Is(err, errStaysOut) {
			return nil // it says so itself
		} else if err != nil {
			return err
		}
		return a.markMember(ctx, m, catalog.Passing, httpapi.SelfCheckOutput)
	case gossip.Failed:
		return a.markMember(ctx, m, catalog.Critical, deadOutput)
	case gossip.Left:
		return a.dismiss(ctx, m)
	default:
		return nil
	}
}

// admit gives a server its place in the Raft configuration, without a vote at first:
// autopilot gives it one when it has proved stable. Gossip alone gets nobody in: the
// server must answer on its server port, with the certificate that is asked of it, and
// be who the gossip says.
func (a *Agent) admit(ctx context.Context, m *gossip.Member) error {
	for _, s := range a.configuration().Servers {
		if string(s.ID) == m.ID && string(s.Address) == m.ServerAddress() {
			return nil
		}
	}
	status, err := a.meet(ctx, m)
	if err == nil {
		err = a.tooOld(m)
	}
	if err != nil {
		return fmt.Errorf("it gets no place in the cluster: %w", err)
	}
	if a.staysOut(m, status) {
		return errStaysOut
	}
	if m.ServerAddress() == string(a.address) {
		return fmt.Errorf("it is where this server says that it is, at %s: see advertise_addr of both", a.address)
	}
	a.alone.Store(false) // before it can have seen anything
	if a.inConfiguration(m.ID) {
		a.log.Info("a server of the cluster has moved", "name", m.Name, "id", m.ID, "address", m.ServerAddress())
		return a.moveTo(raft.ServerID(m.ID), raft.ServerAddress(m.ServerAddress()))
	}
	a.log.Info("a server joins the cluster", "name", m.Name, "id", m.ID, "address", m.ServerAddress())
	if err := a.vacate(raft.ServerAddress(m.ServerAddress()), a.livesElsewhere); err != nil {
		return err
	}
	if err := a.pilot.add(m); err != nil { // in the place of a dead one that had its address
		return fmt.Errorf("add to the raft configuration: %w", err)
	}
	return nil
}

func (a *Agent) inConfiguration(id string) bool {
	return slices.ContainsFunc(a.configuration().Servers, func(s raft.Server) bool { return string(s.ID) == id })
}

// keepOwnAddress has the Raft configuration say where this server is, which leads: admit
// does it for the others. It takes the address from nobody who lives there: then one of
// both has a wrong setting, and each would take it from the other again and again.
func (a *Agent) keepOwnAddress() error {
	servers := a.configuration().Servers
	if !slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == a.nodeID && s.Address != a.address }) {
		return nil
	}
	if m := livesAt(a.address, servers, a.memberOf); m != nil && m.ID != a.nodeID {
		return fmt.Errorf("server %s is where this one says that it is, at %s: see advertise_addr of both", m.Name, a.address)
	}
	return a.moveTo(raft.ServerID(a.nodeID), a.address)
}

// livesAt is the member that has an address in the Raft configuration and does live there;
// nil if nobody does.
func livesAt(address raft.ServerAddress, servers []raft.Server, memberOf func(id string) *gossip.Member) *gossip.Member {
	for _, s := range servers {
		if s.Address != address {
			continue
		}
		if m := memberOf(string(s.ID)); m != nil && m.Status == gossip.Alive && m.ServerAddress() == string(address) {
			return m
		}
	}
	return nil
}

// moveTo has the Raft configuration say that a server which is part of it is at an
// address. It keeps its vote, and so does the server that the configuration had there:
// where that one is now, it will say itself.
func (a *Agent) moveTo(id raft.ServerID, address raft.ServerAddress) error {
	if err := a.vacate(address, func(s raft.Server) bool { return s.ID != id }); err != nil {
		return err
	}
	if err := a.setAddress(id, address); err != nil {
		return fmt.Errorf("change the address of server %s in the raft configuration to %s: %w", id, address, err)
	}
	return nil
}

// setAddress changes the address that the Raft configuration has of a server, and nothing
// if that has been taken out of it.
func (a *Agent) setAddress(id raft.ServerID, address raft.ServerAddress) error {
	now := a.raft.GetConfiguration()
	if err := now.Error(); err != nil {
		return fmt.Errorf("read raft configuration: %w", err)
	}
	if !slices.ContainsFunc(now.Configuration().Servers, func(s raft.Server) bool { return s.ID == id }) {
		return errors.New("it is not part of the cluster any more")
	}
	return a.raft.AddNonvoter(id, address, now.Index(), 0).Error() // of a voter it changes the address alone
}

// vacate has the Raft configuration know no address of the server that it has at this
// one, if that is to go: no two servers may have the same.
func (a *Agent) vacate(address raft.ServerAddress, goes func(raft.Server) bool) error {
	for _, s := range a.configuration().Servers {
		if s.Address != address || !goes(s) {
			continue
		}
		if err := a.setAddress(s.ID, rpc.Nowhere(s.ID)); err != nil {
			return fmt.Errorf("have the raft configuration know no address of server %s, which was at %s: %w", s.ID, address, err)
		}
	}
	return nil
}

// livesElsewhere tells whether a server lives at another address than the Raft
// configuration has.
func (a *Agent) livesElsewhere(s raft.Server) bool {
	if string(s.ID) == a.nodeID {
		return s.Address != a.address
	}
	m := a.memberOf(string(s.ID))
	return m != nil && m.Status == gossip.Alive && m.ServerAddress() != string(s.Address)
}

// meet asks a member on its server port who it is.
func (a *Agent) meet(ctx context.Context, m *gossip.Member) (*rpcpb.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	server, err := a.peers.client.Server(m.ServerAddress())
	if err != nil {
		return nil, err
	}
	status, err := server.Status(ctx, &rpcpb.StatusRequest{})
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask it who it is: %w", rpc.AsError(err))
	case status.GetNodeId() != m.ID:
		return nil, fmt.Errorf("at %s answers the server with the id %s, not %s", m.ServerAddress(), status.GetNodeId(), m.ID)
	}
	return status, nil
}

// errStaysOut says that a member was taken out of the cluster and is still running.
var errStaysOut = errors.New("it was taken out of the cluster and stays out until it is started anew or told to join")

// markMember gives the node of another server its health check. The rest of the
// registration is the other server's own matter.
func (a *Agent) markMember(ctx context.Context, m *gossip.Member, status, output string) error {
	view := a.store.View().Catalog()
	node := view.Node(m.Name)
	if node == nil {
		if status != catalog.Passing {
			return nil
		}
		port, err := strconv.Atoi(m.Tags[gossip.TagPort])
		if err != nil {
			return fmt.Errorf("tag %s: %w", gossip.TagPort, err)
		}
		node = &catalog.Node{ID: m.ID, Name: m.Name, Address: m.Addr}
		_, err = a.Propose(ctx, &fsm.Command{Register: &catalog.Registration{
			Node:    *node,
			Service: &catalog.Service{ID: httpapi.SelfService, Name: httpapi.SelfService, Port: port, PassingWeight: 1, WarningWeight: 1},
			Checks:  []catalog.Check{selfCheck(status, output)},
		}})
		return err
	}
	if node.ID != m.ID { // another server's that has had the name; it will be renamed
		return nil
	}
	r := &catalog.Registration{Node: *node, SkipNode: true, Checks: []catalog.Check{selfCheck(status, output)}}
	if view.Holds(r) {
		return nil
	}
	_, err := a.Propose(ctx, &fsm.Command{Register: r})
	return err
}

// dismiss takes a server that left out of the Raft configuration and the catalog.
func (a *Agent) dismiss(ctx context.Context, m *gossip.Member) error {
	if a.lives(m.ID) { // under another name
		return nil
	}
	for _, s := range a.configuration().Servers {
		if string(s.ID) == m.ID {
			a.log.Info("a server has left the cluster", "name", m.Name, "id", m.ID)
			if err := a.raft.RemoveServer(s.ID, 0, 0).Error(); err != nil {
				return fmt.Errorf("remove from the raft configuration: %w", err)
			}
		}
	}
	node := a.store.View().Catalog().Node(m.Name)
	if node == nil || node.ID != m.ID {
		return nil
	}
	_, err := a.Propose(ctx, &fsm.Command{Deregister: &fsm.Deregistration{Node: m.Name}})
	return err
}

// lives tells whether a server with this id is among the members, under any name.
func (a *Agent) lives(id string) bool {
	m := a.memberOf(id)
	return m != nil && m.Status == gossip.Alive
}

// Leave takes this server out of the cluster for good: leadership, vote, catalog
// and gossip. It does not end the process.
func (a *Agent) Leave(ctx context.Context) error {
	if a.gossip == nil || countVoters(a.configuration()) < 2 {
		return nil // a cluster of one goes with its server
	}
	a.handOver()
	a.drain(ctx)
	if err := a.RemovePeer(ctx, a.nodeID, "", ownAct); err != nil {
		a.log.Warn("give up the place in the raft configuration; the leader will take it", "error", err)
	}
	return a.gossip.Leave()
}

// handOver hands leadership to another server, if there is one to take it.
func (a *Agent) handOver() {
	if a.raft == nil || a.raft.State() != raft.Leader || countVoters(a.configuration()) < 2 {
		return
	}
	began := a.now()
	if err := a.raft.LeadershipTransfer().Error(); err != nil {
		a.log.Warn("hand leadership over", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverWait)
	defer cancel()
	for a.raft.State() == raft.Leader || a.otherLeader() == "" { // requests under way want to know where to go
		if a.pause(ctx) != nil {
			break
		}
	}
	l, _ := a.leader.get()
	a.log.Info("handed leadership over", "to", l.id, "took", a.now().Sub(began).Round(time.Millisecond))
}

// handOverWait bounds the wait for the next leader.
const handOverWait = 3 * time.Second
