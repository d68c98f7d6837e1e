package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

const (
	readBytes  = 256 << 10 // at once from one socket
	maxEvents  = 512       // taken from epoll at once
	pollPeriod = 50 * time.Millisecond
	// perSource is how many connections come from one loopback address: so few that a crowd
	// of 20,000, about what a limit of open files leaves here, comes from two.
	perSource = 10_000
)

// ErrTime reports that the time given to [Loop.Run] was over while requests
// were outstanding.
var ErrTime = errors.New("time is over")

// Conn is one keep-alive connection of a Loop.
type Conn struct {
	ID int // 0, 1, 2 … in the order of dialling

	fd     int
	parser rawhttp.Parser
	out    []byte    // what has not been taken by the socket of the current request
	sentAt time.Time // when the current request was handed to Send
	busy   bool      // a request is outstanding
}

// Sent is when the request that is outstanding, or was answered last, was sent.
func (c *Conn) Sent() time.Time { return c.sentAt }

// Busy says whether a request is outstanding.
func (c *Conn) Busy() bool { return c.busy }

// Handler is called with each complete answer. What it returns is sent as the
// connection's next request; nil leaves the connection idle. An error ends Run
// and is returned by it. The body of the answer is kept only if its status is 400
// or above.
type Handler func(c *Conn, r rawhttp.Response, at time.Time) (next []byte, err error)

// Loop is a set of connections to one server, worked by one thread. Close must
// be called.
type Loop struct {
	epfd   int
	conns  []*Conn
	busy   int
	buf    []byte
	events []unix.EpollEvent
}

// Dial opens n connections to addr, "address:port".
func Dial(ctx context.Context, addr string, n int) (*Loop, error) {
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", addr, err)
	}
	return dialEach(ctx, to, n, func(*Loop, *Conn) error { return nil })
}

// dialEach is Dial that does something with each connection as soon as it is there: a
// server closes one on which nothing is asked for long, and to open very many takes long.
func dialEach(ctx context.Context, to *net.TCPAddr, n int, each func(*Loop, *Conn) error) (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &Loop{epfd: epfd, buf: make([]byte, readBytes), events: make([]unix.EpollEvent, maxEvents)}
	if err := l.dial(ctx, to, n, each); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Loop) dial(ctx context.Context, to *net.TCPAddr, n int, each func(*Loop, *Conn) error) error {
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := l.join(to)
		if err != nil {
			return fmt.Errorf("connection %d of %d to %s: %w", i+1, n, to, err)
		}
		if err := each(l, c); err != nil {
			return err
		}
	}
	return nil
}

// join opens one more connection.
func (l *Loop) join(to *net.TCPAddr) (*Conn, error) {
	id := len(l.conns)
	family, sa := sockaddr(to)
	fd, err := connect(family, sa, source(to, id))
	if err != nil {
		return nil, err
	}
	c := &Conn{ID: id, fd: fd, parser: rawhttp.Parser{KeepErrors: true}}
	l.conns = append(l.conns, c)
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(id)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return c, nil
}

func sockaddr(a *net.TCPAddr) (family int, sa unix.Sockaddr) {
	if ip4 := a.IP.To4(); ip4 != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip4)}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
}

// source is the address that connection i comes from; nil leaves it to the kernel. An
// address has some 28,000 ports for one server, so a crowd above that comes from several
// of the loopback network.
func source(to *net.TCPAddr, i int) unix.Sockaddr {
	if ip4 := to.IP.To4(); i < perSource || ip4 == nil || !ip4.IsLoopback() {
		return nil
	}
	return &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i/perSource)}}
}

func connect(family int, sa, from unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if from != nil {
		// Without it a port is taken at once, and is then nobody else's for any server.
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), unix.Bind(fd, from))
		if err != nil {
			return -1, errors.Join(err, unix.Close(fd))
		}
	}
	for {
		err = unix.Connect(fd, sa)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	// A connect that was interrupted goes on by itself and is found done.
	if errors.Is(err, unix.EISCONN) {
		err = nil
	}
	if err == nil {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
			unix.SetNonblock(fd, true),
		)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// Conns are the connections in the order of their ID.
func (l *Loop) Conns() []*Conn { return l.conns }

// Outstanding is how many connections wait for an answer.
func (l *Loop) Outstanding() int { return l.busy }

// Close closes all connections, whatever is outstanding.
func (l *Loop) Close() error {
	var errs []error
	for _, c := range l.conns {
		errs = append(errs, unix.Close(c.fd))
	}
	l.conns, l.busy = nil, 0
	if l.epfd >= 0 {
		errs = append(errs, unix.Close(l.epfd))
		l.epfd = -1
	}
	return errors.Join(errs...)
}

// Send starts a request on c, which must not have one outstanding. The Loop
// keeps request until it is written; the answer comes to the Handler of Run.
func (l *Loop) Send(c *Conn, request []byte) error {
	if c.busy {
		return fmt.Errorf("connection %d has a request outstanding", c.ID)
	}
	c.busy = true
	l.busy++
	c.sentAt = time.Now()
	c.out = request
	if err := c.flush(); err != nil {
		return err
	}
	if len(c.out) > 0 {
		return l.watch(c, unix.EPOLLIN|unix.EPOLLOUT)
	}
	return nil
}

// flush writes as much as the socket takes.
func (c *Conn) flush() error {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("connection %d: write: %w", c.ID, err)
		default:
			c.out = c.out[n:]
		}
	}
	return nil
}

func (l *Loop) watch(c *Conn, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(c.ID)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// Run takes answers until none is outstanding, until the time is over (ErrTime;
// what is outstanding stays so), until ctx ends, or until something goes wrong.
// A zero until means no limit.
func (l *Loop) Run(ctx context.Context, until time.Time, h Handler) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for l.busy > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait := pollPeriod
		if !until.IsZero() {
			wait = min(wait, time.Until(until))
			if wait <= 0 {
				return ErrTime
			}
		}
		// Rounded up: 0 would spin.
		ms := int((wait + time.Millisecond - 1) / time.Millisecond)
		n, err := unix.EpollWait(l.epfd, l.events, ms)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for i := range max(n, 0) {
			if err := l.turn(l.conns[l.events[i].Fd], l.events[i].Events, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// turn does what the event asks for on one connection.
func (l *Loop) turn(c *Conn, events uint32, h Handler) error {
	if events&unix.EPOLLOUT != 0 {
		if err := c.flush(); err != nil {
			return err
		}
		if len(c.out) == 0 {
			if err := l.watch(c, unix.EPOLLIN); err != nil {
				return err
			}
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	n, err := unix.Read(c.fd, l.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("connection %d: read: %w", c.ID, err)
	case n == 0:
		return fmt.Errorf("connection %d was closed by the server", c.ID)
	}
	return l.take(c, l.buf[:n], h)
}

// take gives what was read to the parser and a complete answer to h.
func (l *Loop) take(c *Conn, b []byte, h Handler) error {
	if !c.busy {
		return fmt.Errorf("connection %d: %d bytes nobody asked for", c.ID, len(b))
	}
	r, n, done, err := c.parser.Feed(b)
	if err != nil {
		return fmt.Errorf("connection %d: %w", c.ID, err)
	}
	if !done {
		return nil
	}
	if n != len(b) {
		return fmt.Errorf("connection %d: %d bytes after the answer", c.ID, len(b)-n)
	}
	at := time.Now()
	c.busy = false
	l.busy--
	next, err := h(c, r, at)
	if err != nil || next == nil {
		return err
	}
	if r.Close {
		return fmt.Errorf("connection %d is being closed by the server (status %d)", c.ID, r.Status)
	}
	return l.Send(c, next)
}
