package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// The recipes are locks, elections and groups in one request each. All that they
// decide is decided where the log is applied (kvs/queue.go); here a request is turned
// into a command, and waits for its turn. How they look on the wire is told in
// website/reference/recipes.md.

// checkName refuses what no lock, election, group or member can be called.
func checkName(what, name string) error {
	if name == "" {
		return badRequest("Missing name of the " + what)
	}
	if !kvs.ValidName(name) {
		return badRequest(fmt.Sprintf("Invalid name %q of the %s: want up to %d bytes of printable characters, "+
			"in which no segment between slashes is empty or begins with a dot", name, what, limit.RecipeNameBytes))
	}
	return nil
}

// recipeValue reads the body of a request: what others shall know of a place or a
// member.
func (c *call) recipeValue() ([]byte, error) {
	value, err := c.body(limit.PlaceBytes, "")
	if err != nil && statusOf(err) == http.StatusRequestEntityTooLarge {
		return nil, tooLarge(fmt.Sprintf("Request body is too large, it may have %d bytes here", limit.PlaceBytes))
	}
	return value, err
}

// askedSession is the session that a request names with ?session, or wants to be made
// with ?ttl.
type askedSession struct {
	id   string
	make *session.Session // nil: id is that of the client
}

// askedSession reads the parameters, and makes nothing yet. name is what a session
// that is made is called.
func (c *call) askedSession(name string) (a askedSession, err error) {
	switch {
	case c.q.has(pSession) && c.q.has(pTTL):
		return a, badRequest("Specify ?session or ?ttl, not both")
	case c.q.has(pLockDelay) && !c.q.has(pTTL):
		return a, badRequest("?lock-delay is of a session that is made here, and goes with ?ttl")
	case c.q.get(pSession) != "":
		return askedSession{id: strings.ToLower(c.q.get(pSession))}, nil
	case !c.q.has(pTTL):
		return a, badRequest("Missing session: want ?session=<id>, or ?ttl=<duration> to have one made")
	}
	ttl, err := time.ParseDuration(c.q.get(pTTL))
	if least := c.s.settings.Load().SessionTTLMin; err != nil || ttl < least || ttl <= 0 || ttl > maxTTL {
		return a, badRequest(fmt.Sprintf("Invalid ttl %q, want a duration from %s to %s", c.q.get(pTTL), least, maxTTL))
	}
	exact := "0s"
	asked := sessionAsked{Name: name, TTL: ttl.String(), Grace: &exact}
	if c.q.has(pLockDelay) {
		d, err := time.ParseDuration(c.q.get(pLockDelay))
		if err != nil || d < 0 || d > session.MaxLockDelay {
			return a, badRequest(fmt.Sprintf("Invalid lock-delay %q, want a duration from 0s to %s",
				c.q.get(pLockDelay), session.MaxLockDelay))
		}
		asked.LockDelay = lockDelay{given: true, d: d}
	}
	a.make, err = c.newSession(&asked)
	if err == nil {
		a.id = a.make.ID
	}
	return a, err
}

// begin makes the session that is to be made.
func (c *call) begin(a askedSession) error {
	if a.make == nil {
		return nil
	}
	res, err := c.propose(&fsm.Command{Session: a.make})
	if err == nil && res.Invalid != "" {
		err = serverError("apply failed: " + res.Invalid)
	}
	return err
}

// abandon ends a session that was made for a request that has come to nothing. If
// that fails, its time ends it.
func (c *call) abandon(a askedSession) {
	if a.make == nil {
		return
	}
	ctx, cancel := c.afterwards()
	defer cancel()
	_, _ = c.s.node.Propose(ctx, &fsm.Command{EndSession: &fsm.EndSession{IDs: []string{a.id}}})
}

// afterwards is a context for what has to be done also when the client has left.
func (c *call) afterwards() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.r.Context()), c.s.settings.Load().HoldTime)
}

func noSuchSession(id string) error {
	return &statusError{http.StatusNotFound, fmt.Sprintf("Session id '%s' not found", id)}
}

// contention is a request to hold a lock or to lead, with what it has come to.
type contention struct {
	kvs.Contender
	name    string
	session askedSession
	try     bool      // do not wait
	until   time.Time // when the wait is over
	index   uint64    // of the last command
	kvs.Standing
}

// contend takes a place and waits until it holds, as long as the request says.
func (c *call) contend(name, queue string, slots uint64, session askedSession, o readOptions) error {
	x := &contention{
		name: name, session: session, try: c.q.has(pWait) && o.wait <= 0,
		Contender: kvs.Contender{Queue: queue, Session: session.id, Slots: slots, Own: session.make != nil},
	}
	var err error
	if x.Value, err = c.recipeValue(); err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.decide(func() error { return c.needPlace(queue, session) }); err != nil {
		return err
	}
	if err := c.begin(session); err != nil {
		return err
	}
	x.until = time.Now().Add(c.s.longest(o.wait))
	for {
		if err := c.enter(x); err != nil {
			c.abandon(session)
			return err
		}
		if x.Number == 0 || x.Held {
			break
		}
		turn, err := c.awaitTurn(x)
		if err == nil && turn && c.r.Context().Err() != nil {
			err = errClientGone // before it is told that it holds
		}
		if err != nil {
			c.forsake(x)
			return err
		}
		if !turn {
			break
		}
	}
	return c.answerContention(x)
}

// needPlace checks the right to a lock or an election, which is that to write its key, and
// to a session that is to be made. Places end with their sessions, but they are the
// queue's own: nobody has written them.
func (c *call) needPlace(key string, session askedSession) error {
	if err := c.need(acl.ResourceKey, acl.AccessWrite, key); err != nil {
		return err
	}
	return c.needMade(session)
}

// needMade checks the right to a session that is to be made.
func (c *call) needMade(session askedSession) error {
	if session.make != nil {
		return c.need(acl.ResourceSession, acl.AccessWrite, session.make.Node)
	}
	return nil
}

// enter asks for a place, or again for the one there is. Without a place and without
// an error the lock is not free, and the request does not want to wait.
func (c *call) enter(x *contention) error {
	cmd := fsm.Contend{Action: fsm.Enter, Contender: x.Contender}
	if !x.try {
		left := max(time.Until(x.until), 0)
		cmd.Patience = left + left/16 + limit.PlaceGrace // see waitTime for the sixteenth
	}
	res, err := c.propose(&fsm.Command{Contend: &cmd})
	if err != nil {
		return err
	}
	x.index, x.Standing = res.Index, res.Standing
	switch {
	case res.Applied:
		return nil
	case res.Refusal == kvs.NotFree:
		c.abandon(x.session)
		return nil
	case res.Refusal == kvs.Disagrees:
		return &statusError{http.StatusConflict, fmt.Sprintf("%q: %s", x.name, res.Invalid)}
	case res.Refusal == kvs.QueueFull:
		return tooMany(causeQueue, fmt.Sprintf("%q: %s", x.name, res.Invalid))
	}
	return noSuchSession(x.Session)
}

// turn is a question about one place: does it hold, or is it gone? It is woken by a
// change of that place and by no other.
type turn struct {
	queue  string
	number uint64
}

// settled is part of parkable. A state from before the place was taken says nothing.
func (q *turn) settled(v *fsm.View, n uint64) bool {
	if v.Applied() < n {
		return false
	}
	p := v.Place(q.queue, q.number)
	return p == nil || p.Held
}

func (q *turn) spot(s *fsm.Store) spot {
	return spot{hub: s.Hub(), name: kvs.PlaceKey(q.queue, q.number)}
}

// awaitTurn returns true when the place holds, and false when the wait is over. A
// session that was made for the place is renewed as long as a client waits with it:
// the first request of the client does not know the session yet, and the later ones
// need not do it beside.
func (c *call) awaitTurn(x *contention) (bool, error) {
	q := turn{x.Queue, x.Number}
	for {
		left := time.Until(x.until)
		if left <= 0 {
			return false, nil
		}
		if x.Standing.Own {
			if err := c.renew(x.Session); err != nil {
				return false, err
			}
			left = min(left, c.renewEvery(x))
		}
		if err := c.awaitHere(&q, readOptions{index: x.index, wait: left}); err != nil {
			return false, err
		}
		view := c.s.node.Store().View()
		if view.Applied() >= x.index {
			switch p := view.Place(x.Queue, x.Number); {
			case p == nil:
				return false, c.lostPlace(view, x)
			case p.Held:
				return true, nil
			}
		}
		if c.s.drained.Load() {
			return false, nil
		}
	}
}

// renewEvery is a third of the time that the session of a place has.
func (c *call) renewEvery(x *contention) time.Duration {
	s := x.session.make
	if s == nil {
		sessions, _ := c.s.node.Store().View().Sessions()
		if s = sessions.Get(x.Session); s == nil {
			return time.Second // it is not here yet, or not any more: look again soon
		}
	}
	if s.Lifetime == 0 { // somebody has given the place to another session
		return c.s.longest(0)
	}
	return s.Lifetime / 3
}

// lostPlace says why a place is not there any more.
func (c *call) lostPlace(view *fsm.View, x *contention) error {
	if sessions, _ := view.Sessions(); sessions.Get(x.Session) == nil {
		return noSuchSession(x.Session)
	}
	return &statusError{http.StatusConflict, fmt.Sprintf("%q: the place of session %s was given back or removed while it waited", x.name, x.Session)}
}

// renew begins the time of a session anew.
func (c *call) renew(id string) error {
	s, err := c.s.opts.Sessions.RenewSession(c.r.Context(), id, c.granted())
	if who := c.rights.who; who != nil && who.Checked.Links != nil && (isRefusal(err) || errors.As(err, new(*DeniedError))) {
		// The leader knows of a change of some rule that says who a certificate is, and
		// that this server may not have heard of when it last looked.
		if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
			return err
		}
		if _, err := c.again(); err != nil {
			return err
		}
		s, err = c.s.opts.Sessions.RenewSession(c.r.Context(), id, c.granted())
	}
	if err == nil && s == nil {
		err = noSuchSession(id)
	}
	return err
}

// forsake is for a client that gets no answer: a session that it has never heard of
// ends, with its own it may come back for its place in a while.
func (c *call) forsake(x *contention) {
	if x.session.make != nil {
		c.abandon(x.session)
		return
	}
	ctx, cancel := c.afterwards()
	defer cancel()
	// If this fails, the place expires somewhat later.
	_, _ = c.s.node.Propose(ctx, &fsm.Command{Contend: &fsm.Contend{
		Action: fsm.Forsake, Contender: kvs.Contender{Queue: x.Queue, Session: x.Session}, ExpireAt: x.ExpireAt,
	}})
}

// contentionShown is the answer to a request to hold a lock or to lead.
type contentionShown struct {
	Name    string
	Key     string // of the lock, for ?fence
	Held    bool
	Session string `json:",omitempty"` // none when one was made and has ended with the request
	Fence   uint64 `json:",omitempty"` // once it holds
	Place   uint64 `json:",omitempty"` // number of its place
	Ahead   int    // how many stand before it, holders among them

	// When it does not hold:
	Holders       []placeShown `json:",omitempty"`
	LockDelayLeft string       `json:",omitempty"`
}

// placeShown is one holder or waiter.
type placeShown struct {
	Session string
	Name    string // of the session
	Node    string // of the session
	Mode    string
	Place   uint64
	Fence   uint64 `json:",omitempty"` // of a holder
	Since   time.Time
	Age     string // since then
	Value   []byte
}

// mostShown is how many holders, or waiters, an answer lists unless ?limit says.
const mostShown = 100

func (c *call) answerContention(x *contention) error {
	if x.Standing.Own && x.Held { // the time that the client has begins with the answer
		if err := c.renew(x.Session); err != nil {
			c.abandon(x.session)
			return err
		}
	}
	h := c.w.Header()
	setIndex(h, x.index)
	shown := contentionShown{Name: x.name, Key: x.Queue, Held: x.Held, Session: x.Session, Place: x.Number}
	switch {
	case x.Held:
		shown.Fence = x.Number
		h["X-Holdfast-Fence"] = []string{strconv.FormatUint(x.Number, 10)}
		return c.encode(shown)
	case x.Number > 0:
		c.status = http.StatusAccepted
	default:
		c.status = http.StatusConflict
		if x.session.make != nil {
			shown.Session = ""
		}
	}
	if err := c.waitApplied(x.index); err != nil {
		return err
	}
	view := c.s.node.Store().View()
	if err := c.still(); err != nil {
		return err
	}
	show := c.newPlaceShower(view)
	view.Places(x.Queue, func(p *kvs.Place) bool {
		if x.Number > 0 && p.Number >= x.Number {
			return false
		}
		shown.Ahead++
		if p.Held && len(shown.Holders) < mostShown {
			shown.Holders = append(shown.Holders, show.place(p))
		}
		return true
	})
	shown.LockDelayLeft = show.delayLeft(x.Queue)
	return c.encode(shown)
}

// placeShower shows places of one state.
type placeShower struct {
	c        *call
	view     *fsm.View
	sessions session.View
	now      int64
}

func (c *call) newPlaceShower(view *fsm.View) *placeShower {
	sessions, _ := view.Sessions()
	return &placeShower{c, view, sessions, max(view.LastTime(), time.Now().UnixNano())}
}

func (s *placeShower) place(p *kvs.Place) placeShown {
	shown := placeShown{Session: p.Session, Mode: "exclusive", Place: p.Number}
	if p.Slots == 0 {
		shown.Mode = "shared"
	}
	if owner := s.owner(p.Session); owner != nil {
		shown.Name, shown.Node = owner.Name, owner.Node
	}
	key := p.Key()
	if cur, _ := s.view.Get(key); cur != nil && len(cur.Value) > 0 {
		shown.Value = cur.Value
	}
	acquired, since := s.view.Since(key)
	if p.Held {
		shown.Fence, since = p.Number, acquired
	}
	shown.Since, shown.Age = time.Unix(0, since).UTC(), s.age(since)
	return shown
}

// owner is the session with that id; nil when there is none or it may not be read.
func (s *placeShower) owner(id string) *session.Session {
	owner := s.sessions.Get(id)
	if owner == nil || !s.c.keeps(acl.ResourceSession, owner.Node) {
		return nil
	}
	return owner
}

func (s *placeShower) age(since int64) string {
	return time.Duration(max(s.now-since, 0)).Round(time.Millisecond).String()
}

// delayLeft is how long a queue stands still because somebody's session ended while
// it held; empty when it does not.
func (s *placeShower) delayLeft(queue string) string {
	left := s.view.QueueDelay(queue) - s.now
	if left <= 0 {
		return ""
	}
	return time.Duration(left).Round(time.Millisecond).String()
}

// giveBack answers a request to release a lock or to resign: true, or false when the
// session has no place.
func (c *call) giveBack(queue string) error {
	session := c.q.get(pSession)
	if session == "" {
		return badRequest("Missing session: want ?session=<id>")
	}
	if err := c.needToWrite(acl.ResourceKey, acl.AccessWrite, queue); err != nil {
		return err
	}
	res, err := c.propose(&fsm.Command{Contend: &fsm.Contend{
		Action: fsm.Leave, Contender: kvs.Contender{Queue: queue, Session: strings.ToLower(session)},
	}})
	if err != nil {
		return err
	}
	setIndex(c.w.Header(), res.Index)
	c.bool(res.Applied)
	return nil
}

// readRecipe is how a recipe's question about keys is answered: when something has
// changed, if it is asked to block.
//
// need checks the right to it. Lists are cut down to the keys that may be read.
func (c *call) readRecipe(q *question, o readOptions, need func() error, show func(*fsm.View) any) error {
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	contact, err := c.fresh(o)
	if err != nil {
		return err
	}
	if err := need(); err != nil {
		return err
	}
	if o.index > 0 {
		if err := c.await(&keyQuestion{*q, c}, o); err != nil {
			return err
		}
		contact = c.s.node.Contact()
	}
	view := c.s.node.Store().View()
	if err := c.still(); err != nil {
		return err
	}
	index := q.index(view)
	if o.index > 0 {
		index = answerIndex(q, reply{index: index}, view, o)
	}
	setQuery(c.w.Header(), index, contact)
	return c.encode(show(view))
}
