package agent

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// How the leader ends what has run out of time. A batch is one log entry, which the writes of others
// that come meanwhile wait for; the pause lets them through when thousands run out together.
const (
	expiryTick   = 100 * time.Millisecond
	expiryBatch  = 64
	expiryPause  = time.Millisecond
	expiryRetry  = time.Second
	renewalCheck = 5 * time.Millisecond
)

// keyGrace is how long a new leader lets keys be whose time is over: while there was
// none nobody could touch them.
const keyGrace = 5 * time.Second

// The state learns from every command how much time has passed. While none comes and
// there are settled sessions, the leader writes one that says nothing else, since what
// the state does not know has not passed for a next leader. It does so seldom: after
// an eighth of the time until the next session is due, at least after
// passedMin; a leader that is new does so after a quarter of the time that it leads,
// so that time goes on though leaders change quickly.
const (
	passedShare = 8
	passedMin   = 5 * time.Second
	passedReign = 4
	passedFirst = 250 * time.Millisecond
)

// expirer ends, while this server leads, the sessions and keys whose time is over, and
// puts into the state what a next leader must know of time.
type expirer struct {
	store     *fsm.Store
	deadlines *deadlines
	propose   proposer
	fresh     func(context.Context) error // returns when this server leads and has applied all
	leads     func() bool
	ready     func() bool // leads, and can write
	now       func() time.Time
	log       hclog.Logger
	closing   <-chan struct{}
}

// begin is a leader's first act, before it serves and before its clock is seen in any
// other command: it takes over the time of sessions. The caller calls deadlines.stop
// when this server no longer leads.
func (x *expirer) begin(ctx context.Context, propose proposer) {
	defer x.deadlines.start(x.store)
	if !hasTimedSession(x.store.View()) {
		return
	}
	if _, err := propose(ctx, &fsm.Command{SessionTime: &fsm.SessionTime{Begin: true}}); err != nil {
		// Nothing ends too early without it. Sessions that were being renewed may begin
		// their time anew with the next leader too.
		x.log.Warn("take over the time of sessions", "error", err)
	}
}

func hasTimedSession(view *fsm.View) bool {
	found := false
	sessions, _ := view.Sessions()
	sessions.List(func(s *session.Session) bool {
		found = s.Lifetime > 0
		return !found
	})
	return found
}

// sessionsChanged is told by the state machine. Nothing at all means that the whole
// state was replaced.
func (x *expirer) sessionsChanged(born []*session.Session, dead []string) {
	if born == nil && dead == nil {
		x.deadlines.restart(x.store)
		return
	}
	x.deadlines.changed(born, dead)
}

// RenewSession begins the time of a session anew; nil when there is none. given is the
// right of who asked for it.
func (a *Agent) RenewSession(ctx context.Context, id string, given *acl.Given) (*session.Session, error) {
	if a.leading.Load() {
		s, err := a.renewHere(ctx, id, given)
		if !errors.Is(err, errNotThere) {
			return s, err
		}
	}
	return a.renewThere(ctx, id, given)
}

func (a *Agent) renewHere(ctx context.Context, id string, given *acl.Given) (*session.Session, error) {
	if err := a.stillGiven(ctx, given); err != nil {
		return nil, err
	}
	return a.expirer.renew(ctx, id)
}

func (x *expirer) renew(ctx context.Context, id string) (*session.Session, error) {
	for {
		if err := x.fresh(ctx); err != nil {
			return nil, err
		}
		view, _ := x.store.View().Sessions()
		s := view.Get(id)
		if s == nil || s.Lifetime == 0 {
			return s, nil
		}
		became, pulse := x.deadlines.renew(s.ID)
		switch became {
		case renewed:
			return s, nil
		case renewalSettled:
			if _, err := x.propose(ctx, &fsm.Command{SessionTime: &fsm.SessionTime{Renewed: []string{s.ID}}}); err != nil {
				return nil, err
			}
			if x.deadlines.revive(pulse) {
				return s, nil
			}
		}
		if !x.leads() {
			return nil, errNotThere
		}
		// Its end is under way, or its creation is not noted yet: soon one or the
		// other is decided.
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-x.closing:
			return nil, httpapi.ErrNoLeader
		case <-time.After(renewalCheck):
		}
	}
}

// renewThere has the leader begin the time of a session anew.
func (a *Agent) renewThere(ctx context.Context, id string, given *acl.Given) (s *session.Session, err error) {
	asked, err := givenToProto(given)
	if err != nil {
		return nil, err
	}
	err = a.askLeader(ctx, func() error {
		s, err = a.renewHere(ctx, id, given)
		return err
	}, func(ctx context.Context, server rpcpb.ServerServiceClient) error {
		r, err := server.RenewSession(ctx, &rpcpb.RenewSessionRequest{Id: id, Given: asked})
		if err != nil || !r.GetFound() {
			return err
		}
		if err := a.store.WaitApplied(ctx, r.GetIndex()); err != nil {
			return err
		}
		view, _ := a.store.View().Sessions()
		s = view.Get(id)
		return nil
	})
	return s, err
}

// run ends what has run out of time until ctx ends.
func (x *expirer) run(ctx context.Context) error {
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !x.ready() {
			continue
		}
		if err := x.sweep(ctx); err != nil {
			return nil
		}
		x.tellPassed(ctx)
	}
}

// sweep ends everything whose time is over. The error is that of ctx.
func (x *expirer) sweep(ctx context.Context) error {
	var ended int
	defer func() {
		if ended > 0 {
			x.log.Info("sessions expired", "sessions", ended)
		}
	}()
	for {
		n, more := x.sessions(ctx)
		ended += n
		if !more && !x.keys(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(expiryPause):
		}
	}
}

// sessions ends one batch of sessions, settles one of others, and tells how many it has ended and
// whether there may be more.
func (x *expirer) sessions(ctx context.Context) (ended int, more bool) {
	over, quiet := x.deadlines.due(expiryBatch)
	ended, ok := x.end(ctx, over)
	return ended, x.settle(ctx, quiet) && ok && max(len(over), len(quiet)) == expiryBatch
}

// end ends sessions and tells how many there were, and whether that could be done.
func (x *expirer) end(ctx context.Context, ids []string) (ended int, ok bool) {
	if len(ids) == 0 {
		return 0, true
	}
	res, err := x.propose(ctx, &fsm.Command{EndSession: &fsm.EndSession{IDs: ids, Expired: true}})
	x.deadlines.giveBack(ids) // those that are still there
	if err != nil {
		x.log.Warn("end sessions whose time is over", "sessions", len(ids), "error", err)
		return 0, false
	}
	return res.Ended, true
}

// settle puts the time of sessions into the state and tells whether that could be
// done. If not they count as settled all the same, as it may have happened.
func (x *expirer) settle(ctx context.Context, quiet []fsm.SessionLeft) bool {
	if len(quiet) == 0 {
		return true
	}
	_, err := x.propose(ctx, &fsm.Command{SessionTime: &fsm.SessionTime{Left: quiet}})
	x.deadlines.isSettled(quiet)
	if err != nil {
		x.log.Warn("put the time of sessions into the state", "sessions", len(quiet), "error", err)
	}
	return err == nil
}

// keys ends one batch of keys and tells whether there may be more.
func (x *expirer) keys(ctx context.Context) bool {
	now := x.now()
	if now.Before(x.deadlines.since().Add(keyGrace)) {
		return false
	}
	keys, _ := x.store.View().Due(now.UnixNano(), expiryBatch)
	if len(keys) == 0 {
		return false
	}
	if _, err := x.propose(ctx, &fsm.Command{
		Expire: keys, Origin: kvs.Origin{Reason: "time to live is over"},
	}); err != nil {
		x.log.Warn("end keys whose time is over", "keys", len(keys), "error", err)
		return false
	}
	return len(keys) == expiryBatch
}

// tellPassed tells the state that time has passed, if it must know and does not.
func (x *expirer) tellPassed(ctx context.Context) {
	next, waiting := x.deadlines.waiting()
	if !waiting {
		return
	}
	now := x.now()
	pause := max(next.Sub(now)/passedShare, passedMin)
	pause = min(pause, max(now.Sub(x.deadlines.since())/passedReign, passedFirst))
	if now.UnixNano()-x.store.View().LastTime() < int64(pause) {
		return
	}
	if _, err := x.propose(ctx, &fsm.Command{SessionTime: &fsm.SessionTime{}}); err != nil {
		x.log.Warn("put the time that has passed into the state", "error", err)
	}
}
