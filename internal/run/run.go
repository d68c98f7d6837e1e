package run

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
)

// Group is a set of goroutines with one parent. The zero value is not usable;
// see New. All methods may be called from any goroutine, but Wait and Close not
// from one of the group's own: they would wait for themselves.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	idle    *sync.Cond     // signalled when running drops to empty
	running map[int]string // names by start number; guarded by mu
	started int            // guarded by mu
	closed  bool           // no further Go; guarded by mu
	errs    []error        // guarded by mu
}

// PanicError is what a panic in one of a group's goroutines becomes.
type PanicError struct {
	Name  string // the goroutine's name, as given to Go
	Value any    // what it panicked with
	Stack []byte // where; for the log at debug level, not for a user
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("%s: panic: %v", e.Name, e.Value)
}

// Unwrap gives errors.Is and errors.As the value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// New returns an empty group whose goroutines end when ctx does.
func New(ctx context.Context) *Group {
	g := &Group{running: map[int]string{}}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	g.idle = sync.NewCond(&g.mu)
	return g
}

// Context is done as soon as the group is ending: Close was called, a goroutine
// failed, or the parent's context ended. context.Cause tells which.
func (g *Group) Context() context.Context { return g.ctx }

// Go starts fn in a goroutine called name and reports whether it did: once the
// group is ending, fn is not run.
//
// fn must return soon after its context is done. Returning nil ends only this
// goroutine. Returning an error or panicking ends the group, except that the
// context's own error is not a failure once the context is done.
func (g *Group) Go(name string, fn func(ctx context.Context) error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.ctx.Err() != nil {
		return false
	}
	g.started++
	id := g.started
	g.running[id] = name
	go g.run(id, name, fn)
	return true
}

func (g *Group) run(id int, name string, fn func(ctx context.Context) error) {
	var err error
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Name: name, Value: v, Stack: debug.Stack()}
		}
		g.ended(id, err)
	}()
	err = fn(g.ctx)
	if err != nil && g.ctx.Err() != nil && errors.Is(err, g.ctx.Err()) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
}

func (g *Group) ended(id int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, id)
	if err != nil {
		g.errs = append(g.errs, err)
		g.cancel(err)
	}
	if len(g.running) == 0 {
		g.idle.Broadcast()
	}
}

// Wait returns when no goroutine of the group is running, with the failures of
// those that failed, joined. It does not end anything itself.
func (g *Group) Wait() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.running) > 0 {
		g.idle.Wait()
	}
	return errors.Join(g.errs...)
}

// Close ends the group's context and waits as Wait does. Calling it again waits
// again and returns the same.
func (g *Group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel(context.Canceled)
	return g.Wait()
}

// Running lists the names of the goroutines that have not returned, sorted: what
// a log line about a slow stop should name.
func (g *Group) Running() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.running))
	for _, name := range g.running {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
