package cells

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// duel is a contest of closed loops. What else goes on in a machine, its disk before all, comes
// and goes within seconds: sides that have a second and a half each in turn find up to a third of
// difference between two servers that are the same. So a round of a duel is cut into
// slices, in which the sides take turns, each as often first as the others; what a round
// gives is all of its slices together, so nothing that comes seldom, as collecting garbage
// does, is left out. The connections stay.
type duel struct {
	columns              []string // those of closedColumns, under whatever name
	subject, limit, peer duelist  // peer: nil is none
}

// duelist is one side of a duel: plans that know their servers, and that are run at the same
// time.
type duelist []load.Plan

// slice is about how long a side has at once: some hundred times as long as it takes to
// answer, since at the end of it not all clients are at work.
const slice = 150 * time.Millisecond

// slicesOf is how many slices a side has in a round: an even number, or else one.
func slicesOf(round time.Duration) int { return max(1, int(round/(2*slice))*2) }

// duelRounds is how many times as many rounds a duel has for which a few percent matter, or in which
// a disk or three servers on two cores have a part: by round its ratio still moves by a tenth.
const duelRounds = 2

// duel lets two sides fight one.
func (s *stage) duel(ctx context.Context, columns []string, subject, limit duelist) (report.Row, error) {
	return duel{columns, subject, limit, nil}.run(ctx, duelRounds*s.opts.Rounds, s.opts.Round)
}

// fight lets the subject, a limit and the peer, if there is one, fight a duel of so many rounds, each
// with a plan that maker makes.
func (s *stage) fight(ctx context.Context, rounds int, limit *target.Limit, columns []string, maker func(target.Target) (load.Plan, error)) (row report.Row, err error) {
	d := duel{columns: columns}
	for _, side := range []struct {
		of *duelist
		t  target.Target
	}{{&d.subject, s.subject()}, {&d.limit, limit.Target()}} {
		p, err := maker(side.t)
		if err != nil {
			return row, err
		}
		*side.of = duelist{s.aimed(side.t, p)}
	}
	var failed error
	if s.opts.Peer != nil {
		var p load.Plan
		if p, failed = maker(*s.opts.Peer); failed == nil {
			d.peer = duelist{s.aimed(*s.opts.Peer, p)}
		}
	}
	row, err = d.run(ctx, rounds, s.opts.Round)
	if failed != nil {
		row.Note = fmt.Sprintf("peer: %v", failed)
	}
	return row, err
}

// run lets the sides fight for a number of rounds, in each of which all have the same time. What
// goes wrong with the peer ends up in the note: it must not spoil the rest.
func (d duel) run(ctx context.Context, rounds int, round time.Duration) (row report.Row, err error) {
	slices := slicesOf(round)
	sides := []duelist{d.subject, d.limit}
	if d.peer != nil {
		sides = append(sides, d.peer)
	}
	teams := make([]team, len(sides))
	defer func() {
		for _, t := range teams {
			err = errors.Join(err, t.close())
		}
	}()
	var lost error // of the peer
	for i, side := range sides {
		if teams[i], err = side.connect(ctx, round/time.Duration(slices)); err != nil {
			if i != peerSide {
				return row, fmt.Errorf("%s: %w", duelists[i], err)
			}
			lost, err = err, nil
		}
	}
	fight := func(side int) ([]load.Result, error) {
		if side == peerSide && lost != nil {
			return nil, nil
		}
		results, err := teams[side].run(ctx)
		if side == peerSide && err != nil && ctx.Err() == nil {
			lost = err
			return nil, nil
		}
		return results, err
	}
	byColumn := make([][]report.Values, len(duelists)) // side, column, round
	for i := range byColumn {
		byColumn[i] = make([]report.Values, len(d.columns))
	}
	for round := range rounds + 1 { // the one numbered 0 warms up
		n := slices
		if round == 0 {
			n = max(1, slices/warmShare)
		}
		results, err := takeTurns(n, len(sides), fight)
		if err != nil {
			return row, err
		}
		for i, all := range results {
			if round == 0 || i == peerSide && lost != nil {
				continue
			}
			for j, v := range teams[i].values(all) {
				byColumn[i][j] = append(byColumn[i][j], v)
			}
		}
	}
	for j, name := range d.columns {
		row.Figures = append(row.Figures, report.Figure{
			Name: name, Subject: byColumn[0][j], Limit: byColumn[1][j], Peer: byColumn[peerSide][j],
		})
	}
	if lost != nil {
		row.Note = fmt.Sprintf("peer: %v", lost)
	}
	return row, nil
}

var duelists = [...]string{"holdfast", "limit", "peer"}

const peerSide = 2 // of duelists

// takeTurns lets all sides run n times and returns what each of their plans has done in all.
// Who is first in one turn is last in the next.
func takeTurns(n, sides int, run func(side int) ([]load.Result, error)) ([][]load.Result, error) {
	sums := make([][]load.Result, sides)
	for turn := range n {
		for i := range sums {
			side := (turn + i) % sides
			results, err := run(side)
			if err != nil {
				return sums, fmt.Errorf("%s: %w", duelists[side], err)
			}
			if turn == 0 {
				sums[side] = make([]load.Result, len(results))
			}
			if len(results) != len(sums[side]) { // the peer is lost
				continue
			}
			for j, res := range results {
				sums[side][j].Add(res)
			}
		}
	}
	return sums, nil
}

// team is the clients of a duelist, connected.
type team []member

type member struct {
	crew     *load.Crew
	knowsCPU bool
}

// connect makes a team that runs for a time at once. After an error the team has those that
// could be connected, and is to be closed.
func (d duelist) connect(ctx context.Context, at time.Duration) (t team, err error) {
	for _, p := range d {
		p.Duration = at
		crew, err := p.Connect(ctx)
		if err != nil {
			return t, err
		}
		t = append(t, member{crew, p.CPU != nil})
	}
	return t, nil
}

// run runs all plans at the same time.
func (t team) run(ctx context.Context) ([]load.Result, error) {
	all := make([]load.Result, len(t))
	g, ctx := errgroup.WithContext(ctx)
	for i, m := range t {
		g.Go(func() (err error) {
			all[i], err = m.crew.Run(ctx)
			return err
		})
	}
	return all, g.Wait()
}

// values are those of a closed loop, of what all plans have done: operations a second are
// added, of a time to an answer the worst counts, and the CPU time is that of all their servers
// for an operation of any of them.
func (t team) values(all []load.Result) values {
	var sum values
	var ops int64
	var cpu time.Duration
	knows := true
	for i, res := range all {
		v := closedValues(res, t[i].knowsCPU)
		if i == 0 {
			sum = v
		} else {
			sum[0] += v[0]
			for j := 1; j < len(v); j++ {
				sum[j] = max(sum[j], v[j])
			}
		}
		ops, cpu, knows = ops+res.Ops, cpu+res.CPU, knows && t[i].knowsCPU
	}
	sum[len(sum)-1] = cpuMicros(knows, cpu, float64(ops))
	return sum
}

func (t team) close() error {
	var errs []error
	for _, m := range t {
		errs = append(errs, m.crew.Close())
	}
	return errors.Join(errs...)
}
