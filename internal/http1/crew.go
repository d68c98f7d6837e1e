//go:build linux

package http1

import "sync"

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
