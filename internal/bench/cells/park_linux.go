package cells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	// memoryRounds bounds the rounds of the cell: each starts two processes.
	memoryRounds = 3
	// memoryWarm is how many requests a fresh server gets before its memory is
	// first read: the first of everything costs memory that is no watcher's.
	memoryWarm = 200
)

// Figures of memory.
const (
	kibPerQuery        = "KiB/query"
	goroutinesPerQuery = "goroutines/query"
	idleMebi           = "idle RSS MiB"
	rssMebi            = "RSS MiB"
)

var parkColumns = []string{kibPerQuery, goroutinesPerQuery, idleMebi}

var parkBars = bars{
	kibPerQuery: report.AtMost(4, "KiB"),
	// None, but for what happens to run when they are counted.
	goroutinesPerQuery: report.AtMost(0.01, ""),
	idleMebi:           report.AtMost(45, "MiB"),
}

// parkGroup measures what parked queries take in memory.
func parkGroup(o *Options) group {
	return group{name: "park", cells: []cell{
		{name: "park-rss", bars: parkBars, ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) { return s.parkedMemory(ctx) }},
		// No bar of memory: what crypto/tls keeps of a connection is above 4 KiB.
		{name: "park-rss-tls", bars: bars{goroutinesPerQuery: parkBars[goroutinesPerQuery]}, ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) { return s.secureMemory(ctx) }},
		{name: "park-many", bars: bars{kibPerQuery: report.AtMost(4, "KiB")}, ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) { return s.multitude(ctx) }},
	}}
}

func (s *stage) parkedMemory(ctx context.Context) (report.Row, error) {
	n := within(s.opts.Sizes.Parked)
	c := contest{columns: parkColumns}
	c.subject = &side{round: func(ctx context.Context) (values, error) {
		server, err := s.fresh(ctx)
		if err != nil {
			return nil, err
		}
		v, err := s.memoryOf(ctx, server.Target(), nil, n)
		return v, errors.Join(err, server.Close())
	}}
	c.limit = s.limitMemory(limitserver.Park, n)
	c.floor = s.limitMemory(limitserver.Floor, n)
	if p := s.opts.Peer; p != nil && p.PID != 0 {
		c.peer = s.peerMemory(*p, n)
	}
	row, err := c.run(ctx, min(s.opts.Rounds, memoryRounds))
	if row.Note == "" {
		row.Note = fmt.Sprintf("%d queries parked on one key of a fresh server, one connection each", n)
	}
	return row, err
}

// within is n, or as many as there may be connections.
func within(n int) int {
	const others = 200 // files that are no connection of the crowd, in either process
	most, err := target.RaiseOpenFiles()
	if err != nil || most < 2*others {
		return min(n, others)
	}
	return int(min(uint64(n), most-others))
}

// peerMemory measures the peer once: it cannot be started afresh, and memory it
// has taken it need not take again.
func (s *stage) peerMemory(t target.Target, n int) *side {
	measured := false
	return &side{round: func(ctx context.Context) (values, error) {
		if measured {
			return values{math.NaN(), math.NaN(), math.NaN()}, nil
		}
		measured = true
		return s.memoryOf(ctx, t, nil, n)
	}}
}

// limitMemory measures a fresh limit, which answers what the subject answers.
func (s *stage) limitMemory(kind limitserver.Kind, n int) *side {
	return &side{round: func(ctx context.Context) (values, error) {
		key := s.prefix + "memory"
		if err := put(ctx, s.subject(), key, text(90_000, s.opts.Sizes.ValueBytes)); err != nil {
			return nil, err
		}
		limit, err := target.StartLimit(kind, s.opts.Dir)
		if err != nil {
			return nil, err
		}
		_, err = s.record(ctx, references{limit: limit}, http.MethodGet, "/v1/kv/"+key)
		var v values
		if err == nil {
			v, err = s.memoryOf(ctx, limit.Target(), limit, n)
		}
		return v, errors.Join(err, limit.Close())
	}}
}

// memoryOf parks n queries on one key of t, which may be a limit, and returns what each
// takes, and what the server took before.
func (s *stage) memoryOf(ctx context.Context, t target.Target, limit *target.Limit, n int) (values, error) {
	v, err := s.eve(ctx, t, limit, n)
	if err != nil {
		return nil, err
	}
	return s.memoryOfCrowd(ctx, v, everybody(query{key: v.key}))
}

// memoryOfCrowd parks the queries.
func (s *stage) memoryOfCrowd(ctx context.Context, v vigil, ask func(id int) query) (values, error) {
	c, err := gather(ctx, v.target, v.limit, v.n, v.index, ask)
	if err != nil {
		return nil, err
	}
	var taken values
	if err = c.mustPark(ctx); err == nil {
		taken, err = s.taken(ctx, v)
	}
	return taken, errors.Join(err, c.Close())
}

// vigil is a server on which n queries are about to wait for a key to change above an index.
type vigil struct {
	target target.Target
	limit  *target.Limit // that is the target; nil: it is none
	n      int
	key    string
	index  uint64
	before footprint
}

// eve writes the key, and looks what the server takes before anybody waits.
func (s *stage) eve(ctx context.Context, t target.Target, limit *target.Limit, n int) (v vigil, err error) {
	v = vigil{target: t, limit: limit, n: n, key: s.prefix + "memory"}
	if limit == nil {
		if err := put(ctx, t, v.key, text(90_000, s.opts.Sizes.ValueBytes)); err != nil {
			return v, err
		}
	}
	// Of a limit the writes to another key count as to this one.
	if err := s.warmWrites(ctx, t); err != nil {
		return v, err
	}
	if v.index, err = indexOf(ctx, t, v.key); err != nil {
		return v, err
	}
	v.before, err = s.footprint(ctx, t, limit)
	return v, err
}

// taken is what each of the queries, which are parked now, takes, and what the server took before.
func (s *stage) taken(ctx context.Context, v vigil) (values, error) {
	after, err := s.footprint(ctx, v.target, v.limit)
	if err != nil {
		return nil, err
	}
	return values{
		float64(after.rss-v.before.rss) / 1024 / float64(v.n),
		(after.goroutines - v.before.goroutines) / float64(v.n),
		mebi(v.before.rss),
	}, nil
}

// footprint is what a server takes at one time.
type footprint struct {
	rss        int64
	goroutines float64 // NaN if it does not say
}

// footprint waits a little and looks.
func (s *stage) footprint(ctx context.Context, t target.Target, limit *target.Limit) (f footprint, err error) {
	if f.rss, err = s.restedRSS(ctx, t); err != nil {
		return f, err
	}
	if limit != nil {
		n, err := limit.Goroutines()
		f.goroutines = float64(n)
		return f, err
	}
	f.goroutines, err = goroutines(ctx, t)
	return f, err
}

// goroutines is how many the server says it has now; NaN if it does not say. The metrics
// say so too, but of some seconds ago.
func goroutines(ctx context.Context, t target.Target) (float64, error) {
	return stat(ctx, t, "runtime", "goroutines")
}

// stat is one of the figures that a server gives of itself; NaN if it does not say.
func stat(ctx context.Context, t target.Target, section, name string) (float64, error) {
	r, err := t.Do(ctx, http.MethodGet, "/v1/agent/self", nil)
	if err != nil || r.Status != http.StatusOK {
		return math.NaN(), err
	}
	var self struct {
		Stats map[string]map[string]string
	}
	if err := json.Unmarshal(r.Body, &self); err != nil {
		return 0, fmt.Errorf("agent: %w", err)
	}
	n, err := strconv.ParseFloat(self.Stats[section][name], 64)
	if err != nil {
		return math.NaN(), nil
	}
	return n, nil
}

// warmWrites sends some small writes to another key, which every server, a limit
// that parks reads included, answers at once.
func (s *stage) warmWrites(ctx context.Context, t target.Target) error {
	request := rawhttp.Request(http.MethodPut, "/v1/kv/"+s.prefix+"warm", t.Addr, []byte("x"))
	_, err := load.Plan{
		Addr: t.Addr, Conns: 4, Check: wantOK,
		Next: func(_, n int) []byte {
			if n >= memoryWarm/4 {
				return nil
			}
			return request
		},
	}.Run(ctx)
	return err
}

// restedRSS waits a little and reads the server's resident memory.
func (s *stage) restedRSS(ctx context.Context, t target.Target) (int64, error) {
	if err := pause(ctx, s.opts.Rest); err != nil {
		return 0, err
	}
	return procfs.RSS(t.PID)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }
