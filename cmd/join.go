package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newJoinCommand() *cobra.Command {
	var wan bool
	c := &cobra.Command{
		Use:   "join [flags] ADDRESS [ADDRESS...]",
		Short: "Make a server meet others, so that they become one cluster",
		Long: `Make the server that is asked meet others, each at the address of its gossip: host or
host:port. All whom they know meet too. It is enough to meet one; retry_join in the
configuration does the same at every start.`,
		Example:     "  holdfast join 10.0.0.1\n  holdfast join 10.0.0.1:8301 10.0.0.2:8301",
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	c.Flags().BoolVar(&wan, "wan", false, "Join across datacenters, which servers of Holdfast refuse.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := everyOperand(args, "ADDRESS"); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		joined := 0
		var last error
		for _, address := range args {
			err := client.Agent().Join(ctx, address, wanNames(wan)...)
			switch {
			case err == nil:
				joined++
			case errors.Is(err, api.ErrUnreachable), errors.Is(err, api.ErrDenied), ctx.Err() != nil:
				return err // the next would fare no better
			default:
				last = err
				fmt.Fprintf(c.ErrOrStderr(), "Error joining address '%s': %s\n", address, err)
			}
		}
		if joined == 0 {
			return &plainError{"Failed to join any nodes.", last}
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Successfully joined cluster by contacting %d nodes.\n", joined)
		return err
	}
	return c
}

// everyOperand checks that there are operands, each of which says something.
func everyOperand(args []string, name string) error {
	if len(args) == 0 {
		return usagef("the argument %s is missing", name)
	}
	for i, arg := range args {
		switch {
		case arg == "":
			return usagef("the argument %s is empty", name)
		case i > 0 && strings.HasPrefix(arg, "-"):
			return usagef("unexpected %q: flags stand before the arguments", arg)
		}
	}
	return nil
}

// wanNames are the options of a call that may be about several datacenters.
func wanNames(wan bool) []api.CallOption {
	if wan {
		return []api.CallOption{api.WAN()}
	}
	return nil
}
