package httpapi

import (
	"encoding/json"
	"hash/maphash"
	"net/http"

	"github.com/holdfast-kv/holdfast/fsm"
)

// tableQuestion is a read of what is not a key: sessions, nodes, services, checks,
// events. Its index is that of whole tables, and it waits on one topic.
type tableQuestion struct {
	topic string // one of fsm's Topic names
	index func(*fsm.View) uint64

	// need is the right to ask the question; nil: whoever is known may ask, and the
	// answer is cut down.
	need func() error
}

// allowed tells why the question may not be asked at all.
func (q *tableQuestion) allowed(c *call) error {
	if q.need != nil {
		return q.need()
	}
	return c.known()
}

func (q *tableQuestion) settled(v *fsm.View, n uint64) bool { return max(q.index(v), 1) > n }

func (q *tableQuestion) spot(s *fsm.Store) spot { return spot{hub: s.Topics(), name: q.topic} }

// newsOnly is a question about a part of tables, whose index moves with the whole. It
// is settled only when its own answer is another one than at the beginning.
type newsOnly struct {
	tableQuestion
	news
	answer func(*fsm.View) (sight, bool)
}

// news is what a newsOnly question has seen.
type news struct {
	first sight  // what stands for the answer at the beginning
	seen  uint64 // index up to which the answer is known to be that
}

// onlyNews makes a question that waits for another answer, if that of the present
// state is what the client has seen.
func (c *call) onlyNews(q *tableQuestion, o readOptions, show func(*fsm.View) (any, error)) parkable {
	view := c.s.node.Store().View()
	switch {
	case !c.returning:
		if q.settled(view, o.index) {
			return q
		}
	case c.waiting.news == nil:
		return q
	}
	// An answer is held as a hash, so that who waits holds nothing of a state.
	answer := func(v *fsm.View) (sight, bool) {
		what, err := show(v)
		if err != nil {
			return sight{}, false
		}
		text, err := json.Marshal(what)
		empty := len(text) <= len("null") && (string(text) == "[]" || string(text) == "{}" || string(text) == "null")
		return sight{maphash.Bytes(answerSeed, text), empty}, err == nil
	}
	if c.returning {
		return &newsOnly{tableQuestion: *q, answer: answer, news: *c.waiting.news}
	}
	first, ok := answer(view)
	if !ok {
		return q
	}
	return &newsOnly{tableQuestion: *q, answer: answer, news: news{first: first}}
}

// sight is part of partial.
func (q *newsOnly) sight(v *fsm.View) sight {
	seen, _ := q.answer(v)
	return seen
}

var answerSeed = maphash.MakeSeed()

func (q *newsOnly) settled(v *fsm.View, n uint64) bool {
	if !q.tableQuestion.settled(v, max(n, q.seen)) {
		return false
	}
	if now, ok := q.answer(v); !ok || now != q.first {
		return true
	}
	q.seen = max(q.index(v), 1)
	return false
}

// readTable answers a read of a table, blocking if it is asked to. check makes the
// checks that come between the common parameters and the read; nil for none. show
// makes the answer from a state.
//
// Source: contract, README, section 8: also a failed read carries the headers of a
// query; consistency is shown by catalog and health reads only.
func (c *call) readTable(q tableQuestion, showConsistency bool, check func() error, show func(*fsm.View) (any, error)) error {
	return c.readTableSaying(q, showConsistency, check, func(v *fsm.View, _ tableSeen) (any, error) { return show(v) })
}

// tableSeen is what the headers say of an answer, for one that says it in its body too.
type tableSeen struct {
	index   uint64
	contact Contact
	mode    Mode
}

// readTableSaying is readTable for such an answer.
func (c *call) readTableSaying(
	q tableQuestion, showConsistency bool, check func() error, show func(*fsm.View, tableSeen) (any, error),
) error {
	o, err := c.readOptions()
	if err == nil && check != nil {
		err = check()
	}
	if err == nil {
		err = c.checkDatacenter()
	}
	var contact Contact
	if err == nil {
		contact, err = c.fresh(o)
	}
	if err == nil {
		err = q.allowed(c)
	}
	if err == nil && o.index > 0 {
		bare := func(v *fsm.View) (any, error) { return show(v, tableSeen{}) }
		err = c.await(c.onlyNews(&q, o, bare), o)
		if c.parked {
			return err
		}
		contact = c.s.node.Contact()
	}
	if err == nil && showConsistency && c.tooOld(o.mode, contact) {
		o.mode = Default
		contact, err = c.s.node.ReadIndex(c.r.Context(), o.mode)
	}
	var answer any
	view := c.s.node.Store().View()
	if err == nil {
		err = c.still()
	}
	if err == nil {
		c.recut()
		answer, err = show(view, tableSeen{max(q.index(view), 1), contact, o.mode})
	}
	h := c.w.Header()
	if err != nil {
		if statusOf(err) == http.StatusInternalServerError {
			setIndex(h, 1)
			setContact(h, Contact{})
		}
		return err
	}
	setQuery(h, q.index(view), contact)
	if showConsistency {
		h["X-Consul-Effective-Consistency"] = consistencyNames[o.mode]
	}
	return c.encode(answer)
}
