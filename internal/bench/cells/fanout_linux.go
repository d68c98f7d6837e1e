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

// writesPerRound is the most writes of a round, however few watchers there are.
const writesPerRound = 25

// Figures of waiting clients.
const (
	lastMillis   = "last ms"
	cpuPerAnswer = "CPU µs/answer"
)

var fanoutColumns = []string{lastMillis, p50, p99, cpuPerAnswer}

// fanoutGroup writes one key on which many queries are parked.
func fanoutGroup(o *Options) group {
	g := group{name: "fanout"}
	for _, n := range o.Sizes.Watchers {
		var b bars
		if n == 5000 {
			b = bars{
				lastMillis: report.FloorAtMost(1.6),
				p99:        report.FloorAtMost(1.6).AndPeer(0.35),
				// 0.25 of the peer's 55 µs where the floor took 7.
				cpuPerAnswer: report.FloorAtMost(1.96).AndPeer(0.25),
			}
		}
		g.cells = append(g.cells, cell{
			name: fmt.Sprintf("fanout-%d", n), bars: b,
			run: func(ctx context.Context, s *stage) (report.Row, error) {
				key := fmt.Sprintf("%skey-%d", s.prefix, n)
				return s.fanout(ctx, n, everybody(query{key: key}))
			},
		})
	}
	return g
}

// fanout has n clients wait for one key, which ask names, and writes it.
func (s *stage) fanout(ctx context.Context, n int, ask func(id int) query) (report.Row, error) {
	key := ask(0).key
	refs, err := s.watched(ctx, key)
	if err != nil {
		return report.Row{}, err
	}
	return s.against(ctx, refs, fanoutColumns, func(t target.Target) (*side, error) {
		c, err := s.gatherOn(ctx, refs, t, n, ask)
		if err != nil {
			return nil, err
		}
		f := &fanout{crowd: c, key: key, sizes: s.opts.Sizes}
		return &side{warm: f.warm, round: f.round, close: c.Close}, nil
	})
}

// watched writes a key that is to be watched, and has the limits answer as the subject
// does.
func (s *stage) watched(ctx context.Context, key string) (references, error) {
	refs, err := s.waitLimits()
	if err != nil {
		return refs, err
	}
	for _, t := range s.targets() {
		if err := put(ctx, t, key, text(50_000, s.opts.Sizes.ValueBytes)); err != nil {
			return refs, err
		}
	}
	_, err = s.record(ctx, refs, http.MethodGet, "/v1/kv/"+key)
	return refs, err
}

// gatherOn connects n watchers of one key as it is now.
func (s *stage) gatherOn(ctx context.Context, refs references, t target.Target, n int, ask func(id int) query) (*crowd, error) {
	index, err := indexOf(ctx, t, ask(0).key)
	if err != nil {
		return nil, err
	}
	return gather(ctx, t, refs.of(t), n, index, ask)
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
		cpuMicros(f.target.PID != 0, cpu, float64(shots*f.n)),
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
