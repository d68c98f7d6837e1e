//go:build linux

package http1

import (
	"runtime"
	"sync"
)

// Goroutines that have nothing to do are kept, since their stacks have grown already, which a
// new one's would have to: as many as the poller has use for at a time, and fewer when
// nothing needs them.
const (
	maxIdle = events
	minIdle = 16
)

// crew are the goroutines that serve connections.
type crew struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	idle   []chan job // the last one that became idle is taken first; guarded by mu
	closed bool       // guarded by mu
}

// job is what a goroutine has to do: serve a connection, or those that were resumed.
type job struct {
	conn  *conn
	queue *queue
}

func (j job) do() {
	if j.queue != nil {
		j.queue.work()
		return
	}
	c := j.conn
	t := c.turn
	c.turn = nil
	c.run(t)
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

// trim ends half of those that are idle, and that were for longest.
func (w *crew) trim() {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.idle) / 2
	if n < minIdle {
		return
	}
	for _, c := range w.idle[:n] {
		close(c)
	}
	w.idle = append(w.idle[:0], w.idle[n:]...)
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

// queue are the connections whose request was resumed. They are served by as many goroutines as
// there are processors, its lanes; there are none while it is empty. What would block
// leaves its lane first.
type queue struct {
	crew *crew

	mu          sync.Mutex
	first, last *conn // guarded by mu
	lanes       int   // guarded by mu
}

// lane is one goroutine that serves a queue, unless it has left it.
type lane struct {
	queue *queue
	left  bool
}

func (q *queue) push(c *conn) {
	q.mu.Lock()
	if q.last == nil {
		q.first = c
	} else {
		q.last.behind = c
	}
	q.last = c
	more := q.wantsLaneLocked()
	q.mu.Unlock()
	if more {
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

// pop takes the next connection; nil when there is none: then the lane has ended.
func (q *queue) pop() *conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.first
	if c == nil {
		q.lanes--
		return nil
	}
	q.first, c.behind = c.behind, nil
	if q.first == nil {
		q.last = nil
	}
	return c
}

func (q *queue) work() {
	l := &lane{queue: q}
	for !l.left {
		c := q.pop()
		if c == nil {
			return
		}
		c.resume(l)
	}
}

// leave lets another goroutine take over the lane.
func (l *lane) leave() {
	if l.left {
		return
	}
	l.left = true
	q := l.queue
	q.mu.Lock()
	q.lanes--
	more := q.wantsLaneLocked()
	q.mu.Unlock()
	if more {
		q.crew.do(job{queue: q})
	}
}
