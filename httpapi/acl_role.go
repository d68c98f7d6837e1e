package httpapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
)

// roleShown is a role as answers show it, the list too.
//
// Source: contract, ACL API, section 4.
type roleShown struct {
	ID          string
	Name        string
	Description string
	linksShown
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64
}

func showRole(v acl.View, r *acl.Role) roleShown {
	return roleShown{r.ID, r.Name, r.Description, showLinks(v, r.Links), r.ContentHash, r.CreateIndex, r.ModifyIndex}
}

// roleAsked is the body of a request that makes or changes a role.
type roleAsked struct {
	ID, Name, Description string
	Policies              []linkShown
	ServiceIdentities     []serviceIdentityShown
	NodeIdentities        []nodeIdentityShown
	TemplatedPolicies     []templateLinkShown

	// Ignored: clients send back what they have read.
	Hash                     json.RawMessage
	CreateIndex, ModifyIndex uint64
}

const (
	roleFailed  = "Role decoding failed: "
	invalidRole = "Invalid Role: "
	roleName    = 256 // longest
)

var (
	errNoRoleID = badRequest("Missing role ID")

	roleWord = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// roleCreate answers PUT /v1/acl/role.
func (c *call) roleCreate() error { return c.putRole("") }

// rolePut answers PUT /v1/acl/role/<id>.
func (c *call) rolePut() error { return c.putRole(strings.ToLower(c.arg)) }

func (c *call) putRole(id string) error {
	var asked roleAsked
	if err := c.decodeACL(&asked, roleFailed); err != nil {
		return err
	}
	if asked.ID != "" && !strings.EqualFold(asked.ID, id) {
		return badRequest("Role ID in URL and payload do not match")
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	next, err := c.roleRow(v, id, &asked)
	if err != nil {
		return err
	}
	index, err := c.changeACL(&acl.Change{SetRole: next})
	if err != nil {
		return err
	}
	shown := *next
	shown.ContentHash, shown.ModifyIndex = next.Sum(), index
	if shown.CreateIndex == 0 {
		shown.CreateIndex = index
	}
	return c.encode(showRole(c.s.node.Store().View().ACL(), &shown))
}

// roleRow checks what is asked for and makes the row of the table.
func (c *call) roleRow(v acl.View, id string, asked *roleAsked) (*acl.Role, error) {
	next := &acl.Role{ID: id, Name: asked.Name, Description: asked.Description}
	if id != "" {
		if !isUUID(id) {
			return nil, serverError("Role ID invalid UUID")
		}
		old := v.Role(id)
		if old == nil {
			return nil, serverError("cannot find role " + id)
		}
		next.CreateIndex = old.CreateIndex
	}
	switch name := next.Name; {
	case name == "":
		return nil, serverError(invalidRole + "no Name is set")
	case len(name) > roleName:
		return nil, serverError(fmt.Sprintf("%sinvalid Name. Length must be greater than 0 and less than or equal to %d", invalidRole, roleName))
	case !roleWord.MatchString(name):
		return nil, serverError(invalidRole + "invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
	}
	if taken := v.RoleByName(next.Name); taken != nil && taken.ID != id {
		return nil, serverError(invalidRole + `A Role with Name "` + next.Name + `" already exists`)
	}
	links := linksAsked{
		Policies: asked.Policies, ServiceIdentities: asked.ServiceIdentities,
		NodeIdentities: asked.NodeIdentities, TemplatedPolicies: asked.TemplatedPolicies,
	}
	var err error
	if next.Links, err = links.links(v, owner{kind: "role"}); err != nil {
		return nil, err
	}
	if id == "" {
		if next.ID, err = uuid.GenerateUUID(); err != nil {
			return nil, fmt.Errorf("make a role id: %w", err)
		}
	}
	return next, nil
}

// roleRead answers GET /v1/acl/role/<id>.
func (c *call) roleRead() error {
	if c.arg == "" {
		return errNoRoleID
	}
	return c.readRole(func(v acl.View) *acl.Role { return v.Role(strings.ToLower(c.arg)) })
}

// roleByName answers GET /v1/acl/role/name/<name>.
func (c *call) roleByName() error {
	if c.arg == "" {
		return badRequest("Missing role Name")
	}
	return c.readRole(func(v acl.View) *acl.Role { return v.RoleByName(c.arg) })
}

func (c *call) readRole(find func(acl.View) *acl.Role) error {
	return c.readTables(rolesIndex, func(v acl.View) (any, error) {
		r := find(v)
		if r == nil {
			return nil, notThere("role")
		}
		return showRole(v, r), nil
	})
}

// roleDelete answers DELETE /v1/acl/role/<id>.
func (c *call) roleDelete() error {
	if c.arg == "" {
		return errNoRoleID
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	r := v.Role(strings.ToLower(c.arg))
	if r == nil {
		return noneToDelete("role")
	}
	if _, err := c.changeACL(&acl.Change{DeleteRole: r.ID}); err != nil {
		return err
	}
	c.bool(true)
	return nil
}

// roleList answers GET /v1/acl/roles.
func (c *call) roleList() error {
	policy := strings.ToLower(c.q.get(pPolicy))
	return c.readTables(rolesIndex, func(v acl.View) (any, error) {
		shown := []roleShown{}
		v.Roles(func(r *acl.Role) bool {
			if policy == "" || slices.Contains(r.Policies, policy) {
				shown = append(shown, showRole(v, r))
			}
			return true
		})
		return shown, nil
	})
}
