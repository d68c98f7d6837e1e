package api

import (
	"context"
	"fmt"
	"net/http"
)

// An ACLRole is a set of links that tokens can share.
type ACLRole struct {
	ID          string `json:",omitzero"`
	Name        string
	Description string
	ACLLinks

	Hash        []byte `json:",omitempty"` // of the content
	CreateIndex uint64 `json:",omitzero"`
	ModifyIndex uint64 `json:",omitzero"`
}

// CreateRole makes a role. Its ID must be empty.
func (a ACL) CreateRole(ctx context.Context, role ACLRole, opts ...CallOption) (*ACLRole, error) {
	made := &ACLRole{}
	if err := a.put(ctx, "/v1/acl/role", role, made, opts); err != nil {
		return nil, fmt.Errorf("create ACL role %q: %w", role.Name, err)
	}
	return made, nil
}

// UpdateRole replaces all fields of the role with that ID.
func (a ACL) UpdateRole(ctx context.Context, role ACLRole, opts ...CallOption) (*ACLRole, error) {
	made := &ACLRole{}
	r := namedRequest(http.MethodPut, "/v1/acl/role/", role.ID).calls(opts)
	if err := a.send(ctx, r, role, made); err != nil {
		return nil, fmt.Errorf("update ACL role %s: %w", role.ID, err)
	}
	return made, nil
}

// DeleteRole deletes a role and takes it from all tokens.
func (a ACL) DeleteRole(ctx context.Context, id string, opts ...CallOption) error {
	if err := a.remove(ctx, "/v1/acl/role/", id, opts); err != nil {
		return fmt.Errorf("delete ACL role %s: %w", id, err)
	}
	return nil
}

// Role reads a role.
func (a ACL) Role(ctx context.Context, id string, opts ...ReadOption) (*ACLRole, Meta, error) {
	return a.role(ctx, "/v1/acl/role/", id, opts)
}

// RoleByName reads a role, whatever the letter case of its name.
func (a ACL) RoleByName(ctx context.Context, name string, opts ...ReadOption) (*ACLRole, Meta, error) {
	return a.role(ctx, "/v1/acl/role/name/", name, opts)
}

func (a ACL) role(ctx context.Context, path, name string, opts []ReadOption) (*ACLRole, Meta, error) {
	role := &ACLRole{}
	meta, err := a.read(ctx, namedRequest(http.MethodGet, path, name), role, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read ACL role %q: %w", name, err)
	}
	return role, meta, nil
}

// Roles lists roles: all of them, or those that link a policy directly, if its id is
// given.
func (a ACL) Roles(ctx context.Context, policy string, opts ...ReadOption) ([]*ACLRole, Meta, error) {
	r := newRequest(http.MethodGet, "/v1/acl/roles")
	if policy != "" {
		r.set("policy", policy)
	}
	var list []*ACLRole
	meta, err := a.read(ctx, r, &list, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list ACL roles: %w", err)
	}
	return list, meta, nil
}
