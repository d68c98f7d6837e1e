package httpapi

import (
	"context"
	"net/http"
	"net/http/pprof"
	"os"

	"github.com/holdfast-kv/holdfast/acl"
)

// profiles answers GET /debug/pprof/ and below it, when the configuration has
// enable_debug. The command line of the process is not shown whole: it may hold a
// secret.
func (c *call) profiles() error {
	if !c.s.settings.Load().EnableDebug {
		notFoundPage(c.w, c.r)
		c.status = http.StatusNotFound
		return nil
	}
	if err := c.needHere(acl.ResourceOperator, acl.AccessRead, ""); err != nil {
		return err
	}
	// A profile takes as long as the client asks, but not longer than the server
	// lives.
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	stop := context.AfterFunc(&drainContext{ctx, c.s.draining}, cancel)
	defer stop()
	r := c.r.WithContext(ctx)
	c.status = http.StatusOK
	switch c.arg {
	case "cmdline":
		c.text(http.StatusOK, os.Args[0])
	case "profile":
		pprof.Profile(c.w, r)
	case "symbol":
		pprof.Symbol(c.w, r)
	case "trace":
		pprof.Trace(c.w, r)
	default:
		pprof.Index(c.w, r)
	}
	return nil
}

// drainContext ends when the server begins to stop.
type drainContext struct {
	context.Context
	draining <-chan struct{}
}

// Done is closed when the server begins to stop.
func (d *drainContext) Done() <-chan struct{} { return d.draining }

// Err says that the server is stopping, once it is.
func (d *drainContext) Err() error {
	select {
	case <-d.draining:
		return context.Canceled
	default:
		return nil
	}
}
