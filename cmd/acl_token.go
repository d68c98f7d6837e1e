package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newACLTokenCommand holds the commands on tokens.
func newACLTokenCommand() *cobra.Command {
	return group("token", "Make, change, show and delete tokens",
		newTokenCloneCommand(),
		newTokenCreateCommand(),
		newTokenDeleteCommand(),
		newTokenListCommand(),
		newTokenReadCommand(),
		newTokenRotateCommand(),
		newTokenUpdateCommand(),
		newTokenUsageCommand(),
	)
}

// ofToken adds the flag that names a token.
func ofToken(v *aclVerb, accessor *string) {
	v.c.Flags().StringVar(accessor, "accessor-id", "", "The accessor `id` of the token, or its beginning if that is unique; anonymous for that of requests without a token.")
}

func newTokenCreateCommand() *cobra.Command {
	v := newACLVerb("create [flags]", "Make a token",
		`Make a token and print it. Its rights are those of the policies, roles, identities and
templated policies that it links; what it links can be changed later, with
"holdfast acl token update" and by changing what is linked.`,
		`  holdfast acl token create -description="web servers" -policy-name=web -expires-ttl=720h
  holdfast acl token create -role-name=ops -node-identity=db-1:dc1
  holdfast acl token create -templated-policy=builtin/service -var=name:api`).printsMeta()
	var (
		token     api.ACLToken
		links     linkFlags
		templates templateFlags
		vars      []string
		ttl       time.Duration
	)
	fs := v.c.Flags()
	fs.StringVar(&token.AccessorID, "accessor", "", "The accessor `id`, a UUID; else a random one.")
	fs.StringVar(&token.SecretID, "secret", "", "The `secret`, a UUID; else a random one. Who can see the processes of this machine can read it.")
	fs.StringVar(&token.Description, "description", "", "A `text` that says what it is for.")
	fs.BoolVar(&token.Local, "local", false, "Let it count in this datacenter only.")
	fs.DurationVar(&ttl, "expires-ttl", 0, "How long it lives, as a `duration` of at least a minute; else until somebody deletes it.")
	links.add(fs, "", "token", true)
	templates.add(fs, "", "that gives the token rights")
	addVars(fs, &vars)
	return v.does(func(ctx context.Context, client *api.Client) (err error) {
		if token.ACLLinks, err = links.links(ctx, client); err != nil {
			return err
		}
		if token.TemplatedPolicies, err = templates.links(vars); err != nil {
			return err
		}
		token.ExpirationTTL = api.Duration(ttl)
		made, err := client.ACL().CreateToken(ctx, token)
		if err != nil {
			return aclError(err, "Failed to create new token")
		}
		return v.print(made, func(b *strings.Builder) { writeToken(b, made, v.meta) })
	})
}

func newTokenReadCommand() *cobra.Command {
	v := newACLVerb("read [flags]", "Show a token",
		`Show a token. Its secret is shown to who has acl:write, and with -self; where servers keep
only hashes of secrets, with -self alone.`,
		"  holdfast acl token read -self\n  holdfast acl token read -accessor-id=6b1f -expanded").printsMeta()
	var (
		accessor       string
		self, expanded bool
	)
	ofToken(v, &accessor)
	v.c.Flags().StringVar(&accessor, "id", "", "The former name of -accessor-id.")
	_ = v.c.Flags().MarkHidden("id") // the flag exists
	v.c.Flags().BoolVar(&self, "self", false, "Show the token in use.")
	v.c.Flags().BoolVar(&expanded, "expanded", false, "Show all rules that reach the token, and how.")
	check := func() error {
		switch {
		case self == (accessor != ""):
			return usagef("exactly one of -accessor-id and -self must be given")
		case self && expanded:
			return usagef("-expanded cannot be combined with -self")
		}
		return nil
	}
	return v.does(func(ctx context.Context, client *api.Client) error {
		if self {
			token, _, err := client.ACL().Self(ctx, v.conn.reads()...)
			if err != nil {
				return aclError(err, "Error reading token")
			}
			return v.print(token, func(b *strings.Builder) { writeToken(b, token, v.meta) })
		}
		id, err := accessorID(ctx, client, accessor)
		if err != nil {
			return err
		}
		if expanded {
			return v.printExpanded(ctx, client, id)
		}
		token, _, err := client.ACL().Token(ctx, id, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Error reading token %q", id)
		}
		return v.print(token, func(b *strings.Builder) { writeToken(b, token, v.meta) })
	}, check)
}

func newTokenListCommand() *cobra.Command {
	v := newACLVerb("list [flags]", "List tokens", "",
		"  holdfast acl token list\n  holdfast acl token list -format=json").printsMeta()
	return v.does(func(ctx context.Context, client *api.Client) error {
		tokens, _, err := client.ACL().Tokens(ctx, api.ACLTokenFilter{}, v.conn.reads()...)
		if err != nil {
			return aclError(err, "Failed to retrieve the token list")
		}
		return v.print(orEmpty(tokens), func(b *strings.Builder) { writeTokens(b, tokens, v.meta) })
	})
}

func newTokenCloneCommand() *cobra.Command {
	v := newACLVerb("clone [flags]", "Make a token with the rights of another",
		"Make a token with the links, the locality, the expiration time and the description of\nanother.",
		"  holdfast acl token clone -accessor-id=6b1f -description=\"second web server\"").printsMeta()
	var accessor, description string
	ofToken(v, &accessor)
	v.c.Flags().StringVar(&accessor, "id", "", "The former name of -accessor-id.")
	_ = v.c.Flags().MarkHidden("id") // the flag exists
	v.c.Flags().StringVar(&description, "description", "", "A `text` that says what the new one is for; else that of the other.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		id, err := accessorID(ctx, client, accessor)
		if err != nil {
			return err
		}
		made, err := client.ACL().CloneToken(ctx, id, description)
		if err != nil {
			return aclError(err, "Error cloning token")
		}
		return v.print(made, func(b *strings.Builder) {
			b.WriteString("Token cloned successfully.\n")
			writeToken(b, made, v.meta)
		})
	}, v.requires("accessor-id"))
}

func newTokenDeleteCommand() *cobra.Command {
	v := newACLVerb("delete [flags]", "Delete a token",
		`Delete a token. Requests made with it are refused from then on, and blocking queries that
wait end at once. Its sessions and their locks stay.`,
		"  holdfast acl token delete -accessor-id=6b1f")
	var accessor string
	ofToken(v, &accessor)
	v.c.Flags().StringVar(&accessor, "id", "", "The former name of -accessor-id.")
	_ = v.c.Flags().MarkHidden("id") // the flag exists
	return v.does(func(ctx context.Context, client *api.Client) error {
		id, err := accessorID(ctx, client, accessor)
		if err != nil {
			return err
		}
		if err := client.ACL().DeleteToken(ctx, id); err != nil {
			return aclError(err, "Error deleting token %q", id)
		}
		return v.say("Token %q deleted successfully", id)
	}, v.requires("accessor-id"))
}

func newTokenRotateCommand() *cobra.Command {
	v := newACLVerb("rotate [flags]", "Give a token a new secret",
		`Give a token a new secret and print it. Everything else of the token stays: its accessor
id, its rights, its sessions. With -grace the former secret works for that long too, so
that programs can be told the new one one after the other.`,
		"  holdfast acl token rotate -self\n  holdfast acl token rotate -accessor-id=6b1f -grace=10m -format=json").printsMeta()
	var (
		accessor string
		self     bool
		grace    time.Duration
	)
	ofToken(v, &accessor)
	v.c.Flags().BoolVar(&self, "self", false, "Rotate the token in use.")
	v.c.Flags().DurationVar(&grace, "grace", 0, "How long the former secret works, as a `duration` of at most a day.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		id, err := v.tokenNamed(ctx, client, accessor)
		if err != nil {
			return err
		}
		made, err := client.ACL().RotateToken(ctx, id, grace)
		if err != nil {
			return aclError(err, "Error rotating token %q", id)
		}
		return v.print(made, func(b *strings.Builder) { writeToken(b, made, v.meta) })
	}, v.requiresOne("accessor-id", "self"))
}

// tokenNamed is the accessor id that was given, or that of the token in use.
func (v *aclVerb) tokenNamed(ctx context.Context, client *api.Client, accessor string) (string, error) {
	if accessor != "" {
		return accessorID(ctx, client, accessor)
	}
	token, _, err := client.ACL().Self(ctx)
	if err != nil {
		return "", aclError(err, "Error reading token")
	}
	return token.AccessorID, nil
}

func newTokenUsageCommand() *cobra.Command {
	v := newACLVerb("usage [flags]", "Show when a server has seen a token used last",
		`Show how often the server that is asked has seen a token used since it began to run, when
last and from where. Each server knows of the requests that came to it; ask all of them
before you delete a token for not being used.`,
		"  holdfast acl token usage -accessor-id=6b1f\n  holdfast acl token usage -self").prints()
	var (
		accessor string
		self     bool
	)
	ofToken(v, &accessor)
	v.c.Flags().BoolVar(&self, "self", false, "Show the use of the token in use.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		id, err := v.tokenNamed(ctx, client, accessor)
		if err != nil {
			return err
		}
		usage, err := client.ACL().TokenUsage(ctx, id)
		if err != nil {
			return aclError(err, "Error reading the use of token %q", id)
		}
		return v.print(usage, func(b *strings.Builder) {
			const width = 14
			row(b, "", width, "AccessorID", usage.AccessorID)
			row(b, "", width, "Server", usage.Node)
			row(b, "", width, "Requests", fmt.Sprint(usage.Requests))
			row(b, "", width, "Last used", when(usage.LastUsed))
			row(b, "", width, "From", firstOf(usage.LastAddress, "-"))
			fmt.Fprintf(b, "%-*s%s\n", width, "Counted since:", " "+when(&usage.Since))
		})
	}, v.requiresOne("accessor-id", "self"))
}
