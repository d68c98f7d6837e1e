package cells

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// writesPerRound is the most writes of a round, however few watchers there are.
const writesPerRound = 25

// fanoutGroup writes one key on which many queries are parked.
func fanoutGroup(o *Options) group {
	g := group{name: "fanout"}
	for _, n := range o.Sizes.Watchers {
		columns := []column{{"last ms", nil}, {p50, nil}, {p99, nil}, {"CPU µs/answer", nil}}
		if n == 5000 {
			columns[0].bar = report.RatioAtMost(1.3)
		}
		g.cells = append(g.cells, cell{
			name: fmt.Sprintf("fanout-%d", n),
			run: func(ctx context.Context, s *stage) (report.Row, error) {
				return s.fanout(ctx, n, columns)
			},
		})
	}
	return g
}

func (s *stage) fanout(ctx context.Context, n int, columns []column) (report.Row, error) {
	limit, err := s.limit(limitserver.Park)
	if err != nil {
		return report.Row{}, err
	}
	key := fmt.Sprintf("%skey-%d", s.prefix, n)
	for _, t := range s.targets() {
		if err := put(ctx, t, key, text(50_000, s.opts.Sizes.ValueBytes)); err != nil {
			return report.Row{}, err
		}
	}
	recorded, err := s.record(ctx, limit, http.MethodGet, "/v1/kv/"+key, nil)
	if err != nil {
		return report.Row{}, err
	}
	return s.against(ctx, limit, columns, func(t target.Target) (*side, error) {
		index, parked := recorded.Index, limit.Parked
		if t != limit.Target() {
			parked = nil
			if index, err = indexOf(ctx, t, key); err != nil {
				return nil, err
			}
		}
		c, err := gather(ctx, t, n, index, func(int) string { return key }, parked)
		if err != nil {
			return nil, err
		}
		f := &fanout{crowd: c, key: key, sizes: s.opts.Sizes}
		return &side{warm: f.warm, round: f.round, close: c.Close}, nil
	})
}

// fanout is one server with its crowd on one key.
type fanout struct {
	*crowd
	key    string
	sizes  Sizes
	writes uint64 // so far; each writes another value
}

func (f *fanout) warm(ctx context.Context) error {
	_, _, err := f.shot(ctx)
	return err
}

func (f *fanout) round(ctx context.Context) (values, error) {
	shots := min(max(f.sizes.Deliveries/f.n, 1), writesPerRound)
	var last report.Values
	var cpu time.Duration
	all := load.NewLatency()
	for range shots {
		shot, used, err := f.shot(ctx)
		if err != nil {
			return nil, err
		}
		last = append(last, millis(shot.Last))
		all.Add(shot.Delivered)
		cpu += used
	}
	return values{
		last.Median(),
		millis(all.At(50)),
		millis(all.At(99)),
		cpuMicros(f.target, cpu, float64(shots*f.n)),
	}, nil
}

// shot parks everybody, writes the key once, and waits until all are served.
// The CPU time is what the server used from the write to the last answer.
func (f *fanout) shot(ctx context.Context) (load.Shot, time.Duration, error) {
	if err := f.mustPark(ctx); err != nil {
		return load.Shot{}, 0, err
	}
	f.writes++
	write := rawhttp.Request(http.MethodPut, "/v1/kv/"+f.key, f.target.Addr, text(60_000+f.writes, f.sizes.ValueBytes))
	before, err := f.cpu()
	if err != nil {
		return load.Shot{}, 0, err
	}
	shot, err := f.Fire(ctx, write, f.n, serveLimit)
	if err != nil {
		return shot, 0, err
	}
	after, err := f.cpu()
	return shot, after - before, err
}

// cpu is the server's CPU time, 0 if it is not known.
func (c *crowd) cpu() (time.Duration, error) {
	read := c.target.CPU()
	if read == nil {
		return 0, nil
	}
	return read()
}
