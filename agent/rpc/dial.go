package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// dial connects to the server port of another server.
func (p *Port) dial(ctx context.Context, address, alpn string) (net.Conn, error) {
	if strings.HasSuffix(address, nowherePort) {
		return nil, fmt.Errorf("connect to server %s: it has not been met since it moved", address)
	}
	d := net.Dialer{KeepAlive: 10 * time.Second}
	if p.opts.Source.IsValid() && !p.opts.Source.IsUnspecified() {
		d.LocalAddr = &net.TCPAddr{IP: p.opts.Source.AsSlice()}
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to server %s: %w", address, err)
	}
	var conf *tls.Config
	if p.opts.Outgoing != nil {
		conf = p.opts.Outgoing(alpn)
	}
	if conf != nil {
		if conf.ServerName == "" {
			conf = conf.Clone()
			conf.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(c, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("TLS handshake with server %s: %w", address, err)
		}
		return secure, nil
	}
	first, raftIs := map[string]byte{alpnRaft: firstRaft, alpnRaftTo: firstRaftTo}[alpn]
	if raftIs {
		if _, err := c.Write([]byte{first}); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("write to server %s: %w", address, err)
		}
	}
	return c, nil
}

// Refused tells whether nobody listens at an address: the machine there has answered
// that no process does. A process that is frozen, or cut off, does not refuse.
func (p *Port) Refused(ctx context.Context, address string) bool {
	c, err := p.dial(ctx, address, alpnRaft)
	if err == nil {
		_ = c.Close() // nothing was asked of it
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Streams returns what Raft's network transport stands on. The address is the one that
// others know this server by: Raft puts it into its messages, and followers take it for
// their leader's. ended is called whenever a connection that another server has made
// comes to its end, and must not block.
func (p *Port) Streams(advertised net.Addr, ended func()) raft.StreamLayer {
	return &streams{inlet: p.raft, port: p, advertised: advertised, ended: ended}
}

type streams struct {
	*inlet
	port       *Port
	advertised net.Addr
	ended      func()
}

// Accept is part of raft.StreamLayer.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.inlet.Accept()
	if err != nil {
		return nil, err
	}
	return &endingConn{Conn: c, ended: s.ended}, nil
}

// endingConn tells of its end.
type endingConn struct {
	net.Conn
	ended func()
	once  sync.Once
}

// Read is part of net.Conn.
func (c *endingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(c.ended)
	}
	return n, err
}

// Addr is part of raft.StreamLayer.
func (s *streams) Addr() net.Addr { return s.advertised }

// Dial is part of raft.StreamLayer. The address is one that [To] has made.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, address, ok := strings.Cut(string(to), toMark)
	if !ok || len(id) > 255 {
		return nil, fmt.Errorf("connect to server %s: it is not known which one that is", to)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := s.port.dial(ctx, address, alpnRaftTo)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(append([]byte{byte(len(id))}, id...)); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("write to server %s: %w", address, err)
	}
	return c, nil
}

// toMark stands between the id of a server and where it is.
const toMark = "@"

// To is the address of a server for Raft's connections: where it is believed to be, and
// the id that it must have. Raft counts what comes back as the word of the server that it
// meant to ask; at an address that has become another's, that one would have two votes,
// and be two of the majority that has stored an entry.
func To(id raft.ServerID, address raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(string(id) + toMark + string(address))
}

// Nowhere is where a server is of which it is known only that it is not where it was. No
// connection is tried to it.
func Nowhere(id raft.ServerID) raft.ServerAddress {
	return raft.ServerAddress(string(id) + nowherePort)
}

const nowherePort = ".nowhere:0"
