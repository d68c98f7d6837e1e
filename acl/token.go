package acl

import (
	"fmt"
	"io"
	"time"
)

// The anonymous token, and the ids of the policies that every cluster has.
const (
	AnonymousAccessor = "00000000-0000-0000-0000-000000000002"
	AnonymousSecret   = "anonymous"

	ManagementID   = "00000000-0000-0000-0000-000000000001" // global-management
	ReadOnlyID     = "00000000-0000-0000-0000-000000000002" // builtin/global-read-only
	ReservedPrefix = "00000000-0000-0000-0000-0000000000"   // of ids that clients cannot choose
)

// Links are what gives a token or a role its rights. Policies and roles are linked by
// id; the names shown are the present ones.
type Links struct {
	Policies          []string // ids
	Roles             []string // ids; roles have none
	ServiceIdentities []ServiceIdentity
	NodeIdentities    []NodeIdentity
	Templates         []TemplateLink
}

// ServiceIdentity stands for the rights of a service.
type ServiceIdentity struct {
	Service     string
	Datacenters []string // sorted; empty: all
}

// NodeIdentity stands for the rights of a node.
type NodeIdentity struct {
	Node       string
	Datacenter string
}

// TemplateLink stands for a templated policy.
type TemplateLink struct {
	ID          string // of the template
	Template    string // its name
	Name        string // the variable name; "" when the template has none
	Datacenters []string
}

// Token is one token. A row that was put in is never changed, only replaced.
type Token struct {
	Accessor    string // public id, the primary key
	Hash        string // keyed hash of the secret, 32 bytes; how it is found
	Secret      string // "" when only the hash is kept
	Description string
	Links
	Vars   map[string]string // variables of its identity, for ${name} in rules; may be nil
	Local  bool
	Method string // auth method that made it; "" for none

	Expires time.Time // the zero time: never
	Created time.Time

	// After a rotation the former secret works until then.
	FormerHash  string
	FormerUntil time.Time

	ContentHash              []byte // of what clients may change; 32 bytes
	CreateIndex, ModifyIndex uint64
}

// Policy is a named text of rules.
type Policy struct {
	ID          string
	Name        string // unique without regard to case
	Description string
	Rules       string // as it was sent
	Datacenters []string

	ContentHash              []byte
	CreateIndex, ModifyIndex uint64
}

// Role is a named set of links.
type Role struct {
	ID          string
	Name        string // unique without regard to case
	Description string
	Links

	ContentHash              []byte
	CreateIndex, ModifyIndex uint64
}

// AuthMethod is a way to get a token, or an identity, from somebody else's credential.
type AuthMethod struct {
	Name        string
	Type        string // "jwt" or "cert"
	DisplayName string
	Description string
	MaxTokenTTL time.Duration // 0: no end
	Locality    string        // "local" or "global", "" as sent
	Config      []byte        // JSON, normalised

	CreateIndex, ModifyIndex uint64
}

// BindingRule says which links an identity of an auth method gets.
type BindingRule struct {
	ID          string
	Description string
	Method      string
	Selector    string
	BindType    string // service, node, role, policy or templated-policy
	BindName    string
	BindVars    map[string]string // "name" only; nil when there are none

	CreateIndex, ModifyIndex uint64
}

// RowID is part of staging.Row.
func (t *Token) RowID() string { return t.Accessor }

// RowID is part of staging.Row.
func (p *Policy) RowID() string { return p.ID }

// RowID is part of staging.Row.
func (r *Role) RowID() string { return r.ID }

// RowID is part of staging.Row.
func (m *AuthMethod) RowID() string { return m.Name }

// RowID is part of staging.Row.
func (r *BindingRule) RowID() string { return r.ID }

// ExpiredAt tells whether the token has ended at a time.
func (t *Token) ExpiredAt(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Format prints the accessor alone, whatever the verb: secrets must not get into logs by
// accident.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "token "+t.Accessor) }
