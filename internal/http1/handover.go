//go:build linux

package http1

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
)

// handedOver is a connection that net/http serves from here on.
type handedOver struct {
	net.Conn
	of   context.Context
	tls  *tls.ConnectionState
	raw  syscall.RawConn // the socket below
	read []byte          // bytes that were read of it, to be read again

	failed error // how reading more has ended; nil: not yet
}

// Read returns first what was read before.
func (h *handedOver) Read(p []byte) (int, error) {
	if len(h.read) > 0 {
		n := copy(p, h.read)
		if h.read = h.read[n:]; len(h.read) == 0 {
			h.read = nil
		}
		return n, nil
	}
	if h.failed != nil {
		return 0, h.failed
	}
	return h.Conn.Read(p)
}

// Close closes the connection. What the client has sent is read before, as far as it is there: if
// it were left unread, the system would tell the client that the connection broke, and an
// answer that is on its way to it could be lost. The way here takes a moment, in which a client
// sends on, so that this would happen more often than it does with net/http alone.
func (h *handedOver) Close() error {
	if h.tls == nil {
		// Beside whoever reads it now, and waits for it: a Read would wait for its end.
		_ = h.raw.Control(func(fd uintptr) { // if it is closed, there is nothing to read
			var buf [4 << 10]byte
			for range maxDrained / len(buf) {
				if n, err := repeated(sysRead, int(fd), buf[:]); n < len(buf) || err != nil {
					break
				}
			}
		})
	}
	return h.Conn.Close()
}

// maxDrained is how much is read before a connection is closed.
const maxDrained = 64 << 10

// CloseWrite ends the sending side. net/http looks for this method.
func (h *handedOver) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// handedOverTLS is one with TLS. net/http looks for its method.
type handedOverTLS struct{ *handedOver }

// ConnectionState is what the handshake has led to.
func (h handedOverTLS) ConnectionState() tls.ConnectionState { return *h.tls }

// handOvers is the listener from which net/http gets its connections.
type handOvers struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newHandOvers(addr net.Addr) *handOvers {
	return &handOvers{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// put waits until net/http takes the connection, or closes it.
func (l *handOvers) put(c net.Conn) {
	if h, ok := c.(*handedOver); ok && h.tls != nil {
		c = handedOverTLS{h}
	}
	select {
	case l.conns <- c:
	case <-l.done:
		_ = c.Close()
	}
}

// Accept returns the next connection that is handed over.
func (l *handOvers) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *handOvers) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is that of the listener whose connections are handed over.
func (l *handOvers) Addr() net.Addr { return l.addr }

// contextOf is the context of a connection that was handed over.
func contextOf(c net.Conn) (context.Context, bool) {
	switch c := c.(type) {
	case *handedOver:
		return c.of, true
	case handedOverTLS:
		return c.of, true
	}
	return nil, false
}
