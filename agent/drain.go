package agent

import (
	"context"
	"time"

	"github.com/holdfast-kv/holdfast/httpapi"
)

// drainLook is how often a server that leaves looks at what is under way.
const drainLook = 5 * time.Millisecond

// drain is how a server that leaves takes leave of its clients, while it still has its
// place and can answer: first the requests under way end, then the parked queries are
// answered with what there is. It takes as long as performance.leave_drain_time at most.
func (a *Agent) drain(ctx context.Context) {
	a.leavingNow.Store(true)
	ctx, cancel := context.WithTimeout(ctx, a.config().Performance.LeaveDrainTime)
	defer cancel()
	for _, s := range a.servers {
		s.SetKeepAlivesEnabled(false) // the next request of a client finds another server
	}
	idle := func() bool { return a.api.Busy() <= a.api.Parked() }
	if !waitUntil(ctx, idle) {
		a.log.Info("requests are still under way while this server leaves", "number", a.api.Busy()-a.api.Parked())
	}
	a.api.Drain()
	waitUntil(ctx, func() bool { return a.api.Busy() == 0 })
}

// waitUntil tells whether something has come true before ctx ended.
func waitUntil(ctx context.Context, done func() bool) bool {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return done()
		case <-tick.C:
		}
	}
	return true
}

func (a *Agent) checkMember() httpapi.Check {
	if a.leavingNow.Load() {
		return httpapi.Check{Name: "member", Reason: "this server leaves the cluster"}
	}
	if _, removed := a.place.look(a.configuration().Servers); removed {
		return httpapi.Check{Name: "member", Reason: "this server was taken out of the cluster; start it anew, or have it join"}
	}
	return httpapi.Check{Name: "member", OK: true, Reason: "has its place in the cluster"}
}
