package cells

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// multitude parks as many queries on one key of a fresh server as there may be
// connections, and then writes it, once.
func (s *stage) multitude(ctx context.Context) (report.Row, error) {
	n := within(s.opts.Sizes.Multitude)
	columns := []string{"parked", kibPerQuery, rssMebi, lastMillis, cpuPerAnswer}
	on := func(start func() (target.Target, *target.Limit, func() error, error)) *side {
		return &side{round: func(ctx context.Context) (values, error) {
			t, limit, end, err := start()
			if err != nil {
				return nil, err
			}
			v, err := s.multitudeOn(ctx, t, limit, n)
			return v, errors.Join(err, end())
		}}
	}
	c := contest{columns: columns}
	c.subject = on(func() (target.Target, *target.Limit, func() error, error) {
		server, err := s.fresh(ctx)
		if err != nil {
			return target.Target{}, nil, nil, err
		}
		return server.Target(), nil, server.Close, nil
	})
	c.floor = on(func() (target.Target, *target.Limit, func() error, error) {
		floor, err := target.StartLimit(limitserver.Floor, s.opts.Dir)
		if err != nil {
			return target.Target{}, nil, nil, err
		}
		return floor.Target(), floor, floor.Close, nil
	})
	row, err := c.run(ctx, min(s.opts.Rounds, memoryRounds))
	if err == nil {
		row.Note = fmt.Sprintf("%d parked queries were asked for, the open files allow %d; one write, until the last is served", s.opts.Sizes.Multitude, n)
	}
	return row, err
}

// multitudeOn parks n queries on t, which may be a limit, and writes their key.
func (s *stage) multitudeOn(ctx context.Context, t target.Target, limit *target.Limit, n int) (values, error) {
	key := s.prefix + "multitude"
	if err := put(ctx, t, key, text(90_000, s.opts.Sizes.ValueBytes)); err != nil {
		return nil, err
	}
	if err := s.warmWrites(ctx, t); err != nil {
		return nil, err
	}
	index, err := indexOf(ctx, t, key)
	if err != nil {
		return nil, err
	}
	before, err := s.restedRSS(ctx, t)
	if err != nil {
		return nil, err
	}
	c, err := gather(ctx, t, limit, n, index, everybody(query{key: key}))
	if err != nil {
		return nil, err
	}
	v, err := s.awaken(ctx, c, before, rawhttp.Request(http.MethodPut, "/v1/kv/"+key, t.Addr, text(90_001, s.opts.Sizes.ValueBytes)))
	return v, errors.Join(err, c.Close())
}

// awaken parks everybody and makes the write.
func (s *stage) awaken(ctx context.Context, c *crowd, before int64, write []byte) (values, error) {
	if err := c.mustPark(ctx); err != nil {
		return nil, err
	}
	parked, err := s.restedRSS(ctx, c.target)
	if err != nil {
		return nil, err
	}
	used, err := c.cpu()
	if err != nil {
		return nil, err
	}
	shot, err := c.Fire(ctx, write, c.n, serveLimit)
	if err != nil {
		return nil, err
	}
	now, err := c.cpu()
	return values{
		float64(c.n),
		float64(parked-before) / 1024 / float64(c.n),
		mebi(parked),
		millis(shot.Last),
		cpuMicros(c.target.PID != 0, now-used, float64(c.n)),
	}, err
}
