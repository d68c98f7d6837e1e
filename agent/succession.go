package agent

import (
	"cmp"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// How soon the death of a leader is noticed.
//
// Raft's followers wait for half a second or more before they miss a leader, since one
// that is slow must not be replaced. A process that is gone is another matter: its kernel
// ends its connections and refuses new ones. So when a connection from another server
// ends, and the leader's address refuses connections, the others that have a vote are
// asked what they find. When a majority of all votes agrees, the one of them whose log
// reaches furthest stands for election at once, and the others leave it to that one: votes
// are not split, and nobody stands who could not win. A leader that anybody in that
// majority can still reach is left alone, and so is one that is frozen or cut off: Raft's
// timeouts decide about those, and whenever anything here does not work out.

// successionPause is between two looks at a dead leader's succession. successionLooks
// bounds them; about then Raft misses the leader by itself. falseAlarm is how many looks
// find that the leader lives until that is believed.
const (
	successionPause = 25 * time.Millisecond
	successionLooks = 20
	falseAlarm      = 2
)

// diedTimeout bounds the question to an address, or to a server, whether the leader died.
const diedTimeout = 200 * time.Millisecond

// watchLeadersDeath looks whether the leader is gone whenever a connection from another
// server has ended.
func (a *Agent) watchLeadersDeath(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.peers.ended:
		}
		if l, _ := a.leader.get(); l.id != "" && l.id != a.nodeID && a.mayVote() {
			a.succeed(ctx, l)
		}
	}
}

// succeed sees to it that a leader that died is replaced, here or by another server.
func (a *Agent) succeed(ctx context.Context, dead leader) {
	alive := 0
	for range successionLooks {
		if l, _ := a.leader.get(); l.id != "" && l.id != dead.id || a.raft.State() != raft.Follower {
			return // it has a successor, or will have
		}
		if a.peers.refuses(ctx, dead.address) {
			if a.mayStand(ctx, dead) {
				a.log.Info("the process of the leader is gone: this server stands for election", "leader", dead.id)
				if err := a.stand(); err != nil && ctx.Err() == nil {
					a.log.Warn("stand for election at once", "error", err) // it will, in a moment
				}
				return
			}
		} else if alive++; alive == falseAlarm {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(successionPause):
		}
	}
}

// refuses tells whether no process listens where a server is.
func (p *peers) refuses(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, diedTimeout)
	defer cancel()
	return p.port.Refused(ctx, address)
}

// diedAsSeenHere tells whether this server, too, finds that the process of a leader is
// gone, and knows of no other.
func (a *Agent) diedAsSeenHere(ctx context.Context, id string) bool {
	l, _ := a.leader.get()
	if id == a.nodeID || l.id != "" && l.id != id {
		return false
	}
	for _, s := range a.configuration().Servers {
		if string(s.ID) == id {
			return a.peers.refuses(ctx, a.addressOf(id, string(s.Address)))
		}
	}
	return false
}

// logEnd is the term and the index of the last entry of the log, or of the snapshot that
// stands for it: what Raft compares when it is asked for its vote.
func (a *Agent) logEnd() (term, index uint64) {
	stats := a.raft.Stats()
	figure := func(name string) uint64 {
		n, _ := strconv.ParseUint(stats[name], 10, 64) // Raft's own, always a number
		return n
	}
	term, index = figure("last_log_term"), figure("last_log_index")
	if in := figure("last_snapshot_index"); in > index {
		return figure("last_snapshot_term"), in
	}
	return term, index
}

// mayStand asks the other servers with a vote about a leader that died, and tells whether
// this one is to follow it.
func (a *Agent) mayStand(ctx context.Context, dead leader) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*diedTimeout)
	defer cancel()
	term, index := a.logEnd()
	heirs := []heir{{id: a.nodeID, term: term, index: index}}
	voters := 0
	var mu sync.Mutex // of heirs, while others are asked
	var asked sync.WaitGroup
	for _, s := range a.configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if id := string(s.ID); id == a.nodeID || id == dead.id {
			continue
		}
		asked.Go(func() {
			server, err := a.peers.client.Server(a.addressOf(string(s.ID), string(s.Address)))
			if err != nil {
				return
			}
			r, err := server.LeaderDied(ctx, &rpcpb.LeaderDiedRequest{Id: dead.id})
			if err == nil && r.GetAgreed() && r.GetNodeId() == string(s.ID) {
				mu.Lock()
				defer mu.Unlock()
				heirs = append(heirs, heir{id: string(s.ID), term: r.GetLastTerm(), index: r.GetLastIndex()})
			}
		})
	}
	asked.Wait()
	return follows(a.nodeID, heirs, voters)
}

// heir is a server with a vote that finds that the leader is gone, and where its log ends.
type heir struct {
	id          string
	term, index uint64
}

// follows tells whether a server is to follow a leader: the heirs must be a majority of
// all that have a vote, and its log must reach furthest; of equals the lowest id does.
func follows(id string, heirs []heir, voters int) bool {
	if len(heirs) <= voters/2 {
		return false
	}
	best := heirs[0]
	for _, h := range heirs[1:] {
		if cmp.Or(cmp.Compare(h.term, best.term), cmp.Compare(h.index, best.index), cmp.Compare(best.id, h.id)) > 0 {
			best = h
		}
	}
	return best.id == id
}
