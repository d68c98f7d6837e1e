package cells

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// values are the figures of one side in one round, in the order of a contest's
// columns; NaN is unknown.
type values []float64

// side is one of those who take turns.
type side struct {
	warm  func(context.Context) error // nil: none
	round func(context.Context) (values, error)
	close func() error // nil: nothing to close
}

// contest is a set of sides that take turns round by round: the subject, and those it
// is compared with, of which each may be nil.
type contest struct {
	columns                     []string // names of figures
	subject, limit, floor, peer *side

	// slices is how often the sides take turns in a round, of which a figure is the mean then; 0
	// is once. See duel for why.
	slices int
}

// run warms all sides up, then lets them take turns. What goes wrong with the
// peer ends up in the note: it must not spoil the rest.
func (c contest) run(ctx context.Context, rounds int) (row report.Row, err error) {
	defer func() { err = errors.Join(err, c.close()) }()
	sides := c.sides()
	byColumn := make([][]report.Values, len(sides)) // side, column, round
	for i := range sides {
		byColumn[i] = make([]report.Values, len(c.columns))
	}
	if err := c.warm(ctx, &row, sides); err != nil {
		return row, err
	}
	for range rounds {
		means, err := c.round(ctx, &row, sides)
		if err != nil {
			return row, err
		}
		for i, mean := range means {
			for j, v := range mean {
				byColumn[i][j] = append(byColumn[i][j], v)
			}
		}
	}
	for j, name := range c.columns {
		f := report.Figure{Name: name, Subject: byColumn[0][j], Limit: byColumn[1][j], Floor: byColumn[2][j], Peer: byColumn[3][j]}
		row.Figures = append(row.Figures, f)
	}
	return row, nil
}

// warm lets all sides that have something to warm up do so.
func (c contest) warm(ctx context.Context, row *report.Row, sides []*side) error {
	for i, s := range sides {
		if s == nil || s.warm == nil {
			continue
		}
		if err := c.failed(ctx, row, sides, i, s.warm(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// round lets the sides take their turns and returns the mean of each; nil of one that is not there.
func (c contest) round(ctx context.Context, row *report.Row, sides []*side) ([]values, error) {
	turns := max(c.slices, 1)
	var present []int
	for i, s := range sides {
		if s != nil {
			present = append(present, i)
		}
	}
	means := make([]values, len(sides))
	for turn := range turns {
		for k := range present {
			i := present[(turn+k)%len(present)]
			if sides[i] == nil { // the peer has broken in this round
				continue
			}
			got, err := sides[i].round(ctx)
			if err := c.failed(ctx, row, sides, i, err); err != nil {
				return nil, err
			}
			if means[i] == nil {
				means[i] = make(values, len(got))
			}
			for j, v := range got {
				means[i][j] += v / float64(turns)
			}
		}
	}
	if sides[peerOf] == nil {
		means[peerOf] = nil // of a round that it did not end
	}
	return means, nil
}

// failed returns what went wrong with a side. Of the peer it becomes the note, and the peer is left out
// from then on.
func (c contest) failed(ctx context.Context, row *report.Row, sides []*side, i int, err error) error {
	switch {
	case err == nil:
		return nil
	case i == peerOf && ctx.Err() == nil:
		row.Note = fmt.Sprintf("peer: %v", err)
		sides[i] = nil
		return nil
	}
	return fmt.Errorf("%s: %w", [...]string{"holdfast", "limit", "floor", "peer"}[i], err)
}

const peerOf = 3 // of sides

func (c contest) sides() []*side { return []*side{c.subject, c.limit, c.floor, c.peer} }

func (c contest) close() error {
	var errs []error
	for _, s := range c.sides() {
		if s != nil && s.close != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}

// The figures of a closed loop.
const (
	opsPerSecond = "ops/s"
	p50          = "p50 ms"
	p99          = "p99 ms"
	cpuPerOp     = "CPU µs/op"
)

// closedColumns are those figures, in the order of closedValues.
var closedColumns = []string{opsPerSecond, p50, p99, cpuPerOp}

// aimed is a plan with the server that it is for. The CPU time is that of t, or, if any are
// given, of all of paid together.
func (s *stage) aimed(t target.Target, p load.Plan, paid ...target.Target) load.Plan {
	p.Addr, p.CPU, p.Loops = t.Addr, t.CPU(), s.opts.Loops
	if len(paid) > 0 {
		p.CPU = target.CPUOfAll(paid)
	}
	return p
}

// closed makes a side of a closed loop.
func (s *stage) closed(t target.Target, p load.Plan) *side {
	p = s.aimed(t, p)
	if p.Duration == 0 {
		p.Duration = s.opts.Round
	}
	warm := p
	warm.Duration, warm.CPU = s.opts.Round/warmShare, nil
	return &side{
		warm: func(ctx context.Context) error {
			_, err := warm.Run(ctx)
			return err
		},
		round: func(ctx context.Context) (values, error) {
			res, err := p.Run(ctx)
			if err != nil {
				return nil, err
			}
			return closedValues(res, p.CPU != nil), nil
		},
	}
}

// closedValues are those of closedColumns; knows says that the CPU time was read.
func closedValues(res load.Result, knows bool) values {
	return values{
		float64(res.Ops) / res.Elapsed.Seconds(),
		millis(res.Latency.At(50)),
		millis(res.Latency.At(99)),
		cpuMicros(knows, res.CPU, float64(res.Ops)),
	}
}

// peer makes the side of the peer with the given maker; nil if there is none. If
// that fails, the side is one that says so at its first turn.
func (s *stage) peer(maker func(target.Target) (*side, error)) *side {
	if s.opts.Peer == nil {
		return nil
	}
	p, err := maker(*s.opts.Peer)
	if err != nil {
		return &side{warm: func(context.Context) error { return err }}
	}
	return p
}

// references are what a cell is compared with; nil where there is none.
type references struct {
	limit, floor *target.Limit
}

// all are those there are.
func (r references) all() []*target.Limit {
	return slices.DeleteFunc([]*target.Limit{r.limit, r.floor}, func(l *target.Limit) bool { return l == nil })
}

// of returns the one that t is; nil if it is none of them.
func (r references) of(t target.Target) *target.Limit {
	for _, l := range r.all() {
		if l.Target() == t {
			return l
		}
	}
	return nil
}

// against lets subject, references and peer take turns, each with a side that maker
// makes.
func (s *stage) against(ctx context.Context, refs references, columns []string, maker func(target.Target) (*side, error)) (report.Row, error) {
	return s.againstFor(ctx, s.opts.Rounds, refs, columns, maker)
}

// againstFor is against for a number of rounds of its own.
func (s *stage) againstFor(ctx context.Context, rounds int, refs references, columns []string, maker func(target.Target) (*side, error)) (report.Row, error) {
	c := contest{columns: columns}
	var err error
	if c.subject, err = maker(s.subject()); err != nil {
		return report.Row{}, err
	}
	for _, r := range []struct {
		limit *target.Limit
		side  **side
	}{{refs.limit, &c.limit}, {refs.floor, &c.floor}} {
		if r.limit == nil {
			continue
		}
		if *r.side, err = maker(r.limit.Target()); err != nil {
			return report.Row{}, errors.Join(fmt.Errorf("limit: %w", err), c.close())
		}
	}
	c.peer = s.peer(maker)
	return c.run(ctx, rounds)
}

// cpuMicros is CPU time per operation in microseconds; NaN if it is not known.
func cpuMicros(known bool, cpu time.Duration, ops float64) float64 {
	if !known || ops == 0 {
		return math.NaN()
	}
	return float64(cpu.Nanoseconds()) / 1000 / ops
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
