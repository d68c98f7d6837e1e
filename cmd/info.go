package cmd

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

func newInfoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:         "info [flags]",
		Short:       "Show what a server counts and believes, for operators",
		Long:        "Show the figures that a server keeps of itself, by section: raft, build, runtime and others.",
		Example:     "  holdfast info\n  holdfast info -format=json",
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
		self, err := client.Agent().Self(ctx)
		if err != nil {
			return err
		}
		return out.print(self.Stats, func(w io.Writer) error { return writeStats(w, self.Stats) })
	}
	return c
}

// writeStats shows sections and names in their order.
func writeStats(w io.Writer, stats map[string]map[string]string) error {
	for _, section := range slices.Sorted(maps.Keys(stats)) {
		if _, err := fmt.Fprintf(w, "%s:\n", section); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(stats[section])) {
			fmt.Fprintf(w, "\t%s = %s\n", name, stats[section][name])
		}
	}
	return nil
}
