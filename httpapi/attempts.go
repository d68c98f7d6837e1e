package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// attempts counts the requests of each address whose token nobody issued, and the logins
// that failed, so that guessing is slow. Requests with good tokens and good logins are
// never held up by it, whatever else comes from their address: it is asked only once
// something has turned out to be no good.
//
// Each address has a bucket of failures that are answered as what they are. It fills again
// at an even pace, so that all that is to be kept of one is when it is full.
//
// Source: contract, ACL, section 6.6.
type attempts struct {
	mu     sync.Mutex
	fullAt map[netip.Prefix]time.Time // no entry: it is full; guarded by mu
}

// failed counts one more attempt, where most fit into the bucket of an address and it
// takes per to fill it. It returns how long the client shall stay away, 0 when it has not
// tried too often; what comes meanwhile does not make it longer. A most of 0 or below is
// no bound.
func (a *attempts) failed(client netip.Addr, now time.Time, most int, per time.Duration) time.Duration {
	if !client.IsValid() || most <= 0 { // a Unix socket: whoever gets there needs no guessing
		return 0
	}
	from := wideAddress(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	full, known := a.fullAt[from]
	if full.Before(now) {
		full = now
	}
	if latest := now.Add(per); full.After(latest) { // per was made shorter, or the clock was set back
		full = latest
	}
	full = full.Add(per / time.Duration(most))
	if left := full.Sub(now) - per; left > 0 {
		return left
	}
	if !known {
		a.makeRoomLocked(now)
	}
	a.fullAt[from] = full
	return 0
}

// wideAddress is the address that counts: of IPv6 all that one machine commonly has.
func wideAddress(client netip.Addr) netip.Prefix {
	client = client.WithZone("")
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	p, _ := client.Prefix(bits) // the number of bits is right
	return p
}

// makeRoomLocked keeps the number of addresses bounded. When there are too many it looks
// at some, forgets those whose bucket is full, and if there are none the one that is
// fullest: to look at all of them each time would be work that a client can cause.
func (a *attempts) makeRoomLocked(now time.Time) {
	if a.fullAt == nil {
		a.fullAt = map[netip.Prefix]time.Time{}
	}
	if len(a.fullAt) < limit.AttemptAddresses {
		return
	}
	var fullest netip.Prefix
	var soonest time.Time
	looked := 0
	for from, full := range a.fullAt { // in an order that differs each time
		if !full.After(now) {
			delete(a.fullAt, from)
		}
		if looked == 0 || full.Before(soonest) {
			fullest, soonest = from, full
		}
		if looked++; looked == limit.AttemptLooks {
			break
		}
	}
	delete(a.fullAt, fullest)
}

// tooOften counts what has turned out to be no good. When that happens too often for the
// address of the client, it returns what answers instead; nil otherwise.
func (c *call) tooOften(text string) error {
	s := c.s.settings.Load()
	left := c.s.attempts.failed(c.client(), c.s.opts.ACL.Now(), s.AuthFailures, s.AuthFailuresTime)
	if left == 0 {
		return nil
	}
	return &tooManyError{cause: causeAuthFailures, text: text, after: left}
}
