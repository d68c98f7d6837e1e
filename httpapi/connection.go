package httpapi

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/holdfast-kv/holdfast/acl"
)

// connection is what is known of the connection of a client, for all of its requests. It is the
// context itself: where there are thousands of connections each step from one thing to the next
// is one that the processor waits for.
type connection struct {
	context.Context
	client  netip.Addr
	address string   // of the client; "" if that is invalid
	last    acl.Last // whose token came last
}

type connectionKey struct{}

// Value is part of context.Context.
func (k *connection) Value(key any) any {
	if key == (connectionKey{}) {
		return k
	}
	return k.Context.Value(key)
}

// WithClient notes the peer's address in the context of a connection, where it is
// parsed once.
func WithClient(ctx context.Context, client netip.Addr) context.Context {
	known := &connection{Context: ctx, client: client}
	if client.IsValid() {
		known.address = client.String()
	}
	return known
}

// connectionOf is nil where nothing is known: on a Unix socket.
func connectionOf(r *http.Request) *connection {
	known, _ := r.Context().Value(connectionKey{}).(*connection)
	return known
}

// clientOf is the address that a request came from; invalid on a Unix socket.
func clientOf(r *http.Request) netip.Addr {
	if known := connectionOf(r); known != nil {
		return known.client
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// connection is that of the request; nil where nothing is known.
func (c *call) connection() *connection {
	if c.conn == nil {
		c.conn = connectionOf(c.r)
	}
	return c.conn
}

// client is the address that the request came from; invalid on a Unix socket.
func (c *call) client() netip.Addr {
	if known := c.connection(); known != nil {
		return known.client
	}
	return clientOf(c.r)
}

// address is that of the client; "" on a Unix socket.
func (c *call) address() string {
	if known := c.connection(); known != nil {
		return known.address
	}
	if client := clientOf(c.r); client.IsValid() {
		return client.String()
	}
	return ""
}

// lastAsked is room for who asked last; nil where there is none.
func (c *call) lastAsked() *acl.Last {
	if known := c.connection(); known != nil {
		return &known.last
	}
	return nil
}
