package cmd

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// newOperatorCommand holds the commands on the cluster as a whole.
func newOperatorCommand() *cobra.Command {
	return group("operator", "Look after the cluster as a whole",
		group("raft", "Look after the consensus group", newListPeersCommand()),
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
		if _, err := out.chosen(); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
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
