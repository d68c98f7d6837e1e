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
)

// rearmGroup has many watchers of one key, each of which asks again as soon as it is
// answered, while the key is written at an even pace.
func rearmGroup(o *Options) group {
	return group{name: "rearm", cells: []cell{{
		name: fmt.Sprintf("rearm-%d", o.Sizes.Rearming),
		run:  func(ctx context.Context, s *stage) (report.Row, error) { return s.rearm(ctx) },
	}}}
}

func (s *stage) rearm(ctx context.Context) (report.Row, error) {
	key := s.prefix + "key"
	refs, err := s.watched(ctx, key)
	if err != nil {
		return report.Row{}, err
	}
	writes := max(1, int(float64(s.opts.Sizes.RearmWrites)*s.opts.Sizes.RearmFor.Seconds()))
	columns := []column{
		{"missed", report.AtMost(0, "")},
		{cpuPerAnswer, report.RatioAtMost(0.5).AndPeer(0.2)},
		{"writes made", report.FloorAtLeast(0.85)},
		{"answers/write", nil},
	}
	row, err := s.againstFor(ctx, min(s.opts.Rounds, rearmRounds), refs, columns, func(t target.Target) (*side, error) {
		c, err := s.gatherOn(ctx, refs, t, s.opts.Sizes.Rearming, key)
		if err != nil {
			return nil, err
		}
		r := &rearming{crowd: c, key: key, writes: writes, sizes: s.opts.Sizes}
		return &side{round: r.round, close: c.Close}, nil
	})
	if err != nil {
		return row, err
	}
	// One miss in any round is one too many: a median would hide it.
	f := &row.Figures[0]
	f.Subject, f.Limit, f.Floor, f.Peer = total(f.Subject), total(f.Limit), total(f.Floor), total(f.Peer)
	if row.Note == "" {
		row.Note = fmt.Sprintf("%d writes asked for, %d a second; they end after %v at the latest", writes, s.opts.Sizes.RearmWrites, 2*s.opts.Sizes.RearmFor)
	}
	return row, nil
}

// rearming is one server with its crowd on one key.
type rearming struct {
	*crowd
	key    string
	writes int // in a round
	made   int // so far
	sizes  Sizes
}

// round lets a storm of writes pass over the watchers.
func (r *rearming) round(ctx context.Context) (values, error) {
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
		Most:   2 * r.sizes.RearmFor,
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
		cpuMicros(r.target.PID != 0, after-before, float64(res.Answers)),
		float64(res.Written),
		float64(res.Answers) / float64(res.Written),
	}, nil
}
