package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Agent asks the one server that the client talks to about itself. It is a view of
// a [Client]; copies are free.
type Agent struct{ c *Client }

// Agent gives access to the server that is asked.
func (c *Client) Agent() Agent { return Agent{c} }

// A Self is what a server tells about itself.
type Self struct {
	Config      AgentConfig
	DebugConfig map[string]json.RawMessage   // every setting by name, secrets hidden
	Member      Member                       // itself as the membership sees it
	Stats       map[string]map[string]string // what Consul's "info" prints: section, name, value
	Meta        map[string]string            // the node's own metadata
}

// An AgentConfig is what identifies a server.
type AgentConfig struct {
	Datacenter        string
	PrimaryDatacenter string
	NodeName          string
	NodeID            string
	Server            bool
	Version           string
	Revision          string
	BuildDate         string // RFC 3339
}

// A Member is a node as the membership sees it.
type Member struct {
	Name   string
	Addr   string
	Port   uint16            // of the gossip
	Tags   map[string]string // role, dc, id, port, build and others
	Status MemberStatus

	ProtocolMin, ProtocolMax, ProtocolCur uint8
	DelegateMin, DelegateMax, DelegateCur uint8
}

// A MemberStatus is whether a member is there. The numbers are the wire's.
type MemberStatus int

// States of a member.
const (
	MemberNone    MemberStatus = 0
	MemberAlive   MemberStatus = 1
	MemberLeaving MemberStatus = 2
	MemberLeft    MemberStatus = 3
	MemberFailed  MemberStatus = 4
)

// String gives the word that operators know.
func (s MemberStatus) String() string {
	switch s {
	case MemberNone:
		return "none"
	case MemberAlive:
		return "alive"
	case MemberLeaving:
		return "leaving"
	case MemberLeft:
		return "left"
	case MemberFailed:
		return "failed"
	}
	return fmt.Sprintf("unknown (%d)", int(s))
}

// Self reads what the server tells about itself.
func (a Agent) Self(ctx context.Context, opts ...CallOption) (*Self, error) {
	var self Self
	if err := a.c.ask(ctx, "/v1/agent/self", opts, &self); err != nil {
		return nil, fmt.Errorf("ask the server about itself: %w", err)
	}
	return &self, nil
}

// WAN makes [Agent.Members] show the names that nodes have across datacenters, and
// [Agent.ForceLeave] take one of those.
func WAN() CallOption { return callOption(func(r *request) { r.set("wan", "1") }) }

// Members lists the nodes the server knows, in no particular order.
func (a Agent) Members(ctx context.Context, opts ...CallOption) ([]Member, error) {
	var members []Member
	if err := a.c.ask(ctx, "/v1/agent/members", opts, &members); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return members, nil
}

// Join makes the server meet another at an address: host or host:port of its gossip.
// So all whom they know meet, and become one cluster.
func (a Agent) Join(ctx context.Context, address string, opts ...CallOption) error {
	r := argRequest(http.MethodPut, "/v1/agent/join/", address).calls(opts)
	if address == "" {
		r.err = errNoName
	}
	if err := a.c.act(ctx, r); err != nil {
		return fmt.Errorf("join %q: %w", address, err)
	}
	return nil
}

// Leave takes the server out of its cluster for good and ends it. It returns when the
// server has left; an error may also mean that it ended without having left in good
// order. A client of several servers refuses it, since it could be any of them.
func (a Agent) Leave(ctx context.Context, opts ...CallOption) error {
	r := newRequest(http.MethodPut, "/v1/agent/leave").calls(opts)
	if len(a.c.servers) > 1 {
		r.err = errors.New("the client has several servers, of which any could be meant")
	}
	if err := a.leave(ctx, r); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}

func (a Agent) leave(ctx context.Context, r *request) error {
	res, err := a.c.call(ctx, r)
	if err != nil {
		return err
	}
	defer closeBody(res)
	// The answer begins at once and ends when the server has left. It says something
	// only when that went wrong.
	said, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
	if err != nil {
		return fmt.Errorf("the server ended before it said that it has left: %w", err)
	}
	if text := strings.TrimSpace(string(said)); text != "" {
		return errors.New(text)
	}
	return nil
}

// ForceLeave makes a failed node count as one that left, so that nobody waits for its
// return; with prune it is also taken off the list of members.
func (a Agent) ForceLeave(ctx context.Context, node string, prune bool, opts ...CallOption) error {
	r := argRequest(http.MethodPut, "/v1/agent/force-leave/", node).calls(opts)
	if node == "" {
		r.err = errNoName
	}
	if prune {
		r.set("prune", "")
	}
	if err := a.c.act(ctx, r); err != nil {
		return fmt.Errorf("force %q to leave: %w", node, err)
	}
	return nil
}

// errNoName says that a call was not told what it is about.
var errNoName = errors.New("no name was given")

// Reload makes the server read its configuration again. The text says in one line
// what that changed, "" when the server does not tell (Consul does not); an error
// means that the old configuration is still in use.
func (a Agent) Reload(ctx context.Context, opts ...CallOption) (string, error) {
	res, err := a.c.call(ctx, newRequest(http.MethodPut, "/v1/agent/reload").calls(opts))
	if err != nil {
		return "", fmt.Errorf("reload configuration: %w", err)
	}
	closeBody(res)
	return res.Header.Get(headerReload), nil
}

// Monitor streams the server's log from now on, at level (trace, debug, info, warn
// or error; "" = info) and above, as text or one JSON object per line. The stream
// ends when the server stops, when ctx ends or when the caller closes it.
func (a Agent) Monitor(ctx context.Context, level string, asJSON bool, opts ...CallOption) (io.ReadCloser, error) {
	r := newRequest(http.MethodGet, "/v1/agent/monitor").calls(opts)
	if level != "" {
		r.set("loglevel", level)
	}
	if asJSON {
		r.set("logjson", "")
	}
	res, err := a.c.call(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("stream the log: %w", err)
	}
	return res.Body, nil
}
