package api

import (
	"context"
	"fmt"
	"net/http"
)

// ManagementPolicyID is the id of the policy that grants everything.
const ManagementPolicyID = "00000000-0000-0000-0000-000000000001"

// An ACLPolicy is a set of rules with a name.
type ACLPolicy struct {
	ID          string `json:",omitzero"`
	Name        string
	Description string
	Rules       string   // left out of lists
	Datacenters []string `json:",omitempty"` // where it counts; empty = everywhere

	Hash        []byte `json:",omitempty"` // of the content
	CreateIndex uint64 `json:",omitzero"`
	ModifyIndex uint64 `json:",omitzero"`

	// Warnings say what the rules say in vain, such as a resource that does not exist.
	// Only what CreatePolicy and UpdatePolicy return has them.
	Warnings []string `json:"-"`
}

// CreatePolicy makes a policy. Its ID must be empty.
func (a ACL) CreatePolicy(ctx context.Context, policy ACLPolicy, opts ...CallOption) (*ACLPolicy, error) {
	made, err := a.writePolicy(ctx, newRequest(http.MethodPut, "/v1/acl/policy").calls(opts), policy)
	if err != nil {
		return nil, fmt.Errorf("create ACL policy %q: %w", policy.Name, err)
	}
	return made, nil
}

// UpdatePolicy replaces all fields of the policy with that ID.
func (a ACL) UpdatePolicy(ctx context.Context, policy ACLPolicy, opts ...CallOption) (*ACLPolicy, error) {
	made, err := a.writePolicy(ctx, namedRequest(http.MethodPut, "/v1/acl/policy/", policy.ID).calls(opts), policy)
	if err != nil {
		return nil, fmt.Errorf("update ACL policy %s: %w", policy.ID, err)
	}
	return made, nil
}

func (a ACL) writePolicy(ctx context.Context, r *request, policy ACLPolicy) (*ACLPolicy, error) {
	if err := r.setBody(policy); err != nil {
		return nil, err
	}
	res, err := a.c.call(ctx, r)
	if err != nil {
		return nil, err
	}
	made := &ACLPolicy{Warnings: res.Header.Values(headerWarning)}
	return made, a.c.decode(res, made)
}

// DeletePolicy deletes a policy and takes it from all tokens and roles.
func (a ACL) DeletePolicy(ctx context.Context, id string, opts ...CallOption) error {
	if err := a.remove(ctx, "/v1/acl/policy/", id, opts); err != nil {
		return fmt.Errorf("delete ACL policy %s: %w", id, err)
	}
	return nil
}

// Policy reads a policy.
func (a ACL) Policy(ctx context.Context, id string, opts ...ReadOption) (*ACLPolicy, Meta, error) {
	return a.policy(ctx, "/v1/acl/policy/", id, opts)
}

// PolicyByName reads a policy, whatever the letter case of its name.
func (a ACL) PolicyByName(ctx context.Context, name string, opts ...ReadOption) (*ACLPolicy, Meta, error) {
	return a.policy(ctx, "/v1/acl/policy/name/", name, opts)
}

func (a ACL) policy(ctx context.Context, path, name string, opts []ReadOption) (*ACLPolicy, Meta, error) {
	policy := &ACLPolicy{}
	meta, err := a.read(ctx, namedRequest(http.MethodGet, path, name), policy, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("read ACL policy %q: %w", name, err)
	}
	return policy, meta, nil
}

// Policies lists policies, without their rules.
func (a ACL) Policies(ctx context.Context, opts ...ReadOption) ([]*ACLPolicy, Meta, error) {
	var list []*ACLPolicy
	meta, err := a.read(ctx, newRequest(http.MethodGet, "/v1/acl/policies"), &list, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("list ACL policies: %w", err)
	}
	return list, meta, nil
}

// An ACLTemplate is a policy to be filled in.
type ACLTemplate struct {
	TemplateName string
	Schema       string // JSON schema of its variables; "" when it has none
	Template     string
	Description  string
}

// Templates lists the templated policies by name.
func (a ACL) Templates(ctx context.Context, opts ...ReadOption) (map[string]ACLTemplate, error) {
	var all map[string]ACLTemplate
	if _, err := a.read(ctx, newRequest(http.MethodGet, "/v1/acl/templated-policies"), &all, opts); err != nil {
		return nil, fmt.Errorf("list templated policies: %w", err)
	}
	return all, nil
}

// Template reads a templated policy.
func (a ACL) Template(ctx context.Context, name string, opts ...ReadOption) (*ACLTemplate, error) {
	template := &ACLTemplate{}
	r := namedRequest(http.MethodGet, "/v1/acl/templated-policy/name/", name)
	if _, err := a.read(ctx, r, template, opts); err != nil {
		return nil, fmt.Errorf("read templated policy %q: %w", name, err)
	}
	return template, nil
}

// PreviewTemplate shows the policy that a link to a templated policy stands for.
func (a ACL) PreviewTemplate(ctx context.Context, link ACLTemplateLink, opts ...CallOption) (*ACLPolicy, error) {
	var variables ACLTemplateVariables
	if link.TemplateVariables != nil {
		variables = *link.TemplateVariables
	}
	policy := &ACLPolicy{}
	r := namedRequest(http.MethodPost, "/v1/acl/templated-policy/preview/", link.TemplateName).calls(opts)
	if err := a.send(ctx, r, variables, policy); err != nil {
		return nil, fmt.Errorf("preview templated policy %q: %w", link.TemplateName, err)
	}
	return policy, nil
}
