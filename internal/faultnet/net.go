package faultnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Endpoint is where a server is.
type Endpoint struct {
	Bind      netip.Addr // where the server listens, and the source of what it sends
	Advertise netip.Addr // where the others send to, and where this package listens
	TCP       []int      // the ports whose streams are forwarded
	UDP       []int      // the ports whose datagrams are forwarded
}

// Condition is the state of one direction between two servers. The zero value is a
// link without a fault.
type Condition struct {
	Drop   bool          // nothing arrives, and nobody is told
	Refuse bool          // connections are reset, datagrams lost; goes before Drop
	Delay  time.Duration // added to what is sent; of streams it does not reduce the throughput much
}

// Traffic counts what has gone over a link since it exists.
type Traffic struct {
	Streams int64 // connections that were forwarded
	Bytes   int64 // of streams, that were passed on
	Packets int64 // datagrams that arrived
	Lost    int64 // datagrams that did not
}

// anybody is the sender of a stream whose source address is no server's. Its link is
// in the worst condition that any link to (or from) the other end is in, so that a
// fault is never passed by.
const anybody = -1

type link struct{ from, to int }

// Net is a set of servers and the links between them. The methods may be called from
// any goroutine.
type Net struct {
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	nodes   map[int]*node      // guarded by mu
	links   map[link]Condition // those with a fault; guarded by mu
	traffic map[link]*Traffic  // guarded by mu
	changed chan struct{}      // closed and replaced when links changes; guarded by mu
	lines   map[link]*line     // guarded by mu
}

// node is a server that is attached.
type node struct {
	Endpoint
	listeners []net.Listener
	sockets   map[int]*net.UDPConn // by port
}

// New returns a network without servers.
func New() *Net {
	n := &Net{
		nodes:   map[int]*node{},
		links:   map[link]Condition{},
		traffic: map[link]*Traffic{},
		changed: make(chan struct{}),
		lines:   map[link]*line{},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Attach makes a server known under id, a number from 0, and begins to forward to
// it. A server that is known already moves: connections that it has are not touched.
func (n *Net) Attach(id int, e Endpoint) error {
	n.Detach(id)
	nd := &node{Endpoint: e, sockets: map[int]*net.UDPConn{}}
	if err := nd.listen(); err != nil {
		nd.close()
		return fmt.Errorf("attach server %d: %w", id, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		nd.close()
		return fmt.Errorf("attach server %d: %w", id, net.ErrClosed)
	}
	n.nodes[id] = nd
	for i, l := range nd.listeners {
		upstream := netip.AddrPortFrom(e.Bind, port(e.TCP[i]))
		n.tasks.Go(func() { n.accept(id, l, upstream) })
	}
	for p, s := range nd.sockets {
		target := netip.AddrPortFrom(e.Bind, port(p))
		n.tasks.Go(func() { n.receive(id, s, target) })
	}
	return nil
}

// port is a port as package netip wants it.
func port(p int) uint16 { return uint16(p) } // ports are below 65536

func (nd *node) listen() error {
	for _, p := range nd.TCP {
		l, err := net.Listen("tcp", netip.AddrPortFrom(nd.Advertise, port(p)).String())
		if err != nil {
			return err
		}
		nd.listeners = append(nd.listeners, l)
	}
	for _, p := range nd.UDP {
		s, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(nd.Advertise, port(p))))
		if err != nil {
			return err
		}
		nd.sockets[p] = s
	}
	return nil
}

func (nd *node) close() {
	for _, l := range nd.listeners {
		_ = l.Close() // nobody waits for what it could say
	}
	for _, s := range nd.sockets {
		_ = s.Close()
	}
}

// Detach ends the forwarding to a server; connections that it has are not touched.
func (n *Net) Detach(id int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if nd := n.nodes[id]; nd != nil {
		nd.close()
		delete(n.nodes, id)
	}
}

// Set puts the link from one server to another into a condition. What is under way
// on it is affected at once.
func (n *Net) Set(from, to int, c Condition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setLocked(from, to, c)
	n.tellLocked()
}

// Between sets both links between two servers.
func (n *Net) Between(a, b int, c Condition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setLocked(a, b, c)
	n.setLocked(b, a, c)
	n.tellLocked()
}

// Isolate cuts all the links of a server, both ways.
func (n *Net) Isolate(id int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.nodes {
		if other != id {
			n.setLocked(id, other, Condition{Drop: true})
			n.setLocked(other, id, Condition{Drop: true})
		}
	}
	n.tellLocked()
}

// All puts every link between servers that are attached into a condition.
func (n *Net) All(c Condition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for from := range n.nodes {
		for to := range n.nodes {
			if from != to {
				n.setLocked(from, to, c)
			}
		}
	}
	n.tellLocked()
}

// Heal takes all the faults away.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.links)
	n.tellLocked()
}

func (n *Net) setLocked(from, to int, c Condition) {
	if c == (Condition{}) {
		delete(n.links, link{from, to})
		return
	}
	n.links[link{from, to}] = c
}

func (n *Net) tellLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Traffic says what has gone from one server to another.
func (n *Net) Traffic(from, to int) Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.traffic[link{from, to}]; t != nil {
		return *t
	}
	return Traffic{}
}

// count changes the traffic of a link.
func (n *Net) count(l link, add func(t *Traffic)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.traffic[l]
	if t == nil {
		t = &Traffic{}
		n.traffic[l] = t
	}
	add(t)
}

// condition is how a link is, and a channel that is closed when that may have changed.
func (n *Net) condition(l link) (Condition, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.from != anybody && l.to != anybody {
		return n.links[l], n.changed
	}
	var worst Condition
	for other, c := range n.links {
		if (l.from == anybody && other.to == l.to) || (l.to == anybody && other.from == l.from) {
			worst.Drop = worst.Drop || c.Drop
			worst.Refuse = worst.Refuse || c.Refuse
			worst.Delay = max(worst.Delay, c.Delay)
		}
	}
	return worst, n.changed
}

// sender tells which server an address is the bind address of, or anybody.
func (n *Net) sender(addr netip.Addr) int {
	addr = addr.Unmap()
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, nd := range n.nodes {
		if nd.Bind == addr {
			return id
		}
	}
	return anybody
}

// Close ends all forwarding and all connections, and returns when nothing is left.
func (n *Net) Close() {
	n.mu.Lock()
	n.closed = true
	for id, nd := range n.nodes {
		nd.close()
		delete(n.nodes, id)
	}
	n.mu.Unlock()
	n.cancel()
	n.tasks.Wait()
}

// errRefused says that a link is in a condition in which connections are reset.
var errRefused = errors.New("the link refuses")

// open waits until the link loses nothing. The error is errRefused, or the context's.
func (n *Net) open(ctx context.Context, l link) error {
	for {
		c, changed := n.condition(l)
		switch {
		case c.Refuse:
			return errRefused
		case !c.Drop:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pause waits until a time has come.
func pause(ctx context.Context, until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
