package agent

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// followers is what this server hears of the others while it leads. Raft's library
// tells nobody how far a follower has come, but each answer to a heartbeat says so, and
// heartbeats never travel in a pipeline: it is enough to look at what the transport
// brings back.
type followers struct {
	now    func() time.Time
	rounds atomic.Uint64
	news   chan struct{} // of capacity 1: something was heard

	mu sync.Mutex
	by map[raft.ServerID]follower // of those that were sent to; guarded by mu
}

// follower is what was heard of one server last.
type follower struct {
	lastIndex uint64    // of its log
	at        time.Time // when that was heard
	word      word      // that it gave last
}

// word is that of a server which follows the leader of a term: it did so after a round had begun.
type word struct{ term, round uint64 }

func newFollowers(now func() time.Time) *followers {
	return &followers{now: now, news: make(chan struct{}, 1), by: map[raft.ServerID]follower{}}
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
	given := word{args.Term, t.heard.rounds.Load()} // what it answers it says after this
	err := t.transport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Term <= args.Term { // else it is no follower of ours
		t.heard.note(id, resp.LastLog, given)
	}
	return err
}

func (f *followers) note(id raft.ServerID, lastIndex uint64, given word) {
	at := f.now()
	f.mu.Lock()
	if last := f.by[id].word; given.term < last.term || given.term == last.term && given.round < last.round {
		given = last // two messages were under way
	}
	f.by[id] = follower{lastIndex: lastIndex, at: at, word: given}
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default: // whoever waits will look anyway
	}
}

// begin begins a round and returns its number: what is sent from now on is sent after that.
func (f *followers) begin() uint64 { return f.rounds.Add(1) }

// confirm waits until this server, self, has the words of so many others that they are a majority of
// those with a vote, given after a round had begun in which it led a term. It is for one goroutine
// at a time. The error is that of ctx.
func (f *followers) confirm(ctx context.Context, voters func() raft.Configuration, self raft.ServerID, term, round uint64) error {
	for !f.confirmed(voters(), self, term, round) {
		select {
		case <-f.news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *followers) confirmed(c raft.Configuration, self raft.ServerID, term, round uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return isMajority(c, func(id raft.ServerID) bool {
		given := f.by[id].word
		return id == self || given.term == term && given.round >= round
	})
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
