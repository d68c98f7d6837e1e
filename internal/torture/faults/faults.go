//go:build unix

package faults

import (
	"time"

	"github.com/holdfast-kv/holdfast/internal/faultnet"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
	"github.com/holdfast-kv/holdfast/internal/torture"
)

// fault is something that happens to a cluster.
type fault struct {
	name    string
	least   int  // servers that it needs
	network bool // it needs a network that can be broken
	kernel  bool // it needs network namespaces
	silence bars // what it may cost those whom it spares

	// happen makes it happen: it calls r.hit for each server that it does something to,
	// r.silence for those whose clients must notice, r.begin before, and r.end when the
	// servers are, or are about to be, as before.
	happen func(r *run)
}

// bars are how long no write may succeed. 0 is not judged.
type bars struct{ median, worst time.Duration }

// recovery is how soon servers and watchers must be well again, whatever has happened.
var recovery = torture.Bars{Equal: 5 * time.Second, Late: 500 * time.Millisecond}

const ms = time.Millisecond

// faults are all there are. The bars are promises that the documentation makes.
var faults = []fault{
	{name: "none", least: 1, happen: func(r *run) {
		r.begin()
		r.hold()
		r.end()
	}},

	// As many writes as the machine can take, which it takes from heartbeats, too. No fault,
	// so the leader is to stay.
	{name: "saturate", least: 3, happen: func(r *run) {
		before := r.elections()
		r.begin()
		r.saturate()
		r.end()
		after := r.elections()
		r.tb.Logf("term %d, then %d; leaders missed for a heartbeat timeout: %d times", before.term, after.term, after.missed-before.missed)
		if r.set.judge && after.term != before.term {
			r.tb.Errorf("the term was %d and is %d: the leader was replaced for nothing", before.term, after.term)
		}
	}},

	{name: "kill-leader", least: 1, silence: bars{1000 * ms, 2500 * ms}, happen: func(r *run) {
		killed(r, r.cluster.Leader())
	}},
	{name: "kill-follower", least: 3, silence: bars{0, 300 * ms}, happen: func(r *run) {
		killed(r, r.anyOf(r.cluster.Followers()))
	}},
	{name: "kill-majority", least: 3, happen: func(r *run) {
		victims := append(r.cluster.Followers(), r.cluster.Leader())
		killed(r, victims[(len(victims)-1)/2:]...)
	}},
	{name: "kill-all", least: 1, silence: bars{0, 2500 * ms}, happen: func(r *run) {
		r.hit(r.cluster.Servers()...)
		r.begin()
		for _, s := range r.cluster.Servers() {
			s.Kill9()
		}
		for _, s := range r.cluster.Servers() {
			s.Launch()
		}
		r.end()
	}},

	// A stop is longer than it takes the others to elect another leader.
	{name: "stop-leader", least: 1, silence: bars{0, 3 * time.Second}, happen: func(r *run) {
		leader := r.cluster.Leader()
		r.hit(leader)
		r.silence(leader)
		r.begin()
		leader.Stop()
		r.hold()
		leader.Cont()
		r.end()
	}},

	{name: "cut-leader", least: 3, network: true, silence: bars{0, 3 * time.Second}, happen: func(r *run) {
		cut(r, r.cluster.Leader())
	}},
	{name: "cut-follower", least: 3, network: true, silence: bars{0, 300 * ms}, happen: func(r *run) {
		cut(r, r.anyOf(r.cluster.Followers()))
	}},
	{name: "one-way", least: 3, network: true, silence: bars{0, 300 * ms}, happen: func(r *run) {
		leader := r.cluster.Leader()
		follower := r.anyOf(r.cluster.Followers())
		r.hit(leader, follower)
		r.silence(follower)
		net := r.cluster.Network
		r.begin()
		net.Set(leader.ID(), follower.ID(), faultnet.Condition{Drop: true})
		r.hold()
		net.Heal()
		net.Set(follower.ID(), leader.ID(), faultnet.Condition{Drop: true})
		r.hold()
		net.Heal()
		r.end()
	}},
	{name: "refuse", least: 3, network: true, silence: bars{0, 300 * ms}, happen: func(r *run) {
		leader := r.cluster.Leader()
		follower := r.anyOf(r.cluster.Followers())
		r.hit(leader, follower)
		r.silence(follower)
		r.begin()
		r.cluster.Network.Between(leader.ID(), follower.ID(), faultnet.Condition{Refuse: true})
		r.hold()
		r.cluster.Network.Heal()
		r.end()
	}},
	{name: "delay", least: 3, network: true, happen: func(r *run) {
		r.begin()
		r.cluster.Network.All(faultnet.Condition{Delay: 60 * ms})
		r.hold()
		r.cluster.Network.Heal()
		r.end()
	}},

	// The same, done by the kernel to servers that have a network stack each.
	{name: "kernel-cut-leader", least: 3, kernel: true, silence: bars{0, 3 * time.Second}, happen: func(r *run) {
		kernelCut(r, r.cluster.Leader())
	}},
	{name: "kernel-cut-follower", least: 3, kernel: true, silence: bars{0, 300 * ms}, happen: func(r *run) {
		kernelCut(r, r.anyOf(r.cluster.Followers()))
	}},
	{name: "kernel-one-way", least: 3, kernel: true, silence: bars{0, 300 * ms}, happen: func(r *run) {
		leader := r.cluster.Leader()
		follower := r.anyOf(r.cluster.Followers())
		r.hit(leader, follower)
		r.silence(follower)
		r.begin()
		r.must(r.cluster.Kernel.Drop(leader.ID(), follower.ID()))
		r.hold()
		r.must(r.cluster.Kernel.Heal())
		r.must(r.cluster.Kernel.Drop(follower.ID(), leader.ID()))
		r.hold()
		r.must(r.cluster.Kernel.Heal())
		r.end()
	}},

	// Leadership is handed over first, so that there is always somebody to write to.
	{name: "rolling-restart", least: 3, silence: bars{0, 500 * ms}, happen: func(r *run) {
		r.hit(r.cluster.Servers()...)
		r.begin()
		for _, s := range r.cluster.Servers() {
			s.Term()
			s.Launch()
			r.cluster.AwaitFormed()
		}
		r.end()
	}},
	{name: "add-remove", least: 3, silence: bars{0, 200 * ms}, happen: func(r *run) {
		r.begin()
		added := r.cluster.Add()
		added.Launch()
		r.cluster.AwaitFormed()
		r.hold()
		r.cluster.Remove(added)
		r.gone = append(r.gone, added)
		r.cluster.AwaitFormed()
		r.end()
	}},
	{name: "new-addresses", least: 1, silence: bars{}, happen: func(r *run) {
		r.hit(r.cluster.Servers()...)
		r.begin()
		for _, s := range r.cluster.Servers() {
			s.Kill9()
		}
		for _, s := range r.cluster.Servers() {
			r.cluster.Move(s)
		}
		for _, s := range r.cluster.Servers() {
			s.Launch()
		}
		r.end()
	}},
}

// killed kills servers and starts them again after a while.
func killed(r *run, victims ...*testcluster.Server) {
	r.hit(victims...)
	r.silence(victims...)
	r.begin()
	for _, s := range victims {
		s.Kill9()
	}
	r.hold()
	for _, s := range victims {
		s.Launch()
	}
	r.end()
}

// cut takes a server off the network for a while.
func cut(r *run, s *testcluster.Server) {
	r.hit(s)
	r.silence(s)
	r.begin()
	r.cluster.Network.Isolate(s.ID())
	r.hold()
	r.cluster.Network.Heal()
	r.end()
}

// kernelCut is cut, by taking the server's interface down.
func kernelCut(r *run, s *testcluster.Server) {
	r.hit(s)
	r.silence(s)
	r.begin()
	r.must(r.cluster.Kernel.Isolate(s.ID()))
	r.hold()
	r.must(r.cluster.Kernel.Heal())
	r.end()
}
