package api

import (
	"context"
	"fmt"
	"net/http"
)

// An ACLAuthMethod is a way to log in.
type ACLAuthMethod struct {
	Name          string
	Type          string         // jwt or cert
	DisplayName   string         `json:",omitzero"`
	Description   string         `json:",omitzero"`
	MaxTokenTTL   Duration       `json:",omitzero"` // how long tokens of a login live; 0 = until somebody deletes them
	TokenLocality string         `json:",omitzero"` // local or global; "" = local
	Config        map[string]any // by type; left out of lists

	CreateIndex uint64 `json:",omitzero"`
	ModifyIndex uint64 `json:",omitzero"`
}

// PutAuthMethod makes an auth method, or replaces the one with that Name.
func (a ACL) PutAuthMethod(ctx context.Context, method ACLAuthMethod, opts ...CallOption) (*ACLAuthMethod, error) {
	made := &ACLAuthMethod{}
	r := namedRequest(http.MethodPut, "/v1/acl/auth-method/", method.Name).calls(opts)
	if err := a.send(ctx, r, method, made); err != nil {
		return nil, fmt.Errorf("write auth method %q: %w", method.Name, err)
	}
	return made, nil
}

// DeleteAuthMethod deletes an auth method with its binding rules and all tokens that
// came from it.
func (a ACL) DeleteAuthMethod(ctx context.Context, name string, opts ...CallOption) error {
	if err := a.remove(ctx, "/v1/acl/auth-method/", name, opts); err != nil {
		return fmt.Errorf("delete auth method %q: %w", name, err)
	}
	return nil
}

// AuthMethod reads an auth method.
func (a ACL) AuthMethod(ctx context.Context, name string, opts ...ReadOption) (*ACLAuthMethod, Meta, error) {
	method := &ACLAuthMethod{}
	meta, err := a.read(ctx, namedRequest(http.MethodGet, "/v1/acl/auth-method/", name), method, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read auth method %q: %w", name, err)
	}
	return method, meta, nil
}

// AuthMethods lists auth methods, without their Config.
func (a ACL) AuthMethods(ctx context.Context, opts ...ReadOption) ([]*ACLAuthMethod, Meta, error) {
	var list []*ACLAuthMethod
	meta, err := a.read(ctx, newRequest(http.MethodGet, "/v1/acl/auth-methods"), &list, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list auth methods: %w", err)
	}
	return list, meta, nil
}

// An ACLBindingRule says which rights those get who log in.
type ACLBindingRule struct {
	ID          string `json:",omitzero"`
	Description string
	AuthMethod  string // name of the method; fixed once it is made
	Selector    string // whom it concerns, such as: value.team == "ops"; "" = everybody
	BindType    string // service, node, role, policy or templated-policy
	BindName    string // of that, such as: ${value.team}

	BindVars *ACLTemplateVariables `json:",omitempty"` // of a templated policy

	CreateIndex uint64 `json:",omitzero"`
	ModifyIndex uint64 `json:",omitzero"`
}

// CreateBindingRule makes a binding rule. Its ID must be empty.
func (a ACL) CreateBindingRule(ctx context.Context, rule ACLBindingRule, opts ...CallOption) (*ACLBindingRule, error) {
	made := &ACLBindingRule{}
	if err := a.put(ctx, "/v1/acl/binding-rule", rule, made, opts); err != nil {
		return nil, fmt.Errorf("create binding rule: %w", err)
	}
	return made, nil
}

// UpdateBindingRule replaces all fields of the rule with that ID.
func (a ACL) UpdateBindingRule(ctx context.Context, rule ACLBindingRule, opts ...CallOption) (*ACLBindingRule, error) {
	made := &ACLBindingRule{}
	r := namedRequest(http.MethodPut, "/v1/acl/binding-rule/", rule.ID).calls(opts)
	if err := a.send(ctx, r, rule, made); err != nil {
		return nil, fmt.Errorf("update binding rule %s: %w", rule.ID, err)
	}
	return made, nil
}

// DeleteBindingRule deletes a binding rule. Tokens of earlier logins stay as they are.
func (a ACL) DeleteBindingRule(ctx context.Context, id string, opts ...CallOption) error {
	if err := a.remove(ctx, "/v1/acl/binding-rule/", id, opts); err != nil {
		return fmt.Errorf("delete binding rule %s: %w", id, err)
	}
	return nil
}

// BindingRule reads a binding rule.
func (a ACL) BindingRule(ctx context.Context, id string, opts ...ReadOption) (*ACLBindingRule, Meta, error) {
	rule := &ACLBindingRule{}
	meta, err := a.read(ctx, namedRequest(http.MethodGet, "/v1/acl/binding-rule/", id), rule, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read binding rule %s: %w", id, err)
	}
	return rule, meta, nil
}

// BindingRules lists binding rules: all of them, or those of one auth method.
func (a ACL) BindingRules(ctx context.Context, method string, opts ...ReadOption) ([]*ACLBindingRule, Meta, error) {
	r := newRequest(http.MethodGet, "/v1/acl/binding-rules")
	if method != "" {
		r.set("authmethod", method)
	}
	var list []*ACLBindingRule
	meta, err := a.read(ctx, r, &list, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list binding rules: %w", err)
	}
	return list, meta, nil
}
