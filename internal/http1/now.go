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

// readNow reads what there is: errAgain if that is nothing.
func readNow(raw syscall.RawConn, p []byte) (int, error) {
	o := calls.Get().(*call)
	defer calls.Put(o)
	o.p = p
	if err := raw.Read(o.read); err != nil {
		o.n, o.err = 0, err
	}
	return eof(o.result())
}

// eof makes io.EOF of what read(2) says when nothing more comes.
func eof(n int, err error) (int, error) {
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
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
	o.repeat(fd, sysRead)
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
	o.read = func(fd uintptr) bool { return o.repeat(fd, sysRead) }
	o.write = func(fd uintptr) bool { return o.repeat(fd, sysWrite) }
	o.first = o.doFirst
	return o
}}

func (o *call) repeat(fd uintptr, do func(int, []byte) (int, error)) (done bool) {
	o.n, o.err = repeated(do, int(fd), o.p)
	return true
}

// repeated makes the call until no signal comes in between.
func repeated(do func(int, []byte) (int, error), fd int, p []byte) (n int, err error) {
	for {
		if n, err = do(fd, p); err != unix.EINTR {
			return n, err
		}
	}
}

func (o *call) result() (int, error) {
	n, err := o.n, o.err
	o.p, o.err = nil, nil
	return max(n, 0), err
}
