package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newLeaveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "leave [flags]",
		Short: "Take a server out of its cluster and end it",
		Long: `Take the server that is asked out of its cluster for good, and end it. It hands over the
leadership, gives up its place in the consensus group and its node in the catalog, whose
sessions end. What it has on disk stays. This returns when all of that is done.`,
		Example:     "  holdfast leave -http-addr=10.0.0.3:8500",
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		if err := client.Agent().Leave(ctx); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "Graceful leave complete")
		return err
	}
	return c
}

func newForceLeaveCommand() *cobra.Command {
	var prune, wan bool
	c := &cobra.Command{
		Use:   "force-leave [flags] NODE",
		Short: "Make a failed node count as one that left",
		Long: `Make a node that failed count as one that left: nobody waits for its return any more, and a
server among them loses its place in the consensus group. A node that lives and is reached
comes back. With -prune it disappears from the list of members too.`,
		Example:     "  holdfast force-leave db-2\n  holdfast force-leave -prune db-2",
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	c.Flags().BoolVar(&prune, "prune", false, "Take it off the list of members.")
	c.Flags().BoolVar(&wan, "wan", false, "NODE is the name that it has across datacenters, such as db-2.dc1.")
	c.ValidArgsFunction = completeMembers(conn)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := firstFault(operands(args, 1, "NODE"), everyOperand(args, "NODE")); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		if err := client.Agent().ForceLeave(ctx, args[0], prune, wanNames(wan)...); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "Success! Forced to leave: "+shown(args[0]))
		return err
	}
	return c
}

// completeMembers offers the names of members that are not alive.
func completeMembers(conn *connection) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offered(c, conn, func(ctx context.Context, client *api.Client) (names []string, err error) {
			members, err := client.Agent().Members(ctx)
			for _, m := range members {
				if m.Status != api.MemberAlive {
					names = append(names, cobra.CompletionWithDesc(m.Name, m.Status.String()))
				}
			}
			return names, err
		})
	}
}
