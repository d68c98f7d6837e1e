package httpapi

import (
	"net/http"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// tableQuestion is a read of what is not a key: sessions, nodes, services, checks,
// events. Its index is that of whole tables, and it waits on one topic.
type tableQuestion struct {
	topic string // one of fsm's Topic names
	index func(*fsm.View) uint64
}

func (q *tableQuestion) settled(v *fsm.View, n uint64) bool { return max(q.index(v), 1) > n }

func (q *tableQuestion) watch(s *fsm.Store) kvs.Watch { return s.Topics().WatchKey(q.topic) }

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
	if err == nil && o.index > 0 {
		err = c.await(&q, o)
		contact = c.s.node.Contact()
	}
	var answer any
	view := c.s.node.Store().View()
	if err == nil {
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
