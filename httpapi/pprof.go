package httpapi

import (
	"context"
	"maps"
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
	// A profile takes as long as the client asks, but not longer than the server lives,
	// or whoever asks may have it.
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	stop := context.AfterFunc(&drainContext{ctx, c.s.draining}, cancel)
	defer stop()
	c.status = http.StatusOK
	if c.arg == "cmdline" {
		c.text(http.StatusOK, os.Args[0])
		return nil
	}
	before := c.w.Header().Clone()
	l := c.leash(func(error) { cancel() })
	w, r := &heldWriter{c.w, l}, c.r.WithContext(ctx)
	switch c.arg {
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
	refused, began := l.release()
	switch {
	case refused != nil && began:
		c.cutOff(refused)
	case refused != nil:
		maps.DeleteFunc(c.w.Header(), func(name string, _ []string) bool { return before[name] == nil })
	}
	return refused
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
