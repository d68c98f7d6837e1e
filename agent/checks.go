package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// How the checks of this server expire: a batch is one log entry, and one that could
// not be written is tried again later and later.
const (
	checkBatch    = 64
	checkRetry    = time.Second
	checkRetryMax = 30 * time.Second
)

// expiredOutput begins the output of a check whose time is over.
//
// Source: contract, agent, section 6.
const expiredOutput = "TTL expired ("

// localChecks times the TTL checks of this server's own node: without news for its
// TTL a check becomes critical. The times are wall-clock state of this server alone
// and never enter the log; what becomes of a check is a command. After a start every
// time begins anew.
type localChecks struct {
	self    func() *catalog.Registration // this server's node
	store   *fsm.Store
	propose proposer
	now     func() time.Time
	log     hclog.Logger

	mu    sync.Mutex
	byID  map[string]*timedCheck // guarded by mu
	round int                    // of follow; guarded by mu
}

// timedCheck is one TTL check.
type timedCheck struct {
	row   *catalog.Check // as it was last seen
	round int            // of follow in which that was
	due   time.Time      // when it expires; zero: it has

	// reap is when the service of the check is removed, if it stays critical until
	// then; zero: never.
	reap time.Time

	// busy is closed when the command that is under way for this check is through;
	// nil when there is none.
	busy chan struct{}
}

func newLocalChecks(self func() *catalog.Registration, store *fsm.Store, propose proposer, now func() time.Time, log hclog.Logger) *localChecks {
	return &localChecks{self: self, store: store, propose: propose, now: now, log: log, byID: map[string]*timedCheck{}}
}

// HeardOfCheck begins the time of a check anew. It returns when that is certain: an
// expiry that was already under way is in the state then.
func (a *Agent) HeardOfCheck(ctx context.Context, id string) error { return a.checks.heardOf(ctx, id) }

func (l *localChecks) heardOf(ctx context.Context, id string) error {
	for {
		l.mu.Lock()
		t := l.byID[id]
		if t == nil { // not a TTL check, or so new that its time has yet to begin
			l.mu.Unlock()
			return nil
		}
		if t.busy == nil {
			t.due = l.now().Add(t.row.TTL)
			l.mu.Unlock()
			return nil
		}
		busy := t.busy
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return fmt.Errorf("wait for the expiry of check %s: %w", id, context.Cause(ctx))
		}
	}
}

// timeChecks times the checks of this server once it has caught up.
func (a *Agent) timeChecks(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.caughtUp:
	}
	return a.checks.run(ctx)
}

// run times the checks. It is to begin when this server has caught up, so that no
// time runs while nobody could be heard.
func (l *localChecks) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := checkRetry
	for {
		watch := l.store.Topics().WatchKey(fsm.TopicChecks)
		l.follow(l.store.View().Catalog())
		next, err := l.act(ctx)
		changed := watch.C
		if err == nil {
			retry = checkRetry
		} else {
			if ctx.Err() == nil {
				l.log.Warn("end the time of checks", "error", err, "again_in", retry)
			}
			// Until then, changes of the state bring no new attempt: there may be many.
			next, changed = l.now().Add(retry), nil
			retry = min(2*retry, checkRetryMax)
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(next.Sub(l.now()))
		}
		select {
		case <-ctx.Done():
			watch.Stop()
			return nil
		case <-changed:
		case <-watch.Reset:
		case <-timer.C:
		}
		watch.Stop()
	}
}

// follow takes over what has changed in the state. The time of a check begins when
// it is first seen, and anew when somebody changes it.
func (l *localChecks) follow(view catalog.View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.round++
	view.Checks(l.self().Node.Name, func(c *catalog.Check) bool {
		if c.Type != catalog.TypeTTL || c.TTL <= 0 {
			return true
		}
		t := l.byID[c.ID]
		if t == nil {
			t = &timedCheck{}
			l.byID[c.ID] = t
		}
		if t.row != c {
			t.see(c, now)
		}
		t.round = l.round
		return true
	})
	for id, t := range l.byID {
		if t.round != l.round {
			delete(l.byID, id)
		}
	}
}

// see takes over a check that was added or changed.
func (t *timedCheck) see(c *catalog.Check, now time.Time) {
	wasCritical := t.row != nil && t.row.Status == catalog.Critical && t.row.CreateIndex == c.CreateIndex
	t.row = c
	t.due = now.Add(c.TTL)
	if hasExpired(c) {
		t.due = time.Time{}
	}
	switch {
	case c.Status != catalog.Critical, c.ReapAfter() == 0:
		t.reap = time.Time{}
	case !wasCritical, t.reap.IsZero():
		t.reap = now.Add(c.ReapAfter())
	}
}

func hasExpired(c *catalog.Check) bool {
	return c.Status == catalog.Critical && strings.HasPrefix(c.Output, expiredOutput)
}

// act does what is due and returns when something is next.
func (l *localChecks) act(ctx context.Context) (next time.Time, err error) {
	for {
		expired, reaped := l.takeDue()
		if len(expired)+len(reaped) == 0 {
			return l.next(), nil
		}
		if err := l.expire(ctx, expired); err != nil {
			l.release(reaped)
			return time.Time{}, err
		}
		for i, t := range reaped {
			if err := l.reap(ctx, t); err != nil {
				l.release(reaped[i:])
				return time.Time{}, err
			}
		}
	}
}

// takeDue takes what is due, one batch of it, for a command to be made of it.
func (l *localChecks) takeDue() (expired, reaped []*timedCheck) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, t := range l.byID {
		switch {
		case t.busy != nil:
		case !t.reap.IsZero() && !now.Before(t.reap):
			reaped = append(reaped, t)
		case !t.due.IsZero() && !now.Before(t.due):
			expired = append(expired, t)
		}
	}
	// Those that wait longest first, so that none waits for ever.
	slices.SortFunc(expired, func(a, b *timedCheck) int { return a.due.Compare(b.due) })
	expired = expired[:min(len(expired), checkBatch)]
	for _, t := range slices.Concat(expired, reaped) {
		t.busy = make(chan struct{})
	}
	return expired, reaped
}

// expire makes checks critical, those that nobody has changed since they were seen.
func (l *localChecks) expire(ctx context.Context, expired []*timedCheck) error {
	if len(expired) == 0 {
		return nil
	}
	r := &catalog.Registration{Node: l.self().Node}
	for _, t := range expired {
		c := *t.row
		c.Status, c.Output = catalog.Critical, expiredText(&c)
		r.Checks = append(r.Checks, c)
	}
	defer l.release(expired)
	if _, err := l.propose(ctx, &fsm.Command{Register: r}); err != nil {
		return err
	}
	l.settle(expired, func(t *timedCheck) { t.due = time.Time{} })
	l.log.Info("checks expired", "checks", len(expired), "first", expired[0].row.ID)
	return nil
}

// expiredText says what was last heard, within the bound that a report has too.
func expiredText(c *catalog.Check) string {
	text := expiredOutput + "no news for " + c.TTL.String()
	if c.Output != "" && !strings.HasPrefix(c.Output, expiredOutput) {
		text += "; last: " + c.Output
	}
	return text + ")"
}

// reap removes the service of a check that has been critical for too long.
func (l *localChecks) reap(ctx context.Context, t *timedCheck) error {
	d := &fsm.Deregistration{Node: l.self().Node.Name, ServiceID: t.row.ServiceID}
	if _, err := l.propose(ctx, &fsm.Command{Deregister: d}); err != nil {
		return err
	}
	l.settle([]*timedCheck{t}, func(t *timedCheck) { t.reap = time.Time{} })
	l.log.Info("service removed that was critical for too long", "service", d.ServiceID, "check", t.row.ID, "after", t.row.ReapAfter())
	l.release([]*timedCheck{t})
	return nil
}

// settle notes what was done. What it brought about is seen in the state next.
func (l *localChecks) settle(checks []*timedCheck, note func(*timedCheck)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range checks {
		note(t)
	}
}

// release gives checks back whose command is through, or has failed.
func (l *localChecks) release(checks []*timedCheck) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range checks {
		close(t.busy)
		t.busy = nil
	}
}

// next is when the first of the checks is due; zero when none will be.
func (l *localChecks) next() (first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.byID {
		for _, at := range []time.Time{t.due, t.reap} {
			if !at.IsZero() && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}
