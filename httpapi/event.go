package httpapi

import (
	"errors"
	"fmt"
	"hash/maphash"
	"regexp"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/fsm"
)

// eventBytes bounds the payload of an event, and its name and filters together: it
// is a signal, not a message.
//
// Source: contract, README, section 11.
const eventBytes = 512

// eventWait is how long a list of events waits when nothing is said.
//
// Source: contract, blocking queries, section 7.
const eventWait = 10 * time.Minute

var errEventTooLarge = serverError(fmt.Sprintf("error broadcasting event: user event exceeds configured limit of %d bytes before encoding", eventBytes))

// shownEvent is an event as the wire has it.
//
// Source: contract, events, section 4.
type shownEvent struct {
	ID            string
	Name          string
	Payload       []byte // null when it is empty
	NodeFilter    string
	ServiceFilter string
	TagFilter     string
	Version       int
	LTime         uint64
}

func showEvent(e *event.Event) shownEvent {
	shown := shownEvent{
		ID: e.ID, Name: e.Name, NodeFilter: e.NodeFilter, ServiceFilter: e.ServiceFilter, TagFilter: e.TagFilter,
		Version: 1, LTime: e.Index,
	}
	if len(e.Payload) > 0 {
		shown.Payload = e.Payload
	}
	return shown
}

// eventFire answers PUT /v1/event/fire/NAME.
//
// Events go through the log, so that every server has the same ones in the same
// order, and they need a leader.
//
// Source: contract, events, section 4 and "Where Holdfast should differ" 3.
func (c *call) eventFire() error {
	if c.arg == "" {
		return badRequest("Missing name")
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	e := &event.Event{Name: c.arg}
	e.NodeFilter, _ = c.given("node")
	e.ServiceFilter, _ = c.given("service")
	e.TagFilter, _ = c.given("tag")
	if e.TagFilter != "" && e.ServiceFilter == "" {
		return serverError("Cannot provide tag filter without service filter")
	}
	for _, f := range []struct{ kind, expression string }{{"node", e.NodeFilter}, {"service", e.ServiceFilter}, {"tag", e.TagFilter}} {
		if len(f.expression) > eventBytes {
			return errEventTooLarge
		}
		if _, err := regexp.Compile(f.expression); err != nil {
			return serverError(fmt.Sprintf("Invalid %s filter: %s", f.kind, err))
		}
	}
	if len(e.Name)+len(e.NodeFilter)+len(e.ServiceFilter)+len(e.TagFilter) > eventBytes {
		return errEventTooLarge
	}
	settings := c.s.settings.Load()
	var err error
	if e.Payload, err = c.body(settings.ValueBytes, "kv_max_value_size"); err != nil {
		return err
	}
	if len(e.Payload) > eventBytes {
		return errEventTooLarge
	}
	if err := c.decide(func() error { return barely(c.need(acl.ResourceEvent, acl.AccessWrite, e.Name)) }); err != nil {
		return err
	}
	if e.ID, err = uuid.GenerateUUID(); err != nil {
		return fmt.Errorf("make an event id: %w", err)
	}
	index, err := c.commit(&fsm.Command{Event: e})
	if err != nil {
		return err
	}
	setIndex(c.w.Header(), index)
	return c.encode(showEvent(e)) // without a time, as it has none before the log gives it one
}

// barely leaves out of a refusal what was missing.
//
// Source: contract, ACL enforcement, section 3.
func barely(err error) error {
	var permission *acl.PermissionError
	if errors.As(err, &permission) {
		permission.Bare = true
	}
	return err
}

// eventList answers GET /v1/event/list: the events that are for this server, oldest
// first. Filters are judged by its name and by the services that it has now.
//
// Its index is that of the last event listed. Clients take it for opaque and wait
// only while it is the one they have.
func (c *call) eventList() error {
	o, err := c.waitOptions()
	if err != nil {
		return err
	}
	if o.wait <= 0 {
		o.wait = eventWait
	}
	if _, err := c.localView(); err != nil {
		return err
	}
	if err := c.knownHere(); err != nil {
		return err
	}
	q := &eventQuestion{c: c}
	q.name, _ = c.given("name")
	if o.index > 0 {
		if err := c.await(q, o); err != nil {
			return err
		}
	}
	view := c.s.node.Store().View()
	if err := c.still(); err != nil {
		return err
	}
	c.recut()
	events, index := q.list(view)
	setIndex(c.w.Header(), index)
	return c.encode(events)
}

// eventQuestion asks for the events of a name, all if it is empty, that are for this
// server.
type eventQuestion struct {
	c    *call
	name string
}

// sight is part of partial.
func (q *eventQuestion) sight(v *fsm.View) sight {
	var h maphash.Hash
	h.SetSeed(answerSeed)
	events, _ := q.list(v)
	for i := range events {
		_, _ = h.WriteString(events[i].ID) // it never fails
	}
	return sight{h.Sum64(), len(events) == 0}
}

func (q *eventQuestion) settled(v *fsm.View, n uint64) bool {
	_, index := q.list(v)
	return index != n
}

func (q *eventQuestion) spot(s *fsm.Store) spot { return spot{hub: s.Topics(), name: fsm.TopicEvents} }

// list returns the events that may be seen, and the index of the list with the others, 1
// if it is empty.
func (q *eventQuestion) list(v *fsm.View) ([]shownEvent, uint64) {
	var services []event.Service
	q.c.s.localServices(v.Catalog(), func(row *catalog.Service) {
		services = append(services, event.Service{Name: row.Name, Tags: row.Tags})
	})
	events, index := []shownEvent{}, uint64(1)
	v.Events().List(func(e *event.Event) bool {
		if (q.name == "" || e.Name == q.name) && e.For(q.c.s.opts.NodeName, services) {
			index = e.Index
			if q.c.keeps(acl.ResourceEvent, e.Name) {
				events = append(events, showEvent(e))
			}
		}
		return true
	})
	return events, index
}
