//go:build linux

package http1

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// requestContext is the context of a request: done when the client leaves, and when its
// handler has returned. Most requests never ask whether it is, so it costs nothing until they
// do: only then is there a context of package context behind it, and only requests that take
// longer than armDelay have their connection watched.
//
// Package context finds the one behind it by Value and the channel, so a child of this context
// costs no goroutine, as a child of a foreign one would.
type requestContext struct {
	mu     sync.Mutex
	c      *conn              // nil: of no request; guarded by mu
	behind context.Context    // nil until somebody asks; guarded by mu
	cancel context.CancelFunc // of behind; guarded by mu
}

// Deadline says that there is none.
func (x *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the client has left or the handler has returned.
func (x *requestContext) Done() <-chan struct{} {
	x.mu.Lock()
	c, first := x.c, x.behind == nil
	if first {
		parent := context.Background()
		if c != nil {
			parent = c.ctx
		}
		x.behind, x.cancel = context.WithCancel(parent)
		if c == nil { // kept beyond its request
			x.cancel()
		}
	}
	done := x.behind.Done()
	x.mu.Unlock()
	if first && c != nil {
		c.watchLater(x)
	}
	return done
}

// Err is context.Canceled once Done is closed.
func (x *requestContext) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.behind == nil {
		return nil
	}
	return x.behind.Err()
}

// Value looks where net/http has its own values, then in the context of the connection.
func (x *requestContext) Value(key any) any {
	x.mu.Lock()
	c, behind := x.c, x.behind
	x.mu.Unlock()
	switch {
	case key == http.LocalAddrContextKey && c != nil:
		return c.nc.LocalAddr()
	case behind != nil:
		return behind.Value(key)
	case c != nil:
		return c.ctx.Value(key)
	}
	return nil
}

// of gives the context, which nobody has asked yet, to a connection, or takes it away.
func (x *requestContext) of(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.c = c
}

// end makes the context done. It tells whether anybody had asked for it: then it is not to be
// used for another request.
func (x *requestContext) end() (asked bool) {
	x.mu.Lock()
	cancel := x.cancel
	x.mu.Unlock()
	if cancel == nil {
		return false
	}
	cancel()
	return true
}
