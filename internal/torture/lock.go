package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The lock that contenders on every server fight for, and what it guards.
const (
	lockKey    = "torture/lock/key"
	guardedKey = "torture/lock/guarded"
)

const (
	lockTTL    = 10 * time.Second      // the shortest there is
	renewEvery = 2 * time.Second       // how often a contender renews its session
	holdFor    = 10 * time.Millisecond // longest time a contender holds the lock by its own will
	lockPause  = 10 * time.Millisecond // longest pause between two attempts
)

// contender takes the lock again and again through one server, with a session of its own.
type contender struct {
	load   *Load
	client *client
	rand   *rand.Rand

	session string
	renewed time.Duration // when the last renewal that was answered began

	mu      sync.Mutex
	tenures []tenure      // guarded by mu
	guarded []fencedWrite // guarded by mu
	wrong   int           // fenced writes that were refused; guarded by mu
}

// tenure is one time of holding the lock, as the holder saw it: surely from the answer
// until it let go, or until its session may have ended for want of renewals.
type tenure struct {
	session    string
	server     int
	fence      uint64
	asked      time.Duration
	from, till time.Duration
}

// fencedWrite is a write under the lock that was acknowledged.
type fencedWrite struct {
	fence, index uint64
	server       int
}

func (l *Load) startContender(c *client, seeds *rand.Rand) {
	k := &contender{load: l, client: c, rand: source(seeds)}
	l.locks = append(l.locks, k)
	l.writes.Go(func() { k.run(l.writing) })
}

func (k *contender) run(ctx context.Context) {
	for ctx.Err() == nil {
		if k.keepSession(ctx) && k.tenure(ctx) {
			rest(ctx, k.upTo(lockPause))
		} else {
			rest(ctx, afterError)
		}
	}
	k.giveUp()
}

func (k *contender) upTo(d time.Duration) time.Duration {
	return time.Duration(k.rand.Int64N(int64(d)))
}

// keepSession makes a session, or renews the one there is when it is time. It reports
// whether there is one that lives.
func (k *contender) keepSession(ctx context.Context) bool {
	call := k.load.Elapsed()
	if k.session == "" {
		body := fmt.Sprintf(`{"Name":"torture","TTL":"%s","Grace":"0s","LockDelay":"0s","Behavior":"release"}`, lockTTL)
		a := k.client.do(ctx, http.MethodPut, "/v1/session/create", body)
		var created struct{ ID string }
		if a.outcome != done || json.Unmarshal(a.body, &created) != nil || created.ID == "" {
			return false
		}
		k.session, k.renewed = created.ID, call
		return true
	}
	if call-k.renewed < renewEvery {
		return true
	}
	a := k.client.do(ctx, http.MethodPut, "/v1/session/renew/"+k.session, "")
	switch {
	case a.outcome == done && a.status == http.StatusNotFound:
		k.session = "" // it has ended
		return false
	case a.outcome == done:
		k.renewed = call
		return true
	}
	return call-k.renewed < lockTTL // it may live
}

// tenure tries to take the lock, and holds it for a while if it can. It reports
// whether all requests were answered.
func (k *contender) tenure(ctx context.Context) bool {
	asked := k.load.Elapsed()
	a := k.client.do(ctx, http.MethodPut, "/v1/kv/"+lockKey+"?acquire="+k.session, "held by "+k.session)
	switch {
	case a.outcome == unknown && strings.Contains(strings.ToLower(a.reason), "invalid session"):
		k.session = ""
		return false
	case a.outcome == refused:
		return false
	case a.outcome == unknown: // it may be ours now
		return k.release(ctx)
	case !a.yes():
		return true
	}
	t := tenure{session: k.session, server: k.client.id, fence: a.fence, asked: asked, from: k.load.Elapsed()}
	ok := k.guardedWrite(ctx, a.fence)
	rest(ctx, k.upTo(holdFor))
	ok = k.guardedWrite(ctx, a.fence) && ok // by then another may believe that it is the holder
	t.till = min(k.load.Elapsed(), k.renewed+lockTTL)
	k.mu.Lock()
	k.tenures = append(k.tenures, t)
	k.mu.Unlock()
	return k.release(ctx) && ok
}

// guardedWrite writes what the lock guards, with the number that says whose turn it is.
func (k *contender) guardedWrite(ctx context.Context, fence uint64) bool {
	if fence == 0 {
		return true // the server gives none
	}
	n := strconv.FormatUint(fence, 10)
	val := fmt.Sprintf("%s at %s", n, k.load.Elapsed()) // new each time, so that it has an index of its own
	a := k.client.do(ctx, http.MethodPut, "/v1/kv/"+guardedKey+"?fence="+lockKey+":"+n, val)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case a.outcome == done && a.status == http.StatusConflict:
		k.wrong++
	case a.outcome == done && a.index > 0:
		k.guarded = append(k.guarded, fencedWrite{fence, a.index, k.client.id})
	}
	return a.outcome == done
}

// release gives the lock back, and asks until it knows that it did, or until the session
// has ended.
func (k *contender) release(ctx context.Context) bool {
	for {
		a := k.client.do(ctx, http.MethodPut, "/v1/kv/"+lockKey+"?release="+k.session, "free")
		if a.outcome == done {
			return true
		}
		if k.load.Elapsed()-k.renewed > lockTTL {
			return false
		}
		if !rest(ctx, afterError) {
			return false
		}
	}
}

// giveUpLimit is how long a contender tries to end its session at the end of the load.
const giveUpLimit = 2 * time.Second

// giveUp ends the session, so that a later load finds the lock free.
func (k *contender) giveUp() {
	if k.session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.load.writing), giveUpLimit)
	defer cancel()
	k.client.do(ctx, http.MethodPut, "/v1/session/destroy/"+k.session, "") // else it ends by its TTL
}

// checkLocks compares what the holders of the lock believed. The load has ended.
func (l *Load) checkLocks(r *Result) {
	var tenures []tenure
	var writes []fencedWrite
	for _, k := range l.locks {
		k.mu.Lock()
		tenures = append(tenures, k.tenures...)
		writes = append(writes, k.guarded...)
		r.Fenced += k.wrong
		k.mu.Unlock()
	}
	r.Tenures = len(tenures)
	for _, fault := range overlaps(tenures) {
		l.faults.add("lock: %s", fault)
	}
	for _, fault := range lateWrites(writes) {
		l.faults.add("under the lock: %s", fault)
	}
}

// overlaps are the pairs of tenures that cannot both have been: at the same time, or
// with numbers that are not in their order.
func overlaps(tenures []tenure) []string {
	slices.SortFunc(tenures, func(a, b tenure) int { return int(a.from - b.from) })
	var faults []string
	for i := 1; i < len(tenures); i++ {
		a, b := tenures[i-1], tenures[i]
		if a.till > b.from {
			faults = append(faults, fmt.Sprintf("the lock has two holders: session %s on server %d until %s, session %s on server %d from %s",
				a.session, a.server, a.till, b.session, b.server, b.from))
		}
		// The answers may come in another order than the numbers only if the second was
		// asked for before the first was answered. A holder that does not know whether it
		// let go, and asks again, may have the number that it had.
		same := a.session == b.session && a.fence == b.fence
		if b.asked > a.from && b.fence <= a.fence && !same && (a.fence != 0 || b.fence != 0) {
			faults = append(faults, fmt.Sprintf("fencing numbers do not grow: %d at %s, later %d at %s", a.fence, a.from, b.fence, b.from))
		}
		if a.till > b.till { // it reaches over the next: compare it with the one after, too
			tenures[i].till = a.till
		}
	}
	return faults
}

// lateWrites are the writes under the lock that came after one of a later holder.
func lateWrites(writes []fencedWrite) []string {
	slices.SortFunc(writes, func(a, b fencedWrite) int {
		switch {
		case a.index < b.index:
			return -1
		case a.index > b.index:
			return 1
		}
		return 0
	})
	var faults []string
	for i := 1; i < len(writes); i++ {
		if a, b := writes[i-1], writes[i]; b.fence < a.fence {
			faults = append(faults, fmt.Sprintf("server %d: a write of the holder with number %d was taken at index %d, after one with number %d at index %d",
				b.server, b.fence, b.index, a.fence, a.index))
		}
	}
	return faults
}
