package agent

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// A server that an operator has taken out while it runs stays out, although the gossip
// has it, until it is started anew or told to join. It knows by itself as soon as the
// change of the configuration has reached it; the leader that made the change remembers
// it, too, since it may never reach it.

// place is what a server knows of its own place in the cluster.
type place struct {
	self raft.ServerID

	mu  sync.Mutex
	run string // another word for each start, and each time it was told to join; guarded by mu
	had bool   // it was part of the configuration in this run; guarded by mu
}

func newPlace(id string) *place { return &place{self: raft.ServerID(id), run: rand.Text()} }

// look compares the configuration with what it was, and tells which run this is and
// whether this server was taken out in it.
func (p *place) look(servers []raft.Server) (run string, removed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == p.self })
	p.had = p.had || in
	return p.run, p.had && !in && len(servers) > 0
}

// renew makes a server that was taken out one that wants to come in.
func (p *place) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run, p.had = rand.Text(), false
}

// removals are the runs of servers that this one, while it led, has taken out.
type removals struct {
	mu sync.Mutex
	by map[string]string // run by node id; guarded by mu
}

func (r *removals) note(id, run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[string]string{}
	}
	r.by[id] = run
}

// still tells whether a server is in the run in which it was taken out. When it is in
// another one that is forgotten.
func (r *removals) still(id, run string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if removed, ok := r.by[id]; ok && removed == run {
		return true
	}
	delete(r.by, id)
	return false
}

// runOf asks a server that may be removed in which run it is; "" when it does not say.
func (a *Agent) runOf(ctx context.Context, id string) string {
	m := a.memberOf(id)
	if m == nil || m.Status != gossip.Alive {
		return ""
	}
	status, err := a.meet(ctx, m)
	if err != nil {
		return "" // it is dead, or becomes a stranger
	}
	return status.GetRun()
}

// staysOut tells whether a member was taken out of the cluster and wants nothing else.
func (a *Agent) staysOut(m *gossip.Member, status *rpcpb.StatusResponse) bool {
	return a.removed.still(m.ID, status.GetRun()) || status.GetRemoved()
}

// watchPlace says once when this server has been taken out.
func (a *Agent) watchPlace(ctx context.Context) error {
	tick := time.NewTicker(placeInterval)
	defer tick.Stop()
	said := ""
	for {
		if run, removed := a.place.look(a.configuration().Servers); removed && said != run && !a.leavingNow.Load() {
			said = run
			a.log.Warn("this server was taken out of the cluster: it comes in again when it is started anew or told to join")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// placeInterval is how often a server looks whether it has its place.
const placeInterval = 500 * time.Millisecond
