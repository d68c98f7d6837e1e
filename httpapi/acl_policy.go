package httpapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
)

// policyShown is a policy as answers show it.
//
// Source: contract, ACL API, section 2.
type policyShown struct {
	ID          string
	Name        string
	Description string
	Rules       string
	Datacenters []string `json:",omitempty"`
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64
}

func showPolicy(p *acl.Policy) policyShown {
	return policyShown{p.ID, p.Name, p.Description, p.Rules, p.Datacenters, p.ContentHash, p.CreateIndex, p.ModifyIndex}
}

// policyListed is a policy in the list.
type policyListed struct {
	ID          string
	Name        string
	Description string
	Datacenters []string // null when empty
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64
}

// policyAsked is the body of a request that makes or changes a policy.
type policyAsked struct {
	ID, Name, Description, Rules string
	Datacenters                  []string

	// Ignored: clients send back what they have read.
	Hash                     json.RawMessage
	CreateIndex, ModifyIndex uint64
}

const (
	policyFailed  = "Policy decoding failed: "
	invalidPolicy = "Invalid Policy: "
	policyName    = 128 // longest
)

var (
	errNoPolicyID = badRequest("Missing policy ID")

	policyWord = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)?$`)
)

// checkPolicyName tells whether a policy may have that name.
func checkPolicyName(name string) error {
	switch {
	case name == "":
		return serverError(invalidPolicy + "no Name is set")
	case len(name) > policyName:
		return serverError(fmt.Sprintf("%sinvalid Name. Length must be greater than 0 and less than or equal to %d", invalidPolicy, policyName))
	case strings.HasPrefix(name, "/") || strings.HasPrefix(strings.ToLower(name), "builtin/"):
		return serverError(invalidPolicy + "invalid Name. Names cannot be prefixed with '/' or 'builtin/'")
	case !policyWord.MatchString(name):
		return serverError(invalidPolicy + "invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed")
	}
	return nil
}

// policyCreate answers PUT /v1/acl/policy.
func (c *call) policyCreate() error { return c.putPolicy("") }

// policyPut answers PUT /v1/acl/policy/<id>.
func (c *call) policyPut() error { return c.putPolicy(strings.ToLower(c.arg)) }

func (c *call) putPolicy(id string) error {
	var asked policyAsked
	if err := c.decodeACL(&asked, policyFailed); err != nil {
		return err
	}
	switch {
	case id == "" && asked.ID != "":
		return badRequest("Cannot specify the ID when creating a new policy")
	case asked.ID != "" && !strings.EqualFold(asked.ID, id):
		return badRequest("Policy ID in URL and payload do not match")
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	next, err := c.policyRow(v, id, &asked)
	if err != nil {
		return err
	}
	if _, err := acl.Parse(asked.Rules); err != nil {
		return serverError(err.Error())
	}
	index, err := c.changeACL(&acl.Change{SetPolicy: next})
	if err != nil {
		return err
	}
	c.warn(acl.Warnings(asked.Rules)...)
	shown := *next
	shown.ContentHash, shown.ModifyIndex = next.Sum(), index
	if shown.CreateIndex == 0 {
		shown.CreateIndex = index
	}
	return c.encode(showPolicy(&shown))
}

// policyRow checks what is asked for and makes the row of the table.
func (c *call) policyRow(v acl.View, id string, asked *policyAsked) (*acl.Policy, error) {
	next := &acl.Policy{ID: id, Name: asked.Name, Description: asked.Description, Rules: asked.Rules, Datacenters: asked.Datacenters}
	if id != "" {
		if !isUUID(id) {
			return nil, serverError("Policy ID invalid UUID")
		}
		old := v.Policy(id)
		if old == nil {
			return nil, serverError("cannot find policy " + id)
		}
		next.CreateIndex = old.CreateIndex
		if err := checkBuiltin(old, next); err != nil {
			return nil, err
		}
		if next.Name == old.Name { // the names of those that every cluster has could not be chosen
			return next, nil
		}
	}
	if err := checkPolicyName(next.Name); err != nil {
		return nil, err
	}
	if taken := v.PolicyByName(next.Name); taken != nil && taken.ID != id {
		return nil, serverError(invalidPolicy + `A Policy with Name "` + next.Name + `" already exists`)
	}
	if id == "" {
		var err error
		if next.ID, err = uuid.GenerateUUID(); err != nil {
			return nil, fmt.Errorf("make a policy id: %w", err)
		}
	}
	return next, nil
}

// builtinName is what errors call a policy that every cluster has; empty for others.
func builtinName(id string) string {
	switch id {
	case acl.ManagementID:
		return "builtin global-management"
	case acl.ReadOnlyID:
		return "builtin/global-read-only"
	}
	return ""
}

// checkBuiltin guards the policies that every cluster has.
func checkBuiltin(old, next *acl.Policy) error {
	name := builtinName(old.ID)
	switch {
	case name == "":
	case next.Rules != old.Rules:
		return serverError("Changing the Rules for the " + name + " policy is not permitted")
	case len(next.Datacenters) > 0:
		return serverError("Changing the Datacenters of the " + name + " policy is not permitted")
	}
	return nil
}

// policyRead answers GET /v1/acl/policy/<id>.
func (c *call) policyRead() error {
	if c.arg == "" {
		return errNoPolicyID
	}
	return c.readPolicy(func(v acl.View) *acl.Policy { return v.Policy(strings.ToLower(c.arg)) })
}

// policyByName answers GET /v1/acl/policy/name/<name>.
func (c *call) policyByName() error {
	if c.arg == "" {
		return badRequest("Missing policy Name")
	}
	return c.readPolicy(func(v acl.View) *acl.Policy { return v.PolicyByName(c.arg) })
}

func (c *call) readPolicy(find func(acl.View) *acl.Policy) error {
	return c.readTables(policiesIndex, func(v acl.View) (any, error) {
		p := find(v)
		if p == nil {
			return nil, notThere("policy")
		}
		return showPolicy(p), nil
	})
}

// policyDelete answers DELETE /v1/acl/policy/<id>.
func (c *call) policyDelete() error {
	if c.arg == "" {
		return errNoPolicyID
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	p := v.Policy(strings.ToLower(c.arg))
	if p == nil {
		return noneToDelete("policy")
	}
	if name := builtinName(p.ID); name != "" {
		return serverError("Delete operation not permitted on the " + name + " policy")
	}
	if _, err := c.changeACL(&acl.Change{DeletePolicy: p.ID}); err != nil {
		return err
	}
	c.bool(true)
	return nil
}

// policyList answers GET /v1/acl/policies.
func (c *call) policyList() error {
	return c.readTables(policiesIndex, func(v acl.View) (any, error) {
		shown := []policyListed{}
		v.Policies(func(p *acl.Policy) bool {
			listed := policyListed{p.ID, p.Name, p.Description, p.Datacenters, p.ContentHash, p.CreateIndex, p.ModifyIndex}
			if len(listed.Datacenters) == 0 {
				listed.Datacenters = nil
			}
			shown = append(shown, listed)
			return true
		})
		return shown, nil
	})
}
