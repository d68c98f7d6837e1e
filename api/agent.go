package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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

// Members lists the nodes the server knows, in no particular order.
func (a Agent) Members(ctx context.Context, opts ...CallOption) ([]Member, error) {
	var members []Member
	if err := a.c.ask(ctx, "/v1/agent/members", opts, &members); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return members, nil
}

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
