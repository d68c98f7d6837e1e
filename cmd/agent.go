package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/agent"
	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
	"github.com/holdfast-kv/holdfast/internal/version"
)

func newAgentCommand() *cobra.Command {
	var flags config.Flags
	c := &cobra.Command{
		Use:   "agent [flags]",
		Short: "Run a server",
		Long: `Run a server. With -dev it needs nothing else and forgets everything when it stops; with
-data-dir it keeps its data there. Settings come from flags, from HOLDFAST_* variables of the
environment, from files, and from defaults, in this order.

SIGHUP makes it read its files again. SIGINT and SIGTERM make it stop in good order: waiting
queries are answered, requests end. A second one ends it at once.`,
		Example: `  holdfast agent -dev
  holdfast agent -data-dir /var/lib/holdfast -config-dir /etc/holdfast.d`,
		Annotations: exits("1 2"),
		Args:        cobra.NoArgs,
	}
	flags.Register(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		load := func() (*config.Loaded, error) {
			return config.Load(config.Sources{Flags: &flags, Env: os.Environ(), Inspect: tlsconf.Check})
		}
		return serve(c.Context(), load, c.OutOrStdout())
	}
	return c
}

// serve runs a server until ctx ends.
func serve(ctx context.Context, load func() (*config.Loaded, error), out io.Writer) error {
	loaded, err := load()
	if err != nil {
		return err
	}
	cfg := loaded.Config
	logs, err := agent.OpenLogs(out, cfg)
	if err != nil {
		return err
	}
	defer logs.Close()
	for _, w := range loaded.Warnings {
		logs.Named("config").Warn(w)
	}
	a, err := agent.New(agent.Options{Loaded: loaded, Reload: load, Log: logs, Systemd: agent.SystemdFromEnv(os.Getenv)})
	if err != nil {
		return err
	}
	banner(out, a, cfg)

	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				_ = a.Reload() // it logs what came of it
			}
		}
	}()
	err = a.Run(ctx)
	cancel()
	<-done
	return err
}

func banner(out io.Writer, a *agent.Agent, cfg *config.Config) {
	where := cfg.DataDir
	if where == "" {
		where = "none, everything is forgotten at the end (-dev)"
	}
	fmt.Fprintf(out, "==> Holdfast %s\n", version.Version)
	for _, url := range a.URLs() {
		fmt.Fprintf(out, "    API:      %s\n", url)
	}
	fmt.Fprintf(out, "    Node:     %s in datacenter %s\n    Data dir: %s\n    Stop:     Ctrl-C, or kill %d\n",
		cfg.NodeName, cfg.Datacenter, where, os.Getpid())
}
