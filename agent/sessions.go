package agent

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// How the leader ends what has run out of time. A batch is one log entry; the pause
// lets the writes of others through when thousands run out together.
const (
	expiryTick   = 100 * time.Millisecond
	expiryBatch  = 256
	expiryPause  = 5 * time.Millisecond
	expiryRetry  = time.Second
	renewalCheck = 5 * time.Millisecond
)

// lifetimeOf is how long a session lives after it was created or renewed. It never
// lives shorter than its TTL; sessions that do not say how much longer live twice
// as long, which existing clients count on.
func lifetimeOf(s *session.Session) time.Duration {
	if s.Grace < 0 {
		return 2 * s.Lifetime
	}
	return s.Lifetime + s.Grace
}

// deadlines holds, on the leader only, when the time of each session is over. It is
// wall-clock state and never enters the log; the end itself is a command. A new
// leader, and a leader after a restore, begins every time anew.
type deadlines struct {
	now func() time.Time

	mu     sync.Mutex
	active bool                 // leads; guarded by mu
	by     map[string]*deadline // by session id; guarded by mu
	queue  deadlineQueue        // earliest first; guarded by mu
}

type deadline struct {
	session *session.Session
	at      time.Time
	ending  bool // a command to end it is under way: it can't be renewed
	place   int  // in the queue; -1 when it is not there
}

func newDeadlines(now func() time.Time) *deadlines {
	return &deadlines{now: now, by: map[string]*deadline{}}
}

// start begins the time of every session of the state. The state is taken while
// changed has to wait, so that no session falls between the two.
func (d *deadlines) start(state *fsm.Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active = true
	d.by, d.queue = map[string]*deadline{}, nil
	sessions, _ := state.View().Sessions()
	sessions.List(func(s *session.Session) bool {
		d.armLocked(s)
		return true
	})
}

// stop forgets everything: this server no longer leads.
func (d *deadlines) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active = false
	d.by, d.queue = map[string]*deadline{}, nil
}

// changed follows the state: sessions were created and ended.
func (d *deadlines) changed(born []*session.Session, dead []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.active {
		return
	}
	for _, s := range born {
		d.armLocked(s)
	}
	for _, id := range dead {
		if e := d.by[id]; e != nil {
			delete(d.by, id)
			if e.place >= 0 {
				heap.Remove(&d.queue, e.place)
			}
		}
	}
}

func (d *deadlines) armLocked(s *session.Session) {
	if s.Lifetime == 0 || d.by[s.ID] != nil {
		return
	}
	e := &deadline{session: s, at: d.now().Add(lifetimeOf(s))}
	d.by[s.ID] = e
	heap.Push(&d.queue, e)
}

// renewal is what became of a request to renew.
type renewal uint8

const (
	renewed renewal = iota
	renewalEnding
	renewalUnknown // not leading, or a session without a TTL
)

// renew begins the time of a session anew.
func (d *deadlines) renew(id string) renewal {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.by[id]
	switch {
	case e == nil:
		return renewalUnknown
	case e.ending:
		return renewalEnding
	}
	e.at = d.now().Add(lifetimeOf(e.session))
	heap.Fix(&d.queue, e.place)
	return renewed
}

// over takes the sessions whose time is over, at most limit of them. They can't be
// renewed until they are gone or given back.
func (d *deadlines) over(limit int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	var ids []string
	for len(d.queue) > 0 && len(ids) < limit && !d.queue[0].at.After(now) {
		e := heap.Pop(&d.queue).(*deadline)
		e.ending = true
		ids = append(ids, e.session.ID)
	}
	return ids
}

// giveBack undoes over for sessions that could not be ended. They are tried again
// in a while.
func (d *deadlines) giveBack(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if e := d.by[id]; e != nil && e.ending {
			e.ending, e.at = false, d.now().Add(expiryRetry)
			heap.Push(&d.queue, e)
		}
	}
}

// deadlineQueue is a heap; see container/heap.
type deadlineQueue []*deadline

func (q deadlineQueue) Len() int           { return len(q) }
func (q deadlineQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q deadlineQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is part of heap.Interface.
func (q *deadlineQueue) Push(x any) {
	e := x.(*deadline)
	e.place = len(*q)
	*q = append(*q, e)
}

// Pop is part of heap.Interface.
func (q *deadlineQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.place = -1
	return e
}

// sessionsChanged is told by the state machine. Nothing at all means that the whole
// state was replaced.
func (a *Agent) sessionsChanged(born []*session.Session, dead []string) {
	if born == nil && dead == nil && a.leading.Load() {
		a.deadlines.start(a.store)
		return
	}
	a.deadlines.changed(born, dead)
}

// RenewSession begins the time of a session anew; nil when there is none.
func (a *Agent) RenewSession(ctx context.Context, id string) (*session.Session, error) {
	for {
		if !a.leading.Load() && a.otherLeader() != "" {
			return a.renewThere(ctx, id)
		}
		if _, err := a.ReadIndex(ctx, httpapi.Consistent); err != nil {
			return nil, err
		}
		view, _ := a.store.View().Sessions()
		s := view.Get(id)
		if s == nil || s.Lifetime == 0 {
			return s, nil
		}
		if a.deadlines.renew(s.ID) == renewed {
			return s, nil
		}
		// Its end is under way, or its creation is not noted yet: soon one or the
		// other is decided.
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-a.closing:
			return nil, httpapi.ErrNoLeader
		case <-time.After(renewalCheck):
		}
	}
}

// renewThere has the leader begin the time of a session anew.
func (a *Agent) renewThere(ctx context.Context, id string) (s *session.Session, err error) {
	err = a.askLeader(ctx, func() error {
		s, err = a.RenewSession(ctx, id)
		return err
	}, func(ctx context.Context, server rpcpb.ServerServiceClient) error {
		r, err := server.RenewSession(ctx, &rpcpb.RenewSessionRequest{Id: id})
		if err != nil || !r.GetFound() {
			return err
		}
		if err := a.store.WaitApplied(ctx, r.GetIndex()); err != nil {
			return err
		}
		view, _ := a.store.View().Sessions()
		s = view.Get(id)
		return nil
	})
	return s, err
}

// expire ends, while this server leads, the sessions and keys whose time is over.
func (a *Agent) expire(ctx context.Context) error {
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !a.leading.Load() || a.writable() != nil {
			continue
		}
		for a.expireSessions(ctx) || a.expireKeys(ctx) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(expiryPause):
			}
		}
	}
}

// expireSessions ends one batch and tells whether there may be more.
func (a *Agent) expireSessions(ctx context.Context) bool {
	ids := a.deadlines.over(expiryBatch)
	if len(ids) == 0 {
		return false
	}
	res, err := a.Propose(ctx, &fsm.Command{EndSession: &fsm.EndSession{IDs: ids, Expired: true}})
	a.deadlines.giveBack(ids) // those that are still there
	if err != nil {
		a.log.Warn("end sessions whose time is over", "sessions", len(ids), "error", err)
		return false
	}
	a.log.Info("sessions expired", "sessions", res.Ended)
	return len(ids) == expiryBatch
}

// expireKeys ends one batch and tells whether there may be more.
func (a *Agent) expireKeys(ctx context.Context) bool {
	keys, _ := a.store.View().Due(a.now().UnixNano(), expiryBatch)
	if len(keys) == 0 {
		return false
	}
	if _, err := a.Propose(ctx, &fsm.Command{
		Expire: keys, Origin: kvs.Origin{Reason: "time to live is over"},
	}); err != nil {
		a.log.Warn("end keys whose time is over", "keys", len(keys), "error", err)
		return false
	}
	return len(keys) == expiryBatch
}
