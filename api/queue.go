package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The recipes of this file are the server's: it keeps the queue, and one request does
// what [Client.Lock] and its kin do with many. They are for programs that cannot keep
// something alive in the background, or want strict order among many waiters. The
// caller keeps its session alive ([Sessions.Lease], [Sessions.Renew]) and finds out by
// itself when it is lost. Only Holdfast servers know them; others answer 404.

// A ServerLock is a lock whose queue the server keeps. It excludes those who use the
// same lock, and not those who lock a key ([Client.Lock]).
type ServerLock struct {
	c    *Client
	name string
}

// ServerLock describes the lock of that name. Nothing is sent.
func (c *Client) ServerLock(name string) ServerLock { return ServerLock{c, name} }

// A Claim is what a session asks for.
type Claim struct {
	// Session is the session that shall hold. With none, TTL and LockDelay are those
	// of an exact session that the server makes: it renews it while the call waits,
	// says its id in [Place.Session], and ends it with the release. From the answer on
	// the caller renews it.
	Session   string
	TTL       time.Duration  // 10s to 24h unless the server is configured otherwise
	LockDelay *time.Duration // nil is the server's 15s

	Shared bool   // hold beside others who share; locks only
	Slots  int    // hold beside others, so many in all; 0 is 1; locks only
	Value  []byte // what others see of the place, of up to 4 KiB; nil leaves it as it is

	// Wait is how long to wait at most; nil as long as the context lasts. 0 looks once
	// and takes no place in the queue.
	Wait *time.Duration
}

// A Place is where a session stands.
type Place struct {
	Name    string // of the lock or election
	Key     string // for [Fence]
	Held    bool
	Session string
	Fence   uint64 // number of the holder, for [Fence]; grows from holder to holder; 0 while it waits
	Place   uint64 // number of the place; 0 when it has none
	Ahead   int    // how many stand before it, holders among them

	Holders       []PlaceInfo // when it waits
	LockDelayLeft string      // how long nobody can hold, because a holder's session has ended; "" for no such reason
}

// A PlaceInfo is one holder, waiter or leader as others see it.
type PlaceInfo struct {
	Session string
	Name    string // of the session
	Node    string // of the session
	Mode    string // "exclusive" or "shared"
	Place   uint64
	Fence   uint64    // 0 for a waiter
	Since   time.Time // when it began to hold, or to wait
	Age     string    // since then
	Value   []byte
}

// A LockInfo is a lock with those who hold it and those who wait for it, each list in
// the order of the queue and cut off at 100 unless [Limit] says otherwise.
type LockInfo struct {
	Name          string
	Key           string
	Slots         uint64 // 0 when nobody is there
	HolderCount   int
	WaiterCount   int
	Holders       []PlaceInfo
	Waiters       []PlaceInfo
	LockDelayLeft string
}

// Acquire waits for the lock. When Wait is over, or 0 and the lock is not free, the
// Place says so with Held false. ErrNoSession when the session does not exist, or has
// ended meanwhile; a [StatusError] with code 409 when the claim does not go together
// with those of others, such as in the number of slots.
//
// A call that has failed may have taken a place. To ask again with the same session is
// to ask for that place; without one it ends by itself.
func (l ServerLock) Acquire(ctx context.Context, claim Claim, opts ...CallOption) (*Place, error) {
	p, err := l.c.claim(ctx, "/v1/lock/", l.name, &claim, opts)
	if err != nil {
		return nil, fmt.Errorf("acquire lock %q: %w", l.name, err)
	}
	return p, nil
}

// Release gives the lock, or the place in its queue, back. It tells whether the session
// had one. A session that was made for it ends.
func (l ServerLock) Release(ctx context.Context, session string, opts ...CallOption) (bool, error) {
	r := argRequest(http.MethodDelete, "/v1/lock/", l.name).calls(opts).set("session", session)
	done, err := l.c.giveBack(ctx, r)
	if err != nil {
		return false, fmt.Errorf("release lock %q: %w", l.name, err)
	}
	return done, nil
}

// Info tells who holds the lock and who waits. It does not block.
func (l ServerLock) Info(ctx context.Context, opts ...ReadOption) (*LockInfo, Meta, error) {
	var info LockInfo
	meta, err := l.c.fetch(ctx, argRequest(http.MethodGet, "/v1/lock/", l.name).reads(opts), &info)
	if err != nil {
		return nil, meta, fmt.Errorf("read lock %q: %w", l.name, err)
	}
	return &info, meta, nil
}

// A ServerElection is an election whose candidates the server keeps in line.
type ServerElection struct {
	c    *Client
	name string
}

// ServerElection describes the election of that name. Nothing is sent.
func (c *Client) ServerElection(name string) ServerElection { return ServerElection{c, name} }

// A Leadership is who leads, if anybody does.
type Leadership struct {
	Name       string
	Leader     *PlaceInfo // nil for nobody
	Candidates int        // in line, without the leader
}

// Campaign waits until the session leads, as [ServerLock.Acquire] does. A leader that
// calls it again with another Value changes what observers see.
func (e ServerElection) Campaign(ctx context.Context, claim Claim, opts ...CallOption) (*Place, error) {
	p, err := e.c.claim(ctx, "/v1/election/", e.name+"/campaign", &claim, opts)
	if err != nil {
		return nil, fmt.Errorf("campaign in election %q: %w", e.name, err)
	}
	return p, nil
}

// Resign gives up leading, or the place in line. It tells whether the session had one.
func (e ServerElection) Resign(ctx context.Context, session string, opts ...CallOption) (bool, error) {
	r := argRequest(http.MethodPost, "/v1/election/", e.name+"/resign").calls(opts).set("session", session)
	done, err := e.c.giveBack(ctx, r)
	if err != nil {
		return false, fmt.Errorf("resign in election %q: %w", e.name, err)
	}
	return done, nil
}

// Observe tells who leads. With [WaitIndex] it waits until that changes, or what the
// leader says.
func (e ServerElection) Observe(ctx context.Context, opts ...ReadOption) (*Leadership, Meta, error) {
	var out Leadership
	meta, err := e.c.fetch(ctx, argRequest(http.MethodGet, "/v1/election/", e.name+"/observe").reads(opts), &out)
	if err != nil {
		return nil, meta, fmt.Errorf("observe election %q: %w", e.name, err)
	}
	return &out, meta, nil
}

// A Group is a set of members, each there as long as its session.
type Group struct {
	c    *Client
	name string
}

// Group describes the group of that name. Nothing is sent.
func (c *Client) Group(name string) Group { return Group{c, name} }

// A GroupMember is one member of a group.
type GroupMember struct {
	Member  string
	Session string // "" for one that was put there without
	Name    string // of the session
	Node    string // of the session
	Since   time.Time
	Age     string // since then
	Value   []byte
}

// Join makes member one of the group as long as the session lives, and returns the id
// of the session: of the claim only Session, TTL, LockDelay and Value count. Who joins
// under a name that is taken takes it over. ErrNoSession when the session does not
// exist.
func (g Group) Join(ctx context.Context, member string, claim Claim, opts ...CallOption) (session string, err error) {
	r := argRequest(http.MethodPut, "/v1/group/", g.name+"/"+member).calls(opts)
	claim.on(r)
	r.repeatable = claim.Session != ""
	var joined struct{ Session string }
	if _, err = g.c.answered(ctx, r, &joined); err != nil {
		return "", fmt.Errorf("join group %q as %q: %w", g.name, member, err)
	}
	return joined.Session, nil
}

// Leave removes a member if it is that session's, and tells whether it was. With an
// empty session it removes it in any case.
func (g Group) Leave(ctx context.Context, member, session string, opts ...CallOption) (bool, error) {
	r := argRequest(http.MethodDelete, "/v1/group/", g.name+"/"+member).calls(opts)
	if session != "" {
		r.set("session", session)
	}
	done, err := g.c.giveBack(ctx, r)
	if err != nil {
		return false, fmt.Errorf("leave group %q as %q: %w", g.name, member, err)
	}
	return done, nil
}

// Members reads the members, in the order of their names. With [WaitIndex] it waits
// until one comes, goes, or changes its value.
func (g Group) Members(ctx context.Context, opts ...ReadOption) ([]GroupMember, Meta, error) {
	var out struct{ Members []GroupMember }
	meta, err := g.c.fetch(ctx, argRequest(http.MethodGet, "/v1/group/", g.name).reads(opts), &out)
	if err != nil {
		return nil, meta, fmt.Errorf("read group %q: %w", g.name, err)
	}
	return out.Members, meta, nil
}

// on puts a claim into a request.
func (claim *Claim) on(r *request) {
	switch {
	case claim.Session != "":
		r.set("session", claim.Session)
	default:
		r.set("ttl", claim.TTL.String())
		if claim.LockDelay != nil {
			r.set("lock-delay", claim.LockDelay.String())
		}
	}
	if claim.Shared {
		r.set("mode", "shared")
	}
	if claim.Slots > 0 {
		r.set("slots", strconv.Itoa(claim.Slots))
	}
	if claim.Wait != nil {
		r.set("wait", strconv.FormatInt(max(claim.Wait.Milliseconds(), 0), 10)+"ms")
	}
	if claim.Value != nil {
		r.body, r.size = bytes.NewReader(claim.Value), int64(len(claim.Value))
	}
}

// claim asks for a place until it holds, or the claim does not want to wait any more.
func (c *Client) claim(ctx context.Context, prefix, arg string, claim *Claim, opts []CallOption) (*Place, error) {
	for {
		began := time.Now()
		r := argRequest(http.MethodPost, prefix, arg).calls(opts)
		claim.on(r)
		r.repeatable = claim.Session != "" // it asks for the same place again
		var p Place
		status, err := c.answered(ctx, r, &p, http.StatusAccepted, http.StatusConflict)
		if err != nil || p.Held || status == http.StatusConflict || claim.Wait != nil {
			return &p, err
		}
		claim.Session = p.Session
		if time.Since(began) < maxRetry { // a server that stops lets nobody wait
			if err := pause(ctx, firstRetry); err != nil {
				return &p, err
			}
		}
	}
}

// giveBack sends a request that is answered true or false.
func (c *Client) giveBack(ctx context.Context, r *request) (done bool, err error) {
	_, err = c.answered(ctx, r, &done)
	return done, err
}

// answered sends r and decodes the answer into v. A status of accept is an answer if
// its body is JSON; a sentence is an error.
func (c *Client) answered(ctx context.Context, r *request, v any, accept ...int) (status int, err error) {
	res, err := c.call(ctx, r, append(accept, http.StatusNotFound)...)
	if err != nil {
		return 0, err
	}
	status = res.StatusCode
	switch {
	case status == http.StatusNotFound:
		defer closeBody(res)
		return status, noSession(statusError(res))
	case status != http.StatusOK && !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json"):
		defer closeBody(res)
		return status, statusError(res)
	}
	return status, c.decode(res, v)
}
