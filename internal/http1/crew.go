//go:build linux

package http1

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxIdle is how many goroutines are kept that have nothing to do: their stacks have grown
// already, which a new one's would have to.
const maxIdle = 32

// crew are the goroutines that serve connections.
type crew struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	idle   []chan job // the last one that became idle is taken first; guarded by mu
	closed bool       // guarded by mu
}

// job is what a goroutine has to do: serve a connection, or those of a queue.
type job struct {
	conn  *conn
	queue *queue
}

func (j job) do() {
	if j.queue != nil {
		j.queue.work()
		return
	}
	j.conn.run(nil)
}

// do has a job done. It does not wait.
func (w *crew) do(j job) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		next := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		next <- j // it has room for one
		return
	}
	w.mu.Unlock()
	w.wg.Go(func() { w.work(j) })
}

func (w *crew) work(j job) {
	more := make(chan job, 1)
	for ok := true; ok; j, ok = <-more {
		j.do()
		w.mu.Lock()
		if w.closed || len(w.idle) >= maxIdle {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, more)
		w.mu.Unlock()
	}
}

// close ends those that are idle; the others end when they are done.
func (w *crew) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, c := range w.idle {
		close(c)
	}
	w.idle = nil
}

// queue are the connections that have something to do and no goroutine: a request of theirs was
// resumed, or the poller has told that they can be read. They are served by as many goroutines
// as there are processors, its lanes; there are none while it is empty. So thousands that become
// ready together cost no switch from one goroutine to another, and no stack that has to grow.
//
// What may block leaves its lane first, for another goroutine to take over: whoever reads or writes
// and would have to wait, and a handler that asks for its context's channel, as handlers do that
// are about to wait. Should all lanes be stuck in something else, more are opened.
type queue struct {
	crew   *crew
	poller *poller // nil: there is none

	mu          sync.Mutex
	first, last *conn       // guarded by mu
	lanes       int         // guarded by mu
	taken       uint64      // connections, ever; guarded by mu
	seen        uint64      // taken, when unstick looked last; guarded by mu
	watched     bool        // unstick will look; guarded by mu
	looks       bool        // lanes look for events; guarded by mu
	timer       *time.Timer // of unstick; guarded by mu
}

// stuckAfter is how long all lanes may be held up before more are opened.
const stuckAfter = 5 * time.Millisecond

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

func (q *queue) wantsLaneLocked() bool {
	if q.first == nil || q.lanes >= runtime.GOMAXPROCS(0) {
		return false
	}
	q.lanes++
	return true
}

// unstick opens more lanes if nothing was taken since it looked last.
func (q *queue) unstick() {
	q.mu.Lock()
	q.watched = q.first != nil
	more := 0
	if q.watched {
		if q.taken == q.seen {
			more = runtime.GOMAXPROCS(0)
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

// looksItself has the lanes look for events, or not. It tells whether there are any that will.
func (q *queue) looksItself(yes bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looks = yes && q.lanes > 0
	return q.looks
}

// pop takes the next connection; nil when there is none: then the lane is to look for events, or to
// end.
func (q *queue) pop() (c *conn, look bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c = q.first
	if c == nil {
		return nil, q.looks
	}
	q.taken++
	q.first, c.behind = c.behind, nil
	if q.first == nil {
		q.last = nil
	}
	return c, false
}

func (q *queue) work() {
	l := &lane{queue: q}
	for !l.left.Load() {
		c, look := q.pop()
		switch {
		case c != nil:
			c.lane.Store(l)
			c.goOn()
		case !look:
			l.leave()
		case !q.poller.look(l.batch[:]):
			q.relieve()
		}
	}
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
	more := q.wantsLaneLocked()
	q.mu.Unlock()
	if more {
		q.crew.do(job{queue: q})
	} else {
		q.relieve()
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
