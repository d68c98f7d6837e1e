package httpapi

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A leash ends an answer that takes long when whoever asked for it loses the right to it.
//
// What waits for something looks at its rights whenever it wakes (rightsWatch). What is
// being sent to a client that reads slowly, or is made for as long as the client wants,
// wakes for nothing: so another goroutine waits for the change of its rights. It is there
// only while rights are checked and for as long as the answer takes.
type leash struct {
	conn *http.ResponseController
	over chan struct{} // closed when the answer has come to its end
	stop func(error)   // told of the refusal; may be nil

	watcher sync.WaitGroup

	mu      sync.Mutex
	probe   *call // has the rights of the request, and nothing else of it; nil: they are not checked; guarded by mu
	began   bool  // something was sent; guarded by mu
	refused error // guarded by mu
}

// errOtherRules ends an answer that shows what its token could see when it began.
var errOtherRules error = &DeniedError{"the rules of the token have changed while the answer was sent"}

// leash begins to watch over the rights of the request. stop is called when they are lost,
// by another goroutine; nil: only what is written is cut off. release must be called.
func (c *call) leash(stop func(error)) *leash {
	l := &leash{conn: http.NewResponseController(c.w), over: make(chan struct{}), stop: stop}
	if c.rights.who != nil {
		l.probe = &call{one: one{s: c.s, rights: c.rights}}
		l.probe.rights.needs = slices.Clone(c.rights.needs)
		l.watcher.Go(l.watch) // ends with the answer; release waits for it
	}
	return l
}

// watch waits until the rights are lost or the answer is over.
func (l *leash) watch() {
	for {
		// Register first, then look.
		w, err := l.register()
		if err != nil {
			w.stop()
			if l.stop != nil {
				l.stop(err)
			}
			return
		}
		select {
		case <-w.token.C:
		case <-w.rules.C:
		case <-w.rules.Reset: // the whole state was replaced
		case <-w.expired():
		case <-l.over:
			w.stop()
			return
		}
		w.stop()
	}
}

// register registers for the next change of the rights, and looks at them.
func (l *leash) register() (rightsWatch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.probe.watchRights()
	err := l.lookLocked()
	if err == nil {
		w.until(l.probe.ended())
	} else if l.began {
		// It may be waiting for its client. Not every ResponseWriter has deadlines; then it
		// ends when the client goes on or goes.
		_ = l.conn.SetWriteDeadline(time.Now())
	}
	return w, err
}

// lookLocked returns why the answer must end. An answer that was cut down to what may be
// seen ends with any change of its rules: what is sent may be no part of that any more.
func (l *leash) lookLocked() error {
	if l.refused != nil || l.probe == nil {
		return l.refused
	}
	changed, err := l.probe.again()
	if err == nil && changed && l.probe.rights.selective {
		err = errOtherRules
	}
	l.refused = err
	return err
}

// bound comes before something is written: it looks at the rights, and sets how long the
// client may take to read it.
func (l *leash) bound(within time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.lookLocked(); err != nil {
		return err
	}
	l.began = true
	// Not every ResponseWriter has deadlines; then there is no bound to set.
	_ = l.conn.SetWriteDeadline(time.Now().Add(within))
	return nil
}

// release ends the watch. It returns the refusal, if there was one, and whether something
// was sent before: then only cutOff is left.
func (l *leash) release() (refused error, began bool) {
	close(l.over)
	l.watcher.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began {
		_ = l.conn.SetWriteDeadline(time.Time{}) // the connection may serve on
	}
	return l.refused, l.began
}

// cutOff ends an answer that has begun and must not go on: the client sees that it is not
// whole. It does not return.
func (c *call) cutOff(refused error) {
	c.denied(refused)
	if c.s.opts.Audit != nil {
		c.auditAfter(refused)
	}
	panic(http.ErrAbortHandler)
}

// heldWriter is the ResponseWriter of code that is not ours, for as long as its leash holds.
type heldWriter struct {
	http.ResponseWriter
	l *leash
}

func (h *heldWriter) Write(p []byte) (int, error) {
	if err := h.l.bound(writeTimeout); err != nil {
		return 0, err
	}
	return h.ResponseWriter.Write(p)
}

func (h *heldWriter) WriteHeader(status int) {
	if h.l.bound(writeTimeout) == nil {
		h.ResponseWriter.WriteHeader(status)
	}
}

// Unwrap is for http.ResponseController.
func (h *heldWriter) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// held runs what takes a while before it has its answer, in a context that ends with the
// rights to it. The error is the refusal then, and else that of f.
func (c *call) held(f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(c.r.Context())
	defer cancel(nil)
	l := c.leash(cancel)
	err := f(ctx)
	if refused, _ := l.release(); refused != nil {
		return refused
	}
	return err
}
