package cmd

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newUsageCommand() *cobra.Command {
	c := &cobra.Command{
		Use:         "usage [flags] [instances]",
		Short:       "Count nodes, services and their instances",
		Long:        `Count nodes, services and their instances. "instances" may be said as consul wants it.`,
		Example:     "  holdfast operator usage\n  holdfast operator usage -format=json",
		Annotations: exits("4 6 7"),
		ValidArgs:   []string{"instances"},
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0, "instances"); err != nil {
			return err
		}
		if len(args) > 0 && args[0] != "instances" {
			return usagef("unexpected argument %q", args[0])
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		usage, _, err := client.Operator().Usage(ctx, conn.reads()...)
		if err != nil {
			return err
		}
		return out.print(usage, func(w io.Writer) error { return columns(w, out.style(), usageRows(usage)) })
	}
	return c
}

// usageRows are the cells of the table.
func usageRows(usage map[string]api.Usage) [][]string {
	rows := [][]string{{"Datacenter", "Nodes", "Services", "Service instances", "Billable Service Instances"}}
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		u := usage[dc]
		rows = append(rows, []string{
			dc, fmt.Sprint(u.Nodes), fmt.Sprint(u.Services), fmt.Sprint(u.ServiceInstances), fmt.Sprint(u.BillableServiceInstances),
		})
	}
	return rows
}
