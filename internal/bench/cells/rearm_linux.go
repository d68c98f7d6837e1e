package cells

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	rearmRounds = 4                // at most: each takes Sizes.RearmFor a side, or twice that
	rearmGrace  = 10 * time.Second // so late a watcher may get what was written last

	// rearmSlice is how long a side has at once. As in a [duel], a round is all its slices
	// together: with ten seconds at once for each, what else goes on in a machine moved the
	// ratio by a quarter from round to round.
	rearmSlice = time.Second
)

// Figures of watchers that go on.
const (
	missed     = "missed"
	writesMade = "writes made"
)

// rearmGroup has many watchers of one key, each of which asks again as soon as it is
// answered, while the key is written at an even pace.
func rearmGroup(o *Options) group {
	return group{name: "rearm", cells: []cell{{
		name: fmt.Sprintf("rearm-%d", o.Sizes.Rearming),
		bars: bars{
			missed:       report.AtMost(0, ""),
			cpuPerAnswer: report.RatioAtMost(0.5).AndPeer(0.2),
			writesMade:   report.FloorAtLeast(0.85),
		},
		run: func(ctx context.Context, s *stage) (report.Row, error) { return s.rearm(ctx) },
	}}}
}

func (s *stage) rearm(ctx context.Context) (report.Row, error) {
	key := s.prefix + "key"
	refs, err := s.watched(ctx, key)
	if err != nil {
		return report.Row{}, err
	}
	n := max(1, int(s.opts.Sizes.RearmFor/rearmSlice))
	slice := s.opts.Sizes.RearmFor / time.Duration(n)
	writes := max(1, int(float64(s.opts.Sizes.RearmWrites)*slice.Seconds()))
	columns := []string{missed, cpuPerAnswer, writesMade, "answers/write"}
	row, err := s.againstFor(ctx, n*min(s.opts.Rounds, rearmRounds), refs, columns, func(t target.Target) (*side, error) {
		c, err := s.gatherOn(ctx, refs, t, s.opts.Sizes.Rearming, everybody(query{key: key}))
		if err != nil {
			return nil, err
		}
		r := &rearming{crowd: c, key: key, writes: writes, slice: slice, sizes: s.opts.Sizes}
		return &side{warm: r.warm, round: r.storm, close: c.Close}, nil
	})
	if err != nil {
		return row, err
	}
	wholeRounds(row.Figures, n)
	if row.Note == "" {
		row.Note = fmt.Sprintf("%d writes asked for, %d a second, in %d slices; they end after %v at the latest", n*writes, s.opts.Sizes.RearmWrites, n, 2*s.opts.Sizes.RearmFor)
	}
	return row, nil
}

// wholeRounds makes rounds of slices. Of each the figures have how many watchers missed something,
// what CPU time it took, and how many writes and answers there were.
func wholeRounds(figures []report.Figure, n int) {
	sides := func(f *report.Figure) [4]*report.Values {
		return [...]*report.Values{&f.Subject, &f.Limit, &f.Floor, &f.Peer}
	}
	for i := range sides(&figures[0]) {
		lost, cpu, writes, answers := sides(&figures[0])[i], sides(&figures[1])[i], sides(&figures[2])[i], sides(&figures[3])[i]
		if len(*lost) == 0 {
			continue // there is no such side
		}
		// One miss in any round is one too many: a median would hide it.
		*lost = total(*lost)
		*writes = totals(*writes, n)
		*answers = totals(*answers, n)
		*cpu = totals(*cpu, n).Over(*answers)
		*answers = answers.Over(*writes)
	}
}

// totals adds n values at a time. A rest of fewer, of a peer that went away, is left out.
func totals(v report.Values, n int) report.Values {
	var all report.Values
	for ; len(v) >= n; v = v[n:] {
		all = append(all, total(v[:n])...)
	}
	return all
}

// rearming is one server with its crowd on one key.
type rearming struct {
	*crowd
	key    string
	writes int // in a slice
	made   int // so far
	slice  time.Duration
	sizes  Sizes
}

// warm is a slice that does not count, unless something is missed in it.
func (r *rearming) warm(ctx context.Context) error {
	v, err := r.storm(ctx)
	if err == nil && v[0] > 0 {
		err = fmt.Errorf("%v of %d watchers have not got what was written last", v[0], r.sizes.Rearming)
	}
	return err
}

// storm lets a storm of writes pass over the watchers, for a slice of a round, and returns
// what wholeRounds takes.
func (r *rearming) storm(ctx context.Context) (values, error) {
	if err := r.mustPark(ctx); err != nil {
		return nil, err
	}
	before, err := r.cpu()
	if err != nil {
		return nil, err
	}
	res, err := r.Weather(ctx, load.Storm{
		Writes: r.writes,
		Every:  time.Second / time.Duration(r.sizes.RearmWrites),
		Most:   2 * r.slice,
		Grace:  rearmGrace,
		Write: func(int) []byte {
			r.made++
			return rawhttp.Request(http.MethodPut, "/v1/kv/"+r.key, r.target.Addr, text(60_000+uint64(r.made), r.sizes.ValueBytes))
		},
		Latest: func() (uint64, error) { return indexOf(ctx, r.target, r.key) },
	})
	if err != nil {
		return nil, err
	}
	after, err := r.cpu()
	if err != nil {
		return nil, err
	}
	return values{
		float64(res.Missed),
		cpuMicros(r.target.PID != 0, after-before, 1),
		float64(res.Written),
		float64(res.Answers),
	}, nil
}
