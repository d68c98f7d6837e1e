package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// dial connects to the server port of another server.
func (p *Port) dial(ctx context.Context, address, alpn string) (net.Conn, error) {
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
	if alpn == alpnRaft {
		if _, err := c.Write([]byte{firstRaft}); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("write to server %s: %w", address, err)
		}
	}
	return c, nil
}

// Streams returns what Raft's network transport stands on. The address is the one that
// others know this server by: Raft puts it into its messages, and followers take it for
// their leader's.
func (p *Port) Streams(advertised net.Addr) raft.StreamLayer {
	return &streams{inlet: p.raft, port: p, advertised: advertised}
}

type streams struct {
	*inlet
	port       *Port
	advertised net.Addr
}

// Addr is part of raft.StreamLayer.
func (s *streams) Addr() net.Addr { return s.advertised }

// Dial is part of raft.StreamLayer.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.port.dial(ctx, string(address), alpnRaft)
}
