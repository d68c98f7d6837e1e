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
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/baseline"
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
	verdict, err := c.measure(ctx, out, errOut)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "bench: interrupted")
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(errOut, "bench:", err)
		return exitBroken
	case verdict.tally.Broken > 0:
		return exitBroken
	case verdict.fails(c.check):
		return exitMissed
	}
	return exitDone
}

// verdict is what a run came to.
type verdict struct {
	tally  report.Tally
	behind bool // of what is committed
}

// fails says whether it is a bad one. A bar that could not be judged is as bad as one that
// was missed: nobody knows which it is.
func (v verdict) fails(check bool) bool {
	return v.behind || check && v.tally.Missed+v.tally.Unmeasured > 0
}

// measure runs the cells, prints the table, and leaves nothing behind but the
// files that were asked for.
func (c *command) measure(ctx context.Context, out, errOut io.Writer) (verdict, error) {
	if _, err := target.RaiseOpenFiles(); err != nil {
		return verdict{}, err
	}
	dir, err := os.MkdirTemp(c.dir, "holdfast-bench-")
	if err != nil {
		return verdict{}, fmt.Errorf("folder for files: %w", err)
	}
	v, err := c.measureIn(ctx, dir, out, errOut)
	return v, errors.Join(err, os.RemoveAll(dir))
}

func (c *command) measureIn(ctx context.Context, dir string, out, errOut io.Writer) (v verdict, err error) {
	o := c.options
	o.Dir = dir
	if err := c.findServer(ctx, &o, errOut); err != nil {
		return v, err
	}
	var committed baseline.Table
	if c.baseline != "" {
		if committed, err = baseline.Read(c.baseline); err != nil {
			return v, err
		}
	}
	result := report.Run{
		Started: time.Now().UTC().Format(time.RFC3339),
		Machine: procfs.ReadMachine(dir),
		Command: c.line(),
		Options: c.asWritten,
	}
	c.heading(out, result.Machine)
	table := report.NewTable(out, o.Peer != nil)
	if result.Rows, err = runCells(ctx, o, table); err != nil {
		return v, err
	}
	if c.baseline != "" {
		if v.behind, err = c.compare(ctx, o, committed, result.Rows, table, out); err != nil {
			return v, err
		}
	}
	v.tally = report.Count(result.Rows)
	table.Summary(v.tally)
	return v, errors.Join(table.Err(), c.writeFiles(result))
}

// runCells runs the cells that o selects and prints their rows.
func runCells(ctx context.Context, o cells.Options, table *report.Table) ([]report.Row, error) {
	var rows []report.Row
	err := cells.Run(ctx, o, func(r report.Row) {
		table.Row(r)
		rows = append(rows, r)
	})
	return rows, err
}

// compare compares the rows with what is committed. Cells that have fallen behind are
// measured again, once, in case something else kept the machine busy; the second rows take
// the place of the first ones.
func (c *command) compare(ctx context.Context, o cells.Options, committed baseline.Table, rows []report.Row, table *report.Table, out io.Writer) (behind bool, err error) {
	if again := failing(committed.Compare(rows, o.Cell), rows); len(again) > 0 {
		fmt.Fprintf(out, "\nmeasured again, as they are behind %s: %s\n\n", c.baseline, strings.Join(again, ", "))
		second := o
		second.Cell = regexp.MustCompile("^(" + strings.Join(again, "|") + ")$") // names are plain
		newer, err := runCells(ctx, second, table)
		if err != nil {
			return false, err
		}
		for _, n := range newer {
			rows[slices.IndexFunc(rows, func(r report.Row) bool { return r.Cell == n.Cell })] = n
		}
	}
	findings := committed.Compare(rows, o.Cell)
	fmt.Fprintf(out, "\ncompared with %s, of %s:\n", c.baseline, committed.Recorded)
	for _, f := range findings {
		mark := "note"
		if f.Fails {
			mark, behind = "FAILS", true
		}
		fmt.Fprintf(out, "%-6s%s\n", mark, f.Text)
	}
	if !behind {
		fmt.Fprintln(out, "nothing has fallen behind")
	}
	return behind, nil
}

// failing lists the cells of rows with a finding that fails.
func failing(findings []baseline.Finding, rows []report.Row) []string {
	var names []string
	for i := range rows {
		if slices.ContainsFunc(findings, func(f baseline.Finding) bool { return f.Fails && f.Cell == rows[i].Cell }) {
			names = append(names, rows[i].Cell)
		}
	}
	return names
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
	fmt.Fprintln(out, m.Line())
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

// writeFiles writes what was asked for.
func (c *command) writeFiles(r report.Run) error {
	var errs []error
	if c.json != "" {
		errs = append(errs, writeJSON(c.json, r))
	}
	if c.record != "" {
		if n := report.Count(r.Rows).Broken; n > 0 {
			return errors.Join(append(errs, fmt.Errorf("%s is not written: %d cells broke", c.record, n))...)
		}
		errs = append(errs, baseline.Record(r).Write(c.record))
	}
	if c.markdown != "" {
		errs = append(errs, report.UpdatePage(c.markdown, r))
	}
	return errors.Join(errs...)
}

func writeJSON(file string, r report.Run) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJSON(f), f.Close())
}
