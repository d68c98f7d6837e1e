package cmd

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newOperatorCommand holds the commands on the cluster as a whole.
func newOperatorCommand() *cobra.Command {
	return group("operator", "Look after the cluster as a whole",
		newAutopilotCommand(),
		group("raft", "Look after the consensus group",
			newListPeersCommand(),
			newRemovePeerCommand(),
			newTransferLeaderCommand(),
		),
		newRecoverCommand(),
		newUsageCommand(),
	)
}

func newListPeersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:         "list-peers [flags]",
		Short:       "List the servers that take part in consensus",
		Example:     "  holdfast operator raft list-peers\n  holdfast operator raft list-peers -stale     # also without a leader",
		Annotations: exits("4 6 7"),
	}
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
		config, err := client.Operator().RaftConfiguration(ctx, conn.reads()...)
		if err != nil {
			return err
		}
		return out.print(config, func(w io.Writer) error { return columns(w, out.style(), peerRows(config)) })
	}
	return c
}

// peerRows are the cells of the table.
func peerRows(config *api.RaftConfiguration) [][]string {
	rows := [][]string{{"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By"}}
	var lead uint64
	for _, s := range config.Servers {
		if s.Leader {
			lead = s.LastIndex
		}
	}
	for _, s := range config.Servers {
		state, trails := "follower", "-"
		switch {
		case s.Leader:
			state = "leader"
		case lead > s.LastIndex:
			trails = fmt.Sprintf("%d commits", lead-s.LastIndex)
		case lead > 0:
			trails = "0 commits"
		}
		rows = append(rows, []string{
			s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter),
			s.ProtocolVersion, strconv.FormatUint(s.LastIndex, 10), trails,
		})
	}
	return rows
}

func newRemovePeerCommand() *cobra.Command {
	var id, address string
	c := &cobra.Command{
		Use:   "remove-peer [flags]",
		Short: "Take a server that is gone for good out of the consensus group",
		Long: `Take a server out of the consensus group, named by its id or by its address as "list-peers"
shows them. It is for one that is gone for good and that nobody takes out by itself; one
that lives goes with "holdfast leave": taken out like this, it stays out only until it is
started anew or told to join.`,
		Example: `  holdfast operator raft remove-peer -id=6b4f0c3e-9d1f-4a52-8a77-0b6d6c1c3f10
  holdfast operator raft remove-peer -address=10.0.0.3:8300`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	c.Flags().StringVar(&id, "id", "", "The `id` of the server.")
	c.Flags().StringVar(&address, "address", "", "The `address` of the server, host:port.")
	completePeers(c, conn, "id", func(s api.RaftServer) (string, string) { return s.ID, s.Node })
	completePeers(c, conn, "address", func(s api.RaftServer) (string, string) { return s.Address, s.Node })
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		if (id == "") == (address == "") {
			return usagef("exactly one of -id and -address must be given")
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		by, peer, remove := "id", id, client.Operator().RemovePeer
		if address != "" {
			by, peer, remove = "address", address, client.Operator().RemovePeerByAddress
		}
		if err := remove(ctx, peer); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Removed peer with %s %q\n", by, peer)
		return err
	}
	return c
}

func newTransferLeaderCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "transfer-leader [flags]",
		Short: "Hand the leadership to another server",
		Example: `  holdfast operator raft transfer-leader
  holdfast operator raft transfer-leader -id=6b4f0c3e-9d1f-4a52-8a77-0b6d6c1c3f10`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	c.Flags().StringVar(&id, "id", "", "The `id` of the server that shall lead; else the leader chooses.")
	completePeers(c, conn, "id", func(s api.RaftServer) (string, string) { return s.ID, s.Node })
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		if err := client.Operator().TransferLeader(ctx, id); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "Success")
		return err
	}
	return c
}

// completePeers offers what is shown of the servers as the value of a flag.
func completePeers(c *cobra.Command, conn *connection, flag string, show func(api.RaftServer) (value, about string)) {
	_ = c.RegisterFlagCompletionFunc(flag, // the flag exists
		func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return offered(c, conn, func(ctx context.Context, client *api.Client) (offers []string, err error) {
				config, err := client.Operator().RaftConfiguration(ctx, api.Stale())
				if err != nil {
					return nil, err
				}
				for _, s := range config.Servers {
					value, about := show(s)
					offers = append(offers, cobra.CompletionWithDesc(value, about))
				}
				return offers, nil
			})
		})
}
