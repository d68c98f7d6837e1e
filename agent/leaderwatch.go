package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// leader is what this server knows of who leads. The zero value: nobody.
type leader struct {
	id      string
	address string // of the server port, where it is now
}

// leaderWatch remembers who leads and tells of changes.
type leaderWatch struct {
	parent context.Context

	mu    sync.Mutex
	now   leader             // guarded by mu
	since time.Time          // of the last change between a leader and none; guarded by mu
	reign context.Context    // ends when now changes; guarded by mu
	end   context.CancelFunc // of reign; guarded by mu
}

func newLeaderWatch(ctx context.Context, now time.Time) *leaderWatch {
	w := &leaderWatch{parent: ctx, since: now}
	w.reign, w.end = context.WithCancel(ctx)
	return w
}

// set notes who leads now.
func (w *leaderWatch) set(l leader, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == l {
		return
	}
	if (w.now.id == "") != (l.id == "") {
		w.since = now
	}
	w.now = l
	w.end()
	w.reign, w.end = context.WithCancel(w.parent)
}

// get returns who leads, and a context that ends when that changes.
func (w *leaderWatch) get() (leader, context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.reign
}

// without is how long no leader has been known; 0 when one is.
func (w *leaderWatch) without(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.id != "" {
		return 0
	}
	return max(now.Sub(w.since), 1)
}

// leaderLook is how often Raft is asked who leads, besides being told: an observer may
// miss something when much happens at once.
const leaderLook = 100 * time.Millisecond

// followLeader keeps the watch up to date.
func (a *Agent) followLeader(ctx context.Context) error {
	seen := make(chan raft.Observation, 64)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	a.raft.RegisterObserver(observer)
	defer a.raft.DeregisterObserver(observer)
	tick := time.NewTicker(leaderLook)
	defer tick.Stop()
	last := time.Now()
	for {
		if now := time.Now(); now.Sub(last) > stalled { // the process was stopped, or the machine slept
			a.thawed.Store(now.UnixNano())
		}
		last = time.Now()
		a.lookForLeader()
		select {
		case <-ctx.Done():
			return nil
		case <-seen:
		case <-tick.C:
		}
	}
}

func (a *Agent) lookForLeader() {
	address, id := a.raft.LeaderWithID()
	now := a.now()
	// A leader may be at another address than Raft knows, of which the gossip has told.
	// It is looked up here, not by each request.
	l := leader{id: string(id), address: a.addressOf(string(id), string(address))}
	a.leader.set(l, now)
	if a.peers != nil { // who waits for a former leader will hear no more of it
		a.peers.forward.Reset(l.address)
	}
	// A server that is cut off must not keep its parked queries for ever: what they
	// wait for may have happened elsewhere.
	if a.leader.without(now) > a.config().RPCHoldTimeout {
		a.api.EndParked()
	}
}

// endParkedIfCutOff runs when this server leads no more. If it reaches no majority, the
// others may choose a leader and go on without it, so its parked queries are ended: that
// need not wait for as long as an election may take, through which they are held. It
// takes as long as the lease of a leader at most.
func (a *Agent) endParkedIfCutOff(ctx context.Context) error {
	if a.peers == nil {
		return nil
	}
	servers := a.configuration().Servers
	if len(servers) < 2 {
		return nil
	}
	asked, cancel := context.WithTimeout(ctx, time.Duration(a.config().Performance.RaftMultiplier)*leaderLease)
	defer cancel()
	reached := a.votersReached(asked, servers)
	if l, _ := a.leader.get(); l.id != "" || ctx.Err() != nil || reached > countVoters(raft.Configuration{Servers: servers})/2 {
		return nil
	}
	a.log.Warn("this server led, and reaches no majority of the cluster any more: its parked queries end")
	a.api.EndParked()
	return nil
}

// votersReached is how many of the servers with a vote answer, this one among them.
func (a *Agent) votersReached(ctx context.Context, servers []raft.Server) int {
	var reached atomic.Int64
	var asked sync.WaitGroup
	for _, s := range servers {
		switch {
		case s.Suffrage != raft.Voter:
			continue
		case string(s.ID) == a.nodeID:
			reached.Add(1)
			continue
		}
		asked.Go(func() {
			server, err := a.peers.client.Server(a.addressOf(string(s.ID), string(s.Address)))
			if err != nil {
				return
			}
			if status, err := server.Status(ctx, &rpcpb.StatusRequest{}); err == nil && status.GetNodeId() == string(s.ID) {
				reached.Add(1)
			}
		})
	}
	asked.Wait()
	return int(reached.Load())
}
