package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/cells"
	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// Exit statuses; see the package comment.
const (
	exitDone        = 0
	exitMissed      = 1
	exitBroken      = 2
	exitInterrupted = 130
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == limitserver.CommandName {
		if err := limitserver.RunCommand(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(exitBroken)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once; the kernel ends its servers.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the program without the process around it; it returns the exit status.
func run(ctx context.Context, args []string, env func(string) string, out, errOut io.Writer) int {
	c, err := parse(args, env, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		fmt.Fprintln(errOut, "bench:", err)
		return exitBroken
	case c.list:
		for _, name := range cells.Names(c.options) {
			fmt.Fprintln(out, name)
		}
		return exitDone
	}
	tally, err := c.measure(ctx, out, errOut)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "bench: interrupted")
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(errOut, "bench:", err)
		return exitBroken
	case tally.Broken > 0:
		return exitBroken
	case c.check && tally.Missed > 0:
		return exitMissed
	}
	return exitDone
}

// measure runs the cells, prints the table, and leaves nothing behind but the
// JSON file.
func (c *command) measure(ctx context.Context, out, errOut io.Writer) (report.Tally, error) {
	if _, err := target.RaiseOpenFiles(); err != nil {
		return report.Tally{}, err
	}
	dir, err := os.MkdirTemp(c.dir, "holdfast-bench-")
	if err != nil {
		return report.Tally{}, fmt.Errorf("folder for files: %w", err)
	}
	tally, err := c.measureIn(ctx, dir, out, errOut)
	return tally, errors.Join(err, os.RemoveAll(dir))
}

func (c *command) measureIn(ctx context.Context, dir string, out, errOut io.Writer) (report.Tally, error) {
	o := c.options
	o.Dir = dir
	if err := c.findServer(ctx, &o, errOut); err != nil {
		return report.Tally{}, err
	}
	result := report.Run{
		Started: time.Now().UTC().Format(time.RFC3339),
		Machine: procfs.ReadMachine(dir),
		Options: c.asWritten,
	}
	c.heading(out, result.Machine)
	table := report.NewTable(out, o.Peer != nil)
	err := cells.Run(ctx, o, func(r report.Row) {
		table.Row(r)
		result.Rows = append(result.Rows, r)
	})
	tally := report.Count(result.Rows)
	table.Summary(tally)
	return tally, errors.Join(err, table.Err(), c.writeJSON(result))
}

// findServer makes sure that there is a binary, unless a running server is to be
// measured.
func (c *command) findServer(ctx context.Context, o *cells.Options, errOut io.Writer) error {
	if o.Subject != nil {
		return nil
	}
	if o.Server.Bin == "" {
		fmt.Fprintln(errOut, "bench: building ./cmd/holdfast")
		bin, err := target.Build(ctx, o.Dir)
		if err != nil {
			return err
		}
		o.Server.Bin = bin
	}
	// A bare name would be looked for in PATH.
	bin, err := filepath.Abs(o.Server.Bin)
	if err != nil {
		return err
	}
	o.Server.Bin = bin
	return nil
}

func (c *command) heading(out io.Writer, m procfs.Machine) {
	fmt.Fprintf(out, "%d cores (%s), %.1f GiB, %s %s, Linux %s, %s, load %s\n",
		m.Cores, orUnknown(m.CPU), float64(m.MemoryBytes)/(1<<30), m.Go, m.OS, m.Kernel, orUnknown(m.FileSystem), orUnknown(m.Load))
	fmt.Fprintf(out, "%d rounds of %v a side, taking turns; figures are medians of rounds, ratios are server/limit by round\n",
		c.options.Rounds, c.options.Round)
	if m.MemoryBacked() {
		fmt.Fprintln(out, "WARNING: the files lie in memory, where fdatasync costs nothing: choose another -dir for writes")
	}
	if c.quick {
		fmt.Fprintln(out, "A quick run: it shows that all works; the figures mean little.")
	}
	fmt.Fprintln(out)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (c *command) writeJSON(r report.Run) error {
	if c.json == "" {
		return nil
	}
	f, err := os.Create(c.json)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJSON(f), f.Close())
}
