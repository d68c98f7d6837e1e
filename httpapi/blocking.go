package httpapi

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/jitter"
	"github.com/holdfast-kv/holdfast/kvs"
)

// parkable is a question that can wait.
type parkable interface {
	// settled tells whether a client that has seen index n must be answered from
	// this state rather than wait.
	settled(v *fsm.View, n uint64) bool

	// watch registers the question, to be woken when what it asks about changes.
	watch(s *fsm.Store) kvs.Watch
}

// await returns when the question should be answered: at once, when something it
// asks about has changed, when its time is over, when its rights show something else,
// or when the server stops. Without the rights that it began with it ends with an
// error. Nothing of a state is held while it waits.
//
// Whoever answers after it looks at the rights again, after taking the state.
func (c *call) await(q parkable, o readOptions) error {
	c.rights.waited = q
	store := c.s.node.Store()
	if q.settled(store.View(), o.index) {
		return nil
	}
	client := clientOf(c.r)
	if err := c.s.parked.enter(client, c.s.settings.Load()); err != nil {
		return err
	}
	defer c.s.parked.leave(client)
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()

	timer := time.NewTimer(c.s.waitTime(o.wait))
	defer timer.Stop()
	wakeups := &c.s.wakeups
	for {
		// Register first, then look: what commits in between wakes.
		watch, rights := q.watch(store), c.watchRights()
		answer, err := c.stillMay(q)
		if answer = answer || err == nil && q.settled(store.View(), o.index); answer || err != nil {
			watch.Stop()
			rights.stop()
			if err == nil {
				wakeups.answered(true)
			}
			return err
		}
		rights.until(c.ended())
		reason := c.park(&watch, &rights, timer.C, o.mode)
		rights.stop()
		if reason != changed { // a registration that was woken is gone already
			watch.Stop()
		}
		switch reason {
		case rightsChanged, tokenEnded:
			continue
		case clientGone:
			wakeups.Gone.Add(1)
			return errClientGone
		case stateReplaced: // answered with what there is
			c.awaitMark(o.index)
			wakeups.answered(q.settled(store.View(), o.index))
			return nil
		case stopping: // so is this
			wakeups.answered(q.settled(store.View(), o.index))
			return nil
		case timeOver: // answered with what there is; that there was no change must be true of the cluster, not of this server
			wakeups.Timeouts.Add(1)
			if o.mode == Stale {
				return nil
			}
			_, err := c.s.node.ReadIndex(c.r.Context(), o.mode)
			return err
		case cutOff:
			return ErrNoLeader
		case changed:
		}
		if o.mode == Consistent {
			if _, err := c.s.node.ReadIndex(c.r.Context(), Consistent); err != nil {
				return err
			}
		}
		// Thousands may wake together: who has its answer needs no registration.
		if q.settled(store.View(), o.index) {
			wakeups.answered(true)
			return nil
		}
		wakeups.Parked.Add(1)
	}
}

// awaitMark waits, after the state was replaced by one that has not come as far as
// the client, for the mark that a restore leaves in the log: only from it on are
// indexes above all that were handed out. Should there be none, because the leader died
// in between, the next change does it, or the client goes without.
func (c *call) awaitMark(index uint64) {
	ctx, cancel := context.WithTimeout(c.r.Context(), c.s.settings.Load().HoldTime)
	defer cancel()
	_ = c.s.node.Store().WaitApplied(ctx, index) // what there is then is the answer
}

type wake uint8

const (
	changed wake = iota
	stateReplaced
	timeOver
	clientGone
	stopping
	cutOff
	rightsChanged
	tokenEnded
)

func (c *call) park(watch *kvs.Watch, rights *rightsWatch, timer <-chan time.Time, mode Mode) wake {
	end := c.s.draining
	if mode != Stale {
		end = *c.s.cutOff.Load()
	}
	select {
	case <-watch.C:
		return changed
	case <-watch.Reset:
		return stateReplaced
	case <-rights.token.C:
		return rightsChanged
	case <-rights.rules.C:
		return rightsChanged
	case <-rights.expired():
		return tokenEnded
	case <-timer:
		return timeOver
	case <-c.r.Context().Done():
		return clientGone
	case <-end:
		if c.s.drained.Load() {
			return stopping
		}
		return cutOff
	}
}

// waitTime is how long a question waits that asked for d.
//
// Source: contract, blocking queries, section 1.
func (s *Server) waitTime(d time.Duration) time.Duration {
	d = s.longest(d)
	return d + jitter.UpTo(d/16)
}

// longest is d within the limits.
func (s *Server) longest(d time.Duration) time.Duration {
	settings := s.settings.Load()
	if d > settings.MaxQueryTime {
		d = settings.MaxQueryTime
	}
	if d <= 0 {
		d = settings.DefaultQueryTime
	}
	return d
}

// fresh returns when the local state may answer a read.
func (c *call) fresh(o readOptions) (Contact, error) {
	contact, err := c.s.node.ReadIndex(c.r.Context(), o.mode)
	if err != nil || o.minIndex == 0 {
		return contact, err
	}
	return contact, c.waitApplied(o.minIndex)
}

func (c *call) waitApplied(index uint64) error {
	store := c.s.node.Store()
	if store.Applied() >= index {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.s.settings.Load().HoldTime)
	defer cancel()
	if store.WaitApplied(ctx, index) != nil {
		if c.r.Context().Err() != nil {
			return errClientGone
		}
		return serverError("this server has not reached min-index yet; ask again or ask another server")
	}
	return nil
}

// answerIndex is the index to answer with. A question that was not settled gets
// the index it came with where the item has none of its own, so that the index of
// a missing item does not move with the store while its watcher waits, nor go
// backwards.
func answerIndex(q *question, r reply, v *fsm.View, o readOptions) uint64 {
	if o.index > 1 && o.index <= storeIndex(v) && r.index > o.index && !q.settled(v, o.index) {
		return o.index
	}
	return r.index
}

// parking counts the questions that wait, for each client address and together.
type parking struct {
	mu    sync.Mutex
	count int                // guarded by mu
	by    map[netip.Addr]int // guarded by mu
}

func (p *parking) enter(client netip.Addr, bounds *Settings) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bounds.ParkedTotal > 0 && p.count >= bounds.ParkedTotal {
		return tooMany("Too many blocking queries are waiting on this server, ask another one or raise limits.http_max_parked")
	}
	if bounds.ParkedPerClient > 0 && p.by[client] >= bounds.ParkedPerClient {
		return tooMany("Your IP has too many blocking queries waiting, please reuse them or raise limits.http_max_parked_per_client")
	}
	p.count++
	p.by[client]++
	return nil
}

func (p *parking) leave(client netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count--
	if p.by[client]--; p.by[client] == 0 {
		delete(p.by, client)
	}
}

func (p *parking) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
