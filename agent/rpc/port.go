package rpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// How a connection says what it is for: in its first byte when it is plain, by ALPN
// when it is encrypted. gRPC begins with HTTP/2's preface, TLS with a handshake record.
//
// A connection of Raft's says then whom it is for, see [To]: a byte that says how long
// the id of that server is, and the id. One that only asks whether somebody listens is for
// nobody.
const (
	firstRaft   = 0x01 // for whoever listens
	firstRaftTo = 0x02
	firstGRPC   = 'P'
	firstTLS    = 0x16

	alpnRaft   = "holdfast-raft"
	alpnRaftTo = "holdfast-raft-to"
	alpnGRPC   = "h2"
)

// Protocols are the names by which an encrypted connection says what it is for.
func Protocols() []string { return []string{alpnRaftTo, alpnRaft, alpnGRPC} }

// Options is what a Port is made of.
type Options struct {
	Listen string // address to listen on, such as "127.0.0.1:8300"

	// ID is the id of this server, at most 255 bytes. What is for another one is refused.
	ID string

	// Source is the address that connections to other servers come from; the zero Addr
	// leaves that to the system.
	Source netip.Addr

	// Incoming encrypts what comes in, with [Protocols]; nil: plain. RequireTLS refuses
	// what is not encrypted.
	Incoming   *tls.Config
	RequireTLS bool

	// Outgoing returns what encrypts a connection for one of [Protocols]; nil, or a nil
	// configuration: plain.
	Outgoing func(protocol string) *tls.Config

	HandshakeTimeout time.Duration // from the connection to knowing what it is for
	MostPerClient    int           // connections of one address; <= 0: no bound

	Log hclog.Logger
}

// Port is the server port, listening.
type Port struct {
	opts     Options
	listener net.Listener
	raft     *inlet
	grpc     *inlet
	conns    sync.WaitGroup

	mu     sync.Mutex
	by     map[netip.Addr]int    // open connections; guarded by mu
	open   map[net.Conn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

// Listen opens the port. Serve accepts connections.
func Listen(o Options) (*Port, error) {
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for other servers: %w", err)
	}
	return &Port{
		opts: o, listener: l, raft: newInlet(l.Addr()), grpc: newInlet(l.Addr()),
		by: map[netip.Addr]int{}, open: map[net.Conn]struct{}{},
	}, nil
}

// Addr is where the port listens.
func (p *Port) Addr() net.Addr { return p.listener.Addr() }

// Serve accepts connections until Close.
func (p *Port) Serve(ctx context.Context) error {
	defer p.conns.Wait()
	for {
		c, err := p.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			p.opts.Log.Warn("accept a connection of another server", "error", err)
			select { // out of descriptors, most likely: let some go first
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if !p.enter(c) {
			continue
		}
		p.conns.Go(func() { p.sort(c) })
	}
}

// Close ends the port and all its connections: Raft leaves those open that others
// have made.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.raft.close()
	p.grpc.close()
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the server port: %w", err)
	}
	return nil
}

func (p *Port) enter(c net.Conn) bool {
	client := addrOf(c.RemoteAddr())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	if p.opts.MostPerClient > 0 && p.by[client] >= p.opts.MostPerClient {
		p.opts.Log.Warn("refused a connection to the server port: this address has too many", "from", client, "most", p.opts.MostPerClient)
		_ = c.Close()
		return false
	}
	p.by[client]++
	p.open[c] = struct{}{}
	return true
}

func (p *Port) leave(c net.Conn) {
	client := addrOf(c.RemoteAddr())
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	if p.by[client]--; p.by[client] <= 0 {
		delete(p.by, client)
	}
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// sort finds out what a connection is for and hands it on.
func (p *Port) sort(c net.Conn) {
	sorted, in, err := p.classify(c)
	if err == nil && in.hand(sorted) {
		return
	}
	if err != nil {
		p.opts.Log.Warn("refused a connection to the server port", "from", c.RemoteAddr().String(), "error", err)
	}
	_ = sorted.Close()
}

func (p *Port) classify(c net.Conn) (net.Conn, *inlet, error) {
	counted := &countedConn{Conn: c, port: p}
	if err := c.SetDeadline(time.Now().Add(p.opts.HandshakeTimeout)); err != nil {
		return counted, nil, fmt.Errorf("set a deadline: %w", err)
	}
	r := bufio.NewReaderSize(c, 16)
	named := false // whom it is for
	first, err := r.Peek(1)
	if err != nil {
		return counted, nil, fmt.Errorf("it said nothing: %w", err)
	}
	peeked := &peekedConn{Conn: counted, r: r}
	var out net.Conn = peeked
	var in *inlet
	switch {
	case first[0] == firstTLS && p.opts.Incoming == nil:
		return counted, nil, errors.New("it is encrypted, but this server has no certificate (tls.internal_rpc)")
	case first[0] == firstTLS:
		secure := tls.Server(peeked, p.opts.Incoming)
		if err := secure.HandshakeContext(context.Background()); err != nil { // bound by the deadline
			return counted, nil, fmt.Errorf("TLS handshake: %w", err)
		}
		out = secure
		switch secure.ConnectionState().NegotiatedProtocol {
		case alpnRaft:
			in = p.raft
		case alpnRaftTo:
			in, named = p.raft, true
		case alpnGRPC:
			in = p.grpc
		default:
			return out, nil, errors.New("it is encrypted, but does not say what for (ALPN); is it a server?")
		}
	case p.opts.RequireTLS:
		return counted, nil, errors.New("it is not encrypted, and tls.internal_rpc.verify_incoming wants that")
	case first[0] == firstRaft:
		_, _ = r.Discard(1)
		in = p.raft
	case first[0] == firstRaftTo:
		_, _ = r.Discard(1)
		in, named = p.raft, true
	case first[0] == firstGRPC:
		in = p.grpc
	default:
		return counted, nil, fmt.Errorf("its first byte, %#x, is none of a server's; is it a client that wants the HTTP port?", first[0])
	}
	if named {
		if err := p.isMeant(out); err != nil {
			return out, nil, err
		}
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return out, nil, fmt.Errorf("clear the deadline: %w", err)
	}
	return out, in, nil
}

// isMeant reads whom a connection is for; the error says that it is another server.
func (p *Port) isMeant(c net.Conn) error {
	var buf [256]byte
	if _, err := io.ReadFull(c, buf[:1]); err != nil {
		return fmt.Errorf("it does not say whom it is for: %w", err)
	}
	id := buf[1 : 1+int(buf[0])]
	if _, err := io.ReadFull(c, id); err != nil {
		return fmt.Errorf("it does not say whom it is for: %w", err)
	}
	if string(id) != p.opts.ID {
		return fmt.Errorf("it is for another server, which had this address before: for %.64q, and this is %s", id, p.opts.ID)
	}
	return nil
}

// inlet is a listener that is handed its connections.
type inlet struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newInlet(addr net.Addr) *inlet {
	return &inlet{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *inlet) hand(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.done:
		return false
	}
}

// Accept is part of net.Listener.
func (l *inlet) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close is part of net.Listener.
func (l *inlet) Close() error {
	l.close()
	return nil
}

func (l *inlet) close() { l.once.Do(func() { close(l.done) }) }

// Addr is part of net.Listener.
func (l *inlet) Addr() net.Addr { return l.addr }

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	port *Port
	once sync.Once
}

// Close closes the connection, once.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.port.leave(c.Conn) })
	return c.Conn.Close()
}

// peekedConn reads first what was looked at already.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

// Read is part of net.Conn.
func (c *peekedConn) Read(b []byte) (int, error) {
	if c.r != nil {
		if c.r.Buffered() > 0 {
			return c.r.Read(b)
		}
		c.r = nil
	}
	return c.Conn.Read(b)
}
