package agent

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
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
