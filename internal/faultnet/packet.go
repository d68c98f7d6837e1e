package faultnet

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// lineLength is how many datagrams a slow link holds; it loses those that come when
// it is full, as a router does.
const lineLength = 1024

// maxPacket is the largest datagram there is.
const maxPacket = 64 << 10

// line holds the datagrams of a slow link until their time has come.
type line struct {
	packets chan packet
}

type packet struct {
	data []byte
	due  time.Time
	via  *net.UDPConn
	to   netip.AddrPort
}

// receive takes the datagrams to server to until its socket is closed.
func (n *Net) receive(to int, s *net.UDPConn, target netip.AddrPort) {
	buf := make([]byte, maxPacket)
	for {
		k, source, err := s.ReadFromUDPAddrPort(buf)
		if err != nil {
			if n.ctx.Err() != nil || !n.attached(to, s) {
				return
			}
			continue // an earlier datagram of this socket found nobody; the system tells here
		}
		l := link{n.sender(source.Addr()), to}
		c, _ := n.condition(l)
		if c.Drop || c.Refuse {
			n.count(l, func(t *Traffic) { t.Lost++ })
			continue
		}
		p := packet{data: buf[:k], via: n.socket(l.from, target.Port(), s), to: target}
		if c.Delay == 0 {
			n.deliver(l, p)
			continue
		}
		p.data = append([]byte(nil), p.data...)
		p.due = time.Now().Add(c.Delay)
		select {
		case n.line(l).packets <- p:
		default:
			n.count(l, func(t *Traffic) { t.Lost++ })
		}
	}
}

// attached says whether a socket is still that of a server.
func (n *Net) attached(id int, s *net.UDPConn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	nd := n.nodes[id]
	if nd == nil {
		return false
	}
	for _, own := range nd.sockets {
		if own == s {
			return true
		}
	}
	return false
}

// socket is the one from which the receiver is to see a datagram come: that at which
// the sender can be answered, if it has one.
func (n *Net) socket(from int, port uint16, other *net.UDPConn) *net.UDPConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	nd := n.nodes[from]
	if nd == nil {
		return other
	}
	if s := nd.sockets[int(port)]; s != nil {
		return s
	}
	for _, s := range nd.sockets {
		return s
	}
	return other
}

// deliver sends a datagram on.
func (n *Net) deliver(l link, p packet) {
	_, err := p.via.WriteToUDPAddrPort(p.data, p.to)
	n.count(l, func(t *Traffic) {
		if err != nil {
			t.Lost++
		} else {
			t.Packets++
		}
	})
}

// line is what holds the datagrams of a slow link; it is made when first needed.
func (n *Net) line(l link) *line {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := n.lines[l]
	if q == nil {
		q = &line{packets: make(chan packet, lineLength)}
		n.lines[l] = q
		n.tasks.Go(func() { n.drain(n.ctx, l, q) })
	}
	return q
}

// drain sends the datagrams of a line on when their time has come.
func (n *Net) drain(ctx context.Context, l link, q *line) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-q.packets:
			if pause(ctx, p.due) != nil {
				return
			}
			if c, _ := n.condition(l); c.Drop || c.Refuse {
				n.count(l, func(t *Traffic) { t.Lost++ })
				continue
			}
			n.deliver(l, p)
		}
	}
}
