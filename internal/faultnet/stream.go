package faultnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// What a stream may hold back, in one direction: chunks of so many bytes, and so many
// of them. It is more than the window of a sender on a slow link; who sends more waits.
const (
	chunkBytes = 32 << 10
	chunkCount = 64
)

// dialLimit is how long the real address of a server may take to answer.
const dialLimit = 5 * time.Second

// accept takes the connections to server to until its listener is closed.
func (n *Net) accept(to int, l net.Listener, upstream netip.AddrPort) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed; nothing else ends a listener on a loopback address
		}
		from := anybody
		if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			from = n.sender(addr.AddrPort().Addr())
		}
		n.tasks.Go(func() { n.forward(link{from, to}, conn, upstream) })
	}
}

// forward carries one connection, dialed by l.from, until it ends.
func (n *Net) forward(l link, near net.Conn, upstream netip.AddrPort) {
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	s := &stream{net: n, cancel: cancel, near: near}
	defer s.close()
	back := link{from: l.to, to: l.from}

	there := newFlow(n, l, near)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	context.AfterFunc(ctx, s.close) // what blocks in a read or a write ends
	tasks.Go(func() { there.read(ctx) })

	if err := s.connect(ctx, l, back, there, upstream); err != nil {
		if ctx.Err() == nil {
			s.reset()
		}
		return
	}
	n.count(l, func(t *Traffic) { t.Streams++ })
	here := newFlow(n, back, s.far)
	tasks.Go(func() { here.read(ctx) })
	var both sync.WaitGroup
	both.Go(func() { s.carry(ctx, there, s.far) })
	both.Go(func() { s.carry(ctx, here, s.near) })
	both.Wait()
}

// stream is a connection: the side that dialed is near, the server is far.
type stream struct {
	net    *Net
	cancel context.CancelFunc
	near   net.Conn

	mu  sync.Mutex
	far net.Conn // nil until it is dialed; guarded by mu until then
}

// connect waits until a packet can go both ways, as a connection needs, and dials. It
// gives up when the dialer does.
func (s *stream) connect(ctx context.Context, l, back link, there *flow, upstream netip.AddrPort) error {
	held, giveUp := context.WithCancel(ctx)
	defer giveUp()
	stop := context.AfterFunc(there.ended, giveUp)
	for _, way := range []link{l, back} {
		if c, _ := s.net.condition(way); c.Drop || c.Refuse {
			if err := s.net.open(held, way); err != nil {
				return err
			}
		}
	}
	stop() // from here on a dialer that closes has been heard
	dialer := net.Dialer{Timeout: dialLimit, LocalAddr: s.net.source(l.from)}
	far, err := dialer.DialContext(ctx, "tcp", upstream.String())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.far = far
	s.mu.Unlock()
	if ctx.Err() != nil { // close may have come before the assignment
		_ = far.Close()
		return ctx.Err()
	}
	return nil
}

// source is the address from which a server is to be seen: the one that it advertises.
func (n *Net) source(from int) net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if nd := n.nodes[from]; nd != nil {
		return &net.TCPAddr{IP: nd.Advertise.AsSlice()}
	}
	return nil
}

// carry writes what a flow has read, when its time has come, and passes its end on.
func (s *stream) carry(ctx context.Context, f *flow, to net.Conn) {
	err := f.write(ctx, to)
	switch {
	case errors.Is(err, errRefused):
		s.reset()
	case err != nil: // the receiver is gone, or we are to end
		s.cancel()
	default:
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite() // the receiver may be gone
		}
	}
}

// reset ends both sides so that they see a refusal.
func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []net.Conn{s.near, s.far} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a closed one has been reset already
			_ = tcp.Close()
		}
	}
	s.cancel()
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.near.Close()
	if s.far != nil {
		_ = s.far.Close()
	}
}

// flow is one direction of a stream.
type flow struct {
	net    *Net
	link   link
	from   net.Conn
	chunks chan chunk      // closed at the end of what is read
	ended  context.Context // done when the sender has closed
	end    context.CancelFunc
}

type chunk struct {
	data []byte
	sent time.Time
}

func newFlow(n *Net, l link, from net.Conn) *flow {
	f := &flow{net: n, link: l, from: from, chunks: make(chan chunk, chunkCount)}
	f.ended, f.end = context.WithCancel(context.Background())
	return f
}

// read takes what is sent, until the sender ends it or ctx does.
func (f *flow) read(ctx context.Context) {
	defer f.end()
	defer close(f.chunks)
	for {
		buf := make([]byte, chunkBytes)
		k, err := f.from.Read(buf)
		if k > 0 {
			select {
			case f.chunks <- chunk{buf[:k], time.Now()}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return // the end, or a reset, which arrives as an end
		}
	}
}

// write passes on what was read, as the link's condition lets it. It returns nil when
// the sender's end was reached and may be passed on too.
func (f *flow) write(ctx context.Context, to io.Writer) error {
	for {
		c, changed := f.net.condition(f.link)
		if c.Refuse {
			return errRefused
		}
		select {
		case <-changed: // a link that refuses resets connections that rest, too
		case <-ctx.Done():
			return ctx.Err()
		case k, more := <-f.chunks:
			if err := f.arrive(ctx, k.sent); err != nil {
				return err
			}
			if !more {
				return nil
			}
			f.net.count(f.link, func(t *Traffic) { t.Bytes += int64(len(k.data)) })
			if _, err := to.Write(k.data); err != nil {
				return err
			}
		}
	}
}

// arrive waits until something that was sent at a time gets through.
func (f *flow) arrive(ctx context.Context, sent time.Time) error {
	if err := f.net.open(ctx, f.link); err != nil {
		return err
	}
	c, _ := f.net.condition(f.link)
	if c.Delay == 0 {
		return nil
	}
	if err := pause(ctx, sent.Add(c.Delay)); err != nil {
		return err
	}
	return f.net.open(ctx, f.link) // it may have been cut meanwhile
}
