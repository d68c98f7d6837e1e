package cmd

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newMembersCommand() *cobra.Command {
	var detailed, wan bool
	var status string
	c := &cobra.Command{
		Use:   "members [flags]",
		Short: "List the nodes that a server knows",
		Example: `  holdfast members
  holdfast members -status=failed
  holdfast members -detailed`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.Flags().BoolVar(&detailed, "detailed", false, "Show every tag of each node.")
	c.Flags().StringVar(&status, "status", ".*", "Show only nodes whose status matches this regular `expression`.")
	c.Flags().BoolVar(&wan, "wan", false, "Show the names that nodes have across datacenters.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		wanted, err := regexp.Compile("^(?:" + status + ")$")
		if err != nil {
			return usagef("-status: %v", err)
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		members, err := client.Agent().Members(ctx, wanNames(wan)...)
		if err != nil {
			return err
		}
		members = slices.DeleteFunc(members, func(m api.Member) bool { return !wanted.MatchString(m.Status.String()) })
		slices.SortFunc(members, func(a, b api.Member) int {
			return cmp.Or(cmp.Compare(a.Tags["dc"], b.Tags["dc"]), cmp.Compare(a.Name, b.Name))
		})
		return out.print(orEmpty(members), func(w io.Writer) error {
			return columns(w, out.style(), memberRows(members, detailed))
		})
	}
	return c
}

// memberRows are the cells of the table.
func memberRows(members []api.Member, detailed bool) [][]string {
	rows := [][]string{{"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"}}
	if detailed {
		rows = [][]string{{"Node", "Address", "Status", "Tags"}}
	}
	for _, m := range members {
		row := []string{m.Name, net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port))), m.Status.String()}
		if detailed {
			var tags []string
			for _, name := range slices.Sorted(maps.Keys(m.Tags)) {
				tags = append(tags, name+"="+m.Tags[name])
			}
			rows = append(rows, append(row, strings.Join(tags, ",")))
			continue
		}
		build, _, _ := strings.Cut(m.Tags["build"], ":") // behind the colon is the commit
		kind, segment := "client", firstOf(m.Tags["segment"], "<default>")
		if m.Tags["role"] == "consul" { // the wire's word for a server
			kind, segment = "server", "<all>"
		}
		// There are no partitions here, nor segments: tools that read the table look for both.
		rows = append(rows, append(row, kind, firstOf(build, "unknown"), fmt.Sprint(m.ProtocolCur), m.Tags["dc"],
			firstOf(m.Tags["ap"], "default"), segment))
	}
	return rows
}
