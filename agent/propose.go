package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// Propose puts a command through the log and returns what became of it. While no
// leader is known it is held, as long as the configuration says. It is tried
// again only where it certainly did not happen.
//
// The error is httpapi.ErrNoLeader, httpapi.ErrUnknownOutcome, a
// *httpapi.ReadOnlyError, or what the log store said.
func (a *Agent) Propose(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	if err := a.writable(); err != nil {
		return fsm.Result{}, err
	}
	if !a.leading.Load() { // Raft may take it already; but a leader registers its node first
		held, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
		err := a.awaitLeadership(held, a.writable)
		cancel()
		if err != nil {
			return fsm.Result{}, err
		}
	}
	data, err := fsm.Encode(c, a.now().UnixNano())
	if err != nil {
		return fsm.Result{}, err
	}
	future := a.raft.Apply(data, stalled)
	if future.Error() != nil {
		if future, err = a.proposeAgain(ctx, data, future.Error()); err != nil {
			return fsm.Result{}, err
		}
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

// proposeAgain is what follows a proposal that Raft did not take.
func (a *Agent) proposeAgain(ctx context.Context, data []byte, err error) (raft.ApplyFuture, error) {
	deadline, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer cancel()
	for {
		switch {
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
			// It is certain that nothing happened.
		case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
			return nil, httpapi.ErrUnknownOutcome
		case errors.Is(err, raft.ErrRaftShutdown):
			return nil, httpapi.ErrNoLeader
		default:
			return nil, a.storeFailed(err)
		}
		if err := a.awaitLeadership(deadline, a.writable); err != nil {
			return nil, err
		}
		future := a.raft.Apply(data, stalled)
		if err = future.Error(); err == nil {
			return future, nil
		}
	}
}

// leaderPoll is how often a held request looks for the leader. Only requests that
// come during an election are held, so that a poll is simple and cheap enough.
const leaderPoll = 5 * time.Millisecond

// awaitLeadership waits until this server leads and has applied what was
// committed before, as long as it makes sense. The error is httpapi.ErrNoLeader
// when ctx ends first.
func (a *Agent) awaitLeadership(ctx context.Context, sensible func() error) error {
	tick := time.NewTicker(leaderPoll)
	defer tick.Stop()
	for !a.leading.Load() {
		if err := sensible(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return httpapi.ErrNoLeader
		case <-a.closing:
			return httpapi.ErrNoLeader
		case <-tick.C:
		}
	}
	return sensible()
}

// always is the answer for what makes sense as long as the client waits.
func always() error { return nil }
