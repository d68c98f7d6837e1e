package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// ACL manages who may do what: tokens, policies, roles, auth methods and binding rules,
// and asks questions about them. It is a view of a [Client]; copies are free.
//
// What is named by an id or a name and does not exist is ErrACLNotFound. Where access
// control is off every method fails with a [StatusError] of 401, which is ErrDenied.
type ACL struct{ c *Client }

// ACL gives access to the access control lists.
func (c *Client) ACL() ACL { return ACL{c} }

// An ACLLink is a link to a policy or a role. To make one give the id or the name; the
// id wins. What is read has both, the name being the present one.
type ACLLink struct {
	ID   string `json:",omitzero"`
	Name string `json:",omitzero"`
}

// An ACLServiceIdentity gives the rights that a service needs to be in the catalog.
type ACLServiceIdentity struct {
	ServiceName string
	Datacenters []string `json:",omitempty"` // where it counts; empty = everywhere
}

// An ACLNodeIdentity gives the rights that a node needs to be in the catalog.
type ACLNodeIdentity struct {
	NodeName   string
	Datacenter string // the only one where it counts
}

// An ACLTemplateLink is a link to a templated policy, such as builtin/service.
type ACLTemplateLink struct {
	TemplateID        string                `json:",omitzero"`
	TemplateName      string                `json:",omitzero"`
	TemplateVariables *ACLTemplateVariables `json:",omitempty"`
	Datacenters       []string              `json:",omitempty"` // where it counts; empty = everywhere
}

// ACLTemplateVariables are what a templated policy is filled in with.
type ACLTemplateVariables struct {
	Name string `json:",omitzero"`
}

// ACLLinks is what gives a token or a role its rights. A role has no Roles.
type ACLLinks struct {
	Policies          []ACLLink            `json:",omitempty"`
	Roles             []ACLLink            `json:",omitempty"`
	ServiceIdentities []ACLServiceIdentity `json:",omitempty"`
	NodeIdentities    []ACLNodeIdentity    `json:",omitempty"`
	TemplatedPolicies []ACLTemplateLink    `json:",omitempty"`
}

// Bootstrap makes the first token, which has all rights. It needs no token and succeeds
// once; see the guide on recovery for how it is allowed again. secret is the secret that
// the token shall have, a UUID, or "" for a random one.
func (a ACL) Bootstrap(ctx context.Context, secret string, opts ...CallOption) (*ACLToken, error) {
	var body any
	if secret != "" {
		body = struct{ BootstrapSecret string }{secret}
	}
	token := &ACLToken{}
	if err := a.put(ctx, "/v1/acl/bootstrap", body, token, opts); err != nil {
		return nil, fmt.Errorf("bootstrap the ACLs: %w", err)
	}
	return token, nil
}

// A Login is what somebody shows to get a token.
type Login struct {
	AuthMethod  string            // name of the method
	BearerToken string            `json:",omitzero"`  // what it verifies; none for client certificates
	Meta        map[string]string `json:",omitempty"` // becomes part of the token's description
}

// Login makes a token for somebody whom an auth method knows. It needs no token.
func (a ACL) Login(ctx context.Context, login Login, opts ...CallOption) (*ACLToken, error) {
	token := &ACLToken{}
	r := newRequest(http.MethodPost, "/v1/acl/login").calls(opts)
	r.header.Set(headerToken, "") // whoever logs in is not who holds the client's token
	if err := a.send(ctx, r, login, token); err != nil {
		return nil, fmt.Errorf("log in by auth method %q: %w", login.AuthMethod, err)
	}
	return token, nil
}

// Logout deletes the token that the client sends, which must come from a login.
func (a ACL) Logout(ctx context.Context, opts ...CallOption) error {
	if err := a.c.act(ctx, newRequest(http.MethodPost, "/v1/acl/logout").calls(opts)); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// An ACLReplication says how the tables are copied between datacenters. Servers of
// Holdfast, which have one datacenter, answer zero values.
type ACLReplication struct {
	Enabled, Running     bool
	SourceDatacenter     string
	ReplicationType      string
	ReplicatedIndex      uint64
	ReplicatedRoleIndex  uint64
	ReplicatedTokenIndex uint64
	LastSuccess          time.Time
	LastError            time.Time
	LastErrorMessage     string
}

// Replication asks how the tables are copied between datacenters. It needs no right.
func (a ACL) Replication(ctx context.Context, opts ...ReadOption) (*ACLReplication, error) {
	state := &ACLReplication{}
	if _, err := a.c.fetch(ctx, newRequest(http.MethodGet, "/v1/acl/replication").reads(opts), state); err != nil {
		return nil, fmt.Errorf("read ACL replication: %w", err)
	}
	return state, nil
}

// put writes body, which nil leaves empty, and reads the answer into v.
func (a ACL) put(ctx context.Context, path string, body, v any, opts []CallOption) error {
	return a.send(ctx, newRequest(http.MethodPut, path).calls(opts), body, v)
}

// send does r with body as JSON, which nil leaves empty, and reads the answer into v.
func (a ACL) send(ctx context.Context, r *request, body, v any) error {
	if body != nil {
		if err := r.setBody(body); err != nil {
			return err
		}
	}
	_, err := a.c.fetch(ctx, r, v)
	return err
}

// setBody makes JSON the body of the request.
func (r *request) setBody(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		r.body, r.size = bytes.NewReader(b), int64(len(b))
	}
	return err
}

// read reads one object or a list.
func (a ACL) read(ctx context.Context, r *request, v any, opts []ReadOption) (Meta, error) {
	return a.c.fetch(ctx, r.reads(opts), v)
}

// remove deletes what has an id or a name.
func (a ACL) remove(ctx context.Context, path, name string, opts []CallOption) error {
	r := namedRequest(http.MethodDelete, path, name).calls(opts)
	return a.c.act(ctx, r)
}

// namedRequest is about what has an id or a name, which cannot be empty.
func namedRequest(method, path, name string) *request {
	r := argRequest(method, path, name)
	if name == "" {
		r.err = errNoName
	}
	return r
}
