package limitserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Kind names a limit.
type Kind string

// The limits; see the package comment.
const (
	Ready  Kind = "ready"
	Park   Kind = "park"
	Append Kind = "append"
	Floor  Kind = "floor" // see StartFloor
)

// maxBodyBytes bounds one request body that Append takes; a transaction of the
// benchmark has some 90 KiB.
const maxBodyBytes = 8 << 20

// Server is one running limit.
type Server struct {
	http     http.Server
	listener net.Listener
	serving  sync.WaitGroup

	answer  atomic.Pointer[prepared] // to reads
	written atomic.Pointer[prepared] // to writes, where they are told apart
	parked  lot
	journal *journal // only of kind Append
}

// Start listens on a free loopback port and serves. file is where Append writes;
// the others ignore it. Close ends the Server and its goroutines.
func Start(kind Kind, file string) (*Server, error) {
	s := &Server{}
	s.SetAnswer(True())
	s.SetWriteAnswer(True())
	switch kind {
	case Ready:
		s.http.Handler = http.HandlerFunc(s.serveReady)
	case Park:
		s.http.Handler = http.HandlerFunc(s.servePark)
	case Append:
		j, err := openJournal(file)
		if err != nil {
			return nil, err
		}
		s.journal = j
		s.http.Handler = http.HandlerFunc(s.serveAppend)
	default:
		return nil, fmt.Errorf("no limit is called %q", kind)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("limit %s: %w", kind, err), s.journal.close())
	}
	s.listener = l
	s.serving.Go(func() {
		// It returns when Close has closed the listener; there is no other end.
		_ = s.http.Serve(l)
	})
	return s, nil
}

// Addr is where the Server listens, "127.0.0.1:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// SetAnswer makes a the answer to all reads from now on. Kind Park counts on from its
// index.
func (s *Server) SetAnswer(a Answer) {
	s.answer.Store(prepare(a))
	s.parked.set(a)
}

// SetWriteAnswer makes a the answer to all writes from now on, but of kind Ready, which
// does not look at the method.
func (s *Server) SetWriteAnswer(a Answer) { s.written.Store(prepare(a)) }

// Parked is how many GETs wait for a change of kind Park.
func (s *Server) Parked() int { return int(s.parked.count.Load()) }

// Reset empties the file of kind Append.
func (s *Server) Reset() error {
	if s.journal == nil {
		return nil
	}
	return s.journal.reset()
}

// Close breaks all connections and waits until the listener's goroutine is gone.
func (s *Server) Close() error {
	err := s.http.Close()
	s.serving.Wait()
	return errors.Join(err, s.journal.close())
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) { s.answer.Load().send(w) }

// lot is where the requests of kind Park stand.
type lot struct {
	count atomic.Int64

	mu    sync.Mutex
	now   *prepared     // what there is to read, with its index; guarded by mu
	like  Answer        // now, before it was prepared; guarded by mu
	index uint64        // of now; guarded by mu
	gate  chan struct{} // closed at the next change, then replaced; guarded by mu
}

// set makes a what there is to read, which wakes nobody.
func (l *lot) set(a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.like, l.index = a, a.index()
	l.now = prepare(a.withIndex(l.index))
	if l.gate == nil {
		l.gate = make(chan struct{})
	}
}

// read returns what there is, and what is closed when it changes.
func (l *lot) read() (*prepared, uint64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.index, l.gate
}

// wait returns what there is above the given index, when it is there.
func (l *lot) wait(above uint64, gone <-chan struct{}) *prepared {
	now, index, changed := l.read()
	if index > above {
		return now
	}
	l.count.Add(1)
	defer l.count.Add(-1)
	for index <= above {
		select {
		case <-changed:
		case <-gone:
			return now
		}
		now, index, changed = l.read()
	}
	return now
}

// change counts the index up and wakes all who wait. The answer is made once for all.
func (l *lot) change() {
	l.mu.Lock()
	l.index++
	l.now = prepare(l.like.withIndex(l.index))
	gate := l.gate
	l.gate = make(chan struct{})
	l.mu.Unlock()
	close(gate)
}

func (s *Server) servePark(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.parked.change()
		s.written.Load().send(w)
		return
	}
	above, waits := waitsAbove(r.URL.RawQuery)
	if !waits {
		now, _, _ := s.parked.read()
		now.send(w)
		return
	}
	s.parked.wait(above, r.Context().Done()).send(w)
}

func (s *Server) serveAppend(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.answer.Load().send(w)
		return
	}
	body, err := readBody(r)
	if err == nil {
		err = s.journal.append(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.written.Load().send(w)
}

// readBody reads a body of known length in one allocation of the right size.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > maxBodyBytes {
		return nil, fmt.Errorf("body of %d bytes; want 0 to %d", r.ContentLength, maxBodyBytes)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}
