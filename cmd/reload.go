package cmd

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newReloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload [flags]",
		Short: "Make a server read its configuration again",
		Long: `Make a server read its configuration files again, as SIGHUP does. Either everything that
can change at run time is taken over, or, when a file is faulty, nothing is.`,
		Example:     "  holdfast reload",
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
		said, err := client.Agent().Reload(ctx)
		if err != nil {
			return &hintError{err: err, why: "the old configuration is still in use", try: "holdfast validate with the server's files"}
		}
		out := c.OutOrStdout()
		if said != "" {
			fmt.Fprintln(out, shown(said))
		}
		_, err = fmt.Fprintln(out, "Configuration reload triggered")
		return err
	}
	return c
}
