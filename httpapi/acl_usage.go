package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// mostUsed is how many tokens the server remembers the use of.
const mostUsed = 100_000

// uses is which tokens were used on this server since it began, when last and from
// where. It is approximate: requests that come at once may be counted as one address or
// the other, and nothing is kept over a restart.
//
// It is asked for with every request, so it is in parts, and finding a token allocates
// nothing.
type uses struct {
	parts  [16]usesPart
	latest atomic.Pointer[netip.Addr] // the address that was kept last; whoever comes from it too shares it
}

type usesPart struct {
	mu sync.RWMutex
	by map[string]*use // by accessor; guarded by mu
}

func (u *uses) part(accessor string) *usesPart {
	if accessor == "" {
		return &u.parts[0]
	}
	return &u.parts[int(accessor[len(accessor)-1])%len(u.parts)]
}

// of returns the use of a token; nil for none.
func (u *uses) of(accessor string) *use {
	p := u.part(accessor)
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.by[accessor]
}

// begin makes room for a token; nil when there is no more.
func (u *uses) begin(accessor string) *use {
	p := u.part(accessor)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.by[accessor] != nil:
		return p.by[accessor]
	case len(p.by) >= mostUsed/len(u.parts):
		return nil
	case p.by == nil:
		p.by = map[string]*use{}
	}
	p.by[accessor] = &use{}
	return p.by[accessor]
}

type use struct {
	requests atomic.Uint64
	last     atomic.Int64               // Unix seconds
	from     atomic.Pointer[netip.Addr] // of the last request; nil: a Unix socket
}

// note counts a request of somebody.
func (u *uses) note(who *acl.Identity, client netip.Addr, now time.Time) {
	one, _ := who.Slot.Load().(*use)
	if one == nil {
		if one = u.of(who.Accessor); one == nil {
			if one = u.begin(who.Accessor); one == nil {
				return
			}
		}
		who.Slot.Store(one)
	}
	one.requests.Add(1)
	if second := now.Unix(); one.last.Load() != second {
		one.last.Store(second)
	}
	if before := one.from.Load(); client.IsValid() && (before == nil || *before != client) {
		one.from.Store(u.address(client))
	}
}

// address keeps an address. Where all come from the same one, as on a host or behind a proxy, it
// is one for all of them, and stays near.
func (u *uses) address(client netip.Addr) *netip.Addr {
	if kept := u.latest.Load(); kept != nil && *kept == client {
		return kept
	}
	kept := client // so that client itself stays where it is cheap
	u.latest.Store(&kept)
	return &kept
}

// tokenUsed is the use of one token on this server.
type tokenUsed struct {
	AccessorID  string
	Node        string // the server that was asked, which knows of no other
	Requests    uint64
	LastUsed    *time.Time `json:",omitempty"` // to the second
	LastAddress string     `json:",omitempty"`
	Since       time.Time  // when the server began to count
}

// tokenUsage answers GET /v1/acl/token/<accessor>/usage. It needs acl:read, unless it is
// about the token of the request.
func (c *call) tokenUsage() error {
	accessor := strings.ToLower(c.arg)
	who, err := c.identity()
	if err != nil {
		return err
	}
	if who.Accessor != accessor {
		if err := c.mayAsk(acl.AccessRead); err != nil {
			return err
		}
	}
	if c.s.node.Store().View().ACL().Token(accessor) == nil {
		return &statusError{http.StatusNotFound, "Requested token does not exist: " + acl.ErrNotFound.Error()}
	}
	shown := tokenUsed{AccessorID: accessor, Node: c.s.opts.NodeName, Since: c.s.began.UTC()}
	if one := c.s.uses.of(accessor); one != nil {
		last := time.Unix(one.last.Load(), 0).UTC()
		shown.Requests, shown.LastUsed = one.requests.Load(), &last
		if from := one.from.Load(); from != nil {
			shown.LastAddress = from.String()
		}
	}
	return c.encode(shown)
}
