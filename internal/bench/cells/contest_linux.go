package cells

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// contest is a set of sides that take turns round by round: the subject, the
// limit (may be nil), the peer (may be nil).
type contest struct {
	columns              []column
	subject, limit, peer *side
}

// column is one figure of a contest.
type column struct {
	name string
	bar  *report.Bar
}

// run warms all sides up, then lets them take turns. What goes wrong with the
// peer ends up in the note: it must not spoil the rest.
func (c contest) run(ctx context.Context, rounds int) (row report.Row, err error) {
	defer func() { err = errors.Join(err, c.close()) }()
	sides := []*side{c.subject, c.limit, c.peer}
	byColumn := make([][]report.Values, len(sides)) // side, column, round
	for i := range sides {
		byColumn[i] = make([]report.Values, len(c.columns))
	}
	// The turn numbered 0 warms up.
	for turn := range rounds + 1 {
		for i, s := range sides {
			if s == nil {
				continue
			}
			got, err := s.turn(ctx, turn == 0)
			switch {
			case err != nil && s == c.peer && ctx.Err() == nil:
				row.Note = fmt.Sprintf("peer: %v", err)
				sides[i] = nil
			case err != nil:
				return row, fmt.Errorf("%s: %w", [...]string{"holdfast", "limit", "peer"}[i], err)
			case turn > 0:
				for j := range c.columns {
					byColumn[i][j] = append(byColumn[i][j], got[j])
				}
			}
		}
	}
	for j, col := range c.columns {
		f := report.Figure{Name: col.name, Bar: col.bar, Subject: byColumn[0][j], Limit: byColumn[1][j], Peer: byColumn[2][j]}
		row.Figures = append(row.Figures, f)
	}
	return row, nil
}

func (c contest) close() error {
	var errs []error
	for _, s := range []*side{c.subject, c.limit, c.peer} {
		if s != nil && s.close != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}

func (s *side) turn(ctx context.Context, warm bool) (values, error) {
	if !warm {
		return s.round(ctx)
	}
	if s.warm == nil {
		return nil, nil
	}
	return nil, s.warm(ctx)
}

// The figures of a closed loop.
const (
	opsPerSecond = "ops/s"
	p50          = "p50 ms"
	p99          = "p99 ms"
	cpuPerOp     = "CPU µs/op"
)

// bars are the bars of a closed loop by figure.
type bars map[string]*report.Bar

func closedColumns(b bars) []column {
	var out []column
	for _, name := range []string{opsPerSecond, p50, p99, cpuPerOp} {
		out = append(out, column{name, b[name]})
	}
	return out
}

// closed makes a side of a closed loop.
func (s *stage) closed(t target.Target, p load.Plan) *side {
	p.Addr, p.CPU, p.Loops = t.Addr, t.CPU(), s.opts.Loops
	p.Duration = s.opts.Round
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
			return values{
				float64(res.Ops) / res.Elapsed.Seconds(),
				millis(res.Latency.At(50)),
				millis(res.Latency.At(99)),
				cpuMicros(t, res.CPU, float64(res.Ops)),
			}, nil
		},
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

// against lets subject, limit (nil if there is none) and peer take turns, each
// with a side that maker makes.
func (s *stage) against(ctx context.Context, limit *target.Limit, columns []column, maker func(target.Target) (*side, error)) (report.Row, error) {
	var c contest
	var err error
	c.columns = columns
	if c.subject, err = maker(s.subject()); err != nil {
		return report.Row{}, err
	}
	if limit != nil {
		if c.limit, err = maker(limit.Target()); err != nil {
			return report.Row{}, errors.Join(fmt.Errorf("limit: %w", err), c.close())
		}
	}
	c.peer = s.peer(maker)
	return c.run(ctx, s.opts.Rounds)
}

// cpuMicros is CPU time per operation in microseconds; NaN if it is not known.
func cpuMicros(t target.Target, cpu time.Duration, ops float64) float64 {
	if t.PID == 0 || ops == 0 {
		return math.NaN()
	}
	return float64(cpu.Nanoseconds()) / 1000 / ops
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
