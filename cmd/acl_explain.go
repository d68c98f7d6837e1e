package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// isNotFound says whether an object of the ACLs does not exist.
func isNotFound(err error) bool { return errors.Is(err, api.ErrACLNotFound) }

// questionOperands are those of explain and who-can.
var questionOperands = []string{"ACCESS", "RESOURCE", "NAME"}

// questionHelp tells what they may be.
const questionHelp = `ACCESS is read or write; for keys also list, delete, history, and write-prefix, which is
what deleting all below a prefix needs. RESOURCE is a word of the rules, such as key,
session, event, node, agent, operator or acl. NAME is that of the key or node; some
resources have none.`

// question reads the operands.
func question(args []string) api.ACLQuestion {
	q := api.ACLQuestion{Access: args[0], Resource: args[1]}
	if len(args) > 2 {
		q.Segment = args[2]
		if q.Resource == "key" {
			q.Segment = keyOperand(q.Segment)
		}
	}
	return q
}

// questionText is a question as people read it.
func questionText(q api.ACLQuestion) string {
	if q.Segment == "" {
		return q.Access + " " + q.Resource
	}
	return fmt.Sprintf("%s %s %q", q.Access, q.Resource, q.Segment)
}

func newACLExplainCommand() *cobra.Command {
	v := newACLVerb("explain [flags] ACCESS RESOURCE [NAME]", "Say whether a token may do something, and why",
		`Say whether a token may do something, and which rule of which policy decides: of the token
in use or, for who may read the ACLs, of another. The command succeeds whatever the answer
is.

`+questionHelp,
		"  holdfast acl explain write key app/motd\n  holdfast acl explain -accessor-id=6b1f read session db-1").prints()
	var accessor string
	ofToken(v, &accessor)
	return v.doesWith(2, questionOperands, func(ctx context.Context, client *api.Client, args []string) (err error) {
		if accessor != "" {
			if accessor, err = accessorID(ctx, client, accessor); err != nil {
				return err
			}
		}
		answer, err := client.ACL().Explain(ctx, question(args), accessor)
		if err != nil {
			return aclError(err, "Failed to explain")
		}
		return v.out.print(answer, func(w io.Writer) error { return writeExplanation(w, answer) })
	})
}

func writeExplanation(w io.Writer, e *api.ACLExplanation) error {
	word := "Denied"
	if e.Allow {
		word = "Allowed"
	}
	fmt.Fprintf(w, "%s: %s\n", word, questionText(e.ACLQuestion))
	fmt.Fprintf(w, "Token:   %s\n", e.AccessorID)
	if e.Rule == nil {
		fmt.Fprintln(w, "Because: no rule of the token is about it, so the default policy decides")
	} else {
		fmt.Fprintln(w, "Because: "+ruleText(*e.Rule))
	}
	for _, lost := range e.Lost {
		if _, err := fmt.Fprintf(w, "Not:     %s: %s\n", ruleText(lost.ACLRule), lost.Why); err != nil {
			return err
		}
	}
	return nil
}

func newACLWhoCanCommand() *cobra.Command {
	v := newACLVerb("who-can [flags] ACCESS RESOURCE [NAME]", "List the tokens and roles that may do something",
		`List the tokens and the roles that may do something, and the rule that lets them.

`+questionHelp,
		"  holdfast acl who-can write key app/motd\n  holdfast acl who-can -format=json write acl").prints()
	return v.doesWith(2, questionOperands, func(ctx context.Context, client *api.Client, args []string) error {
		holders, err := client.ACL().WhoCan(ctx, question(args))
		if err != nil {
			return aclError(err, "Failed to ask who can")
		}
		return v.out.print(holders, func(w io.Writer) error {
			rows := [][]string{{"Kind", "ID", "Name or description", "Because"}}
			for _, h := range holders.Tokens {
				rows = append(rows, []string{"token", h.AccessorID, firstOf(shown(h.Description), "-"), because(h)})
			}
			for _, h := range holders.Roles {
				rows = append(rows, []string{"role", h.ID, shown(h.Name), because(h)})
			}
			if err := columns(w, v.out.style(), rows); err != nil || !holders.Truncated {
				return err
			}
			_, err := fmt.Fprintln(w, "There are more.")
			return err
		})
	})
}

// because is the reason of a holder's right.
func because(h api.ACLHolder) string {
	if h.Rule == nil {
		return "default policy"
	}
	return shown(ruleText(*h.Rule))
}

func newACLDenialsCommand() *cobra.Command {
	v := newACLVerb("denials [flags]", "List what a server has refused last",
		`List the requests that the server that is asked has refused last for lack of rights, the
newest first, and the rule that decided. Each server knows of its own, since it began to
run.`,
		"  holdfast acl denials -limit=20\n  holdfast acl denials -resource=key -prefix=app/ -format=json").prints()
	var filter api.DenialFilter
	fs := v.c.Flags()
	fs.StringVar(&filter.Accessor, "accessor-id", "", "Only those of the token with this accessor `id`.")
	fs.StringVar(&filter.Resource, "resource", "", "Only those about this `resource`, such as key.")
	fs.StringVar(&filter.Prefix, "prefix", "", "Only those about names that begin with this `text`.")
	fs.IntVar(&filter.Limit, "limit", 0, "How many, as a `number`; else all that the server has.")
	check := func() error {
		if filter.Limit < 0 {
			return usagef("-limit must not be negative")
		}
		return nil
	}
	return v.does(func(ctx context.Context, client *api.Client) error {
		denials, err := client.ACL().Denials(ctx, filter)
		if err != nil {
			return aclError(err, "Failed to list denials")
		}
		return v.out.print(orEmpty(denials), func(w io.Writer) error {
			rows := [][]string{{"Time", "Token", "From", "Request", "Needs", "Because"}}
			for _, d := range denials {
				rows = append(rows, []string{
					when(d.Time), firstOf(d.Accessor, "unknown"), firstOf(d.Address, "-"), shown(d.Method + " " + d.Path),
					firstOf(shown(strings.TrimRight(d.Access+" "+d.Resource+" "+d.Name, " ")), "-"), denialReason(&d),
				})
			}
			return columns(w, v.out.style(), rows)
		})
	}, check)
}

// denialReason says what decided.
func denialReason(d *api.Denial) string {
	switch {
	case d.Rule != nil:
		return deniedBy(d.Rule)
	case d.DecidedBy == "default_policy":
		return "default policy"
	}
	return shown(d.Error)
}
