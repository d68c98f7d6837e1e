package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newSessionCommand holds the commands on sessions.
func newSessionCommand() *cobra.Command {
	return group("session", "Make, renew, end and list sessions",
		newSessionCreateCommand(),
		newSessionDestroyCommand(),
		newSessionInfoCommand(),
		newSessionListCommand(),
		newSessionRenewCommand(),
	)
}

// sessionCreate is one run of "session create".
type sessionCreate struct {
	*connection
	out *printer

	spec      api.SessionSpec
	grace     time.Duration
	lockDelay time.Duration
	behavior  string
	services  []string
	noChecks  bool
}

func newSessionCreateCommand() *cobra.Command {
	s := &sessionCreate{}
	c := &cobra.Command{
		Use:   "create [flags]",
		Short: "Make a session and print its id",
		Long: `Make a session, to lock keys with and to make keys that end with it. Print its id.

With -ttl the session ends unless it is renewed: not before the TTL has passed and, as
existing clients expect, about as long again after that; -grace=0s has it end on time.
Without -ttl it lasts until somebody ends it, or its node or one of its checks fails.`,
		Example: `  holdfast session create -name=nightly -ttl=15s
  id=$(holdfast session create -ttl=30s -grace=0s -behavior=delete)
  holdfast session create -node=db-1 -node-check=disk`,
		Annotations: exits("4 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return s.run(c, args) },
	}
	s.connection = connect(c, askTimeout)
	s.out = prints(c)
	fs := c.Flags()
	fs.StringVar(&s.spec.Name, "name", "", "The `name` that others see.")
	fs.DurationVar(&s.spec.TTL, "ttl", 0, "How long it lives without renewal, as a `duration`; 0 has no limit.")
	fs.DurationVar(&s.grace, "grace", 0, "How long beyond its TTL it may live, as a `duration`; the server's own if it is not given.")
	fs.DurationVar(&s.lockDelay, "lock-delay", 15*time.Second, "How long its locks cannot be acquired when it ends without releasing them, as a `duration`.")
	fs.StringVar(&s.behavior, "behavior", "release", "What becomes of its locks when it ends, as a `word`: release or delete.")
	fs.StringVar(&s.spec.Node, "node", "", "The `name` of the node it ends with; the server that is asked if it is not given.")
	fs.StringArrayVar(&s.spec.NodeChecks, "node-check", nil, "The `id` of a check of the node that ends it; may be given several times.")
	fs.StringArrayVar(&s.services, "service-check", nil, "The `id` of a check of a service on the node that ends it; may be given several times.")
	fs.BoolVar(&s.noChecks, "no-checks", false, "Let no check end it.")
	for name, f := range map[string]cobra.CompletionFunc{
		"behavior":   cobra.FixedCompletions([]string{string(api.BehaviorRelease), string(api.BehaviorDelete)}, cobra.ShellCompDirectiveNoFileComp),
		"node":       s.completeNodes,
		"node-check": s.completeChecks,
	} {
		_ = c.RegisterFlagCompletionFunc(name, f) // the flags exist
	}
	return c
}

func (s *sessionCreate) run(c *cobra.Command, args []string) error {
	if err := operands(args, 0); err != nil {
		return err
	}
	if err := s.check(c); err != nil {
		return err
	}
	client, ctx, cancel, err := s.open(c)
	if err != nil {
		return err
	}
	defer cancel()
	id, err := client.Sessions().Create(ctx, s.spec)
	if err != nil {
		return err
	}
	return s.out.print(struct{ ID string }{id}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, id)
		return err
	})
}

// check refuses what means nothing, and puts the flags into the session.
func (s *sessionCreate) check(c *cobra.Command) error {
	changed := c.Flags().Changed
	switch {
	case s.spec.TTL < 0 || s.grace < 0 || s.lockDelay < 0:
		return usagef("-ttl, -grace and -lock-delay must not be negative")
	case changed("grace") && s.spec.TTL == 0:
		return usagef("-grace means nothing without -ttl")
	case s.behavior != string(api.BehaviorRelease) && s.behavior != string(api.BehaviorDelete):
		return usagef("-behavior: %q is neither release nor delete", s.behavior)
	case s.noChecks && (changed("node-check") || changed("service-check")):
		return usagef("-no-checks excludes -node-check and -service-check")
	}
	if changed("grace") {
		s.spec.Grace = &s.grace
	}
	if changed("lock-delay") {
		s.spec.LockDelay = &s.lockDelay
	}
	if changed("behavior") {
		s.spec.Behavior = api.Behavior(s.behavior)
	}
	if s.noChecks {
		s.spec.NodeChecks = []string{}
	}
	for _, id := range s.services {
		s.spec.ServiceChecks = append(s.spec.ServiceChecks, api.ServiceCheck{ID: id})
	}
	_, err := s.out.chosen()
	return err
}

// completeNodes offers the nodes that the servers know.
func (s *sessionCreate) completeNodes(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return offered(c, s.connection, func(ctx context.Context, client *api.Client) (names []string, err error) {
		nodes, _, err := client.Catalog().Nodes(ctx, api.Stale())
		for _, n := range nodes {
			names = append(names, cobra.CompletionWithDesc(n.Node, n.Address))
		}
		return names, err
	})
}

// completeChecks offers the checks of the node that was given.
func (s *sessionCreate) completeChecks(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return offered(c, s.connection, func(ctx context.Context, client *api.Client) (ids []string, err error) {
		node := s.spec.Node
		if node == "" {
			self, err := client.Agent().Self(ctx)
			if err != nil {
				return nil, err
			}
			node = self.Config.NodeName
		}
		checks, _, err := client.Catalog().Checks(ctx, node, api.Stale())
		for _, check := range checks {
			ids = append(ids, cobra.CompletionWithDesc(check.CheckID, string(check.Status)))
		}
		return ids, err
	})
}

func newSessionDestroyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "destroy [flags] ID [ID...]",
		Short: "End sessions",
		Long: `End sessions: their locks are released or deleted, and keys that were made to end with
them are deleted. Ending one that does not exist is no error.`,
		Example:     "  holdfast session destroy adf4238a-882b-9ddc-4a9d-5b6758e4159e",
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.ValidArgsFunction = completeSessions(conn)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := sessionOperands(args); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		type destroyed struct{ ID string }
		var all []destroyed
		for _, id := range args {
			if err := client.Sessions().Destroy(ctx, id); err != nil {
				return err
			}
			all = append(all, destroyed{id})
		}
		return out.print(all, func(w io.Writer) error {
			for _, one := range all {
				if _, err := fmt.Fprintln(w, "Success! Ended session: "+one.ID); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

func newSessionInfoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:         "info [flags] ID",
		Short:       "Show a session",
		Example:     "  holdfast session info adf4238a-882b-9ddc-4a9d-5b6758e4159e",
		Annotations: exits("3 4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.ValidArgsFunction = completeSessions(conn)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := firstFault(operands(args, 1, "ID"), sessionOperands(args)); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		session, _, err := client.Sessions().Info(ctx, args[0], conn.reads()...)
		if err != nil {
			return err
		}
		return out.print(session, func(w io.Writer) error { return writeSession(w, session) })
	}
	return c
}

func newSessionListCommand() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "list [flags]",
		Short: "List sessions",
		Example: `  holdfast session list
  holdfast session list -node=db-1 -format=json`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.Flags().StringVar(&node, "node", "", "Only those that end with the node of this `name`.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		var sessions []*api.Session
		if node == "" {
			sessions, _, err = client.Sessions().List(ctx, conn.reads()...)
		} else {
			sessions, _, err = client.Sessions().Node(ctx, node, conn.reads()...)
		}
		if err != nil {
			return err
		}
		return out.print(orEmpty(sessions), func(w io.Writer) error {
			return columns(w, out.style(), sessionRows(sessions))
		})
	}
	return c
}

func newSessionRenewCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "renew [flags] ID",
		Short: "Renew a session, once or for as long as this runs",
		Long: `Begin the time of a session anew. With -keep, do so at every third of its TTL until a
signal comes or the session is lost; the session is not ended then.`,
		Example: `  holdfast session renew adf4238a-882b-9ddc-4a9d-5b6758e4159e
  holdfast session renew -keep adf4238a-882b-9ddc-4a9d-5b6758e4159e`,
		Annotations: exits("3 4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.Flags().BoolVar(&keep, "keep", false, "Go on renewing. -timeout is then for the first renewal.")
	c.ValidArgsFunction = completeSessions(conn)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := firstFault(operands(args, 1, "ID"), sessionOperands(args)); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		session, err := client.Sessions().Renew(ctx, args[0])
		if err != nil {
			return err
		}
		ttl, err := lifetime(session)
		if keep && err != nil {
			return err
		}
		if err := out.print(session, func(w io.Writer) error { return writeSession(w, session) }); err != nil || !keep {
			return err
		}
		return client.Sessions().RenewPeriodic(c.Context(), session.ID, ttl)
	}
	return c
}

// lifetime is the TTL of a session.
func lifetime(s *api.Session) (time.Duration, error) {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil || ttl <= 0 {
		return 0, fmt.Errorf("session %s has no TTL, and needs no renewal", s.ID)
	}
	return ttl, nil
}

// sessionOperands refuses ids that are none.
func sessionOperands(ids []string) error {
	if len(ids) == 0 {
		return usagef("the argument ID is missing")
	}
	for _, id := range ids {
		if id == "" {
			return usagef("the argument ID is empty")
		}
	}
	return nil
}

// firstFault is the first of errs that is one.
func firstFault(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sessionRows are the cells of the table.
func sessionRows(sessions []*api.Session) [][]string {
	rows := [][]string{{"ID", "Name", "Node", "TTL", "Behavior", "LockDelay", "Checks"}}
	for _, s := range sessions {
		rows = append(rows, []string{
			s.ID, firstOf(shown(s.Name), "-"), s.Node, firstOf(s.TTL, "-"), string(s.Behavior), s.LockDelay.String(),
			firstOf(strings.Join(checksOf(s), ","), "-"),
		})
	}
	return rows
}

// checksOf are the ids of the checks that end a session.
func checksOf(s *api.Session) []string {
	ids := append(append([]string(nil), s.NodeChecks...), s.Checks...)
	for _, check := range s.ServiceChecks {
		ids = append(ids, check.ID)
	}
	return ids
}

// writeSession shows one session, a line for each field.
func writeSession(w io.Writer, s *api.Session) error {
	for _, line := range [][2]string{
		{"ID", s.ID},
		{"Name", firstOf(shown(s.Name), "-")},
		{"Node", s.Node},
		{"TTL", firstOf(s.TTL, "-")},
		{"Grace", firstOf(s.Grace, "-")},
		{"Behavior", string(s.Behavior)},
		{"LockDelay", s.LockDelay.String()},
		{"Checks", firstOf(strings.Join(checksOf(s), ", "), "-")},
		{"CreateIndex", fmt.Sprint(s.CreateIndex)},
	} {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}

// completeSessions offers the ids of sessions.
func completeSessions(conn *connection) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return offered(c, conn, func(ctx context.Context, client *api.Client) (ids []string, err error) {
			sessions, _, err := client.Sessions().List(ctx, api.Stale())
			for _, s := range sessions[:min(len(sessions), completeLimit)] {
				ids = append(ids, cobra.CompletionWithDesc(s.ID, s.Name))
			}
			return ids, err
		})
	}
}

// offered asks the server what could come next, within the time that a shell has.
func offered(c *cobra.Command, conn *connection, ask func(context.Context, *api.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	client, err := conn.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(c.Context(), completeBudget)
	defer cancel()
	names, err := ask(ctx, client)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
