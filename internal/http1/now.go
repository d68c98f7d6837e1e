//go:build linux

package http1

import (
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// errAgain says that nothing can be read or written without waiting.
var errAgain error = unix.EAGAIN

// readNow and its siblings use package syscall and not unix, as package net does: the race
// detector takes what one side of a socket writes to have happened before the other reads it, but
// only within one package.

// readNow reads what there is: errAgain if that is nothing.
func readNow(raw syscall.RawConn, p []byte) (int, error) {
	o := calls.Get().(*call)
	defer calls.Put(o)
	o.p = p
	if err := raw.Read(o.read); err != nil {
		o.n, o.err = 0, err
	}
	n, err := o.result()
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// writeNow writes what can be written at once, which may be a part.
func writeNow(raw syscall.RawConn, p []byte) (int, error) {
	o := calls.Get().(*call)
	defer calls.Put(o)
	o.p = p
	if err := raw.Write(o.write); err != nil {
		o.n, o.err = 0, err
	}
	return o.result()
}

// readFirst waits for the first bytes of a request, without a turn as long as there are none:
// a connection that rests holds nothing but its goroutine. t may be nil.
func (c *conn) readFirst(t *turn) (*turn, int, error) {
	o := calls.Get().(*call)
	defer calls.Put(o)
	o.conn, o.turn = c, t
	failed := c.raw.Read(o.first)
	t = o.turn
	o.conn, o.turn = nil, nil
	n, err := o.result()
	if failed != nil {
		return t, 0, failed
	}
	return t, n, err
}

func (o *call) doFirst(fd uintptr) (done bool) {
	if o.turn == nil {
		o.turn = newTurn(o.conn)
	}
	o.p = o.turn.buf[:]
	o.repeat(fd, syscall.Read)
	if o.err == errAgain {
		o.p = nil
		o.turn.release()
		o.turn = nil
		return false
	}
	return true
}

// call is one call of the system. A syscall.RawConn wants a function, which would have to
// be allocated anew for each if it were not kept with what it works on.
type call struct {
	read, write, first func(fd uintptr) bool

	p   []byte
	n   int
	err error

	conn *conn // of first
	turn *turn // of first
}

var calls = sync.Pool{New: func() any {
	o := &call{}
	o.read = func(fd uintptr) bool { return o.repeat(fd, syscall.Read) }
	o.write = func(fd uintptr) bool { return o.repeat(fd, syscall.Write) }
	o.first = o.doFirst
	return o
}}

// repeat makes the call until no signal comes in between.
func (o *call) repeat(fd uintptr, do func(int, []byte) (int, error)) (done bool) {
	for {
		if o.n, o.err = do(int(fd), o.p); o.err != unix.EINTR {
			return true
		}
	}
}

func (o *call) result() (int, error) {
	n, err := o.n, o.err
	o.p, o.err = nil, nil
	return max(n, 0), err
}
