package agent

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// ReadIndex returns when the local state is fresh enough for a read: at once for a
// stale one on a server that has caught up once; otherwise when it has everything
// that was acknowledged, or seen by anybody, before the request came.
//
// A leader makes sure, after the request came, that it still leads; another server
// asks the leader for the index that such a round confirms, or that its own question
// does, and waits until it has applied as much itself. Everybody who comes while a
// round is under way shares the next.
func (a *Agent) ReadIndex(ctx context.Context, mode httpapi.Mode) (httpapi.Contact, error) {
	if a.leading.Load() && (mode == httpapi.Stale || a.alone.Load()) {
		return httpapi.Contact{KnownLeader: true}, nil
	}
	if mode != httpapi.Stale && (a.leading.Load() || a.otherLeader() != "") {
		// Nearly always the first round tells. It ends by itself, so that this read needs
		// no timer of its own.
		began := time.Now()
		index, err := a.verifier.verify(ctx)
		if err == nil && a.store.Applied() >= index {
			a.reachedCommitted()
			return httpapi.Contact{KnownLeader: true}, nil
		}
		return a.readIndexSlow(ctx, mode, began)
	}
	return a.readIndexSlow(ctx, mode, time.Now())
}

// readIndexSlow is ReadIndex for a read that began at a time and has to wait.
func (a *Agent) readIndexSlow(ctx context.Context, mode httpapi.Mode, began time.Time) (httpapi.Contact, error) {
	held, cancel := context.WithDeadline(ctx, began.Add(a.config().RPCHoldTimeout))
	defer cancel()
	if mode == httpapi.Stale {
		select {
		case <-a.caughtUp:
			return a.Contact(), nil
		case <-held.Done():
			return httpapi.Contact{}, httpapi.ErrNotReady
		case <-a.closing:
			return httpapi.Contact{}, httpapi.ErrNotReady
		}
	}
	for {
		if err := a.awaitLeader(held, always); err != nil {
			return httpapi.Contact{}, err
		}
		index, err := a.verifier.verify(held)
		if err == nil {
			if err := a.store.WaitApplied(held, index); err != nil {
				return httpapi.Contact{}, httpapi.ErrNotReady
			}
			a.reachedCommitted()
			return httpapi.Contact{KnownLeader: true}, nil
		}
		if held.Err() != nil {
			return httpapi.Contact{}, httpapi.ErrNoLeader
		}
		if err := a.pause(held); err != nil {
			return httpapi.Contact{}, err
		}
	}
}

// verifyTimeout bounds one round of verification, so that those who wait for it can
// be told, or try another leader.
const verifyTimeout = 2 * time.Second

// readIndexRound returns the index of a command that all reads must see which began
// before the round did.
func (a *Agent) readIndexRound(ctx context.Context) (uint64, error) {
	if a.leading.Load() {
		return a.readIndexHere(ctx)
	}
	// Of a leader that is none any more nothing is heard. The reign is taken before the
	// address: it must not be that of the next one.
	_, reign := a.leader.get()
	address := a.otherLeader()
	if address == "" || ctx.Err() != nil {
		return 0, errNotThere
	}
	ctx, cancel := context.WithTimeout(reign, verifyTimeout)
	defer cancel()
	server, err := a.peers.client.Server(address)
	if err != nil {
		return 0, err
	}
	r, err := server.ReadIndex(ctx, &rpcpb.ReadIndexRequest{Id: a.nodeID, Term: a.raft.CurrentTerm()})
	if err != nil {
		return 0, rpc.AsError(err)
	}
	if now := (heardLeader{reign, r.GetChecksRights()}); a.heard.Load() == nil || *a.heard.Load() != now {
		a.heard.Store(&now)
	}
	return r.GetIndex(), nil
}

// readIndexHere is the round of a leader.
func (a *Agent) readIndexHere(ctx context.Context) (uint64, error) {
	_, reign := a.leader.get()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(reign, verifyTimeout)
	defer cancel()
	term := a.ledTerm.Load() // first: everything of before it is committed
	commit := a.raft.CommitIndex()
	if !a.alone.Load() {
		if err := a.verifyLeader(ctx, term); err != nil {
			return 0, err
		}
	}
	return a.reached(ctx, commit)
}

// verifyLeader makes sure that this server has led a term until now.
//
// Raft's library takes any answer of any server for a confirmation, also of one without a vote, and
// to what was sent long before: after a pause of this process there may be one in its sockets that
// was given before another server became leader. So its word ends the wait of a leader
// that is none any more; what counts is what followers answer to what is sent from here on, which it
// has them send.
func (a *Agent) verifyLeader(ctx context.Context, term uint64) error {
	round := a.followers.begin()
	if a.raft.VerifyLeader().Error() != nil {
		return errNotThere
	}
	if err := a.followers.confirm(ctx, a.configuration, raft.ServerID(a.nodeID), term, round); err != nil {
		return err
	}
	if a.raft.CurrentTerm() != term { // last: until now the configuration was one of that term
		return errNotThere
	}
	return nil
}

// confirms tells whether a question of another server is as good as a round: that server and this
// one are a majority, and are in the term that this one leads, the other one after the reads came
// that it asks for. Neither can have given a later leader its vote by then; so there was none, and
// nothing was acknowledged that is not committed here. In a cluster of three that is every question
// of a voter.
func (a *Agent) confirms(asks rpc.Asker) bool {
	term := a.ledTerm.Load() // first, as in readIndexHere
	pair := isMajority(a.configuration(), func(id raft.ServerID) bool {
		return id == raft.ServerID(a.nodeID) || id == raft.ServerID(asks.ID)
	})
	return pair && asks.Term == term &&
		a.raft.CurrentTerm() == term && a.raft.State() == raft.Leader // last, as in verifyLeader
}

// reached waits until this server has applied what the log has up to commit, and returns the index of
// the last command that it has applied. What is committed may have been seen on a follower that
// applied it earlier.
func (a *Agent) reached(ctx context.Context, commit uint64) (uint64, error) {
	if err := a.store.WaitReached(ctx, commit); err != nil {
		return 0, err
	}
	return a.store.Applied(), nil
}

// catchUp finds out, once after the start, when this server has applied what the
// cluster had committed: from then on it answers stale reads.
func (a *Agent) catchUp(ctx context.Context) error {
	for {
		select {
		case <-a.caughtUp:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(catchUpPause):
		}
		_, _ = a.readIndexSlow(ctx, httpapi.Default, time.Now()) // notes it
	}
}

// catchUpPause is between two looks at whether this server has caught up.
const catchUpPause = 10 * time.Millisecond

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
	check func(context.Context) (uint64, error) // one round
	kick  chan struct{}                         // of capacity 1: somebody waits

	mu    sync.Mutex
	next  *round // guarded by mu
	ended bool   // there will be no other round; guarded by mu
}

type round struct {
	done  chan struct{}
	index uint64 // this and the error are set before done is closed
	err   error
}

func newVerifier(check func(context.Context) (uint64, error)) *verifier {
	return &verifier{check: check, kick: make(chan struct{}, 1)}
}

// verify waits for a round that begins after the call, and returns its index.
func (v *verifier) verify(ctx context.Context) (uint64, error) {
	v.mu.Lock()
	if v.ended {
		v.mu.Unlock()
		return 0, errNotThere
	}
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
		return r.index, r.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// run makes one round after the other as long as somebody waits.
func (v *verifier) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			v.end()
			return nil
		case <-v.kick:
		}
		v.mu.Lock()
		r := v.next
		v.next = nil
		v.mu.Unlock()
		if r != nil {
			r.index, r.err = v.check(ctx)
			close(r.done)
		}
	}
}

// end answers who still waits, and whoever comes later.
func (v *verifier) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	if r := v.next; r != nil {
		v.next, r.err = nil, errNotThere
		close(r.done)
	}
}
