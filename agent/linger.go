package agent

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// lingerTime and lingerBytes bound what is taken from a client that is still sending when its
// connection is closed.
const (
	lingerTime  = 100 * time.Millisecond
	lingerBytes = 64 << 10
)

// lingering is a listener for plain connections that net/http serves. That answers a request which it
// cannot read, and closes the connection at once. If the client is still sending, its system is
// told that the connection broke, and the client gets an error in place of the answer, or
// behind it. Package http1 sees to that itself.
type lingering struct {
	net.Listener
	patience time.Duration // lingerTime, but for tests
	closed   atomic.Bool   // the server ends: nobody is waited for
}

// Accept returns the next connection.
func (l *lingering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if limited, ok := c.(*limitedConn); ok {
		if _, tcp := limited.Conn.(*net.TCPConn); tcp {
			return &lingeringConn{limitedConn: limited, of: l}, err
		}
	}
	return c, err
}

// Close closes the listener, which a server that ends does first.
func (l *lingering) Close() error {
	l.closed.Store(true)
	return l.Listener.Close()
}

// lingeringConn is a connection of a lingering listener.
type lingeringConn struct {
	*limitedConn
	of       *lingering
	answered atomic.Bool // the last that was begun is a Write: a connection that rests is being read
}

// Read reads from the connection.
func (c *lingeringConn) Read(p []byte) (int, error) {
	c.answered.Store(false)
	return c.limitedConn.Read(p)
}

// Write writes to the connection.
func (c *lingeringConn) Write(p []byte) (int, error) {
	c.answered.Store(true)
	return c.limitedConn.Write(p)
}

// Close closes the connection. If it is closed behind an answer, the client may send on for a moment, which
// nobody looks at; a client that has the answer and the end of the connection closes it too.
func (c *lingeringConn) Close() error {
	if c.answered.CompareAndSwap(true, false) && !c.of.closed.Load() && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(c.of.patience)) // if it is closed, there is nothing to read
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.limitedConn.Close()
}
