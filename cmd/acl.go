package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// maxRulesBytes bounds rules and configurations that are read from files.
const maxRulesBytes = 512 << 10

// newACLCommand holds the commands on access control.
func newACLCommand() *cobra.Command {
	return group("acl", "Manage who may do what",
		newACLAuthMethodCommand(),
		newACLBindingRuleCommand(),
		newACLBootstrapCommand(),
		newACLDenialsCommand(),
		newACLExplainCommand(),
		newACLPolicyCommand(),
		newACLRecoverCommand(),
		newACLRoleCommand(),
		newACLSetAgentTokenCommand(),
		newACLTemplateCommand(),
		newACLTokenCommand(),
		newACLWhoCanCommand(),
	)
}

// An aclVerb is a command on access control: its flags, and what they say.
type aclVerb struct {
	c    *cobra.Command
	conn *connection
	out  *printer // nil where nothing but a sentence is printed
	meta bool
}

// newACLVerb makes a command from its use line, its help and an example.
func newACLVerb(use, short, long, example string) *aclVerb {
	v := &aclVerb{c: &cobra.Command{Use: use, Short: short, Long: long, Example: example, Annotations: exits("3 4 6 7")}}
	v.conn = connect(v.c, askTimeout)
	return v
}

// prints gives the command -format.
func (v *aclVerb) prints() *aclVerb {
	v.out = prints(v.c)
	return v
}

// printsMeta gives the command -format and -meta.
func (v *aclVerb) printsMeta() *aclVerb {
	v.c.Flags().BoolVar(&v.meta, "meta", false, "Show the hash of the content and the indexes too.")
	return v.prints()
}

// does is the rest of the command: what it checks before a server is asked, and what it
// asks. Names are those of its operands, of which least must be there.
func (v *aclVerb) does(run func(ctx context.Context, client *api.Client) error, checks ...func() error) *cobra.Command {
	return v.doesWith(0, nil, func(ctx context.Context, client *api.Client, _ []string) error { return run(ctx, client) }, checks...)
}

func (v *aclVerb) doesWith(least int, names []string, run func(ctx context.Context, client *api.Client, args []string) error, checks ...func() error) *cobra.Command {
	v.c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, least, names...); err != nil {
			return err
		}
		for _, check := range checks {
			if err := check(); err != nil {
				return err
			}
		}
		if v.out != nil {
			if _, err := v.out.chosen(); err != nil {
				return err
			}
		}
		client, ctx, cancel, err := v.conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		return run(ctx, client, args)
	}
	return v.c
}

// print shows data, as JSON or as the text that pretty writes. A line follows the text,
// as users of consul are used to.
func (v *aclVerb) print(data any, pretty func(*strings.Builder)) error {
	return v.out.print(data, func(w io.Writer) error {
		var b strings.Builder
		pretty(&b)
		if b.Len() == 0 {
			return nil
		}
		_, err := fmt.Fprintln(w, b.String())
		return err
	})
}

// say prints one sentence.
func (v *aclVerb) say(format string, args ...any) error {
	_, err := fmt.Fprintf(v.c.OutOrStdout(), format+"\n", args...)
	return err
}

// changed says whether a flag was given.
func (v *aclVerb) changed(name string) bool { return v.c.Flags().Changed(name) }

// requires makes a check that flags were given.
func (v *aclVerb) requires(names ...string) func() error {
	return func() error {
		for _, name := range names {
			if f := v.c.Flags().Lookup(name); f.Value.String() == "" {
				return usagef("the flag -%s is missing", name)
			}
		}
		return nil
	}
}

// requiresOne makes a check that exactly one of two flags was given.
func (v *aclVerb) requiresOne(a, b string) func() error {
	return func() error {
		fs := v.c.Flags()
		given := func(name string) bool {
			value := fs.Lookup(name).Value.String()
			return value != "" && value != "false"
		}
		if given(a) == given(b) {
			return usagef("exactly one of -%s and -%s must be given", a, b)
		}
		return nil
	}
}

// data reads what a flag or an operand says: "@file", "-" or the text itself.
func (v *aclVerb) data(arg string) (string, error) {
	b, err := dataOperand(arg, v.c.InOrStdin(), maxRulesBytes)
	return string(b), err
}

// aclError says in consul's words that something could not be done, for scripts that look
// for them.
func aclError(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	text := fmt.Sprintf(format, args...) + ": "
	var status *api.StatusError
	switch {
	case errors.As(err, &status):
		text += fmt.Sprintf("Unexpected response code: %d (%s)", status.Code, status.Body)
	default:
		text += err.Error()
	}
	return &plainError{text: text, err: err}
}

// denialAdvice says why a request was refused, and what can be done.
func denialAdvice(err error) (why, try string) {
	try = "another token: -token, -token-file or HOLDFAST_HTTP_TOKEN"
	var status *api.StatusError
	if !errors.As(err, &status) {
		return "", try
	}
	switch {
	case status.Code == http.StatusUnauthorized && strings.Contains(status.Body, "ACL support disabled"):
		return "these servers check no rights, so there are none to manage", "acl.enabled = true in the configuration of the servers"
	case strings.Contains(status.Body, "must be bootstrapped"):
		return "no token exists yet", "holdfast acl bootstrap"
	case strings.HasSuffix(status.Body, "ACL not found"):
		return "no token has the secret that was sent: it was deleted, it has expired, or there never was one", try
	}
	d := status.Denial
	if d == nil || d.DecidedBy == "" {
		return "the token in use does not allow this, or none was given", try
	}
	what := strings.TrimRight(d.Access+" "+d.Resource+" "+d.Name, " ")
	if d.Rule == nil {
		why = fmt.Sprintf("no rule of the token is about %q, and the default policy says no", what)
	} else {
		why = "the rule that decides is " + deniedBy(d.Rule)
	}
	ask := d.Access + " " + d.Resource
	if d.Name != "" {
		ask += " '" + strings.ReplaceAll(shown(d.Name), "'", `'\''`) + "'"
	}
	return why, try + "\nholdfast acl who-can " + ask + "     with a token that may read the ACLs"
}

// deniedBy names the rule of a denial.
func deniedBy(r *api.DenialRule) string {
	return shown(ruleText(api.ACLRule{
		Resource: r.Resource, Match: r.Match, Label: r.Label, Level: r.Level,
		Policy: api.ACLLink{ID: r.PolicyID, Name: r.Policy}, Via: r.Via,
	}))
}

func newACLBootstrapCommand() *cobra.Command {
	v := newACLVerb("bootstrap [flags] [FILE|-]", "Make the first token, which may do everything",
		`Make the first token. It may do everything, so keep it safe and use it to make others. No
token is needed for this, and it can be done once; "holdfast acl recover" is the way back
when the token is lost.

The secret is random, unless a file, or standard input for "-", holds another: a UUID.`,
		"  holdfast acl bootstrap\n  holdfast acl bootstrap -format=json > first-token.json\n  uuidgen | holdfast acl bootstrap -").prints()
	return v.doesWith(0, []string{"FILE"}, func(ctx context.Context, client *api.Client, args []string) error {
		secret := ""
		if len(args) > 0 {
			source := args[0]
			if source != "-" {
				source = "@" + source
			}
			text, err := v.data(source)
			if err != nil {
				return err
			}
			if secret = strings.TrimSpace(text); secret == "" {
				return usagef("%s holds no secret", args[0])
			}
		}
		token, err := client.ACL().Bootstrap(ctx, secret)
		if err != nil {
			return aclError(err, "Failed ACL bootstrapping")
		}
		return v.print(token, func(b *strings.Builder) { writeToken(b, token, false) })
	})
}

// agentSlots are the types of tokens that a server uses, as the command line names them.
var agentSlots = map[string]api.AgentTokenSlot{
	"default": api.SlotDefault, "agent": api.SlotAgent, "recovery": api.SlotRecovery, "replication": api.SlotReplication,
	"config_file_service_registration": api.SlotRegistration, "dns": api.SlotDNS,
}

func newACLSetAgentTokenCommand() *cobra.Command {
	v := newACLVerb("set-agent-token [flags] TYPE TOKEN", "Give a server a token to use",
		`Give the server that is asked a token to use. It forgets it when it stops, unless
acl.enable_token_persistence is set. TOKEN is the secret, "@file" or "-" for standard input;
an empty one takes the token away. Nobody checks whether it exists.

  default       for requests that bring no token
  recovery      works on this server alone, also without a leader
  agent, replication, config_file_service_registration, dns
                kept for tools that set them; a server of Holdfast has no use for them`,
		"  holdfast acl set-agent-token default @/etc/holdfast/default.token\n  holdfast acl set-agent-token recovery - < recovery.token")
	v.c.ValidArgs = []string{"default", "agent", "recovery", "replication", "config_file_service_registration", "dns"}
	return v.doesWith(2, []string{"TYPE", "TOKEN"}, func(ctx context.Context, client *api.Client, args []string) error {
		slot, known := agentSlots[args[0]]
		if !known {
			return usagef("%q is not a type of token; default, agent, recovery, replication, config_file_service_registration and dns are", args[0])
		}
		secret, err := v.data(args[1])
		if err != nil {
			return err
		}
		if err := client.Agent().SetToken(ctx, slot, strings.TrimSpace(secret)); err != nil {
			return aclError(err, "Failed to set ACL token %q", args[0])
		}
		return v.say("ACL token %q set successfully", args[0])
	})
}
