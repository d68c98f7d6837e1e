package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// newDevCommand holds what is for laptops and tests.
func newDevCommand() *cobra.Command {
	return group("dev", "Try things out on this machine", newDevClusterCommand())
}

// devCluster is what "dev cluster" was asked for.
type devCluster struct {
	servers  int
	basePort int
	dataDir  string
}

func newDevClusterCommand() *cobra.Command {
	d := &devCluster{}
	c := &cobra.Command{
		Use:   "cluster [flags]",
		Short: "Run several servers on this machine as one cluster",
		Long: `Run several servers on this machine as one cluster, until Ctrl-C. They are processes of
their own, on 127.0.0.1, and are listed as soon as the cluster is formed. Each has a folder
with its configuration, its log and its data: kill one and see what happens, and start it
again with "holdfast agent -config-file=FOLDER/holdfast.json".

Without -data-dir everything is forgotten at the end. With it the cluster goes on from where
it was the last time.`,
		Example: `  holdfast dev cluster
  holdfast dev cluster -servers=5 -base-port=8500
  holdfast dev cluster -data-dir=./cluster`,
		Annotations: exits("2 7"),
	}
	c.Flags().IntVar(&d.servers, "servers", 3, "Run this `number` of servers: 1, 3, 5 or 7.")
	c.Flags().IntVar(&d.basePort, "base-port", 0, "Serve HTTP on this `port`, on this port + 10 at the second server, and so on; the two ports above each are for the traffic between servers. 0 takes ports that are free.")
	c.Flags().StringVar(&d.dataDir, "data-dir", "", "Keep everything in this `folder`; else in one that is removed at the end.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		if err := d.check(); err != nil {
			return err
		}
		err := d.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		if errors.Is(err, context.Canceled) {
			return nil // Ctrl-C is how it ends
		}
		return err
	}
	return c
}

func (d *devCluster) check() error {
	switch {
	case d.servers < 1 || d.servers > 7 || d.servers%2 == 0:
		return usagef("-servers: %d is not 1, 3, 5 or 7", d.servers)
	case d.basePort < 0 || d.basePort > 0 && d.basePort+10*d.servers > 65535:
		return usagef("-base-port: %d leaves no room for the ports of %d servers", d.basePort, d.servers)
	}
	return nil
}

// run runs the cluster until ctx ends or no server is left.
func (d *devCluster) run(ctx context.Context, out, notes io.Writer) error {
	folder, remove, err := d.folder()
	if err != nil {
		return err
	}
	defer remove()
	members, err := d.members(folder)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program of the servers, which is this one: %w", err)
	}
	fleet := &fleet{members: members, notices: &notices{w: notes}}
	defer fleet.end()
	for _, m := range members {
		if err := fleet.start(m, program); err != nil {
			return err
		}
	}
	if err := fleet.awaitFormed(ctx); err != nil {
		return err
	}
	for _, m := range members {
		fmt.Fprintf(out, "%s  %s  pid %d  %s\n", m.name, m.url(), m.cmd.Process.Pid, m.folder)
	}
	fmt.Fprintf(out, "%d servers are one cluster. Ctrl-C ends them.\n", len(members))
	return fleet.watch(ctx)
}

// folder is where the servers have their folders; remove takes it away if it was made
// for this run.
func (d *devCluster) folder() (folder string, remove func(), err error) {
	if d.dataDir != "" {
		if folder, err = filepath.Abs(d.dataDir); err == nil {
			err = os.MkdirAll(folder, 0o700)
		}
		return folder, func() {}, err
	}
	folder, err = os.MkdirTemp("", "holdfast-dev-")
	return folder, func() { _ = os.RemoveAll(folder) }, err // what is left is in the system's folder for that
}

// Limits of waiting for the servers.
const (
	formLimit = time.Minute           // until they are one cluster
	formPoll  = 50 * time.Millisecond // between two looks
	endGrace  = 15 * time.Second      // after SIGTERM, until they are killed
	askLimit  = 2 * time.Second       // for one answer
)
