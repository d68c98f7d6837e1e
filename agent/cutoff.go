package agent

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// What becomes of the parked queries of a leader that is cut off. The others may choose a
// leader and go on without it, so that what the queries wait for happens elsewhere. They
// are held through an election, which may take long, but this case is none that the
// server could hear of: they are ended within the lease, for which a leader goes on that
// hears of nobody.

// contactLooks is how often in a lease a leader looks when it has heard of the others.
// contactMargin, a part of the lease, is how much before the end of it the parked queries
// of a leader end that is cut off.
const (
	contactLooks  = 16
	contactMargin = 16
)

// lease is how long a leader leads on that hears of no majority.
func (a *Agent) lease() time.Duration {
	return time.Duration(a.config().Performance.RaftMultiplier) * leaderLease
}

// watchContact ends the parked queries of a leader that hears of no majority, just before
// its lease is over. Half of the lease it waits for an answer to a heartbeat, then it asks
// the others itself: a disk or a log that is slow does not hold those answers up.
//
// A server that could not run for a part of that time, since it was stopped or the
// machine has too much to do, does not know whether it was spoken to. There it is left to
// endParkedIfCutOff.
func (a *Agent) watchContact(ctx context.Context) {
	if a.peers == nil {
		return
	}
	w := contactWatch{lease: a.lease(), looked: a.now()}
	tick := time.NewTicker(w.lease / contactLooks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		servers := a.configuration().Servers
		heard := a.majorityHeard(servers)
		wait := w.look(a.now(), heard)
		if wait == 0 {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, wait)
		reached := a.votersReached(asked, servers)
		<-asked.Done() // also when all connections are refused at once: a heartbeat may come
		cancel()
		cut := reached <= countVoters(raft.Configuration{Servers: servers})/2 && !a.majorityHeard(servers).After(heard)
		if w.asked(a.now(), wait, heard) && cut && ctx.Err() == nil {
			a.endParkedCutOff()
		}
	}
}

func (a *Agent) endParkedCutOff() {
	a.log.Warn("this server led, and reaches no majority of the cluster any more: its parked queries end")
	a.api.EndParked()
}

// contactWatch decides when a leader must ask whether the others are there.
type contactWatch struct {
	lease  time.Duration
	looked time.Time // last
	paused time.Time // when the end of a pause of this process was seen last
	about  time.Time // when a majority was heard, that was asked about last
}

// look returns how long to ask for, 0 when there is no need; heard is when a majority was
// heard of last.
func (w *contactWatch) look(now, heard time.Time) time.Duration {
	w.ran(now, 0)
	silent := now.Sub(heard)
	if silent < w.lease/2 || heard.Equal(w.about) || w.unsure(now) {
		return 0
	}
	left := w.lease - w.lease/contactMargin - silent
	if left <= 0 {
		return 0
	}
	w.about = heard
	return left
}

// asked notes that the others were asked, and tells whether it counts that they did not
// answer.
func (w *contactWatch) asked(now time.Time, wait time.Duration, heard time.Time) bool {
	w.ran(now, wait)
	return !w.unsure(now) && now.Sub(heard) < w.lease
}

// ran notes that this process runs, after it has waited for a time on purpose.
func (w *contactWatch) ran(now time.Time, waited time.Duration) {
	if now.Sub(w.looked)-waited > w.lease/4 {
		w.paused = now
	}
	w.looked = now
}

// unsure tells whether the process was paused in the lease that ends now.
func (w *contactWatch) unsure(now time.Time) bool { return now.Sub(w.paused) < w.lease }

// majorityHeard is when this server, which leads, has heard of a majority last, itself
// included: of the others who answered its heartbeats.
func (a *Agent) majorityHeard(servers []raft.Server) time.Time {
	began := time.Unix(0, a.ledSince.Load())
	var times []time.Time
	voters := 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if string(s.ID) != a.nodeID {
			_, at := a.followers.heardOf(s.ID)
			if at.Before(began) {
				at = began
			}
			times = append(times, at)
		}
	}
	return majorityOf(times, voters, a.now())
}

// majorityOf is since when fewer than a majority of the voters was heard of, given when
// each of the others was.
func majorityOf(times []time.Time, voters int, now time.Time) time.Time {
	others := voters / 2 // that are a majority together with this server
	if others == 0 {
		return now
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	if len(times) < others {
		return now // this server has no vote itself, and will not lead for long
	}
	return times[others-1]
}

// endParkedIfCutOff runs when this server leads no more, for the case that watchContact
// could not tell. It takes as long as another lease at most.
func (a *Agent) endParkedIfCutOff(ctx context.Context) error {
	if a.peers == nil {
		return nil
	}
	servers := a.configuration().Servers
	if len(servers) < 2 {
		return nil
	}
	asked, cancel := context.WithTimeout(ctx, a.lease())
	defer cancel()
	reached := a.votersReached(asked, servers)
	if l, _ := a.leader.get(); l.id != "" || ctx.Err() != nil || reached > countVoters(raft.Configuration{Servers: servers})/2 {
		return nil
	}
	a.endParkedCutOff()
	return nil
}

// votersReached is how many of the servers with a vote answer, this one among them.
func (a *Agent) votersReached(ctx context.Context, servers []raft.Server) int {
	var reached atomic.Int64
	var asked sync.WaitGroup
	for _, s := range servers {
		switch {
		case s.Suffrage != raft.Voter:
			continue
		case string(s.ID) == a.nodeID:
			reached.Add(1)
			continue
		}
		asked.Go(func() {
			server, err := a.peers.client.Server(a.addressOf(string(s.ID), string(s.Address)))
			if err != nil {
				return
			}
			if status, err := server.Status(ctx, &rpcpb.StatusRequest{}); err == nil && status.GetNodeId() == string(s.ID) {
				reached.Add(1)
			}
		})
	}
	asked.Wait()
	return int(reached.Load())
}
