package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// electRun is one run of "elect".
type electRun struct {
	*connection
	*program
	out *printer

	value   string
	listen  bool
	once    bool
	try     time.Duration
	ttl     time.Duration
	name    string
	verbose bool
}

// elected is a leader as JSON and YAML show it.
type elected struct {
	Key     string
	Elected bool
	Value   string
	Session string `json:",omitempty"`
	Fence   uint64 `json:",omitempty"` // of our own term
	Term    uint64 `json:",omitempty"` // of others
}

func newElectCommand() *cobra.Command {
	e := &electRun{}
	c := &cobra.Command{
		Use:   "elect [flags] KEY [COMMAND [ARGUMENTS...]]",
		Short: "Lead, or see who leads",
		Long: `Campaign for KEY until this candidate leads, say so, and lead until a signal comes; with
COMMAND, run it and lead until it has ended. When the lead is lost, COMMAND and all that it
has started is ended as "holdfast lock" does it. -listen shows who leads, and each change.

Whoever holds KEY with a session leads, and its value says who that is. So the election
works together with others that follow the documentation of this API, in any language.` + slashNote,
		Example: `  holdfast elect service/db/leader
  holdfast elect -value=10.0.0.7:5432 service/db/leader ./serve-as-primary.sh
  holdfast elect -listen service/db/leader
  holdfast elect -listen -once -format=json service/db/leader`,
		Annotations: exits("3 4 5 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return e.run(c, args) },
	}
	e.connection = connect(c, noTimeout)
	e.program = childFlags(c.Flags())
	e.out = prints(c)
	fs := c.Flags()
	wait := fs.Lookup("timeout") // of the connection; here the lead may last as long as it likes
	wait.Usage = "Give up when this candidate does not lead after this `duration`; 0 waits as long as it takes."
	wait.Annotations = nil
	fs.StringVar(&e.value, "value", "", "What others read about this leader, as `text`; the name of this machine if it is not given.")
	fs.BoolVar(&e.listen, "listen", false, "Do not campaign: show who leads.")
	fs.BoolVar(&e.once, "once", false, "With -listen, end after the present leader.")
	fs.DurationVar(&e.try, "try", 0, "As -timeout, but 0 does not wait at all.")
	fs.DurationVar(&e.ttl, "ttl", 0, "How long after the death of a leader another can be elected, as a `duration`, beside the lock-delay; 15s if it is not given.")
	fs.StringVar(&e.name, "name", "", "The `name` of the session; one that tells the key if it is not given.")
	fs.BoolVar(&e.verbose, "verbose", false, "Say what is being done.")
	c.ValidArgsFunction = completeKeys(e.connection, 1)
	return c
}

func (e *electRun) run(c *cobra.Command, args []string) error {
	if err := e.check(c, args); err != nil {
		return err
	}
	key := keyOperand(args[0])
	client, err := e.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	if e.listen {
		return e.observe(c.Context(), client.Election(key), key)
	}
	return e.lead(c, client, key, args[1:])
}

// check refuses what means nothing.
func (e *electRun) check(c *cobra.Command, args []string) error {
	changed := c.Flags().Changed
	switch {
	case len(args) == 0:
		return usagef("the argument KEY is missing")
	case keyOperand(args[0]) == "":
		return usagef("the argument KEY is empty")
	case e.listen && len(args) > 1:
		return usagef("-listen runs no command")
	case e.listen && (changed("value") || changed("try") || changed("ttl") || changed("name")):
		return usagef("-listen does not campaign: -value, -try, -ttl and -name mean nothing with it")
	case e.once && !e.listen:
		return usagef("-once means nothing without -listen")
	case e.try < 0 || e.ttl < 0:
		return usagef("-try and -ttl must not be negative")
	case changed("try") && e.timeout > 0:
		return usagef("-try and -timeout exclude each other")
	}
	_, err := e.out.chosen()
	return err
}

// lead campaigns, and leads until the command has ended or a signal comes.
func (e *electRun) lead(c *cobra.Command, client *api.Client, key string, words []string) error {
	out := &notices{w: c.ErrOrStderr()}
	c.SetErr(shared(c.ErrOrStderr(), out))
	say := out.verbose(e.verbose)
	name := firstOf(e.name, fmt.Sprintf("Holdfast election at '%s'", key))
	value := e.value
	if value == "" && !c.Flags().Changed("value") {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the name of this machine, which -value would replace: %w", err)
		}
		value = host
	}
	opts := []api.RecipeOption{api.SessionName(name), api.OnState(out.state)}
	if e.ttl > 0 {
		opts = append(opts, api.SessionTTL(e.ttl))
	}
	say("Campaigning for %s", key)
	term, err := e.campaign(c, client.Election(key, opts...), []byte(value))
	if err != nil {
		var held *api.HeldError
		switch {
		case errors.Is(err, context.Canceled):
			return context.Canceled // whatever it broke off has been taken back, or ends by itself
		case errors.As(err, &held):
			return &heldError{text: key + " is " + held.State(), err: err}
		}
		return err
	}
	ran := e.out.print(elected{Key: key, Elected: true, Value: value, Session: term.Session(), Fence: term.Fence()}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Elected as leader of %s: %s\n", key, value)
		return err
	})
	switch {
	case ran != nil: // nobody would learn of it
	case len(words) > 0:
		ran = e.program.run(c, term.Context(), words, holdEnv(term.Hold), say)
	default:
		select {
		case <-term.Lost():
		case <-c.Context().Done():
			ran = c.Context().Err()
		}
	}
	return release(c, term.Hold, "the lead of "+key, ran, out)
}

func (e *electRun) campaign(c *cobra.Command, election *api.Election, value []byte) (*api.Term, error) {
	switch {
	case c.Flags().Changed("try"):
		return election.TryCampaign(c.Context(), value, e.try)
	case e.timeout > 0:
		return election.TryCampaign(c.Context(), value, e.timeout)
	}
	return election.Campaign(c.Context(), value)
}

// observe shows each leader as it comes.
func (e *electRun) observe(ctx context.Context, election *api.Election, key string) error {
	if e.once {
		return e.observeOnce(ctx, election, key)
	}
	ctx, cancel := e.bound(ctx)
	defer cancel()
	for leader, err := range election.Observe(ctx) {
		if err != nil {
			return err
		}
		if err := e.show(key, leader); err != nil {
			return err
		}
	}
	return nil
}

func (e *electRun) observeOnce(ctx context.Context, election *api.Election, key string) error {
	ctx, cancel := e.bound(ctx)
	defer cancel()
	leader, err := election.Leader(ctx, e.reads()...)
	switch {
	case err != nil:
		return err
	case !leader.Elected():
		return &heldError{text: key + " has no leader", err: api.ErrNotFound}
	}
	return e.show(key, leader)
}

// show prints a leader: a line, or a document when there may be more of them.
func (e *electRun) show(key string, l api.Leader) error {
	format, err := e.out.chosen()
	if err != nil {
		return err
	}
	data := elected{Key: key, Elected: l.Elected(), Session: l.Session, Term: l.Term}
	if l.Elected() {
		data.Value = string(l.Value)
	}
	w := e.out.c.OutOrStdout()
	switch format {
	case formatJSON:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(data)
	case formatYAML:
		if _, err := fmt.Fprintln(w, "---"); err != nil {
			return err
		}
		return writeYAML(w, data)
	}
	line := "Nobody leads"
	if l.Elected() {
		line = fmt.Sprintf("%s (session %s)", shown(data.Value), l.Session)
	}
	_, err = fmt.Fprintln(w, line)
	return err
}
