package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newAutopilotCommand() *cobra.Command {
	return group("autopilot", "See and change how the cluster looks after its servers",
		newAutopilotGetCommand(),
		newAutopilotSetCommand(),
		newAutopilotStateCommand(),
	)
}

func newAutopilotGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:         "get-config [flags]",
		Short:       "Show how the cluster looks after its servers",
		Example:     "  holdfast operator autopilot get-config",
		Annotations: exits("4 6 7"),
	}
	showing(c, func(ctx context.Context, client *api.Client, opts []api.ReadOption) (*api.AutopilotConfig, error) {
		return client.Operator().AutopilotConfig(ctx, opts...)
	}, writeAutopilotConfig)
	return c
}

// showing makes a command without operands that reads something from the servers and
// shows it.
func showing[T any](
	c *cobra.Command, read func(context.Context, *api.Client, []api.ReadOption) (T, error), table func(io.Writer, T) error,
) {
	conn := connect(c, askTimeout)
	out := prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		what, err := read(ctx, client, conn.reads())
		if err != nil {
			return err
		}
		return out.print(what, func(w io.Writer) error { return table(w, what) })
	}
}

// writeAutopilotConfig shows a configuration, a line for each setting.
func writeAutopilotConfig(w io.Writer, c *api.AutopilotConfig) error {
	_, err := fmt.Fprintf(w, `CleanupDeadServers = %t
LastContactThreshold = %s
MaxTrailingLogs = %d
MinQuorum = %d
ServerStabilizationTime = %s
RedundancyZoneTag = %q
DisableUpgradeMigration = %t
UpgradeVersionTag = %q
`, c.CleanupDeadServers, c.LastContactThreshold, c.MaxTrailingLogs, c.MinQuorum, c.ServerStabilizationTime,
		c.RedundancyZoneTag, c.DisableUpgradeMigration, c.UpgradeVersionTag)
	return err
}

func newAutopilotSetCommand() *cobra.Command {
	var want api.AutopilotConfig
	c := &cobra.Command{
		Use:   "set-config [flags]",
		Short: "Change how the cluster looks after its servers",
		Long: `Change how the cluster looks after its servers. What no flag names stays as it is. If
somebody else changes the configuration meanwhile, nothing is done.`,
		Example: `  holdfast operator autopilot set-config -cleanup-dead-servers=false
  holdfast operator autopilot set-config -min-quorum=3 -server-stabilization-time=30s`,
		Annotations: exits("4 5 6 7"),
	}
	conn := connect(c, askTimeout)
	fs := c.Flags()
	fs.BoolVar(&want.CleanupDeadServers, "cleanup-dead-servers", false, "Whether dead servers lose their place in the consensus group: -cleanup-dead-servers=true or =false.")
	fs.DurationVar((*time.Duration)(&want.LastContactThreshold), "last-contact-threshold", 0, "A server that has not heard of the leader for this `duration` is not healthy.")
	fs.Uint64Var(&want.MaxTrailingLogs, "max-trailing-logs", 0, "A server that lacks more than this `number` of log entries is not healthy.")
	fs.Uint64Var(&want.MinQuorum, "min-quorum", 0, "Keep dead servers while there are no more than this `number`; 0 has no such bound.")
	fs.DurationVar((*time.Duration)(&want.ServerStabilizationTime), "server-stabilization-time", 0, "How long a new server must be healthy before it has a vote, as a `duration`.")
	fs.StringVar(&want.RedundancyZoneTag, "redundancy-zone-tag", "", "The `name` of the node metadata with the zone of a server. Kept, without effect.")
	fs.BoolVar(&want.DisableUpgradeMigration, "disable-upgrade-migration", false, "Kept, without effect.")
	fs.StringVar(&want.UpgradeVersionTag, "upgrade-version-tag", "", "The `name` of the node metadata with the version of a server. Kept, without effect.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		changes := pilotChanges(c, &want)
		switch {
		case len(changes) == 0:
			return usagef("no setting was given")
		case want.LastContactThreshold < 0 || want.ServerStabilizationTime < 0:
			return usagef("a duration must not be negative")
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		config, err := client.Operator().AutopilotConfig(ctx)
		if err != nil {
			return err
		}
		for _, change := range changes {
			change(config)
		}
		applied, err := client.Operator().SetAutopilotConfigCAS(ctx, *config)
		if err != nil {
			return err
		}
		if !applied {
			return &plainError{"Configuration could not be atomically updated, please try again", errLostRace}
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "Configuration updated!")
		return err
	}
	return c
}

// pilotChanges are the settings that were given.
func pilotChanges(c *cobra.Command, want *api.AutopilotConfig) []func(*api.AutopilotConfig) {
	var changes []func(*api.AutopilotConfig)
	for _, s := range []struct {
		flag   string
		change func(*api.AutopilotConfig)
	}{
		{"cleanup-dead-servers", func(a *api.AutopilotConfig) { a.CleanupDeadServers = want.CleanupDeadServers }},
		{"last-contact-threshold", func(a *api.AutopilotConfig) { a.LastContactThreshold = want.LastContactThreshold }},
		{"max-trailing-logs", func(a *api.AutopilotConfig) { a.MaxTrailingLogs = want.MaxTrailingLogs }},
		{"min-quorum", func(a *api.AutopilotConfig) { a.MinQuorum = want.MinQuorum }},
		{"server-stabilization-time", func(a *api.AutopilotConfig) { a.ServerStabilizationTime = want.ServerStabilizationTime }},
		{"redundancy-zone-tag", func(a *api.AutopilotConfig) { a.RedundancyZoneTag = want.RedundancyZoneTag }},
		{"disable-upgrade-migration", func(a *api.AutopilotConfig) { a.DisableUpgradeMigration = want.DisableUpgradeMigration }},
		{"upgrade-version-tag", func(a *api.AutopilotConfig) { a.UpgradeVersionTag = want.UpgradeVersionTag }},
	} {
		if c.Flags().Changed(s.flag) {
			changes = append(changes, s.change)
		}
	}
	return changes
}

func newAutopilotStateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "state [flags]",
		Short: "Show how the servers are, and how many may fail",
		Example: `  holdfast operator autopilot state
  holdfast operator autopilot state -format=json`,
		Annotations: exits("4 6 7"),
	}
	showing(c, func(ctx context.Context, client *api.Client, opts []api.ReadOption) (*api.AutopilotState, error) {
		return client.Operator().AutopilotState(ctx, opts...)
	}, writeAutopilotState)
	return c
}

// writeAutopilotState shows the state of the cluster and then that of each server, in
// the order of their names.
func writeAutopilotState(w io.Writer, s *api.AutopilotState) error {
	fmt.Fprintf(w, "Healthy:                      %t\n", s.Healthy)
	fmt.Fprintf(w, "Failure Tolerance:            %d\n", s.FailureTolerance)
	fmt.Fprintf(w, "Optimistic Failure Tolerance: %d\n", s.OptimisticFailureTolerance)
	fmt.Fprintf(w, "Leader:                       %s\n", s.Leader)
	for _, list := range []struct {
		title string
		ids   []string
	}{{"Voters:", s.Voters}, {"Read Replicas:", s.ReadReplicas}} {
		if len(list.ids) > 0 {
			fmt.Fprintln(w, list.title)
		}
		for _, id := range list.ids {
			fmt.Fprintln(w, "   "+id)
		}
	}
	_, err := fmt.Fprintln(w, "Servers:")
	servers := slices.SortedFunc(maps.Values(s.Servers), func(a, b api.AutopilotServer) int {
		return cmp.Compare(a.ID, b.ID)
	})
	for _, server := range servers {
		err = writeAutopilotServer(w, server)
	}
	return err
}

func writeAutopilotServer(w io.Writer, s api.AutopilotServer) error {
	_, err := fmt.Fprintln(w, "   "+s.ID)
	for _, line := range [][2]string{
		{"Name:", s.Name},
		{"Address:", s.Address},
		{"Version:", s.Version},
		{"Status:", s.Status},
		{"Node Type:", s.NodeType},
		{"Node Status:", s.NodeStatus},
		{"Healthy:", fmt.Sprint(s.Healthy)},
		{"Last Contact:", s.LastContact.String()},
		{"Last Term:", fmt.Sprint(s.LastTerm)},
		{"Last Index:", fmt.Sprint(s.LastIndex)},
	} {
		_, err = fmt.Fprintf(w, "      %-16s %s\n", line[0], shown(line[1]))
	}
	if len(s.Meta) > 0 {
		fmt.Fprintln(w, "      Meta")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Meta)) {
		_, err = fmt.Fprintf(w, "         %q: %q\n", name, s.Meta[name])
	}
	return err
}
