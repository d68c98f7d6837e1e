package cells

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

const (
	cleanLimit = 30 * time.Second // to delete what was written to a server that goes on
	warmShare  = 5                // a side is warmed up for this part of a round before the first
)

// group is a set of cells that share servers.
type group struct {
	name  string
	setup func(context.Context, *stage) error // nil: none; runs if any cell of the group is wanted
	cells []cell
}

type cell struct {
	name string
	bars bars // of its figures; they stand here and not where figures are measured, so that all can be listed
	run  func(context.Context, *stage) (report.Row, error)

	// ours says that the cell needs a server that was started here: it kills it
	// or wants a fresh one.
	ours bool
}

func groups(o *Options) []group {
	return []group{
		getGroup(o), scatterGroup(o), listGroup(o), treesGroup(o),
		putGroup(o), boltGroup(o), txnGroup(o), casGroup(o),
		fanoutGroup(o), wakeGroup(o), rearmGroup(o), parkGroup(o),
		lockGroup(o), sessionGroup(o), aclGroup(o), storeGroup(o), historyGroup(o), trioGroup(o),
	}
}

// Names lists all cells in the order in which they run.
func Names(o Options) []string {
	var out []string
	for _, g := range groups(&o) {
		for _, c := range g.cells {
			out = append(out, c.name)
		}
	}
	return out
}

// Run measures the cells that o selects and hands over each row as soon as it is
// known. A cell that breaks gives a row with its error and the next one is run;
// Run itself fails only when ctx ends or nothing was selected.
func Run(ctx context.Context, o Options, emit func(report.Row)) error {
	found := false
	for _, g := range groups(&o) {
		var wanted []cell
		for _, c := range g.cells {
			if o.Cell == nil || o.Cell.MatchString(c.name) {
				wanted = append(wanted, c)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		found = true
		if err := g.run(ctx, &o, wanted, emit); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no cell matches %q", o.Cell)
	}
	return nil
}

func (g group) run(ctx context.Context, o *Options, wanted []cell, emit func(report.Row)) error {
	prefix := fmt.Sprintf("bench/%08x/%s/", rand.Uint32(), g.name)
	s, err := open(ctx, o, prefix)
	if err == nil && g.setup != nil {
		err = g.setup(ctx, s)
	}
	for _, c := range wanted {
		row := report.Row{Cell: c.name}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			row.Err = fmt.Errorf("setup: %w", err)
		case c.ours && s.server == nil:
			row.Skipped = "the server is not ours to start and kill"
		default:
			row = c.do(ctx, s)
		}
		if ctx.Err() == nil { // what broke because the run was ended is no finding
			emit(row)
		}
	}
	var errClose error
	if s != nil {
		errClose = s.close(ctx)
	}
	return errors.Join(ctx.Err(), errClose)
}

func (c cell) do(ctx context.Context, s *stage) report.Row {
	row, err := c.run(ctx, s)
	if err != nil {
		return report.Row{Cell: c.name, Err: err}
	}
	row.Cell = c.name
	if err := c.bars.set(row.Figures); err != nil && row.Skipped == "" {
		return report.Row{Cell: c.name, Err: err}
	}
	return row
}

// bars are what the figures of a cell have to reach, by name.
type bars map[string]*report.Bar

// set gives each figure its bar. A bar without its figure is an error: it would be lost unnoticed.
func (b bars) set(figures []report.Figure) error {
	found := 0
	for i := range figures {
		if bar := b[figures[i].Name]; bar != nil {
			figures[i].Bar = bar
			found++
		}
	}
	if found != len(b) {
		return fmt.Errorf("%d of %d bars have a figure", found, len(b))
	}
	return nil
}
