package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// attempts counts the requests of each address whose token nobody issued, so that
// guessing is slow. Requests with good tokens are never held up by it, whatever else
// comes from their address: it is asked only once a token has turned out to be unknown.
//
// Source: contract, ACL, section 6.6.
type attempts struct {
	mu sync.Mutex
	by map[netip.Prefix]attempt // guarded by mu
}

type attempt struct {
	count int
	until time.Time // when counting begins anew
}

// failed counts one more attempt. It returns how long the client shall stay away, 0 when
// it has not tried too often.
func (a *attempts) failed(client netip.Addr, now time.Time) time.Duration {
	if !client.IsValid() { // a Unix socket: whoever gets there needs no guessing
		return 0
	}
	from := wideAddress(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	one, known := a.by[from]
	if !known || !now.Before(one.until) {
		a.makeRoomLocked(now)
		one = attempt{until: now.Add(limit.AttemptsTime)}
	}
	one.count++
	a.by[from] = one
	if one.count <= limit.Attempts {
		return 0
	}
	return one.until.Sub(now)
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

// makeRoomLocked keeps the number of addresses bounded. When all of them are busy, any
// one is forgotten.
func (a *attempts) makeRoomLocked(now time.Time) {
	if a.by == nil {
		a.by = map[netip.Prefix]attempt{}
	}
	if len(a.by) < limit.AttemptAddresses {
		return
	}
	for from, one := range a.by {
		if !now.Before(one.until) {
			delete(a.by, from)
		}
	}
	for from := range a.by {
		if len(a.by) < limit.AttemptAddresses {
			return
		}
		delete(a.by, from)
	}
}
