package httpapi

import (
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// A request that waits is woken when its token or anybody's rules change and when its
// token ends, and looks at its rights again. Who has the same rules as before goes on waiting,
// at the price of a comparison; whose token is gone or who lacks what he needs is
// answered 403 at once.
//
// Lists are cut down and not refused, so for them the rights decide what is seen. If
// other rules would show something else of the present state, the list is answered
// although nothing in it has changed. If they would show nothing where there was
// something, that is no empty list, which would say that all was deleted, but 403.
//
// Source: contract, ACL, section 6.9.

// rightsWatch is a registration for changes of somebody's rights. The zero value never
// wakes.
type rightsWatch struct {
	token, rules kvs.Watch
	end          *time.Timer // when the token ends; nil: never
	on           bool
}

// watchRights registers the request for changes of its rights.
func (c *call) watchRights() rightsWatch {
	who := c.rights.who
	if who == nil {
		return rightsWatch{}
	}
	topics := c.s.node.Store().Topics()
	return rightsWatch{token: topics.WatchKey(c.s.tokenTopic(who, c.rights.borrowed)), rules: topics.WatchKey(fsm.TopicRules), on: true}
}

// tokenTopic is the topic of changes of somebody's token. Of a borrowed one it is that of
// whoever it is now; when it becomes another, that is a change for everybody.
func (s *Server) tokenTopic(who *acl.Identity, borrowed bool) string {
	if borrowed {
		if now, err := s.whoNow(who, borrowed); err == nil {
			who = now
		}
	}
	return fsm.TopicToken(who.Accessor)
}

// until makes the registration wake at the end of a token too; the zero time is no end.
func (w *rightsWatch) until(end time.Time) {
	if !end.IsZero() {
		w.end = time.NewTimer(max(time.Until(end), leastExpiry))
	}
}

// leastExpiry keeps who has ended by one clock and not yet by another from turning.
const leastExpiry = 10 * time.Millisecond

// stop gives the registration back, also after it has woken.
func (w *rightsWatch) stop() {
	if !w.on {
		return
	}
	w.token.Stop()
	w.rules.Stop()
	if w.end != nil {
		w.end.Stop()
	}
}

// expired receives when the token ends.
func (w *rightsWatch) expired() <-chan time.Time {
	if w.end == nil {
		return nil
	}
	return w.end.C
}

// partial is a question whose answer is cut down to what may be seen.
type partial interface {
	// sight is what is seen of a state by whoever the request says is asking.
	sight(v *fsm.View) sight
}

// sight stands for what somebody sees.
type sight struct {
	digest uint64
	empty  bool
}

// stillMay looks at the rights of a question that waits. It tells whether other rules
// show something else of what is there, so that the question must be answered.
func (c *call) stillMay(q parkable) (answer bool, err error) {
	old := c.rights.who
	changed, err := c.again()
	if err != nil || !changed {
		return false, err
	}
	p, ok := q.(partial)
	if !ok {
		return false, nil
	}
	view, who := c.s.node.Store().View(), c.rights.who
	c.rights.who = old
	before := p.sight(view)
	c.rights.who = who
	now := p.sight(view)
	if now.empty && !before.empty {
		return true, lacking(who, c.rights.missing)
	}
	return now != before, nil
}
