package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// errNotThere says that a request did not reach a leader: it has certainly not
// happened and may be tried elsewhere.
var errNotThere = errors.New("there was no leader")

// Propose puts a command through the log, here or by the leader, and returns what
// became of it. While no leader is known it is held, as long as the configuration
// says. It is tried again only where it certainly did not happen.
//
// The error is httpapi.ErrNoLeader, httpapi.ErrUnknownOutcome, a
// *httpapi.ReadOnlyError, or what the log store said.
func (a *Agent) Propose(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	if c.Compares() && (!a.leading.Load() || a.writable() == nil) {
		return a.contest.put(ctx, c)
	}
	return a.throughLog(ctx, c)
}

// throughLog is Propose for what certainly needs an entry of the log.
func (a *Agent) throughLog(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	res, err := a.proposeOnce(c)
	if !errors.Is(err, errNotThere) {
		return res, err
	}
	held, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer cancel()
	for {
		if err := a.awaitLeader(held, a.writable); err != nil {
			return fsm.Result{}, err
		}
		if res, err = a.proposeOnce(c); !errors.Is(err, errNotThere) {
			return res, err
		}
		if err := a.pause(held); err != nil {
			return fsm.Result{}, err
		}
	}
}

// proposeOnce tries to put a command through, where this server thinks the leader is.
// The error is errNotThere when it should be tried again.
func (a *Agent) proposeOnce(c *fsm.Command) (fsm.Result, error) {
	if a.leading.Load() { // Raft may take it earlier; but a leader registers its node first
		return a.proposeHere(c)
	}
	address := a.otherLeader()
	if address == "" {
		return fsm.Result{}, errNotThere
	}
	return asUnderstood(a.ending(a.toForward(c)), func(c *fsm.Command) (fsm.Result, error) {
		entry, err := fsm.EncodeToStamp(c)
		if err != nil {
			return fsm.Result{}, err
		}
		data, err := a.peers.forward.Propose(address, entry)
		if err != nil {
			return fsm.Result{}, meaning(err)
		}
		return fsm.DecodeResult(data)
	})
}

// otherLeader is where the leader is, if it is another server that is known.
func (a *Agent) otherLeader() string {
	l, _ := a.leader.get()
	if l.id == "" || l.id == a.nodeID || a.peers == nil {
		return ""
	}
	return l.address
}

// meaning translates an error of package rpc.
func meaning(err error) error {
	var refused *rpc.Refused
	switch {
	case errors.Is(err, rpc.ErrNotSent):
		return errNotThere
	case errors.Is(err, rpc.ErrUnknown):
		return httpapi.ErrUnknownOutcome
	case errors.As(err, &refused):
		switch refused.Why {
		case rpcpb.Refusal_REFUSAL_NOT_LEADER:
			return errNotThere
		case rpcpb.Refusal_REFUSAL_UNKNOWN_OUTCOME:
			return httpapi.ErrUnknownOutcome
		case rpcpb.Refusal_REFUSAL_READ_ONLY:
			return &httpapi.ReadOnlyError{Reason: refused.Text}
		case rpcpb.Refusal_REFUSAL_DENIED:
			return &httpapi.DeniedError{Text: refused.Text}
		case rpcpb.Refusal_REFUSAL_NOT_UNDERSTOOD:
			return &notUnderstoodError{text: refused.Text}
		}
		return errors.New(refused.Text) // the leader's words, as they are
	}
	return err
}

// proposeHere puts a command through the log of this server, which leads.
func (a *Agent) proposeHere(c *fsm.Command) (fsm.Result, error) {
	if err := a.writable(); err != nil {
		return fsm.Result{}, err
	}
	data, err := a.encode(c)
	if err != nil {
		return fsm.Result{}, err
	}
	return a.outcome(a.enqueue(data))
}

// enqueue gives an entry to Raft. It must be followed by outcome.
//
// Raft takes what waits for it from a queue of maxAppendEntries places. While fewer
// wait than there are places nobody waits for one, and the timer that would bound that is
// not worth its memory.
func (a *Agent) enqueue(entry []byte) raft.ApplyFuture {
	if a.applying.Add(1) <= maxAppendEntries/2 { // the rest is for Raft's barriers
		return a.raft.Apply(entry, 0)
	}
	return a.raft.Apply(entry, stalled)
}

// outcome waits for what became of a proposal to Raft.
func (a *Agent) outcome(future raft.ApplyFuture) (fsm.Result, error) {
	err := future.Error()
	a.applying.Add(-1)
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fsm.Result{}, errNotThere // it is certain that nothing happened
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fsm.Result{}, httpapi.ErrUnknownOutcome
	case errors.Is(err, raft.ErrRaftShutdown):
		return fsm.Result{}, httpapi.ErrNoLeader
	default:
		return fsm.Result{}, a.storeFailed(err)
	}
	switch answer := future.Response().(type) {
	case fsm.Result:
		return answer, nil
	case error:
		return fsm.Result{}, answer
	default:
		return fsm.Result{}, fmt.Errorf("state machine answered with a %T", answer)
	}
}

// leaderPoll is how often a held request looks for the leader. Only requests that
// come during an election are held, so that a poll is simple and cheap enough.
const leaderPoll = 5 * time.Millisecond

// awaitLeader waits until this server leads and has applied what was committed
// before, or knows another that leads, as long as it makes sense. The error is
// httpapi.ErrNoLeader when ctx ends first.
func (a *Agent) awaitLeader(ctx context.Context, sensible func() error) error {
	for !a.leading.Load() && a.otherLeader() == "" {
		if err := sensible(); err != nil {
			return err
		}
		if err := a.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for a moment, or until the leader changes.
func (a *Agent) pause(ctx context.Context) error {
	_, reign := a.leader.get()
	timer := time.NewTimer(leaderPoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return httpapi.ErrNoLeader
	case <-a.closing:
		return httpapi.ErrNoLeader
	case <-reign.Done():
	case <-timer.C:
	}
	return nil
}

// always is the answer for what makes sense as long as the client waits.
func always() error { return nil }
