package agent

import (
	"container/heap"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/session"
)

// deadlines holds, on the leader only, when the time of each session is over. It is
// wall-clock state and never enters the log; the end itself is a command.
//
// What a next leader must know is in the state. A session that is being renewed is
// live: the state says nothing of its time, a renewal costs nothing, and a next
// leader gives it its whole life, since it may have been renewed just before. One
// that nobody has renewed for a while, and each one at the beginning of a leader, is
// settled: the state has its time ([session.Session].Due), a next leader goes on from
// there, and a renewal has to be in the state, as live again, before it counts. So no
// renewal that was acknowledged is lost with a leader, and a session that nobody
// renews does not live on because leaders change.
type deadlines struct {
	now func() time.Time

	mu      sync.Mutex
	active  bool                 // leads; guarded by mu
	began   time.Time            // when it began to lead; guarded by mu
	by      map[string]*deadline // by session id; guarded by mu
	queue   deadlineQueue        // by when something is to be done, earliest first; guarded by mu
	settled int                  // how many are; guarded by mu
}

type deadline struct {
	session *session.Session
	at      time.Time // when its time is over
	next    time.Time // when something is to be done: settle it, or end it
	phase   phase
	settles int // how often it was settled
	place   int // in the queue; -1 when it is not there
}

// phase is where a session stands between two renewals.
type phase uint8

const (
	live     phase = iota
	settling       // a command to settle it is under way: it can't be renewed
	settled        // a renewal must be in the state
	ending         // a command to end it is under way: it can't be renewed
)

// quiet is how long after its last renewal a session is settled. Clients renew after
// half of the TTL or sooner; some, whose renewals are part of a larger round, after
// two thirds.
func quiet(s *session.Session) time.Duration { return s.Lifetime / 4 * 3 }

func newDeadlines(now func() time.Time) *deadlines {
	return &deadlines{now: now, by: map[string]*deadline{}}
}

// start takes the time of every session from the state. The state is taken while
// changed has to wait, so that no session falls between the two.
func (d *deadlines) start(state *fsm.Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active, d.began = true, d.now()
	d.startLocked(state)
}

// since is when this server began to lead, if it leads.
func (d *deadlines) since() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.began
}

// restart is start for a leader whose state was replaced.
func (d *deadlines) restart(state *fsm.Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.active {
		d.startLocked(state)
	}
}

func (d *deadlines) startLocked(state *fsm.Store) {
	d.clearLocked()
	view := state.View()
	now := d.now()
	sessions, _ := view.Sessions()
	sessions.List(func(s *session.Session) bool {
		switch {
		case s.Lifetime == 0:
		case s.Due == 0:
			d.armLocked(s)
		default:
			// Only what the state says of time counts: clocks of servers differ.
			left := time.Duration(max(s.Due-view.LastTime(), 0))
			at := now.Add(left)
			d.pushLocked(&deadline{session: s, at: at, next: at, phase: settled})
			d.settled++
		}
		return true
	})
}

// stop forgets everything: this server no longer leads.
func (d *deadlines) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active = false
	d.clearLocked()
}

func (d *deadlines) clearLocked() { d.by, d.queue, d.settled = map[string]*deadline{}, nil, 0 }

// changed follows the state: sessions were created and ended.
func (d *deadlines) changed(born []*session.Session, dead []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.active {
		return
	}
	for _, s := range born {
		if s.Lifetime > 0 && d.by[s.ID] == nil {
			d.armLocked(s)
		}
	}
	for _, id := range dead {
		if e := d.by[id]; e != nil {
			delete(d.by, id)
			d.phaseLocked(e, ending)
			if e.place >= 0 {
				heap.Remove(&d.queue, e.place)
			}
		}
	}
}

func (d *deadlines) armLocked(s *session.Session) {
	e := &deadline{session: s}
	d.renewLocked(e)
	d.pushLocked(e)
}

func (d *deadlines) pushLocked(e *deadline) {
	d.by[e.session.ID] = e
	heap.Push(&d.queue, e)
}

func (d *deadlines) renewLocked(e *deadline) {
	now := d.now()
	e.at, e.next = now.Add(e.session.Life()), now.Add(quiet(e.session))
	d.phaseLocked(e, live)
}

func (d *deadlines) phaseLocked(e *deadline, p phase) {
	if e.phase == settled {
		d.settled--
	}
	if p == settled {
		d.settled++
		e.settles++
	}
	e.phase = p
}

// renewal is what became of a request to renew.
type renewal uint8

const (
	renewed        renewal = iota
	renewalSettled         // it must be in the state first; then see revive
	renewalBusy            // a command for this session is under way
	renewalUnknown         // not leading, or a session without a TTL
)

// pulse names a session at the time of a request to renew it.
type pulse struct {
	e       *deadline
	settles int
}

// renew begins the time of a session anew, if the state need not know.
func (d *deadlines) renew(id string) (renewal, pulse) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.by[id]
	switch {
	case e == nil:
		return renewalUnknown, pulse{}
	case e.phase == live:
		d.renewLocked(e)
		heap.Fix(&d.queue, e.place)
		return renewed, pulse{}
	case e.phase == settled:
		return renewalSettled, pulse{e, e.settles}
	}
	return renewalBusy, pulse{}
}

// revive begins the time of a session anew that was settled, once the state has it as
// renewed. It tells whether it has: not if that is out of date, since the session
// ended, was settled again, or this server began to lead anew.
func (d *deadlines) revive(p pulse) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := p.e
	if d.by[e.session.ID] != e || e.settles != p.settles || e.phase != settled && e.phase != live {
		return false
	}
	d.renewLocked(e)
	heap.Fix(&d.queue, e.place)
	return true
}

// due takes what is to be done, at most limit of each: sessions whose time is over,
// and sessions to be settled. They can't be renewed until the caller says what became
// of it with giveBack or isSettled.
func (d *deadlines) due(limit int) (over []string, quiet []fsm.SessionLeft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for len(d.queue) > 0 && len(over) < limit && len(quiet) < limit {
		e := d.queue[0]
		switch {
		case e.next.After(now):
			return over, quiet
		case e.at.After(now):
			d.phaseLocked(e, settling)
			e.next = e.at
			heap.Fix(&d.queue, e.place)
			quiet = append(quiet, fsm.SessionLeft{ID: e.session.ID, Left: e.at.Sub(now)})
		default:
			heap.Pop(&d.queue)
			d.phaseLocked(e, ending)
			over = append(over, e.session.ID)
		}
	}
	return over, quiet
}

// giveBack undoes due for sessions that could not be ended. They are tried again in a
// while, and can be renewed until then.
func (d *deadlines) giveBack(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if e := d.by[id]; e != nil && e.phase == ending {
			// Whether the state knows its time is not certain here: a renewal must say so.
			d.phaseLocked(e, settled)
			e.next = d.now().Add(expiryRetry)
			heap.Push(&d.queue, e)
		}
	}
}

// isSettled notes that the state has the time of these sessions, or may have.
func (d *deadlines) isSettled(quiet []fsm.SessionLeft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range quiet {
		if e := d.by[s.ID]; e != nil && e.phase == settling {
			d.phaseLocked(e, settled)
		}
	}
}

// waiting tells whether a next leader would have to know how much time has passed,
// and when something is to be done next.
func (d *deadlines) waiting() (next time.Time, any bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled == 0 || len(d.queue) == 0 {
		return time.Time{}, false
	}
	return d.queue[0].next, true
}

// deadlineQueue is a heap; see container/heap.
type deadlineQueue []*deadline

func (q deadlineQueue) Len() int           { return len(q) }
func (q deadlineQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
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
