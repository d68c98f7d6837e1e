//go:build linux

package http1

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The runtime's own poller is told of all that happens to a socket of package net, although
// nobody waits there for a connection that parks: epoll_wait returns for it, twice for each request, and a
// thread looks who wants to know. So a connection that parks again and again gets a descriptor of its
// own, which only the poller of this package knows, and package net's is closed. Should it have
// to be waited for after all, as by a client that does not read, package net gets it back, for good.

// disownLocked takes the socket from package net.
func (c *conn) disownLocked() {
	if c.owned.Load() || !c.parks || c.keeps || c.tls != nil {
		return
	}
	_ = c.raw.Control(func(old uintptr) { // if it is closed, there is nothing to take
		if fd, err := unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			c.fd = fd
		}
	})
	if c.fd < 0 { // there are no descriptors left
		c.keeps = true
		return
	}
	if c.watch != watchNothing { // by a descriptor that is closed next
		_ = c.raw.Control(func(old uintptr) { c.controlFd(int(old), unix.EPOLL_CTL_DEL, nil) })
		c.unwatchLocked()
	}
	c.owned.Store(true)
	_ = c.sock.(net.Conn).Close() // the socket stays open, and whoever counts it is told later
}

// giveBack gives the socket back to package net, if it was taken. It comes before whatever waits for the
// socket, and is called by the goroutine that serves the connection. Should that fail, the
// connection is as good as broken.
func (c *conn) giveBack() {
	if !c.owned.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// At last: who finds it given back finds what it was given back to, also a handler's own
	// goroutine that reads the body while the answer is written.
	defer c.owned.Store(false)
	c.keeps = true
	if c.fd < 0 { // it was closed
		return
	}
	c.controlFd(c.fd, unix.EPOLL_CTL_DEL, nil) // that descriptor is closed next
	c.unwatchLocked()
	file := os.NewFile(uintptr(c.fd), "socket")
	c.fd = -1
	back, err := net.FileConn(file) // a duplicate
	_ = file.Close()
	if err != nil {
		return
	}
	if c.raw, err = back.(syscall.Conn).SyscallConn(); err != nil {
		_ = back.Close()
		return
	}
	c.io, c.sock = regained{back, c.nc}, back
}

// closeOwnLocked closes the descriptor that was taken. The socket is out of the poller's set with that.
func (c *conn) closeOwnLocked() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // there is nobody to tell
		c.fd = -1
	}
}

// regained is a connection whose socket was taken from package net and given back.
type regained struct {
	net.Conn          // as it came back
	first    net.Conn // as it was accepted: others may count it
}

// Close closes both.
func (r regained) Close() error {
	err := r.Conn.Close()
	_ = r.first.Close() // its socket was closed before
	return err
}

// CloseWrite ends the sending side.
func (r regained) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// tryRead reads what there is, without waiting. A part of what there is may be left, or the end
// that came with it; then the connection stays readable.
func (c *conn) tryRead(p []byte) (n int, err error) {
	c.mu.Lock()
	c.readable = false // what comes from here on makes it so again
	if c.fd >= 0 {
		n, err = eof(repeated(sysRead, c.fd, p)) // nobody closes it while the mutex is held
		c.readable = err == nil && (n == len(p) || c.gone)
		c.mu.Unlock()
		return n, err
	}
	c.mu.Unlock()
	if n, err = readNow(c.raw, p); err != nil {
		return 0, err
	}
	c.mu.Lock()
	c.readable = c.readable || n == len(p) || c.gone
	c.mu.Unlock()
	return n, nil
}

// tryWrite writes what can be written without waiting, and tells what is left.
func (c *conn) tryWrite(head, rest []byte) (head1, rest1 []byte, done bool) {
	if c.tls != nil {
		if c.unsent() != 0 || len(head)+len(rest) > tlsAtOnce {
			return head, rest, false
		}
		// The socket is empty and takes this much. If the connection is broken, the next use says so.
		return head, rest, c.writeAll(head, rest) == nil
	}
	for _, part := range []*[]byte{&head, &rest} {
		for len(*part) > 0 {
			n, err := c.writeSome(*part)
			if err != nil { // by waiting, or the next write gets it too
				return head, rest, false
			}
			*part = (*part)[n:]
		}
	}
	return nil, nil, true
}

// writeSome writes what can be written at once.
func (c *conn) writeSome(p []byte) (int, error) {
	if !c.owned.Load() {
		return writeNow(c.raw, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 { // it was closed, or given back a moment ago
		return 0, net.ErrClosed
	}
	n, err := repeated(sysWrite, c.fd, p)
	return max(n, 0), err
}
