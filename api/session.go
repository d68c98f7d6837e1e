package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Session is a session as servers show it. It never changes.
type Session struct {
	ID   string
	Name string // free text, not unique
	Node string // with which it ends

	LockDelay time.Duration // how long its locks cannot be acquired after its end
	Behavior  Behavior      // what its end does to its locks

	// TTL and Grace are durations as they were asked for; "" is none, and for Grace
	// what existing clients expect. See [SessionSpec].
	TTL   string
	Grace string `json:",omitempty"`

	// The checks that end it. Nil and empty are told apart by servers.
	NodeChecks    []string
	ServiceChecks []ServiceCheck
	Checks        []string `json:",omitempty"` // an older form of NodeChecks

	CreateIndex uint64
	ModifyIndex uint64
}

// A ServiceCheck names a check of a service.
type ServiceCheck struct {
	ID        string
	Namespace string
}

// A Behavior is what the end of a session does to the keys it holds. The words are
// the wire's.
type Behavior string

// The behaviors; "" is BehaviorRelease.
const (
	BehaviorRelease Behavior = "release" // keys lose their holder and stay
	BehaviorDelete  Behavior = "delete"  // keys are deleted
)

// A SessionSpec is what a session shall be. The zero value is a session that ends
// with the server's node and has no TTL.
type SessionSpec struct {
	Name string // free text that others see; need not be unique

	// Node is the node with which the session ends; "" is the server that is asked.
	Node string

	// TTL is how long the session lives without renewal: 10s to 24h unless the
	// server is configured otherwise; 0 for no limit. It never lives shorter.
	TTL time.Duration

	// Grace is how long beyond its TTL the session may live. Nil leaves it to the
	// server, which by default lets it live about twice its TTL, as older clients
	// count on. 0 makes it exact: it ends between its TTL and a second and a tenth of
	// it later. Only Holdfast servers know it.
	Grace *time.Duration

	// LockDelay is how long a key that the session held when it ended cannot be
	// acquired: up to 60s; 0 is none, nil is the server's 15s.
	LockDelay *time.Duration

	Behavior Behavior // "" is BehaviorRelease

	// NodeChecks and ServiceChecks are checks of Node that end the session when they
	// become critical. Nil NodeChecks leave it to the server, which takes the check of
	// its own node; empty ones are none.
	NodeChecks    []string
	ServiceChecks []ServiceCheck
}

// sessionBody is a SessionSpec on the wire.
type sessionBody struct {
	Name          string         `json:",omitzero"`
	Node          string         `json:",omitzero"`
	TTL           string         `json:",omitzero"`
	Grace         *string        `json:",omitzero"`
	LockDelay     *string        `json:",omitzero"`
	Behavior      Behavior       `json:",omitzero"`
	NodeChecks    []string       `json:",omitzero"` // nil is left out, an empty list is not
	ServiceChecks []ServiceCheck `json:",omitzero"`
}

func (spec *SessionSpec) body() ([]byte, error) {
	b := sessionBody{
		Name: spec.Name, Node: spec.Node, Behavior: spec.Behavior,
		Grace: durationText(spec.Grace), LockDelay: durationText(spec.LockDelay),
		NodeChecks: spec.NodeChecks, ServiceChecks: spec.ServiceChecks,
	}
	if spec.TTL != 0 {
		b.TTL = spec.TTL.String()
	}
	return json.Marshal(b)
}

func durationText(d *time.Duration) *string {
	if d == nil {
		return nil
	}
	return new(d.String())
}

// Sessions makes, renews and ends sessions. It is a view of a [Client]; copies are
// free. Methods fail as those of [KV] do.
//
// [Sessions.Lease] is a session that is kept alive; locks, elections and ephemeral
// keys ([Client.Lock] and others) take care of theirs themselves.
type Sessions struct{ c *Client }

// Sessions gives access to sessions.
func (c *Client) Sessions() Sessions { return Sessions{c} }

// Create makes a session and returns its id. Its time begins when the server makes
// it, so not before Create is called.
func (s Sessions) Create(ctx context.Context, spec SessionSpec, opts ...CallOption) (string, error) {
	id, err := s.create(ctx, &spec, 0, opts)
	if err != nil {
		return "", fmt.Errorf("create session: %w", err)
	}
	return id, nil
}

// create makes a session; one server has patience to answer, 0 being what ctx has.
func (s Sessions) create(ctx context.Context, spec *SessionSpec, patience time.Duration, opts []CallOption) (string, error) {
	body, err := spec.body()
	if err != nil {
		return "", err
	}
	r := newRequest(http.MethodPut, "/v1/session/create").calls(opts)
	r.body, r.size, r.patience = bytes.NewReader(body), int64(len(body)), patience
	res, err := s.c.call(ctx, r)
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if err := s.c.decode(res, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", errors.New("server answered without an id")
	}
	return made.ID, nil
}

// Renew begins the time of a session anew and returns it. ErrNoSession when there is
// none.
func (s Sessions) Renew(ctx context.Context, id string, opts ...CallOption) (*Session, error) {
	session, err := s.renew(ctx, sessionRequest(http.MethodPut, "renew", id).calls(opts))
	if err != nil {
		return nil, fmt.Errorf("renew session %s: %w", id, err)
	}
	return session, nil
}

func (s Sessions) renew(ctx context.Context, r *request) (*Session, error) {
	r.repeatable = true
	res, err := s.c.call(ctx, r, http.StatusNotFound)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusNotFound {
		defer closeBody(res)
		return nil, noSession(statusError(res))
	}
	var list []*Session
	if err := s.c.decode(res, &list); err != nil {
		return nil, err
	}
	return oneSession(list)
}

// Destroy ends a session: its locks are released or deleted, its ephemeral keys are
// deleted. Ending one that does not exist is no error.
func (s Sessions) Destroy(ctx context.Context, id string, opts ...CallOption) error {
	r := sessionRequest(http.MethodPut, "destroy", id).calls(opts)
	r.repeatable = true
	res, err := s.c.call(ctx, r)
	if err != nil {
		return fmt.Errorf("destroy session %s: %w", id, err)
	}
	closeBody(res)
	return nil
}

// Info reads one session. ErrNoSession when there is none; the Meta is valid then
// too. [WaitIndex] waits for its end.
func (s Sessions) Info(ctx context.Context, id string, opts ...ReadOption) (*Session, Meta, error) {
	list, meta, err := s.read(ctx, sessionRequest(http.MethodGet, "info", id), opts)
	var session *Session
	if err == nil {
		session, err = oneSession(list)
	}
	if err != nil {
		return nil, meta, fmt.Errorf("read session %s: %w", id, err)
	}
	return session, meta, nil
}

// List reads all sessions, in the order of their ids.
func (s Sessions) List(ctx context.Context, opts ...ReadOption) ([]*Session, Meta, error) {
	list, meta, err := s.read(ctx, newRequest(http.MethodGet, "/v1/session/list"), opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list sessions: %w", err)
	}
	return list, meta, nil
}

// Node reads the sessions that end with a node; none for a node that is not known.
func (s Sessions) Node(ctx context.Context, node string, opts ...ReadOption) ([]*Session, Meta, error) {
	list, meta, err := s.read(ctx, sessionRequest(http.MethodGet, "node", node), opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list sessions of node %q: %w", node, err)
	}
	return list, meta, nil
}

func (s Sessions) read(ctx context.Context, r *request, opts []ReadOption) ([]*Session, Meta, error) {
	var list []*Session
	meta, err := s.c.fetch(ctx, r.reads(opts), &list)
	return list, meta, err
}

// sessionRequest makes a request about one session, or one node's.
func sessionRequest(method, what, arg string) *request {
	r := argRequest(method, "/v1/session/"+what+"/", arg)
	if arg == "" {
		r.err = errNoName
	}
	return r
}

// noSession tells the store's 404 from that of a proxy or of an unknown path.
//
// Source: contract, README, section 9, on texts that clients look at.
func noSession(status *StatusError) error {
	if strings.Contains(status.Body, "Session id") {
		return ErrNoSession
	}
	return status
}

// oneSession is the answer about one session.
func oneSession(list []*Session) (*Session, error) {
	switch {
	case len(list) == 0:
		return nil, ErrNoSession
	case len(list) > 1 || list[0] == nil:
		return nil, fmt.Errorf("server answered %d sessions for one", len(list))
	}
	return list[0], nil
}
