package cells

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

// duel is a contest between two servers that do nearly the same, for which a few percent
// matter. What else goes on in a machine, its disk before all, comes and goes within
// seconds: sides that have a second and a half each in turn find up to a third of
// difference between two servers that are the same. So a round of a duel is cut into
// slices, in which the sides take turns, each as often first as the other; what a round
// gives is all of its slices together, so nothing that comes seldom, as collecting garbage
// does, is left out. The connections stay.
type duel struct {
	subject, limit load.Plan
}

// slice is about how long a side has at once: some hundred times as long as it takes to
// answer, since at the end of it not all clients are at work.
const slice = 150 * time.Millisecond

// slicesOf is how many slices a side has in a round: an even number, or else one.
func slicesOf(round time.Duration) int { return max(1, int(round/(2*slice))*2) }

// duelRounds is how many times as many rounds a duel has as other contests: by round its ratio
// still moves by a tenth where the disk has a part in it.
const duelRounds = 2

// duel lets two servers fight one, with plans that know them.
func (s *stage) duel(ctx context.Context, b bars, subject, limit load.Plan) (report.Row, error) {
	return duel{subject: subject, limit: limit}.run(ctx, duelRounds*s.opts.Rounds, s.opts.Round, b)
}

// run lets the sides fight for a number of rounds, in each of which both have the same time.
func (d duel) run(ctx context.Context, rounds int, round time.Duration, b bars) (row report.Row, err error) {
	sides := [2]load.Plan{d.subject, d.limit}
	var crews [2]*load.Crew
	defer func() {
		for _, c := range crews {
			if c != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	slices := slicesOf(round)
	for i := range sides {
		sides[i].Duration = round / time.Duration(slices)
		if crews[i], err = sides[i].Connect(ctx); err != nil {
			return row, fmt.Errorf("%s: %w", duelists[i], err)
		}
	}
	columns := closedColumns(b)
	byColumn := [2][]report.Values{make([]report.Values, len(columns)), make([]report.Values, len(columns))}
	for round := range rounds + 1 { // the one numbered 0 warms up
		n := slices
		if round == 0 {
			n = max(1, slices/warmShare)
		}
		results, err := takeTurns(n, func(side int) (load.Result, error) { return crews[side].Run(ctx) })
		if err != nil {
			return row, err
		}
		for i, res := range results {
			for j, v := range closedValues(res, sides[i].CPU != nil) {
				if round > 0 {
					byColumn[i][j] = append(byColumn[i][j], v)
				}
			}
		}
	}
	for j, col := range columns {
		row.Figures = append(row.Figures, report.Figure{Name: col.name, Bar: col.bar, Subject: byColumn[0][j], Limit: byColumn[1][j]})
	}
	return row, nil
}

var duelists = [2]string{"holdfast", "limit"}

// takeTurns lets both sides run n times and returns what each has done in all. Who is second in
// one turn is first in the next.
func takeTurns(n int, run func(side int) (load.Result, error)) (sums [2]load.Result, err error) {
	for turn := range n {
		for i := range sums {
			side := (turn + i) % len(sums)
			res, err := run(side)
			if err != nil {
				return sums, fmt.Errorf("%s: %w", duelists[side], err)
			}
			sums[side].Add(res)
		}
	}
	return sums, nil
}
