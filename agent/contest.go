package agent

import (
	"context"
	"sync"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// contest spares compare-and-sets that lose their log entry: where many want the same
// key one of them wins, and the others would each pay a flush of the disk to hear that
// they have not.
//
// One that loses is a read: the answer false is true of a state that was current at
// some moment between the request and its answer. So it is given the way a consistent
// read is, by any server. One that may win goes through the log, one for each key and
// server at a time: whoever wants the same key meanwhile waits for its outcome, which
// mostly is that there is no more to win.
type contest struct {
	store   *fsm.Store
	fresh   func(context.Context) error // a consistent read's wait
	propose func(context.Context, *fsm.Command) (fsm.Result, error)
	closing <-chan struct{}

	mu    sync.Mutex
	turns map[string]*turn // by key, as many as requests wait for the log; guarded by mu
}

// turn is a compare-and-set that is on its way through the log.
type turn struct {
	done   chan struct{}
	failed bool // its outcome is not known, or it did not happen; set before done is closed
}

func newContest(store *fsm.Store, closing <-chan struct{}, fresh func(context.Context) error,
	propose func(context.Context, *fsm.Command) (fsm.Result, error),
) *contest {
	return &contest{store: store, fresh: fresh, propose: propose, closing: closing, turns: map[string]*turn{}}
}

// put makes a compare-and-set (see fsm.Command.Compares), or tells that it is lost.
func (x *contest) put(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	for !x.store.View().Refuses(c) {
		t, mine := x.take(c.Write.Key)
		if mine {
			res, err := x.propose(ctx, c)
			x.leave(c.Write.Key, t, err != nil)
			return res, err
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			return fsm.Result{}, httpapi.ErrNoLeader
		case <-x.closing:
			return fsm.Result{}, httpapi.ErrNoLeader
		}
		if t.failed { // there may be no leader: nobody waits for that more than twice
			return x.propose(ctx, c)
		}
	}
	if err := x.fresh(ctx); err != nil {
		return fsm.Result{}, err
	}
	// The state that counts is one from after the request came.
	if v := x.store.View(); v.Refuses(c) && v.Confirms(c.Checked) {
		return fsm.Result{Index: v.Applied()}, nil
	}
	return x.propose(ctx, c)
}

// take begins the turn of a key, or returns the one under way.
func (x *contest) take(key string) (t *turn, mine bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if t := x.turns[key]; t != nil {
		return t, false
	}
	t = &turn{done: make(chan struct{})}
	x.turns[key] = t
	return t, true
}

// leave ends a turn.
func (x *contest) leave(key string, t *turn, failed bool) {
	x.mu.Lock()
	delete(x.turns, key)
	x.mu.Unlock()
	t.failed = failed
	close(t.done)
}
