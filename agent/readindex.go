package agent

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/httpapi"
)

// ReadIndex returns when the local state is fresh enough for a read: at once for a
// stale one on a server that has caught up once; otherwise when this server has
// made sure, after the request came, that it leads. Every write that was
// acknowledged before is in the state then, since a leader acknowledges only what
// it has applied.
func (a *Agent) ReadIndex(ctx context.Context, mode httpapi.Mode) (httpapi.Contact, error) {
	if a.leading.Load() && (mode == httpapi.Stale || a.soleVoter.Load()) {
		return httpapi.Contact{KnownLeader: true}, nil
	}
	return a.readIndexSlow(ctx, mode)
}

func (a *Agent) readIndexSlow(ctx context.Context, mode httpapi.Mode) (httpapi.Contact, error) {
	ctx, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer cancel()
	if mode == httpapi.Stale {
		select {
		case <-a.caughtUp:
			return a.Contact(), nil
		case <-ctx.Done():
			return httpapi.Contact{}, httpapi.ErrNotReady
		case <-a.closing:
			return httpapi.Contact{}, httpapi.ErrNotReady
		}
	}
	for {
		if err := a.awaitLeadership(ctx, always); err != nil {
			return httpapi.Contact{}, err
		}
		if a.soleVoter.Load() || a.verifier.verify(ctx) == nil {
			return httpapi.Contact{KnownLeader: true}, nil
		}
		if ctx.Err() != nil {
			return httpapi.Contact{}, httpapi.ErrNoLeader
		}
	}
}

// Contact tells what this server knows of the leader.
func (a *Agent) Contact() httpapi.Contact {
	if a.raft.State() == raft.Leader {
		return httpapi.Contact{KnownLeader: true}
	}
	address, _ := a.raft.LeaderWithID()
	contact := httpapi.Contact{KnownLeader: address != ""}
	if last := a.raft.LastContact(); !last.IsZero() {
		contact.LastContact = a.now().Sub(last)
	}
	return contact
}

// verifier shares rounds of leadership verification: who asks while a round is
// under way rides on the next one, for the one under way may have begun before
// a write that the asker must see.
type verifier struct {
	check func() error  // one round with a majority
	kick  chan struct{} // of capacity 1: somebody waits

	mu   sync.Mutex
	next *round // guarded by mu
}

type round struct {
	done chan struct{}
	err  error // set before done is closed
}

func newVerifier(check func() error) *verifier {
	return &verifier{check: check, kick: make(chan struct{}, 1)}
}

// verify waits for a round that begins after the call.
func (v *verifier) verify(ctx context.Context) error {
	v.mu.Lock()
	if v.next == nil {
		v.next = &round{done: make(chan struct{})}
	}
	r := v.next
	v.mu.Unlock()
	select {
	case v.kick <- struct{}{}:
	default: // it will look anyway
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run makes one round after the other as long as somebody waits.
func (v *verifier) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.kick:
		}
		v.mu.Lock()
		r := v.next
		v.next = nil
		v.mu.Unlock()
		if r != nil {
			r.err = v.check()
			close(r.done)
		}
	}
}
