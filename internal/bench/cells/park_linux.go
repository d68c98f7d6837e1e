package cells

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
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

// parkGroup measures what parked queries take in memory.
func parkGroup(o *Options) group {
	return group{name: "park", cells: []cell{{
		name: "park-rss",
		ours: true,
		run: func(ctx context.Context, s *stage) (report.Row, error) {
			return s.parkedMemory(ctx)
		},
	}}}
}

func (s *stage) parkedMemory(ctx context.Context) (report.Row, error) {
	n := s.opts.Sizes.Parked
	c := contest{columns: []column{{"KiB/query", report.AtMost(28, "KiB")}, {"idle RSS MiB", nil}}}
	c.subject = &side{round: func(ctx context.Context) (values, error) {
		server, err := s.fresh(ctx)
		if err != nil {
			return nil, err
		}
		v, err := s.memoryOf(ctx, server.Target(), nil)
		return v, errors.Join(err, server.Close())
	}}
	c.limit = &side{round: func(ctx context.Context) (values, error) {
		limit, err := target.StartLimit(limitserver.Park, s.opts.Dir)
		if err != nil {
			return nil, err
		}
		v, err := s.memoryOfLimit(ctx, limit)
		return v, errors.Join(err, limit.Close())
	}}
	if p := s.opts.Peer; p != nil && p.PID != 0 {
		c.peer = s.peerMemory(*p)
	}
	row, err := c.run(ctx, min(s.opts.Rounds, memoryRounds))
	if row.Note == "" {
		row.Note = fmt.Sprintf("%d queries parked on one key of a fresh server, one connection each", n)
	}
	return row, err
}

// peerMemory measures the peer once: it cannot be started afresh, and memory it
// has taken it need not take again.
func (s *stage) peerMemory(t target.Target) *side {
	measured := false
	return &side{round: func(ctx context.Context) (values, error) {
		if measured {
			return values{math.NaN(), math.NaN()}, nil
		}
		measured = true
		return s.memoryOf(ctx, t, nil)
	}}
}

// memoryOfLimit makes the limit answer what the subject answers first.
func (s *stage) memoryOfLimit(ctx context.Context, limit *target.Limit) (values, error) {
	key := s.prefix + "memory"
	if err := put(ctx, s.subject(), key, text(90_000, s.opts.Sizes.ValueBytes)); err != nil {
		return nil, err
	}
	if _, err := s.record(ctx, limit, http.MethodGet, "/v1/kv/"+key, nil); err != nil {
		return nil, err
	}
	return s.memoryOf(ctx, limit.Target(), limit.Parked)
}

// memoryOf parks queries on one key of t and returns what each takes, and what
// the server took before.
func (s *stage) memoryOf(ctx context.Context, t target.Target, parked func() (int, error)) (values, error) {
	n := s.opts.Sizes.Parked
	key := s.prefix + "memory"
	index := uint64(1) // a limit does not look at it
	if parked == nil {
		if err := put(ctx, t, key, text(90_000, s.opts.Sizes.ValueBytes)); err != nil {
			return nil, err
		}
		var err error
		if index, err = indexOf(ctx, t, key); err != nil {
			return nil, err
		}
	}
	if err := s.warmWrites(ctx, t); err != nil {
		return nil, err
	}
	before, err := s.restedRSS(ctx, t)
	if err != nil {
		return nil, err
	}
	c, err := gather(ctx, t, n, index, func(int) string { return key }, parked)
	if err != nil {
		return nil, err
	}
	after, err := int64(0), c.mustPark(ctx)
	if err == nil {
		after, err = s.restedRSS(ctx, t)
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return nil, err
	}
	return values{
		float64(after-before) / 1024 / float64(n),
		mebi(before),
	}, nil
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
