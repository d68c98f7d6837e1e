package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// startDuties starts what a server does beside answering requests.
func (a *Agent) startDuties() {
	a.group.Go("garbage collector", a.tuneGC)
	a.group.Go("leadership verifier", a.verifier.run)
	a.group.Go("leadership", a.watchLeadership)
	a.group.Go("leader", a.followLeader)
	a.group.Go("catching up", a.catchUp)
	a.group.Go("founding", a.found)
	a.group.Go("joining", a.retryJoin)
	a.group.Go("members", a.keepMembers)
	a.group.Go("own place", a.watchPlace)
	a.group.Go("comparison", a.compareStates)
	if a.peers != nil {
		a.peers.start(a.stop)
		a.group.Go("succession", a.watchLeadersDeath)
		if a.onlyVoter() && a.mayVote() {
			a.group.Go("election", a.electSelf)
		}
	}
	a.group.Go("expiry", a.expirer.run)
	a.group.Go("own node", a.watchSelf)
	a.group.Go("policies", a.warmACL)
	a.group.Go("unchecked rights", a.watchUnchecked)
	a.group.Go("secrets on the disk", a.purgeSecrets)
	a.group.Go("checks", a.timeChecks)
	a.group.Go("snapshots", a.watchLogLength)
	if a.config().Schedule.Path != "" {
		a.group.Go("scheduled snapshots", a.keepSnapshots)
	}
	if a.space != nil {
		a.group.Go("disk space", a.watchSpace)
	}
}

// watchLeadership follows Raft's word on who leads. While this server leads, it
// runs the duties of a leader, and waits for their end when it no longer does.
func (a *Agent) watchLeadership(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case leads := <-a.leaderCh:
			if !leads {
				continue
			}
		}
		a.lead(ctx)
		a.group.Go("cut off", a.endParkedIfCutOff)
	}
}

// lead runs while this server leads.
func (a *Agent) lead(ctx context.Context) {
	defer a.leading.Store(false)
	a.ledSince.Store(a.now().UnixNano())
	term := a.raft.CurrentTerm() // before the barrier, which is not of an earlier one then
	// A new leader has entries from before that it has not applied yet. Only after
	// them may it answer reads.
	for !a.applyAll() {
		if a.raft.State() != raft.Leader {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(leaderPoll):
		}
	}
	a.alone.Store(len(a.configuration().Servers) == 1)
	defer a.alone.Store(false)
	a.expirer.begin(ctx, a.applyAsLeader)
	defer a.expirer.deadlines.stop()
	if err := a.registerSelf(ctx); err != nil {
		a.log.Warn("register this server in the catalog", "error", err) // watchSelf goes on trying
	}
	if err := a.readyACL(ctx, a.applyAsLeader); err != nil {
		a.log.Warn("make the ACL tables ready", "error", err) // leadACL goes on trying
	}
	a.ledTerm.Store(term)
	a.leading.Store(true)
	a.reachedCommitted()
	a.log.Info("leads the cluster", "index", a.store.Applied())
	if a.gossip == nil { // else keepMembers does it
		if err := a.keepOwnAddress(); err != nil {
			a.log.Warn("have the raft configuration say where this server is", "error", err)
		}
	}

	reign, end := context.WithCancel(ctx)
	var duties sync.WaitGroup
	duties.Go(func() { a.pilot.lead(reign) })
	duties.Go(func() { a.keepHistory(reign) })
	duties.Go(func() { a.leadACL(reign) })
	duties.Go(func() { a.watchContact(reign) })
	defer duties.Wait()
	defer end()
	// At once: what duties have under way waits for a leader as others do, and would
	// wait for this server.
	defer a.leading.Store(false)
	for {
		select {
		case <-ctx.Done():
			return
		case leads := <-a.leaderCh:
			if !leads {
				return
			}
		}
	}
}

// keepHistory prunes history, until ctx ends.
func (a *Agent) keepHistory(ctx context.Context) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	var history pruner
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.prune(ctx, &history)
		}
	}
}

// applyAll waits until everything in the log is applied, and tells whether it is.
func (a *Agent) applyAll() bool {
	barrier := a.raft.Barrier(0)
	if barrier.Error() != nil {
		return false
	}
	if entry, ok := barrier.(raft.IndexFuture); ok {
		a.store.Reached(entry.Index())
	}
	return true
}

// reachedCommitted notes that this server has applied what was committed when it
// started.
func (a *Agent) reachedCommitted() { a.catchOnce.Do(func() { close(a.caughtUp) }) }

// mayVote tells whether this server itself has a vote.
func (a *Agent) mayVote() bool {
	for _, s := range a.configuration().Servers {
		if string(s.ID) == a.nodeID {
			return s.Suffrage == raft.Voter
		}
	}
	return false
}

func countVoters(c raft.Configuration) int {
	n := 0
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

// isMajority tells whether those for whom is says so are a majority of those with a vote.
func isMajority(c raft.Configuration, is func(raft.ServerID) bool) bool {
	n := 0
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter && is(s.ID) {
			n++
		}
	}
	return n > countVoters(c)/2
}

// pruneInterval is how often the leader looks whether history is over its budget.
const pruneInterval = time.Second

// pruneRounds bounds the prune commands of one look, so that the leader turns to
// other duties in between.
const pruneRounds = 64

// pruner is what the leader remembers between two looks at history.
type pruner struct {
	trimmed    uint64 // index up to which keys were checked for too many versions
	generation uint64 // of the state that is the index of
	forgetAt   time.Time
}

// forgetInterval is how often, at most, all keys are looked at for tombstones.
const forgetInterval = 10 * time.Second

// prune proposes what must go for history to meet its retention.
func (a *Agent) prune(ctx context.Context, p *pruner) {
	if g := a.store.View().Generation; g != p.generation { // another state: indexes may be lower
		*p = pruner{generation: g}
	}
	for range pruneRounds {
		view := a.store.View()
		plan, next := view.PlanPrune(a.retention(), p.trimmed)
		done := plan.Empty() && next == p.trimmed
		if !plan.Empty() && !a.proposePrune(ctx, &plan) {
			return
		}
		p.trimmed = next
		if done {
			break
		}
	}
	if now := a.now(); !now.Before(p.forgetAt) {
		p.forgetAt = now.Add(forgetInterval)
		for part := range slices.Chunk(a.store.View().PlanForgets(a.retention()), limit.PruneRecords) {
			if !a.proposePrune(ctx, &kvs.Plan{Forgets: part}) {
				return
			}
		}
	}
}

// proposePrune puts one prune command through and tells whether to go on.
func (a *Agent) proposePrune(ctx context.Context, plan *kvs.Plan) bool {
	if ctx.Err() != nil || !a.leading.Load() || a.writable() != nil {
		return false
	}
	_, err := a.Propose(ctx, &fsm.Command{Prune: plan})
	switch {
	case err == nil:
		return true
	case ctx.Err() == nil: // else the next leader goes on
		a.log.Warn("prune history", "error", err)
	}
	return false
}

func (a *Agent) retention() kvs.Retention {
	keep, now := a.config().History, a.now()
	return kvs.Retention{
		Before:    now.Add(-keep.Retention).UnixNano(),
		Protected: now.Add(-keep.MinDeleteRetention).UnixNano(),
		Versions:  keep.Versions,
		MaxBytes:  int64(keep.MaxBytes),
		Tombs:     limit.BareTombstones,
		Records:   limit.PruneRecords,
	}
}

// snapshotAfterBytes is how much log makes a snapshot due, besides the number of
// entries that the configuration gives: a few large entries take as long to read
// again after a start as many small ones.
const snapshotAfterBytes = 256 << 20

// watchLogLength takes a snapshot when the log since the last one is long.
func (a *Agent) watchLogLength(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if a.machine.SinceSnapshot() < snapshotAfterBytes || a.writable() != nil {
			continue
		}
		if err := a.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			a.log.Warn("take a snapshot", "error", err)
		}
	}
}

// watchSpace looks after the room on the disk.
func (a *Agent) watchSpace(ctx context.Context) error {
	tick := time.NewTicker(a.config().Disk.CheckInterval)
	defer tick.Stop()
	return a.space.Run(ctx, tick.C, func(free uint64, low bool, err error) {
		switch {
		case err != nil:
			a.log.Warn("look at free disk space", "error", err)
		case low:
			a.log.Error("disk is nearly full, the server takes no writes until there is space", "free_bytes", free)
		default:
			a.log.Info("disk has space again, the server takes writes", "free_bytes", free)
		}
	})
}
