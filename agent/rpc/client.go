package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// Sizes of what is under way on one connection. A restore or many large values must
// not wait for the other side after each few kilobytes. A message is as large only for
// one large answer: that of a transaction which reads many large values.
const (
	windowBytes  = 4 << 20
	messageBytes = 256 << 20
)

// Client asks other servers. It keeps one connection for each address.
type Client struct {
	port *Port

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn // by address; guarded by mu
	closed bool                        // guarded by mu
}

// errClosed says that this server stops.
var errClosed = errors.New("this server stops")

// NewClient returns a client whose connections go out from a port.
func NewClient(p *Port) *Client { return &Client{port: p, conns: map[string]*grpc.ClientConn{}} }

// Server returns the stub for the server at an address.
func (c *Client) Server(address string) (rpcpb.ServerServiceClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if conn := c.conns[address]; conn != nil {
		return rpcpb.NewServerServiceClient(conn), nil
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the dialer encrypts
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return c.port.dial(ctx, address, alpnGRPC)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithInitialWindowSize(windowBytes), grpc.WithInitialConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytes), grpc.MaxCallSendMsgSize(messageBytes)),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare connection to server %s: %w", address, err)
	}
	c.conns[address] = conn
	return rpcpb.NewServerServiceClient(conn), nil
}

// Keep closes the connections to all addresses but these.
func (c *Client) Keep(addresses map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, conn := range c.conns {
		if !addresses[address] {
			_ = conn.Close()
			delete(c.conns, address)
		}
	}
}

// Close ends all connections. There will be no others.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.Keep(nil)
}
