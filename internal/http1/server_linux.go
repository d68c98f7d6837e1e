package http1

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves like the http.Server that it is made of, which gets the connections that are
// not served here.
type Server struct {
	std  *http.Server
	base context.Context // of all connections

	connContext func(context.Context, net.Conn) context.Context // std's own; may be nil

	poller *poller // nil: the system has none, and no request can be parked
	crew   crew
	ready  queue
	given  *handOvers
	date   dates
	tasks  sync.WaitGroup // the sweeps and net/http's Serve

	sweeps       atomic.Uint32 // how many there were
	stopping     atomic.Bool
	noKeepAlives atomic.Bool
	stop         chan struct{} // closed with stopping
	stopOnce     sync.Once

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // guarded by mu
	serving   sync.WaitGroup            // calls of Serve; Add is guarded by mu
	conns     *conn                     // the first of all open ones; guarded by mu
}

// New returns a Server that serves as std says: its Handler, ConnContext, ErrorLog, ReadHeaderTimeout,
// IdleTimeout and MaxHeaderBytes. It takes hold of std, which must not be used any more. If std has
// something else that is not known here, such as a WriteTimeout, it serves every connection.
func New(std *http.Server) *Server {
	s := &Server{std: std, stop: make(chan struct{}), listeners: map[net.Listener]struct{}{}}
	s.ready.crew = &s.crew
	s.base = context.WithValue(context.Background(), http.ServerContextKey, std)
	if connContext := std.ConnContext; connContext != nil && !s.plain() {
		s.connContext = connContext
		std.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			if known, ok := contextOf(c); ok {
				return known
			}
			return connContext(ctx, c)
		}
	}
	return s
}

// plain tells whether net/http must serve every connection.
func (s *Server) plain() bool {
	return s.std.ReadTimeout > 0 || s.std.WriteTimeout > 0 || s.std.ConnState != nil || s.std.BaseContext != nil || s.std.Handler == nil
}

// Serve serves the connections of a listener until the Server is stopped, then returns
// http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	if s.plain() {
		return s.std.Serve(l)
	}
	closing := &onceCloser{Listener: l}
	defer func() { _ = closing.Close() }()
	if !s.begin(closing) {
		return http.ErrServerClosed
	}
	defer s.end(closing)
	pause := acceptPause
	for {
		nc, err := closing.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = acceptPause
			s.accepted(nc)
			continue
		case s.stopping.Load():
			return http.ErrServerClosed
		case !errors.As(err, &temporary) || !temporary.Temporary():
			return err
		}
		s.logf("http: Accept error: %v; retrying in %v", err, pause)
		select {
		case <-time.After(pause):
		case <-s.stop:
			return http.ErrServerClosed
		}
		pause = min(2*pause, maxAcceptPause)
	}
}

// How long Serve waits when no connection can be accepted for the moment.
const (
	acceptPause    = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// onceCloser is a listener that is closed once.
type onceCloser struct {
	net.Listener
	once sync.Once
	err  error
}

// Close closes the listener.
func (l *onceCloser) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// begin is the beginning of a Serve; false if the Server was stopped.
func (s *Server) begin(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	if s.given == nil {
		s.start(l.Addr())
	}
	s.listeners[l] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) end(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.serving.Done()
}

// start starts what all listeners share.
func (s *Server) start(addr net.Addr) {
	var err error
	if s.poller, err = newPoller(&s.ready); err != nil {
		s.logf("http: requests that wait will need a goroutine each: %v", err)
	}
	s.ready.poller = s.poller
	given := newHandOvers(addr)
	s.given = given
	s.tasks.Go(func() { _ = s.std.Serve(given) }) // until given is closed
	s.tasks.Go(s.sweep)
}

// accepted serves a new connection.
func (s *Server) accepted(nc net.Conn) {
	c, ok := s.newConn(nc)
	if !ok {
		s.given.put(nc)
		return
	}
	c.ctx = s.base
	if connContext := s.connContext; connContext != nil {
		c.ctx = connContext(c.ctx, nc)
	}
	c.since = s.sweeps.Load()
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	if s.conns != nil {
		s.conns.prev = c
	}
	c.next, s.conns = s.conns, c
	s.mu.Unlock()
	if c.tls == nil && s.poller != nil {
		// It needs no goroutine before it says something.
		c.mu.Lock()
		watched := c.state == closed || c.watchLocked(watchAll)
		c.mu.Unlock()
		if watched {
			return
		}
	}
	s.crew.do(job{conn: c})
}

// forget takes a connection off the list.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(c)
}

func (s *Server) forgetLocked(c *conn) {
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case s.conns == c:
		s.conns = c.next
	default:
		return // it is off already
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// Bounds of the time between two sweeps.
const (
	sweepMin = 10 * time.Millisecond
	sweepMax = 5 * time.Second
)

// sweep closes connections that have rested, or been silent, for too long. One goroutine for all: a
// timer for each would cost every request two changes of it.
func (s *Server) sweep() {
	idle, silent := s.std.IdleTimeout, s.std.ReadHeaderTimeout
	every := sweepMax
	if idle > 0 {
		every = min(every, idle/16)
	}
	if silent > 0 {
		every = min(every, silent/4)
	}
	every = max(every, sweepMin)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		now := s.sweeps.Add(1)
		over := func(since uint32, limit time.Duration) bool {
			return limit > 0 && now > since && time.Duration(now-since-1)*every >= limit
		}
		s.closeEach(func(c *conn) bool {
			switch c.state {
			case fresh:
				return over(c.since, silent)
			case resting, quiet:
				return over(c.since, idle)
			}
			return false
		})
	}
}

// closeEach closes the connections that are to be closed, judged with their mutex held, and
// tells how many stay.
func (s *Server) closeEach(is func(*conn) bool) (left int) {
	var gone []Waiting
	var asked []*requestContext
	s.mu.Lock()
	for c := s.conns; c != nil; {
		next := c.next
		c.mu.Lock()
		if is(c) {
			if k := c.ticket; k != nil && !k.over {
				k.over = true
				gone = append(gone, k.waiting)
				c.ticket, c.text, c.rest = nil, "", nil
			}
			if c.asked != nil {
				asked = append(asked, c.asked)
			}
			c.state = closed
			c.unwatchLocked()
			c.closeOwnLocked()
			s.forgetLocked(c)
			_ = c.io.Close() // there is nobody to tell
		} else {
			left++
		}
		c.mu.Unlock()
		c = next
	}
	s.mu.Unlock()
	for _, w := range gone {
		w.Gone()
	}
	for _, x := range asked {
		x.end()
	}
	return left
}

// SetKeepAlivesEnabled says whether connections go on after an answer. They do at first.
func (s *Server) SetKeepAlivesEnabled(v bool) {
	s.noKeepAlives.Store(!v)
	s.std.SetKeepAlivesEnabled(v)
	if !v {
		s.closeEach(func(c *conn) bool { return c.state == resting || c.state == quiet })
	}
}

func (s *Server) keepAlives() bool { return !s.noKeepAlives.Load() && !s.stopping.Load() }

// How often Shutdown looks whether the last request has ended: ever less often.
const (
	shutdownPoll    = time.Millisecond
	maxShutdownPoll = 50 * time.Millisecond
)

// Shutdown closes the listeners and the connections that have no request, waits until the others
// have been answered, parked ones too, and returns when all have or ctx ends, with its error.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.plain() {
		return s.std.Shutdown(ctx)
	}
	err := s.closeListeners()
	if s.given == nil {
		return err
	}
	var others sync.WaitGroup
	var otherErr error
	others.Go(func() { otherErr = s.std.Shutdown(ctx) })
	var late error
	pause := shutdownPoll
	for late == nil && s.closeEach(func(c *conn) bool { return c.state == fresh || c.state == resting || c.state == quiet }) > 0 {
		select {
		case <-ctx.Done():
			late = ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, maxShutdownPoll)
	}
	others.Wait()
	if late != nil || otherErr != nil {
		return errors.Join(late, otherErr)
	}
	s.finish()
	s.crew.wg.Wait() // the connections are closed, so they are about to end
	return err
}

// Close closes the listeners and all connections, whatever they are doing. Handlers that run are
// not waited for.
func (s *Server) Close() error {
	if s.plain() {
		return s.std.Close()
	}
	err := s.closeListeners()
	if s.given == nil {
		return err
	}
	err = errors.Join(err, s.std.Close())
	s.closeEach(func(*conn) bool { return true })
	s.finish()
	return err
}

// closeListeners begins the end, and waits for the calls of Serve.
func (s *Server) closeListeners() (err error) {
	s.mu.Lock()
	s.stopping.Store(true)
	for l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	s.mu.Unlock()
	s.stopOnce.Do(func() { close(s.stop) })
	s.serving.Wait()
	return err
}

// finish ends what all listeners share.
func (s *Server) finish() {
	_ = s.given.Close()
	s.crew.close()
	if s.poller != nil {
		s.poller.close()
	}
	s.tasks.Wait()
}

func (s *Server) logf(format string, args ...any) {
	if s.std.ErrorLog != nil {
		s.std.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
