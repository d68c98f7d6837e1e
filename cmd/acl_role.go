package cmd

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newACLRoleCommand holds the commands on roles.
func newACLRoleCommand() *cobra.Command {
	return group("role", "Make, change, show and delete roles",
		newRoleCreateCommand(),
		newRoleDeleteCommand(),
		newRoleListCommand(),
		newRoleReadCommand(),
		newRoleUpdateCommand(),
	)
}

func newRoleCreateCommand() *cobra.Command {
	v := newACLVerb("create [flags]", "Make a role",
		"Make a role: a set of policies, identities and templated policies with a name, for tokens\nto link.",
		"  holdfast acl role create -name=ops -policy-name=web -policy-name=metrics").printsMeta()
	var (
		role      api.ACLRole
		links     linkFlags
		templates templateFlags
		vars      []string
	)
	fs := v.c.Flags()
	fs.StringVar(&role.Name, "name", "", "The `name`.")
	fs.StringVar(&role.Description, "description", "", "A `text` that says what it is for.")
	links.add(fs, "", "role", false)
	templates.add(fs, "", "that gives the role rights")
	addVars(fs, &vars)
	return v.does(func(ctx context.Context, client *api.Client) (err error) {
		if role.ACLLinks, err = links.links(ctx, client); err != nil {
			return err
		}
		if role.TemplatedPolicies, err = templates.links(vars); err != nil {
			return err
		}
		made, err := client.ACL().CreateRole(ctx, role)
		if err != nil {
			return aclError(err, "Failed to create new role")
		}
		return v.print(made, func(b *strings.Builder) { writeRole(b, made, v.meta) })
	}, v.requires("name"))
}

// findRole reads the role that was named.
func findRole(ctx context.Context, client *api.Client, id, name string, opts ...api.ReadOption) (*api.ACLRole, error) {
	if id == "" {
		role, _, err := client.ACL().RoleByName(ctx, name, opts...)
		return role, aclError(err, "Error reading role %q", name)
	}
	id, err := roleID(ctx, client, id)
	if err != nil {
		return nil, err
	}
	role, _, err := client.ACL().Role(ctx, id, opts...)
	return role, aclError(err, "Error reading role %q", id)
}

func newRoleReadCommand() *cobra.Command {
	v := newACLVerb("read [flags]", "Show a role", "", "  holdfast acl role read -name=ops").printsMeta()
	var id, name string
	byIDOrName(v, "role", &id, &name)
	return v.does(func(ctx context.Context, client *api.Client) error {
		role, err := findRole(ctx, client, id, name, v.conn.reads()...)
		if err != nil {
			return err
		}
		return v.print(role, func(b *strings.Builder) { writeRole(b, role, v.meta) })
	}, v.requiresOne("id", "name"))
}

func newRoleListCommand() *cobra.Command {
	v := newACLVerb("list [flags]", "List roles", "", "  holdfast acl role list").printsMeta()
	return v.does(func(ctx context.Context, client *api.Client) error {
		roles, _, err := client.ACL().Roles(ctx, "", v.conn.reads()...)
		if err != nil {
			return aclError(err, "Failed to retrieve the role list")
		}
		return v.print(orEmpty(roles), func(b *strings.Builder) { writeRoles(b, roles, v.meta) })
	})
}

func newRoleUpdateCommand() *cobra.Command {
	v := newACLVerb("update [flags]", "Change a role",
		`Change a role. What the flags name is added to what it links, and the rest stays as it is;
with -no-merge the flags say all there is. The change counts at once for all tokens that
link the role.`,
		`  holdfast acl role update -id=51c0 -policy-name=metrics
  holdfast acl role update -id=51c0 -no-merge -name=ops -policy-name=web`).printsMeta()
	var (
		id, name, description       string
		links                       linkFlags
		plain, addTemplate, replace templateFlags
		vars                        []string
		noMerge                     bool
	)
	fs := v.c.Flags()
	fs.StringVar(&id, "id", "", "The `id` of the role, or its beginning if that is unique.")
	fs.StringVar(&name, "name", "", "The new `name`.")
	fs.StringVar(&description, "description", "", "A `text` that says what it is for.")
	links.add(fs, "", "role", false)
	plain.add(fs, "", "to add to the role")
	addTemplate.add(fs, "append-", "to add to the role")
	replace.add(fs, "replace-", "in place of those that the role has")
	addVars(fs, &vars)
	fs.BoolVar(&noMerge, "no-merge", false, "Replace all fields, also those that no flag names.")
	check := func() error {
		given := 0
		for _, t := range []*templateFlags{&plain, &addTemplate, &replace} {
			if t.given() {
				given++
			}
		}
		if given > 1 {
			return usagef("-templated-policy, -append-templated-policy and -replace-templated-policy exclude one another")
		}
		return nil
	}
	return v.does(func(ctx context.Context, client *api.Client) error {
		role, err := findRole(ctx, client, id, "")
		if err != nil {
			return err
		}
		more, err := links.links(ctx, client)
		if err != nil {
			return err
		}
		if noMerge {
			*role = api.ACLRole{ID: role.ID}
		}
		if noMerge || v.changed("name") {
			role.Name = name
		}
		if noMerge || v.changed("description") {
			role.Description = description
		}
		role.Policies = slices.Concat(role.Policies, more.Policies) // doubles are the server's to drop
		role.ServiceIdentities = mergeServices(role.ServiceIdentities, more.ServiceIdentities)
		role.NodeIdentities = mergeNodes(role.NodeIdentities, more.NodeIdentities)
		adding := &addTemplate
		if plain.given() {
			adding = &plain
		}
		if role.TemplatedPolicies, err = newTemplates(role.TemplatedPolicies, adding, &replace, vars); err != nil {
			return err
		}
		made, err := client.ACL().UpdateRole(ctx, *role)
		if err != nil {
			return aclError(err, "Error updating role %q", role.ID)
		}
		return v.print(made, func(b *strings.Builder) { writeRole(b, made, v.meta) })
	}, v.requires("id"), check)
}

func newRoleDeleteCommand() *cobra.Command {
	v := newACLVerb("delete [flags]", "Delete a role",
		"Delete a role. All tokens that link it lose its rights at once.",
		"  holdfast acl role delete -name=ops")
	var id, name string
	byIDOrName(v, "role", &id, &name)
	return v.does(func(ctx context.Context, client *api.Client) error {
		role, err := findRole(ctx, client, id, name)
		if err != nil {
			return err
		}
		if err := client.ACL().DeleteRole(ctx, role.ID); err != nil {
			return aclError(err, "Error deleting role %q", role.ID)
		}
		return v.say("Role %q deleted successfully", role.ID)
	}, v.requiresOne("id", "name"))
}
