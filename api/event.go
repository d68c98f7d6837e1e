package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
)

// A UserEvent is a short message that was fired for whoever lists it.
type UserEvent struct {
	ID      string
	Name    string
	Payload []byte // nil when empty

	// Regular expressions, unanchored, that say for whom it is; "" for everybody.
	NodeFilter    string
	ServiceFilter string
	TagFilter     string

	Version int
	LTime   uint64 // grows from event to event; 0 in the answer to Fire
}

// Events fires and lists user events. It is a view of a [Client]; copies are free.
type Events struct{ c *Client }

// Events gives access to user events.
func (c *Client) Events() Events { return Events{c} }

// Fire sends an event, of which Name, Payload and the filters count. The payload can
// have a few hundred bytes. It is returned as it was fired, with its id.
func (e Events) Fire(ctx context.Context, ev UserEvent, opts ...CallOption) (*UserEvent, error) {
	r := argRequest(http.MethodPut, "/v1/event/fire/", ev.Name).calls(opts)
	if ev.Name == "" {
		r.err = errors.New("it has no name")
	}
	for name, filter := range map[string]string{"node": ev.NodeFilter, "service": ev.ServiceFilter, "tag": ev.TagFilter} {
		if filter != "" {
			r.set(name, filter)
		}
	}
	r.body, r.size = bytes.NewReader(ev.Payload), int64(len(ev.Payload))
	var fired UserEvent
	if _, err := e.c.fetch(ctx, r, &fired); err != nil {
		return nil, fmt.Errorf("fire event %q: %w", ev.Name, err)
	}
	return &fired, nil
}

// List reads the events that are kept and that are for the server that is asked, oldest
// first; only those of one name unless name is "". [WaitIndex] waits for another.
func (e Events) List(ctx context.Context, name string, opts ...ReadOption) ([]*UserEvent, Meta, error) {
	r := newRequest(http.MethodGet, "/v1/event/list").reads(opts)
	if name != "" {
		r.set("name", name)
	}
	var events []*UserEvent
	meta, err := e.c.fetch(ctx, r, &events)
	if err != nil {
		return nil, meta, fmt.Errorf("list events: %w", err)
	}
	return events, meta, nil
}
