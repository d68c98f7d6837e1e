package cmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// tokenUpdate is one run of "acl token update".
type tokenUpdate struct {
	*aclVerb
	accessor, description string

	set, add                     linkFlags // what replaces links, and what is added to them
	addTemplate, replaceTemplate templateFlags
	vars                         []string
	mergePolicies, mergeRoles    bool // former ways to say that set is to be added
	mergeServices, mergeNodes    bool // likewise
}

func newTokenUpdateCommand() *cobra.Command {
	u := &tokenUpdate{aclVerb: newACLVerb("update [flags]", "Change the description and the rights of a token",
		`Change a token. Of policies, roles, service identities, node identities and templated
policies, each kind stays as it is unless a flag names it: -policy-name and its kin replace
what is there, those that begin with -append add to it. What else a token is cannot be
changed.`,
		`  holdfast acl token update -accessor-id=6b1f -append-policy-name=metrics
  holdfast acl token update -accessor-id=6b1f -description="web servers" -policy-name=web
  holdfast acl token update -accessor-id=anonymous -policy-name=public`).printsMeta()}
	fs := u.c.Flags()
	ofToken(u.aclVerb, &u.accessor)
	fs.StringVar(&u.description, "description", "", "A `text` that says what it is for.")
	u.set.add(fs, "", "token, in place of those that it has", true)
	u.add.add(fs, "append-", "token", true)
	u.replaceTemplate.add(fs, "replace-", "in place of those that the token has")
	u.addTemplate.add(fs, "append-", "to add to the token")
	addVars(fs, &u.vars)
	fs.StringVar(&u.accessor, "id", "", "The former name of -accessor-id.")
	fs.BoolVar(&u.mergePolicies, "merge-policies", false, "The former way to say -append-policy-id and -append-policy-name.")
	fs.BoolVar(&u.mergeRoles, "merge-roles", false, "The former way to say -append-role-id and -append-role-name.")
	fs.BoolVar(&u.mergeServices, "merge-service-identities", false, "The former way to say -append-service-identity.")
	fs.BoolVar(&u.mergeNodes, "merge-node-identities", false, "The former way to say -append-node-identity.")
	for _, name := range []string{"id", "merge-policies", "merge-roles", "merge-service-identities", "merge-node-identities"} {
		_ = fs.MarkHidden(name) // the flag exists
	}
	return u.does(u.run, u.requires("accessor-id"), u.check)
}

// check refuses to replace and to add at once.
func (u *tokenUpdate) check() error {
	for _, kind := range []struct {
		what     string
		set, add int
	}{
		{"policy-id/policy-name", len(u.set.policyIDs) + len(u.set.policyNames), len(u.add.policyIDs) + len(u.add.policyNames)},
		{"role-id/role-name", len(u.set.roleIDs) + len(u.set.roleNames), len(u.add.roleIDs) + len(u.add.roleNames)},
		{"service-identity", len(u.set.services), len(u.add.services)},
		{"node-identity", len(u.set.nodes), len(u.add.nodes)},
		{"replace-templated-policy", len(u.replaceTemplate.name + u.replaceTemplate.file), len(u.addTemplate.name + u.addTemplate.file)},
	} {
		if kind.set > 0 && kind.add > 0 {
			return usagef("Cannot combine the use of %s flags with append- variants", kind.what)
		}
	}
	return nil
}

func (u *tokenUpdate) run(ctx context.Context, client *api.Client) error {
	id, err := accessorID(ctx, client, u.accessor)
	if err != nil {
		return err
	}
	token, _, err := client.ACL().Token(ctx, id)
	if err != nil {
		return aclError(err, "Error when retrieving current token")
	}
	set, err := u.set.links(ctx, client)
	if err != nil {
		return err
	}
	add, err := u.add.links(ctx, client)
	if err != nil {
		return err
	}
	if u.changed("description") {
		token.Description = u.description
	}
	token.Policies = newLinks(token.Policies, set.Policies, add.Policies, u.mergePolicies)
	token.Roles = newLinks(token.Roles, set.Roles, add.Roles, u.mergeRoles)
	switch {
	case len(set.ServiceIdentities) > 0 && !u.mergeServices:
		token.ServiceIdentities = set.ServiceIdentities
	default:
		token.ServiceIdentities = mergeServices(token.ServiceIdentities, append(set.ServiceIdentities, add.ServiceIdentities...))
	}
	switch {
	case len(set.NodeIdentities) > 0 && !u.mergeNodes:
		token.NodeIdentities = set.NodeIdentities
	default:
		token.NodeIdentities = mergeNodes(token.NodeIdentities, append(set.NodeIdentities, add.NodeIdentities...))
	}
	if token.TemplatedPolicies, err = newTemplates(token.TemplatedPolicies, &u.addTemplate, &u.replaceTemplate, u.vars); err != nil {
		return err
	}
	token.SecretID = "" // it may be hidden, and cannot be changed
	made, err := client.ACL().UpdateToken(ctx, *token)
	if err != nil {
		return aclError(err, "Failed to update token %s", id)
	}
	return u.print(made, func(b *strings.Builder) { writeToken(b, made, u.meta) })
}

// newLinks replaces links or adds to them; without any flag they stay.
func newLinks(have, set, add []api.ACLLink, merge bool) []api.ACLLink {
	if len(set) > 0 && !merge {
		return set
	}
	return append(append(have, set...), add...) // doubles are the server's to drop
}

// newTemplates is newLinks for templated policies.
func newTemplates(have []api.ACLTemplateLink, add, replace *templateFlags, vars []string) ([]api.ACLTemplateLink, error) {
	from := add
	if replace.given() {
		from, have = replace, nil
	}
	more, err := from.links(vars)
	return append(have, more...), err
}
