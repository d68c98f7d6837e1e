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

	// spot is where the question is woken when what it asks about changes.
	spot(s *fsm.Store) spot
}

// spot is a place in a hub.
type spot struct {
	hub    *kvs.Hub
	name   string
	prefix bool
}

// watch registers whoever waits with a goroutine.
func (p spot) watch() kvs.Watch {
	if p.prefix {
		return p.hub.WatchPrefix(p.name)
	}
	return p.hub.WatchKey(p.name)
}

// join registers whoever waits without one.
func (p spot) join(w *kvs.Waiter, to kvs.Receiver) {
	if p.prefix {
		p.hub.JoinPrefix(p.name, w, to)
	} else {
		p.hub.JoinKey(p.name, w, to)
	}
}

// await returns when the question should be answered: at once, when something it
// asks about has changed, when its time is over, when its rights show something else,
// or when the server stops. Without the rights that it began with it ends with an
// error. Nothing of a state is held while it waits.
//
// It may return errParked: then the request waits without a goroutine, and its handler,
// which must return that error and may have done nothing that cannot be done twice, is
// called again.
//
// Whoever answers after it looks at the rights again, after taking the state.
func (c *call) await(q parkable, o readOptions) error {
	c.returning = false
	c.rights.waited = q
	if c.waiting != nil {
		return c.awaitAgain(q, o)
	}
	if q.settled(c.s.node.Store().View(), o.index) {
		return nil
	}
	if c.parker != nil && c.audit.kind == "" && c.s.longest(o.wait) >= parkFrom {
		return c.awaitParked(q, o)
	}
	if err := c.awaitHere(q, o); err != nil {
		return err
	}
	return c.mayAnswer()
}

// awaitHere is await for a request that keeps its goroutine.
func (c *call) awaitHere(q parkable, o readOptions) error {
	c.rights.waited = q
	store := c.s.node.Store()
	if q.settled(store.View(), o.index) {
		return nil
	}
	client := c.client()
	if err := c.s.parked.enter(client, nil, c.s.settings.Load()); err != nil {
		return err
	}
	defer c.s.parked.leave(client, nil)
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()

	timer := time.NewTimer(c.s.waitTime(o.wait, 0))
	defer timer.Stop()
	for {
		// Register first, then look: what commits in between wakes.
		watch, rights := q.spot(store).watch(), c.watchRights()
		over, err := c.look(q, o)
		if over {
			watch.Stop()
			rights.stop()
			return err
		}
		rights.until(c.ended())
		reason := c.park(&watch, &rights, timer.C, o.mode)
		rights.stop()
		watch.Stop()
		failed := c.s.verify(c.r.Context(), reason, o.mode, o.index)
		if over, err := c.woken(reason, failed, q, o); over {
			return err
		}
	}
}

// look looks, after the question was registered, whether it need not wait. It tells whether
// the wait is over, and with which error.
func (c *call) look(q parkable, o readOptions) (over bool, err error) {
	answer, err := c.stillMay(q)
	if err != nil {
		return true, err
	}
	if answer || q.settled(c.s.node.Store().View(), o.index) {
		c.s.wakeups.answered(true)
		return true, nil
	}
	return false, nil
}

// verify is what must be waited for between a wake-up and the look at the state.
func (s *Server) verify(ctx context.Context, reason wake, mode Mode, index uint64) error {
	switch {
	case reason == stateReplaced:
		s.awaitMark(ctx, index)
	case verified(reason, mode):
		_, err := s.node.ReadIndex(ctx, mode)
		return err
	}
	return nil
}

// verified tells whether the state must be known to be the cluster's before it is looked at.
// Of a query whose time is over it must be true of the cluster, and not only of this server,
// that there was no change.
func verified(reason wake, mode Mode) bool {
	return reason == timeOver && mode != Stale || reason == changed && mode == Consistent
}

// woken looks at the state after a wake-up. failed is what came of verify. It tells whether
// the wait is over, and with which error.
func (c *call) woken(reason wake, failed error, q parkable, o readOptions) (over bool, err error) {
	wakeups := &c.s.wakeups
	settled := func() bool { return q.settled(c.s.node.Store().View(), o.index) }
	switch reason {
	case rightsChanged, tokenEnded:
		return false, nil
	case clientGone:
		wakeups.Gone.Add(1)
		return true, errClientGone
	case stateReplaced, stopping: // answered with what there is
		wakeups.answered(settled())
		return true, nil
	case timeOver: // so is this
		wakeups.Timeouts.Add(1)
		return true, failed
	case cutOff:
		return true, ErrNoLeader
	case changed:
	}
	if failed != nil {
		return true, failed
	}
	// Thousands may wake together: who has its answer needs no registration.
	if settled() {
		wakeups.answered(true)
		return true, nil
	}
	wakeups.Parked.Add(1)
	return false, nil
}

// awaitMark waits, after the state was replaced by one that has not come as far as
// the client, for the mark that a restore leaves in the log: only from it on are
// indexes above all that were handed out. Should there be none, because the leader died
// in between, the next change does it, or the client goes without.
func (s *Server) awaitMark(ctx context.Context, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Load().HoldTime)
	defer cancel()
	_ = s.node.Store().WaitApplied(ctx, index) // what there is then is the answer
}

// wake is why a query does not wait any longer.
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

// waitTime is how long a question waits that asked for d, if it is woken up to late after
// its time.
//
// Source: contract, blocking queries, section 1.
func (s *Server) waitTime(d, late time.Duration) time.Duration {
	d = s.longest(d)
	return d + jitter.UpTo(d/16-late)
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
	if c.returning {
		return c.s.node.Contact(), nil
	}
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

// parking counts the questions that wait, for each client address and together, and knows
// those that do so without a goroutine.
type parking struct {
	mu    sync.Mutex
	count int                 // guarded by mu
	by    map[netip.Addr]*int // none is 0; guarded by mu
	first *waiting            // of those without a goroutine; guarded by mu
}

// enter counts one more, or says why there may be none. w is nil for who keeps a goroutine.
func (p *parking) enter(client netip.Addr, w *waiting, bounds *Settings) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bounds.ParkedTotal > 0 && p.count >= bounds.ParkedTotal {
		return tooMany(causeParkedTotal, "Too many blocking queries are waiting on this server, ask another one or raise limits.parked_queries_total")
	}
	from := p.by[client]
	if bounds.ParkedPerClient > 0 && from != nil && *from >= bounds.ParkedPerClient {
		return tooMany(causeParkedClient, "Your IP has too many blocking queries waiting, please reuse them or raise limits.parked_queries_per_client")
	}
	p.count++
	if from == nil {
		from = new(int)
		p.by[client] = from
	}
	*from++
	if w != nil {
		if w.next = p.first; w.next != nil {
			w.next.prev = w
		}
		p.first = w
	}
	return nil
}

func (p *parking) leave(client netip.Addr, w *waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count--
	from := p.by[client]
	if *from--; *from == 0 {
		delete(p.by, client)
	}
	if w == nil {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		p.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
}

func (p *parking) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// all are those that wait without a goroutine.
func (p *parking) all() []*waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*waiting, 0, p.count)
	for w := p.first; w != nil; w = w.next {
		list = append(list, w)
	}
	return list
}
