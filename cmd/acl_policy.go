package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newACLPolicyCommand holds the commands on policies.
func newACLPolicyCommand() *cobra.Command {
	return group("policy", "Make, change, show and delete policies",
		newPolicyCreateCommand(),
		newPolicyDeleteCommand(),
		newPolicyListCommand(),
		newPolicyReadCommand(),
		newPolicyUpdateCommand(),
	)
}

// policyFlags adds the flags of what a policy is.
func policyFlags(v *aclVerb, p *api.ACLPolicy) {
	fs := v.c.Flags()
	fs.StringVar(&p.Name, "name", "", "The `name`.")
	fs.StringVar(&p.Description, "description", "", "A `text` that says what it is for.")
	fs.StringVar(&p.Rules, "rules", "", "The `rules`; @file reads them from a file, - from standard input.")
	fs.StringArrayVar(&p.Datacenters, "valid-datacenter", nil, "A `datacenter` where it counts; may be given several times; else it counts everywhere.")
}

func newPolicyCreateCommand() *cobra.Command {
	v := newACLVerb("create [flags]", "Make a policy",
		"Make a policy: rules with a name, for tokens and roles to link.",
		`  holdfast acl policy create -name=web -rules='key_prefix "web/" { policy = "read" }'
  holdfast acl policy create -name=web -rules=@web.hcl -description="what web servers need"`).printsMeta()
	var policy api.ACLPolicy
	policyFlags(v, &policy)
	return v.does(func(ctx context.Context, client *api.Client) (err error) {
		if policy.Rules, err = v.data(policy.Rules); err != nil {
			return err
		}
		made, err := client.ACL().CreatePolicy(ctx, policy)
		if err != nil {
			return aclError(err, "Failed to create new policy")
		}
		v.warn(made)
		return v.print(made, func(b *strings.Builder) { writePolicy(b, made, v.meta) })
	}, v.requires("name"))
}

// warn shows what the rules of a policy say in vain.
func (v *aclVerb) warn(p *api.ACLPolicy) {
	for _, text := range p.Warnings {
		fmt.Fprintln(v.c.ErrOrStderr(), "Warning: "+text)
	}
}

// byIDOrName adds the flags that name an object.
func byIDOrName(v *aclVerb, what string, id, name *string) {
	v.c.Flags().StringVar(id, "id", "", "The `id` of the "+what+", or its beginning if that is unique.")
	v.c.Flags().StringVar(name, "name", "", "The `name` of the "+what+".")
}

// findPolicy reads the policy that was named.
func findPolicy(ctx context.Context, client *api.Client, id, name string, opts ...api.ReadOption) (*api.ACLPolicy, error) {
	if id == "" {
		policy, _, err := client.ACL().PolicyByName(ctx, name, opts...)
		return policy, aclError(err, "Error reading policy %q", name)
	}
	id, err := policyID(ctx, client, id)
	if err != nil {
		return nil, err
	}
	policy, _, err := client.ACL().Policy(ctx, id, opts...)
	return policy, aclError(err, "Error reading policy %q", id)
}

func newPolicyReadCommand() *cobra.Command {
	v := newACLVerb("read [flags]", "Show a policy", "",
		"  holdfast acl policy read -name=web\n  holdfast acl policy read -id=9a1e -meta").printsMeta()
	var id, name string
	byIDOrName(v, "policy", &id, &name)
	return v.does(func(ctx context.Context, client *api.Client) error {
		policy, err := findPolicy(ctx, client, id, name, v.conn.reads()...)
		if err != nil {
			return err
		}
		return v.print(policy, func(b *strings.Builder) { writePolicy(b, policy, v.meta) })
	}, v.requiresOne("id", "name"))
}

func newPolicyListCommand() *cobra.Command {
	v := newACLVerb("list [flags]", "List policies", "",
		"  holdfast acl policy list\n  holdfast acl policy list -format=json").printsMeta()
	return v.does(func(ctx context.Context, client *api.Client) error {
		policies, _, err := client.ACL().Policies(ctx, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Failed to retrieve the policy list")
		}
		data := make([]policyListed, len(policies))
		for i, p := range policies {
			data[i] = policyListed{p.ID, p.Name, p.Description, p.Datacenters, p.Hash, p.CreateIndex, p.ModifyIndex}
		}
		return v.print(data, func(b *strings.Builder) { writePolicies(b, policies, v.meta) })
	})
}

// policyListed is a policy as lists have it: without rules.
type policyListed struct {
	ID, Name, Description    string
	Datacenters              []string
	Hash                     []byte
	CreateIndex, ModifyIndex uint64
}

func newPolicyUpdateCommand() *cobra.Command {
	v := newACLVerb("update [flags]", "Change a policy",
		`Change a policy, named by -id, or by -name alone. What no flag names stays as it is; with
-no-merge it becomes empty. The change counts at once for all tokens that link the policy,
also for what waits.`,
		`  holdfast acl policy update -name=web -rules=@web.hcl
  holdfast acl policy update -id=9a1e -name=web-servers`).printsMeta()
	var (
		id      string
		asked   api.ACLPolicy
		noMerge bool
	)
	v.c.Flags().StringVar(&id, "id", "", "The `id` of the policy, or its beginning if that is unique.")
	policyFlags(v, &asked)
	v.c.Flags().BoolVar(&noMerge, "no-merge", false, "Replace all fields, also those that no flag names.")
	check := func() error {
		if id == "" && asked.Name == "" {
			return usagef("-id or -name must be given")
		}
		return nil
	}
	return v.does(func(ctx context.Context, client *api.Client) error {
		policy, err := findPolicy(ctx, client, id, asked.Name)
		if err != nil {
			return err
		}
		if v.changed("rules") {
			if asked.Rules, err = v.data(asked.Rules); err != nil {
				return err
			}
		}
		for flag, keep := range map[string]func(){
			"name":             func() { asked.Name = policy.Name },
			"description":      func() { asked.Description = policy.Description },
			"rules":            func() { asked.Rules = policy.Rules },
			"valid-datacenter": func() { asked.Datacenters = policy.Datacenters },
		} {
			if !noMerge && !v.changed(flag) {
				keep()
			}
		}
		asked.ID = policy.ID
		made, err := client.ACL().UpdatePolicy(ctx, asked)
		if err != nil {
			return aclError(err, "Error updating policy %q", policy.ID)
		}
		v.warn(made)
		return v.print(made, func(b *strings.Builder) { writePolicy(b, made, v.meta) })
	}, check)
}

func newPolicyDeleteCommand() *cobra.Command {
	v := newACLVerb("delete [flags]", "Delete a policy",
		"Delete a policy. All tokens and roles that link it lose its rights at once.",
		"  holdfast acl policy delete -name=web")
	var id, name string
	byIDOrName(v, "policy", &id, &name)
	return v.does(func(ctx context.Context, client *api.Client) error {
		policy, err := findPolicy(ctx, client, id, name)
		if err != nil {
			return err
		}
		if err := client.ACL().DeletePolicy(ctx, policy.ID); err != nil {
			return aclError(err, "Error deleting policy %q", policy.ID)
		}
		return v.say("Policy %q deleted successfully", policy.ID)
	}, v.requiresOne("id", "name"))
}
