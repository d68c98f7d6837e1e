//go:build linux

package http1

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection, as long as it is served here.
//
// It is in one of the states below. Whoever takes it from resting or waiting to active, under
// mu, is the one goroutine that serves it from then on.
type conn struct {
	// What every request needs comes first, so that it is in few lines of the processor's cache.
	mu       sync.Mutex
	fd       int             // of the socket, if it is owned and not closed, or -1; guarded by mu
	state    connState       // guarded by mu
	watch    watch           // what the poller tells of it; guarded by mu
	readable bool            // there may be something to read, of which the poller will not tell again; guarded by mu
	gone     bool            // the client has hung up; guarded by mu
	late     bool            // in Server.late; guarded by mu
	inside   bool            // state is active; of the goroutine that serves
	served   bool            // a request was answered; of the goroutine that serves
	posted   bool            // the last request was a POST, and nothing behind it was looked at; of the goroutine that serves
	skipped  bool            // something before the next head was; of the goroutine that serves
	parks    bool            // a request was parked; of the goroutine that serves
	keeps    bool            // it is not to be, any more; of the goroutine that serves
	timed    bool            // there is a deadline for the head; of the goroutine that serves
	owned    atomic.Bool     // the socket was taken from package net
	since    uint32          // the sweep after which it began to rest; guarded by mu
	slot     int32           // in the poller's table; guarded by mu
	gen      uint32          // of the slot; guarded by mu
	behind   *conn           // in the queue; guarded by queue.mu
	ticket   *ticket         // of the request that waits, or was resumed and has no turn yet; guarded by mu
	text     string          // its head; guarded by mu
	rest     []byte          // what was read beyond it; guarded by mu
	asked    *requestContext // that somebody waits for; guarded by mu
	s        *Server
	lane     atomic.Pointer[lane] // on which it is served, or was last; nil: on none
	tls      *tls.ConnectionState // nil: plain
	ctx      context.Context      // of the connection
	remote   string

	nc     net.Conn        // as it was accepted
	io     net.Conn        // what is read and written; as a rule nc, see giveBack
	sock   io.Writer       // what plain bytes are written to: the socket, or io with TLS
	raw    syscall.RawConn // the socket below
	failed error           // how the last read ended, if net/http is to know; of the goroutine that serves

	prev, next *conn // in Server.conns; guarded by Server.mu
}

type connState uint8

const (
	fresh   connState = iota // nothing was read of it yet
	active                   // a goroutine serves it
	resting                  // between two requests, a goroutine blocked in Read
	quiet                    // between two requests, without a goroutine
	waiting                  // its request is parked, without a goroutine
	closed                   // or handed over
)

// watch is what the poller tells of a connection.
type watch uint8

const (
	watchNothing watch = iota
	watchHangUp
	watchAll // what can be read, too
)

// newConn takes a connection; false if it cannot be served here.
func (s *Server) newConn(nc net.Conn) (*conn, bool) {
	c := &conn{s: s, nc: nc, io: nc, sock: nc, fd: -1}
	below := nc
	if secure, ok := nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		if !state.HandshakeComplete || state.NegotiatedProtocol != "" && state.NegotiatedProtocol != "http/1.1" {
			return nil, false
		}
		c.tls, below = &state, secure.NetConn()
	}
	below = socket(below)
	sys, ok := below.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return nil, false
	}
	c.raw = raw
	if c.tls == nil {
		c.sock = below
	}
	if addr := nc.RemoteAddr(); addr != nil {
		c.remote = addr.String()
	}
	return c, true
}

// socket finds the connection of the system below wrappers that let it be found.
func socket(c net.Conn) net.Conn {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = w.NetConn()
	}
}

// run serves requests until the connection ends, or rests or waits without a goroutine. t may be
// nil.
func (c *conn) run(t *turn) {
	for {
		var text string
		var what got
		t, text, what = c.nextHead(t)
		if what == aHead && !t.head.parse(text) {
			t.r -= len(text) // nothing of it was understood
			what = odd
		}
		switch what {
		case nothing:
			return
		case odd:
			c.mayWait()
			c.handOver(t)
			return
		case theEnd:
			t.release()
			c.close()
			return
		}
		if !c.after(t, t.serve(text)) {
			return
		}
	}
}

// after does what comes after a request, and tells whether the connection goes on.
func (c *conn) after(t *turn, what outcome) bool {
	switch what {
	case parked:
		return false
	case ended:
		t.release()
		c.close()
		return false
	case lingering:
		t.release()
		c.mayWait()
		c.lingerAndClose()
		return false
	}
	c.served, c.posted = true, t.head.method == http.MethodPost
	return true
}

// got is what a connection has to say.
type got uint8

const (
	aHead   got = iota
	odd         // net/http must look at it
	theEnd      // nothing more
	nothing     // yet; somebody else goes on
)

// nextHead reads until the head of a request is there.
func (c *conn) nextHead(t *turn) (*turn, string, got) {
	text, ok := "", false
	if t != nil {
		if text, ok = t.take(); ok {
			return t, text, aHead // sent along with the last request
		}
	}
	if t == nil || t.buffered() == 0 {
		var what got
		if t, what = c.firstBytes(t); what != aHead {
			return t, "", what
		}
		text, ok = t.take()
	}
	if !ok {
		// A part of a head: the rest must come in time.
		c.begun()
		c.giveBack()
		if d := c.s.std.ReadHeaderTimeout; d > 0 && !c.timed {
			c.timed = c.io.SetReadDeadline(time.Now().Add(d)) == nil
		}
	}
	if !ok {
		c.mayWait()
	}
	for !ok {
		few := c.served && !c.skipped && t.buffered() < minHead // net/http would wait for more, too
		if !few && !t.promises() || !t.room() {
			return t, "", odd // or too large for this buffer
		}
		if err := t.fill(); err != nil {
			if few || t.buffered() == 0 {
				return t, "", theEnd
			}
			c.failed = err
			return t, "", odd // the client may be told why
		}
		text, ok = t.take()
	}
	if c.timed {
		c.timed = false
		_ = c.io.SetReadDeadline(time.Time{}) // if it is closed, the next read says so
	}
	if !c.enter() {
		return t, "", theEnd
	}
	return t, text, aHead
}

// minHead is how many bytes net/http wants to see before it takes them for another request.
const minHead = 4

// firstBytes waits for the first bytes of a request. The turn is given back meanwhile, and so is
// the goroutine if the poller knows the connection and it is new, or has had a request that
// waited: then it is likely to have another.
func (c *conn) firstBytes(t *turn) (*turn, got) {
	for c.parks || !c.served {
		watched, rests := c.settle()
		if rests {
			t.release()
			return nil, nothing
		}
		if !watched {
			break
		}
		if t == nil {
			t = newTurn(c)
		}
		n, err := c.tryRead(t.buf[:])
		if n > 0 {
			t.r, t.w = 0, n
			return t, aHead
		}
		if err != errAgain {
			return t, theEnd
		}
	}
	c.mayWait()
	c.giveBack()
	if !c.restHere() {
		return t, theEnd
	}
	var n int
	var err error
	if c.tls == nil {
		t, n, err = c.readFirst(t)
	} else {
		if t == nil {
			t = newTurn(c)
		}
		n, err = c.io.Read(t.buf[:])
	}
	if n <= 0 || err != nil {
		return t, theEnd
	}
	t.r, t.w = 0, n
	return t, aHead
}

// settle lets the connection rest without a goroutine, if the poller tells what can be read of it
// and there is nothing yet.
func (c *conn) settle() (watched, rests bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	watched = c.watch == watchAll
	if !watched || c.readable || c.state == closed {
		return watched, false
	}
	c.state, c.since = quiet, c.s.sweeps.Load()
	return true, true
}

// restHere lets the connection rest with the goroutine that serves it; false if it was closed.
func (c *conn) restHere() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == active {
		c.state, c.since, c.inside = resting, c.s.sweeps.Load(), false
		c.watchLessLocked()
	}
	return c.state != closed
}

// begun notes that a request has begun to come. It counts as one when its head is there; until
// then the connection may be closed like one that rests.
func (c *conn) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != closed {
		c.state, c.since, c.inside = resting, c.s.sweeps.Load(), false
	}
}

// tlsAtOnce is how much an empty socket takes, TLS around it included: the smallest buffer
// that the system gives holds more.
const tlsAtOnce = 8 << 10

// unsent is how many bytes the client's system has not acknowledged; -1 if that is not known.
func (c *conn) unsent() (n int) {
	n = -1
	_ = c.raw.Control(func(fd uintptr) { // if it is closed, it is not known
		if v, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err == nil {
			n = v
		}
	})
	return n
}

// writeAll writes both, in one call of the system where that can be.
func (c *conn) writeAll(head, rest []byte) error {
	var err error
	switch {
	case len(rest) == 0:
		_, err = c.sock.Write(head)
	case len(head) == 0:
		_, err = c.sock.Write(rest)
	default:
		both := net.Buffers{head, rest}
		_, err = both.WriteTo(c.sock)
	}
	return err
}

// canPark tells whether a request of the connection can be parked.
func (c *conn) canPark() bool { return c.s.poller != nil }

// enter makes the connection active, if it is not; false if it was closed meanwhile.
func (c *conn) enter() bool {
	if c.inside {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == closed {
		return false
	}
	c.state, c.inside = active, true
	return true
}

func (c *conn) close() {
	c.mu.Lock()
	was := c.state
	c.state = closed
	c.unwatchLocked()
	c.closeOwnLocked()
	c.mu.Unlock()
	if was != closed {
		c.s.forget(c)
	}
	_ = c.io.Close() // there is nobody to tell
}

// lingerTime is how long a client that is still sending may take to read the answer to what
// it has sent so far: if the connection were closed at once, the answer could be lost on
// the way.
const lingerTime = 500 * time.Millisecond

func (c *conn) lingerAndClose() {
	c.giveBack()
	if half, ok := c.io.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.io.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.io, maxDiscarded)
	}
	c.close()
}

// handOver gives the connection to net/http, with what was read of it.
func (c *conn) handOver(t *turn) {
	c.giveBack()
	given := &handedOver{Conn: c.io, of: c.ctx, tls: c.tls, raw: c.raw, failed: c.failed, read: append([]byte(nil), t.buf[t.r:t.w]...)}
	t.release()
	c.mu.Lock()
	was := c.state
	c.state = closed
	if c.watch != watchNothing {
		c.control(unix.EPOLL_CTL_DEL, nil) // a socket that is closed is not in the set any more
		c.unwatchLocked()
	}
	c.mu.Unlock()
	if was == closed {
		_ = c.io.Close()
		return
	}
	c.s.forget(c)
	c.s.given.put(given)
}
