package cmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newMonitorCommand() *cobra.Command {
	var level string
	var asJSON bool
	c := &cobra.Command{
		Use:   "monitor [flags]",
		Short: "Follow the log of a server",
		Long: `Print the log of a server from now on, until it stops or you do. The level is that of
this stream alone: what the server itself writes does not change.`,
		Example:     "  holdfast monitor\n  holdfast monitor -log-level=debug -log-json",
		Annotations: exits("4 6"),
	}
	conn := connect(c, noTimeout)
	c.Flags().StringVar(&level, "log-level", "info", "The least `level` to show: trace, debug, info, warn or error.")
	c.Flags().BoolVar(&asJSON, "log-json", false, "Show each line as a JSON object.")
	_ = c.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions( // the flag exists
		[]string{"trace", "debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		stream, err := client.Agent().Monitor(ctx, level, asJSON)
		if err != nil {
			return err
		}
		_, err = io.Copy(c.OutOrStdout(), stream)
		if err = errors.Join(err, stream.Close()); err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
		return nil
	}
	return c
}
