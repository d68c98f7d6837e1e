package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newACLAuthMethodCommand holds the commands on auth methods.
func newACLAuthMethodCommand() *cobra.Command {
	return group("auth-method", "Make, change, show and delete ways to log in",
		newMethodCreateCommand(),
		newMethodDeleteCommand(),
		newMethodListCommand(),
		newMethodReadCommand(),
		newMethodUpdateCommand(),
	)
}

// methodFlags are the flags of what an auth method is.
type methodFlags struct {
	method                    api.ACLAuthMethod
	ttl                       time.Duration
	config                    string
	kubeHost, kubeCA, kubeJWT string
}

func (m *methodFlags) add(v *aclVerb) {
	fs := v.c.Flags()
	fs.StringVar(&m.method.Name, "name", "", "The `name`.")
	fs.StringVar(&m.method.DisplayName, "display-name", "", "The `name` that people are shown.")
	fs.StringVar(&m.method.Description, "description", "", "A `text` that says what it is for.")
	fs.DurationVar(&m.ttl, "max-token-ttl", 0, "How long tokens of a login live, as a `duration` of at least a minute; else until somebody deletes them.")
	fs.StringVar(&m.method.TokenLocality, "token-locality", "", "Where such tokens count, as a `word`: local or global.")
	fs.StringVar(&m.config, "config", "", "The `configuration` as JSON; @file reads it from a file, - from standard input.")
	fs.StringVar(&m.kubeHost, "kubernetes-host", "", "The `address` of the API server, for the type kubernetes.")
	fs.StringVar(&m.kubeCA, "kubernetes-ca-cert", "", "The PEM `certificate` of its authority; @file reads it from a file.")
	fs.StringVar(&m.kubeJWT, "kubernetes-service-account-jwt", "", "The `token` to ask it with.")
}

// read reads the configuration; changed says whether there is any.
func (m *methodFlags) read(v *aclVerb) (changed bool, err error) {
	m.method.MaxTokenTTL = api.Duration(m.ttl)
	if m.config != "" {
		text, err := v.data(m.config)
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal([]byte(text), &m.method.Config); err != nil {
			return false, fmt.Errorf("read the configuration: %w", err)
		}
		changed = true
	}
	for name, value := range map[string]string{"Host": m.kubeHost, "CACert": m.kubeCA, "ServiceAccountJWT": m.kubeJWT} {
		if value == "" {
			continue
		}
		if value, err = v.data(value); err != nil {
			return false, err
		}
		if m.method.Config == nil {
			m.method.Config = map[string]any{}
		}
		m.method.Config[name], changed = value, true
	}
	return changed, nil
}

func newMethodCreateCommand() *cobra.Command {
	v := newACLVerb("create [flags]", "Make a way to log in",
		`Make an auth method: a way to get a token for a credential of somebody else. Servers know
the types jwt, for signed tokens, and cert, for client certificates. Who logs in gets what
the binding rules of the method say, so make those too.`,
		`  holdfast acl auth-method create -name=ci -type=jwt -max-token-ttl=15m -config=@ci.json
  holdfast acl binding-rule create -method=ci -bind-type=role -bind-name=deployers -selector='value.ref == "main"'`).printsMeta()
	var m methodFlags
	v.c.Flags().StringVar(&m.method.Type, "type", "", "The `type`: jwt or cert.")
	m.add(v)
	return v.does(func(ctx context.Context, client *api.Client) error {
		if _, err := m.read(v); err != nil {
			return err
		}
		switch _, _, err := client.ACL().AuthMethod(ctx, m.method.Name); {
		case err == nil:
			return fmt.Errorf("there is an auth method %q already", m.method.Name)
		case !isNotFound(err):
			return aclError(err, "Failed to create new auth method")
		}
		made, err := client.ACL().PutAuthMethod(ctx, m.method)
		if err != nil {
			return aclError(err, "Failed to create new auth method")
		}
		return v.print(made, func(b *strings.Builder) { writeMethod(b, made, v.meta) })
	}, v.requires("name", "type"))
}

func newMethodReadCommand() *cobra.Command {
	v := newACLVerb("read [flags]", "Show a way to log in", "", "  holdfast acl auth-method read -name=ci").printsMeta()
	var name string
	v.c.Flags().StringVar(&name, "name", "", "The `name` of the auth method.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		method, _, err := client.ACL().AuthMethod(ctx, name, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Error reading auth method %q", name)
		}
		return v.print(method, func(b *strings.Builder) { writeMethod(b, method, v.meta) })
	}, v.requires("name"))
}

func newMethodListCommand() *cobra.Command {
	v := newACLVerb("list [flags]", "List the ways to log in", "", "  holdfast acl auth-method list").printsMeta()
	return v.does(func(ctx context.Context, client *api.Client) error {
		methods, _, err := client.ACL().AuthMethods(ctx, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Failed to retrieve the auth method list")
		}
		return v.print(orEmpty(methods), func(b *strings.Builder) { writeMethods(b, methods, v.meta) })
	})
}

func newMethodUpdateCommand() *cobra.Command {
	v := newACLVerb("update [flags]", "Change a way to log in",
		`Change an auth method. What no flag names stays as it is, and -config replaces the keys
that it has; with -no-merge the flags say all there is. The type cannot be changed.`,
		"  holdfast acl auth-method update -name=ci -max-token-ttl=10m").printsMeta()
	var (
		m       methodFlags
		noMerge bool
	)
	m.add(v)
	v.c.Flags().BoolVar(&noMerge, "no-merge", false, "Replace all fields, also those that no flag names.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		old, _, err := client.ACL().AuthMethod(ctx, m.method.Name)
		if err != nil {
			return aclError(err, "Error reading auth method %q", m.method.Name)
		}
		if _, err := m.read(v); err != nil {
			return err
		}
		next := m.method
		next.Type = old.Type
		if !noMerge {
			for flag, keep := range map[string]func(){
				"display-name":   func() { next.DisplayName = old.DisplayName },
				"description":    func() { next.Description = old.Description },
				"max-token-ttl":  func() { next.MaxTokenTTL = old.MaxTokenTTL },
				"token-locality": func() { next.TokenLocality = old.TokenLocality },
			} {
				if !v.changed(flag) {
					keep()
				}
			}
			config := maps.Clone(old.Config)
			if config == nil {
				config = map[string]any{}
			}
			maps.Copy(config, m.method.Config)
			next.Config = config
		}
		made, err := client.ACL().PutAuthMethod(ctx, next)
		if err != nil {
			return aclError(err, "Error updating auth method %q", next.Name)
		}
		return v.print(made, func(b *strings.Builder) { writeMethod(b, made, v.meta) })
	}, v.requires("name"))
}

func newMethodDeleteCommand() *cobra.Command {
	v := newACLVerb("delete [flags]", "Delete a way to log in",
		"Delete an auth method, its binding rules, and all tokens of its logins.",
		"  holdfast acl auth-method delete -name=ci")
	var name string
	v.c.Flags().StringVar(&name, "name", "", "The `name` of the auth method.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		if err := client.ACL().DeleteAuthMethod(ctx, name); err != nil {
			return aclError(err, "Error deleting auth method %q", name)
		}
		return v.say("Auth-method %q deleted successfully", name)
	}, v.requires("name"))
}

// newACLBindingRuleCommand holds the commands on binding rules.
func newACLBindingRuleCommand() *cobra.Command {
	return group("binding-rule", "Say which rights those get who log in",
		newBindingCreateCommand(),
		newBindingDeleteCommand(),
		newBindingListCommand(),
		newBindingReadCommand(),
		newBindingUpdateCommand(),
	)
}

// bindingFlags adds the flags of what a binding rule is, but for its method.
func bindingFlags(v *aclVerb, r *api.ACLBindingRule, vars *[]string) {
	fs := v.c.Flags()
	fs.StringVar(&r.Description, "description", "", "A `text` that says what it is for.")
	fs.StringVar(&r.Selector, "selector", "", "Whom it concerns, as an `expression`; else everybody who logs in.")
	fs.StringVar(&r.BindType, "bind-type", "", "What they get, as a `word`: service, node, role, policy or templated-policy.")
	fs.StringVar(&r.BindName, "bind-name", "", "The `name` of that; ${value.x} stands for what the login says of x.")
	fs.StringArrayVar(vars, "bind-vars", nil, "A `variable` of a templated policy, name=VALUE.")
}

// bindVars reads -bind-vars.
func bindVars(r *api.ACLBindingRule, texts []string) (err error) {
	for _, text := range texts {
		separator := "="
		if !strings.Contains(text, separator) {
			separator = ":"
		}
		if r.BindVars, err = templateVariable(text, separator); err != nil {
			return err
		}
	}
	return nil
}

func newBindingCreateCommand() *cobra.Command {
	v := newACLVerb("create [flags]", "Make a binding rule",
		"Make a binding rule: who logs in by the method and fits the selector gets what it names.",
		`  holdfast acl binding-rule create -method=ci -bind-type=role -bind-name=deployers -selector='value.ref == "main"'
  holdfast acl binding-rule create -method=ci -bind-type=policy -bind-name='team-${value.team}'`).printsMeta()
	var (
		rule api.ACLBindingRule
		vars []string
	)
	v.c.Flags().StringVar(&rule.AuthMethod, "method", "", "The `name` of the auth method.")
	bindingFlags(v, &rule, &vars)
	const usual = "service" // as consul has it
	v.c.Flags().Lookup("bind-type").Usage += " Else " + usual + "."
	return v.does(func(ctx context.Context, client *api.Client) error {
		rule.BindType = cmp.Or(rule.BindType, usual)
		made, err := client.ACL().CreateBindingRule(ctx, rule)
		if err != nil {
			return aclError(err, "Failed to create new binding rule")
		}
		return v.print(made, func(b *strings.Builder) {
			row(b, "", 14, "ID", made.ID)
			writeBinding(b, "", made, v.meta)
		})
	}, v.requires("method", "bind-name"), func() error { return bindVars(&rule, vars) })
}

func newBindingReadCommand() *cobra.Command {
	v := newACLVerb("read [flags]", "Show a binding rule", "", "  holdfast acl binding-rule read -id=7e21").printsMeta()
	var id string
	v.c.Flags().StringVar(&id, "id", "", "The `id` of the binding rule, or its beginning if that is unique.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		whole, err := bindingID(ctx, client, id)
		if err != nil {
			return err
		}
		rule, _, err := client.ACL().BindingRule(ctx, whole, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Error reading binding rule %q", whole)
		}
		return v.print(rule, func(b *strings.Builder) {
			row(b, "", 14, "ID", rule.ID)
			writeBinding(b, "", rule, v.meta)
		})
	}, v.requires("id"))
}

func newBindingListCommand() *cobra.Command {
	v := newACLVerb("list [flags]", "List binding rules", "", "  holdfast acl binding-rule list -method=ci").printsMeta()
	var method string
	v.c.Flags().StringVar(&method, "method", "", "Only those of the auth method of this `name`.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		rules, _, err := client.ACL().BindingRules(ctx, method, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Failed to retrieve the binding rule list")
		}
		return v.print(orEmpty(rules), func(b *strings.Builder) {
			for _, r := range rules {
				fmt.Fprintf(b, "%s:\n", r.ID)
				writeBinding(b, "   ", r, v.meta)
			}
		})
	})
}

func newBindingUpdateCommand() *cobra.Command {
	v := newACLVerb("update [flags]", "Change a binding rule",
		`Change a binding rule. What no flag names stays as it is; with -no-merge it becomes empty.
Tokens of earlier logins stay as they are.`,
		"  holdfast acl binding-rule update -id=7e21 -bind-name=operators").printsMeta()
	var (
		id      string
		asked   api.ACLBindingRule
		vars    []string
		noMerge bool
	)
	v.c.Flags().StringVar(&id, "id", "", "The `id` of the binding rule, or its beginning if that is unique.")
	bindingFlags(v, &asked, &vars)
	v.c.Flags().BoolVar(&noMerge, "no-merge", false, "Replace all fields, also those that no flag names.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		whole, err := bindingID(ctx, client, id)
		if err != nil {
			return err
		}
		rule, _, err := client.ACL().BindingRule(ctx, whole)
		if err != nil {
			return aclError(err, "Error reading binding rule %q", whole)
		}
		for _, field := range []struct {
			flag     string
			to, from *string
		}{
			{"description", &rule.Description, &asked.Description},
			{"selector", &rule.Selector, &asked.Selector},
			{"bind-type", &rule.BindType, &asked.BindType},
			{"bind-name", &rule.BindName, &asked.BindName},
		} {
			if noMerge || v.changed(field.flag) {
				*field.to = *field.from
			}
		}
		if noMerge || len(vars) > 0 || rule.BindType != "templated-policy" {
			rule.BindVars = asked.BindVars
		}
		made, err := client.ACL().UpdateBindingRule(ctx, *rule)
		if err != nil {
			return aclError(err, "Error updating binding rule %q", whole)
		}
		return v.print(made, func(b *strings.Builder) {
			row(b, "", 14, "ID", made.ID)
			writeBinding(b, "", made, v.meta)
		})
	}, v.requires("id"), func() error { return bindVars(&asked, vars) })
}

func newBindingDeleteCommand() *cobra.Command {
	v := newACLVerb("delete [flags]", "Delete a binding rule", "Delete a binding rule. Tokens of earlier logins stay as they are.",
		"  holdfast acl binding-rule delete -id=7e21")
	var id string
	v.c.Flags().StringVar(&id, "id", "", "The `id` of the binding rule, or its beginning if that is unique.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		whole, err := bindingID(ctx, client, id)
		if err != nil {
			return err
		}
		if err := client.ACL().DeleteBindingRule(ctx, whole); err != nil {
			return aclError(err, "Error deleting binding rule %q", whole)
		}
		return v.say("Binding rule %q deleted successfully", whole)
	}, v.requires("id"))
}

// newACLTemplateCommand holds the commands on templated policies.
func newACLTemplateCommand() *cobra.Command {
	return group("templated-policy", "Show the policies that names can be filled into",
		newTemplateListCommand(),
		newTemplatePreviewCommand(),
		newTemplateReadCommand(),
	)
}

func newTemplateListCommand() *cobra.Command {
	v := newACLVerb("list [flags]", "List templated policies", "", "  holdfast acl templated-policy list").prints()
	return v.does(func(ctx context.Context, client *api.Client) error {
		all, err := client.ACL().Templates(ctx)
		if err != nil {
			return aclError(err, "Failed to retrieve the templated policies list")
		}
		return v.print(all, func(b *strings.Builder) {
			for _, name := range slices.Sorted(maps.Keys(all)) {
				b.WriteString(name + "\n")
			}
		})
	})
}

func newTemplateReadCommand() *cobra.Command {
	v := newACLVerb("read [flags]", "Show a templated policy", "", "  holdfast acl templated-policy read -name=builtin/service").printsMeta()
	var name string
	v.c.Flags().StringVar(&name, "name", "", "The `name` of the templated policy.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		template, err := client.ACL().Template(ctx, name)
		if err != nil {
			return aclError(err, "Error reading templated policy %q", name)
		}
		return v.print(template, func(b *strings.Builder) { writeTemplate(b, template, v.meta) })
	}, v.requires("name"))
}

func newTemplatePreviewCommand() *cobra.Command {
	v := newACLVerb("preview [flags]", "Show what a templated policy stands for", "",
		"  holdfast acl templated-policy preview -name=builtin/service -var=name:api").prints()
	var (
		templates templateFlags
		vars      []string
	)
	v.c.Flags().StringVar(&templates.name, "name", "", "The `name` of the templated policy.")
	v.c.Flags().StringVar(&templates.file, "file", "", "A `file` with one templated policy and its variables.")
	addVars(v.c.Flags(), &vars)
	return v.does(func(ctx context.Context, client *api.Client) error {
		links, err := templates.links(vars)
		if err != nil {
			return err
		}
		if len(links) != 1 {
			return usagef("one templated policy can be shown at a time, not %d", len(links))
		}
		policy, err := client.ACL().PreviewTemplate(ctx, links[0])
		if err != nil {
			return aclError(err, "Failed to generate the templated policy preview")
		}
		return v.print(policy, func(b *strings.Builder) { writePolicy(b, policy, false) })
	}, v.requiresOne("name", "file"))
}
