package agent

import (
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// followers is what this server hears of the others while it leads. Raft's library
// tells nobody how far a follower has come, but each answer to a heartbeat says so, and
// heartbeats never travel in a pipeline: it is enough to look at what the transport
// brings back.
type followers struct {
	now func() time.Time

	mu sync.Mutex
	by map[raft.ServerID]follower // of those that were sent to; guarded by mu
}

// follower is what was heard of one server last.
type follower struct {
	lastIndex uint64    // of its log
	at        time.Time // when that was heard
}

func newFollowers(now func() time.Time) *followers {
	return &followers{now: now, by: map[raft.ServerID]follower{}}
}

// transport is what Raft finds in a transport: a wrapper must not hide half of it.
type transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// listen returns the transport for Raft to use, whose answers are noted.
func (f *followers) listen(t transport) transport { return &heardTransport{transport: t, heard: f} }

// heardTransport is a transport that notes what followers answer.
type heardTransport struct {
	transport
	heard *followers
}

// AppendEntries sends heartbeats, and entries to a follower that is behind.
func (t *heardTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := t.transport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Term <= args.Term { // else it is no follower of ours
		t.heard.note(id, resp.LastLog)
	}
	return err
}

func (f *followers) note(id raft.ServerID, lastIndex uint64) {
	at := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by[id] = follower{lastIndex: lastIndex, at: at}
}

// heardOf is the last index of a server's log and when that was heard; the zero time for
// never.
func (f *followers) heardOf(id raft.ServerID) (lastIndex uint64, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.by[id]
	return last.lastIndex, last.at
}

// of returns what was heard of the given servers, and forgets all others: they have
// left.
func (f *followers) of(ids []raft.ServerID) map[raft.ServerID]follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := make(map[raft.ServerID]follower, len(ids))
	for _, id := range ids {
		if last, ok := f.by[id]; ok {
			kept[id] = last
		}
	}
	f.by = kept
	return maps.Clone(kept)
}

// followerState is how one follower stands, as the metrics show it.
type followerState struct {
	ID          raft.ServerID
	LagEntries  uint64        // entries of the leader's log that it is not known to have
	LastContact time.Duration // since it was heard from
}

// followerStates returns one row for each other member of the Raft configuration. On a
// server that does not lead all figures are 0: it hears of nobody.
func (a *Agent) followerStates() []followerState {
	var states []followerState
	var ids []raft.ServerID
	for _, s := range a.raft.GetConfiguration().Configuration().Servers {
		if string(s.ID) != a.nodeID {
			ids = append(ids, s.ID)
		}
	}
	leads, last := a.raft.State() == raft.Leader, a.raft.LastIndex()
	known := a.followers.of(ids)
	since := a.now().Sub(time.Unix(0, a.ledSince.Load()))
	for _, id := range ids {
		s := followerState{ID: id}
		if leads {
			heard := known[id]
			s.LagEntries = last - min(heard.lastIndex, last)
			s.LastContact = since // not heard from yet
			if !heard.at.IsZero() {
				s.LastContact = min(since, a.now().Sub(heard.at))
			}
		}
		states = append(states, s)
	}
	return states
}
