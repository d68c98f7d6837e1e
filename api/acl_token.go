package api

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// AnonymousAccessorID is the accessor id of the token of those who send none.
const AnonymousAccessorID = "00000000-0000-0000-0000-000000000002"

// HiddenSecret stands in SecretID where the secret is not shown: to readers without
// acl:write, and always but at its making where servers keep only hashes of secrets.
const HiddenSecret = "<hidden>"

// An ACLToken is a credential with what gives it its rights.
type ACLToken struct {
	AccessorID  string `json:",omitzero"` // public id; random if it is not chosen
	SecretID    string `json:",omitzero"` // the credential; random if it is not chosen
	Description string
	ACLLinks
	Local      bool   // counts in this datacenter only
	AuthMethod string `json:",omitzero"` // of the login that made it

	ExpirationTime *time.Time `json:",omitzero"`
	ExpirationTTL  Duration   `json:",omitzero"` // only to create: how long it lives
	CreateTime     time.Time  `json:",omitzero"`

	Hash        []byte `json:",omitempty"` // of the content
	CreateIndex uint64 `json:",omitzero"`
	ModifyIndex uint64 `json:",omitzero"`
}

// An ACLTokenExpanded is a token with everything that reaches it.
type ACLTokenExpanded struct {
	ACLToken
	ExpandedPolicies []ACLPolicy
	ExpandedRoles    []ACLRole

	AgentACLDefaultPolicy string // what decides where no rule does
	AgentACLDownPolicy    string
	ResolvedByAgent       string // name of the server that answered
}

// CreateToken makes a token. It returns it with its secret.
func (a ACL) CreateToken(ctx context.Context, token ACLToken, opts ...CallOption) (*ACLToken, error) {
	made := &ACLToken{}
	if err := a.put(ctx, "/v1/acl/token", token, made, opts); err != nil {
		return nil, fmt.Errorf("create ACL token: %w", err)
	}
	return made, nil
}

// UpdateToken replaces the description and the links of the token with that AccessorID.
// The rest must be as it was, or left out.
func (a ACL) UpdateToken(ctx context.Context, token ACLToken, opts ...CallOption) (*ACLToken, error) {
	made := &ACLToken{}
	r := namedRequest(http.MethodPut, "/v1/acl/token/", token.AccessorID).calls(opts)
	if err := a.send(ctx, r, token, made); err != nil {
		return nil, fmt.Errorf("update ACL token %s: %w", token.AccessorID, err)
	}
	return made, nil
}

// CloneToken makes a token with the rights, the locality and the expiration time of
// another; description replaces the other's unless it is "".
func (a ACL) CloneToken(ctx context.Context, accessor, description string, opts ...CallOption) (*ACLToken, error) {
	made := &ACLToken{}
	r := namedRequest(http.MethodPut, "/v1/acl/token/", accessor).calls(opts)
	r.path, r.rawPath = r.path+"/clone", r.rawPath+"/clone"
	if err := a.send(ctx, r, struct{ Description string }{description}, made); err != nil {
		return nil, fmt.Errorf("clone ACL token %s: %w", accessor, err)
	}
	return made, nil
}

// RotateToken gives a token a new secret; the former one works for grace longer, at most
// a day. A token may rotate itself. Only Holdfast servers know it.
func (a ACL) RotateToken(ctx context.Context, accessor string, grace time.Duration, opts ...CallOption) (*ACLToken, error) {
	made := &ACLToken{}
	r := namedRequest(http.MethodPost, "/v1/acl/token/", accessor).calls(opts)
	r.path, r.rawPath = r.path+"/rotate", r.rawPath+"/rotate"
	if err := a.send(ctx, r, struct{ Grace Duration }{Duration(grace)}, made); err != nil {
		return nil, fmt.Errorf("rotate ACL token %s: %w", accessor, err)
	}
	return made, nil
}

// DeleteToken deletes a token; what is done with it is refused from then on, also what
// waits.
func (a ACL) DeleteToken(ctx context.Context, accessor string, opts ...CallOption) error {
	if err := a.remove(ctx, "/v1/acl/token/", accessor, opts); err != nil {
		return fmt.Errorf("delete ACL token %s: %w", accessor, err)
	}
	return nil
}

// Token reads a token. Its secret is shown to whoever has acl:write, unless servers keep
// only hashes of secrets.
func (a ACL) Token(ctx context.Context, accessor string, opts ...ReadOption) (*ACLToken, Meta, error) {
	token := &ACLToken{}
	meta, err := a.read(ctx, namedRequest(http.MethodGet, "/v1/acl/token/", accessor), token, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read ACL token %s: %w", accessor, err)
	}
	return token, meta, nil
}

// TokenExpanded reads a token with everything that reaches it.
func (a ACL) TokenExpanded(ctx context.Context, accessor string, opts ...ReadOption) (*ACLTokenExpanded, Meta, error) {
	token := &ACLTokenExpanded{}
	r := namedRequest(http.MethodGet, "/v1/acl/token/", accessor).set("expanded", "true")
	meta, err := a.read(ctx, r, token, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read ACL token %s: %w", accessor, err)
	}
	return token, meta, nil
}

// Self reads the token that the client sends, secret included. It needs no right.
func (a ACL) Self(ctx context.Context, opts ...ReadOption) (*ACLToken, Meta, error) {
	token := &ACLToken{}
	meta, err := a.read(ctx, newRequest(http.MethodGet, "/v1/acl/token/self"), token, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read the own ACL token: %w", err)
	}
	return token, meta, nil
}

// An ACLTokenFilter narrows a list of tokens. At most one field is set.
type ACLTokenFilter struct {
	Policy      string // id of a policy that is linked directly
	Role        string // id of a role
	ServiceName string // of a service identity
	AuthMethod  string // of the login that made them
}

// Tokens lists tokens, without those that have expired.
func (a ACL) Tokens(ctx context.Context, filter ACLTokenFilter, opts ...ReadOption) ([]*ACLToken, Meta, error) {
	r := newRequest(http.MethodGet, "/v1/acl/tokens")
	for _, p := range [][2]string{
		{"policy", filter.Policy}, {"role", filter.Role}, {"servicename", filter.ServiceName}, {"authmethod", filter.AuthMethod},
	} {
		if p[1] != "" {
			r.set(p[0], p[1])
		}
	}
	var list []*ACLToken
	meta, err := a.read(ctx, r, &list, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list ACL tokens: %w", err)
	}
	return list, meta, nil
}

// An ACLTokenUsage is the use of a token on one server since that began to run.
type ACLTokenUsage struct {
	AccessorID  string
	Node        string // name of the server that was asked, which knows of no other
	Requests    uint64
	LastUsed    *time.Time `json:",omitzero"` // to the second; nil when it was not used
	LastAddress string     `json:",omitzero"` // of the last request
	Since       time.Time  // when the server began to count
}

// TokenUsage asks one server how it has seen a token used. It needs acl:read, unless it
// is about the token that the client sends. Only Holdfast servers know it.
func (a ACL) TokenUsage(ctx context.Context, accessor string, opts ...ReadOption) (*ACLTokenUsage, error) {
	usage := &ACLTokenUsage{}
	r := namedRequest(http.MethodGet, "/v1/acl/token/", accessor)
	r.path, r.rawPath = r.path+"/usage", r.rawPath+"/usage"
	if _, err := a.read(ctx, r, usage, opts); err != nil {
		return nil, fmt.Errorf("read the use of ACL token %s: %w", accessor, err)
	}
	return usage, nil
}

// An AgentTokenSlot is what a server uses a token for that it was given.
type AgentTokenSlot string

// Slots of a server.
const (
	SlotDefault      AgentTokenSlot = "default"        // for requests that bring none
	SlotAgent        AgentTokenSlot = "agent"          // for what the server does on its own behalf
	SlotRecovery     AgentTokenSlot = "agent_recovery" // works on this server alone, also without a leader
	SlotReplication  AgentTokenSlot = "replication"
	SlotRegistration AgentTokenSlot = "config_file_service_registration"
	SlotDNS          AgentTokenSlot = "dns"
)

// SetToken gives the server a token to use, or takes it away when secret is "". It needs
// agent:write on the server's node. Nobody checks whether the token exists.
func (a Agent) SetToken(ctx context.Context, slot AgentTokenSlot, secret string, opts ...CallOption) error {
	r := namedRequest(http.MethodPut, "/v1/agent/token/", string(slot)).calls(opts)
	r.repeatable = true
	err := r.setBody(struct{ Token string }{secret})
	if err == nil {
		err = a.c.act(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("set the server's token %q: %w", slot, err)
	}
	return nil
}
