//go:build linux

package http1

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// queue are the connections that have something to do and no goroutine: a request of theirs was
// resumed, or the poller has told that they can be read. They are served by as many goroutines
// as there are processors, its lanes; there are none while it is empty. So thousands that become
// ready together cost no switch from one goroutine to another, and no stack that has to grow.
//
// What may block leaves its lane first, for another goroutine to take over: whoever reads or writes
// and would have to wait, and a handler that asks for its context's channel, as handlers do that
// are about to wait. Should all lanes be stuck in something else, more are opened.
//
// As long as events come in crowds the lanes look for them themselves. One that finds none waits
// for them for a moment, as a thread in the system: to wake the poller, and have that wake a lane,
// costs several switches and the runtime's search for work, again and again.
type queue struct {
	crew   *crew
	poller *poller // nil: there is none

	mu          sync.Mutex
	first, last *conn       // guarded by mu
	length      int         // guarded by mu
	lanes       int         // guarded by mu
	most        int         // lanes; 0: not known yet; guarded by mu
	taken       uint64      // connections, ever; guarded by mu
	seen        uint64      // taken, when unstick looked last; guarded by mu
	watched     bool        // unstick will look; guarded by mu
	looks       bool        // lanes look for events; guarded by mu
	looked      uint64      // how often they have; guarded by mu
	waits       bool        // one of them waits for events; guarded by mu
	timer       *time.Timer // of unstick; guarded by mu
}

// stuckAfter is how long all lanes may be held up before more are opened.
const stuckAfter = 5 * time.Millisecond

// perLane is how many connections are too few for another lane, where lanes look for events: to
// open one costs as much as to serve some. With 8, a thousand watchers that ask again and again cost 4 %
// more; with 100 they get a tenth fewer answers, since one lane does not keep up.
const perLane = 32

// lane is one goroutine that serves a queue, unless it has left it.
type lane struct {
	queue *queue
	left  atomic.Bool
	batch [lookEvents]unix.EpollEvent
}

// lookEvents is how many events a lane takes at a time.
const lookEvents = 64

// chain are connections that are to be queued one behind the other.
type chain struct {
	first, last *conn
	n           int
}

// add adds a connection that belongs to whoever adds it.
func (l *chain) add(c *conn) {
	if l.last == nil {
		l.first = c
	} else {
		l.last.behind = c
	}
	l.last = c
	l.n++
}

// push puts connections behind those that are in the queue.
func (q *queue) push(l chain) {
	if l.n == 0 {
		return
	}
	q.mu.Lock()
	if q.last == nil {
		q.first = l.first
	} else {
		q.last.behind = l.first
	}
	q.last = l.last
	q.length += l.n
	more := 0
	for more < l.n && q.wantsLaneLocked() {
		more++
	}
	if more < l.n && !q.watched {
		q.watched, q.seen = true, q.taken
		if q.timer == nil {
			q.timer = time.AfterFunc(stuckAfter, q.unstick)
		} else {
			q.timer.Reset(stuckAfter)
		}
	}
	q.mu.Unlock()
	for range more {
		q.crew.do(job{queue: q})
	}
}

// wantsLaneLocked tells whether one more lane is to be opened, and counts it.
func (q *queue) wantsLaneLocked() bool {
	busy := q.busyLocked()
	if q.first == nil || busy >= q.mostLocked() || q.looks && q.length <= perLane*busy {
		return false
	}
	q.lanes++
	return true
}

// busyLocked is how many lanes do not wait for events.
func (q *queue) busyLocked() int {
	if q.waits {
		return q.lanes - 1
	}
	return q.lanes
}

func (q *queue) mostLocked() int {
	if q.most == 0 {
		q.most = runtime.GOMAXPROCS(0)
	}
	return q.most
}

// unstick opens more lanes if nothing was taken since it looked last.
func (q *queue) unstick() {
	q.mu.Lock()
	q.most = runtime.GOMAXPROCS(0) // the system may have changed it
	q.watched = q.first != nil
	more := 0
	if q.watched {
		if q.taken == q.seen {
			more = q.most
			q.lanes += more
		}
		q.seen = q.taken
		q.timer.Reset(stuckAfter)
	}
	q.mu.Unlock()
	for range more {
		q.crew.do(job{queue: q})
	}
}

// progress is how far lanes that look for events have come.
type progress struct {
	looked, taken uint64 // see queue
}

// look has the lanes look for events, if there are any. It tells whether there are.
func (q *queue) look() (progress, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looks = q.lanes > 0
	return progress{q.looked, q.taken}, q.looks
}

// goesOn tells whether lanes look for events and get on: since they were looked at last one of them has
// looked, or taken a connection, behind which it will. If not, because all are held up by
// something that takes long, they are to look no more. What waits behind such a thing gets more
// lanes.
func (q *queue) goesOn(since *progress) bool {
	q.mu.Lock()
	now := progress{q.looked, q.taken}
	q.looks = q.looks && (q.waits || now != *since)
	more := 0
	for !q.looks && q.wantsLaneLocked() {
		more++
	}
	if q.looks && q.first != nil && now.taken == since.taken && q.busyLocked() < q.mostLocked() {
		q.lanes++
		more++
	}
	*since = now
	looks := q.looks
	q.mu.Unlock()
	for range more {
		q.crew.do(job{queue: q})
	}
	return looks
}

// next is what a lane has to do next.
type next uint8

const (
	serves next = iota
	looks
	ends
)

// pop takes the next connection, if there is one. If not, the lane looks for events or has ended.
func (q *queue) pop(l *lane) (c *conn, what next) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c = q.first
	switch {
	case c != nil:
		q.taken++
		q.length--
		q.first, c.behind = c.behind, nil
		if q.first == nil {
			q.last = nil
		}
		return c, serves
	case q.looks && !q.waits:
		q.looked++
		return nil, looks
	}
	if l.left.CompareAndSwap(false, true) {
		q.lanes--
	}
	return nil, ends
}

func (q *queue) work() {
	l := &lane{queue: q}
	for !l.left.Load() {
		c, what := q.pop(l)
		switch what {
		case serves:
			c.lane.Store(l)
			c.goOn()
		case looks:
			if !q.poller.look(l.batch[:]) && !q.wait(l) {
				q.relieve()
			}
		case ends:
		}
	}
}

// wait has the lane wait for events, for patience at most. It tells whether there is anything to do,
// if only because another one waits.
func (q *queue) wait(l *lane) bool {
	q.mu.Lock()
	if q.waits || q.first != nil {
		q.mu.Unlock()
		return true
	}
	q.waits = true
	q.mu.Unlock()
	n := q.poller.wait(l.batch[:])
	q.mu.Lock()
	q.waits = false
	q.mu.Unlock()
	q.poller.tell(l.batch[:n])
	return n > 0
}

// relieve has the poller look for events, and no lane.
func (q *queue) relieve() {
	q.mu.Lock()
	looked := q.looks
	q.looks = false
	q.mu.Unlock()
	if looked {
		q.poller.relieve()
	}
}

// leave lets another goroutine take over the lane. It may be called more than once, by anybody.
func (l *lane) leave() {
	if !l.left.CompareAndSwap(false, true) {
		return
	}
	q := l.queue
	q.mu.Lock()
	q.lanes--
	more := q.busyLocked() < q.mostLocked() && (q.first != nil || q.looks && !q.waits)
	if more {
		q.lanes++
	}
	q.mu.Unlock()
	if more {
		q.crew.do(job{queue: q})
	}
}

// onLane tells whether the connection is served by a lane, which must not wait.
func (c *conn) onLane() bool {
	l := c.lane.Load()
	return l != nil && !l.left.Load()
}

// mayWait is called before whatever may have to wait.
func (c *conn) mayWait() {
	if l := c.lane.Load(); l != nil {
		l.leave()
	}
}
