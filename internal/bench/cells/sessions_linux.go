package cells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	// sessionRounds bounds the rounds of cells that wait for a TTL.
	sessionRounds = 3
	// expiryEarly is how long before the first session runs out the writes begin.
	expiryEarly = 50 * time.Millisecond
	// expiryLook is how often the last session is looked for.
	expiryLook = 5 * time.Millisecond
	// expiryPatience is how much later than its TTL a session must have ended.
	expiryPatience = time.Minute
)

// Figures of sessions that run out.
const (
	stormMillis = "p99 ms of writes"
	lateMillis  = "last end, ms late"
)

// sessionGroup measures sessions: as many as can be, many that live, and many that
// run out together.
func sessionGroup(o *Options) group {
	return group{name: "session", cells: []cell{
		{name: "session-ops", run: func(ctx context.Context, s *stage) (report.Row, error) { return s.sessionOps(ctx) }},
		{name: "session-live", ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) { return s.liveSessions(ctx) }},
		{name: "session-expiry", bars: bars{
			stormMillis: report.RatioAtMost(5),
			// A session ends at most a second and a tenth of its TTL late.
			lateMillis: report.AtMost(millis(time.Second+o.Sizes.ExpiringTTL/10), "ms"),
		}, run: func(ctx context.Context, s *stage) (report.Row, error) { return s.expiry(ctx) }},
	}}
}

// makeSessions makes n sessions as quickly as the clients can and returns their ids.
func (s *stage) makeSessions(ctx context.Context, t target.Target, n int, body string) ([]string, error) {
	ids := make([]string, n)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(s.opts.Sizes.SessionClients, n) {
		g.Go(func() error {
			c, err := rawhttp.Dial(ctx, t.Addr)
			if err != nil {
				return err
			}
			defer c.Close()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r, err := c.Do(ctx, http.MethodPut, "/v1/session/create", []byte(body))
				if err == nil {
					err = wantOK(r)
				}
				var made struct{ ID string }
				if err == nil {
					err = json.Unmarshal(r.Body, &made)
				}
				if err != nil {
					return fmt.Errorf("create a session: %w", err)
				}
				ids[i] = made.ID
			}
			return nil
		})
	}
	return ids, g.Wait()
}

// onSessions sends one request for each session, as quickly as the clients can.
func (s *stage) onSessions(ctx context.Context, t target.Target, verb string, ids []string) (load.Result, error) {
	clients := min(s.opts.Sizes.SessionClients, len(ids))
	res, err := load.Plan{
		Addr: t.Addr, Conns: clients, Loops: s.opts.Loops, CPU: t.CPU(), Check: wantOK,
		Next: func(conn, n int) []byte {
			if i := n*clients + conn; i < len(ids) {
				return rawhttp.Request(http.MethodPut, "/v1/session/"+verb+"/"+ids[i], t.Addr, nil)
			}
			return nil
		},
	}.Run(ctx)
	if err != nil {
		return res, fmt.Errorf("%s sessions: %w", verb, err)
	}
	return res, nil
}

// sessionOps makes sessions, renews each, and destroys them.
func (s *stage) sessionOps(ctx context.Context) (report.Row, error) {
	n, t := s.opts.Sizes.Sessions, s.subject()
	var creates, renews, destroys report.Values
	for range s.opts.Rounds {
		start := time.Now()
		ids, err := s.makeSessions(ctx, t, n, `{"TTL":"1h"}`)
		if err != nil {
			return report.Row{}, err
		}
		creates = append(creates, float64(n)/time.Since(start).Seconds())
		for _, step := range []struct {
			verb   string
			values *report.Values
		}{{"renew", &renews}, {"destroy", &destroys}} {
			res, err := s.onSessions(ctx, t, step.verb, ids)
			if err != nil {
				return report.Row{}, err
			}
			*step.values = append(*step.values, float64(res.Ops)/res.Elapsed.Seconds())
		}
	}
	return report.Row{
		Note: fmt.Sprintf("%d sessions, %d clients; creates and destroys are on the disk before the answer", n, s.opts.Sizes.SessionClients),
		Figures: []report.Figure{
			{Name: "creates/s", Subject: creates}, {Name: "renews/s", Subject: renews}, {Name: "destroys/s", Subject: destroys},
		},
	}, nil
}

// liveSessions renews sessions at an even pace and measures what the server takes.
func (s *stage) liveSessions(ctx context.Context) (report.Row, error) {
	n, ttl := s.opts.Sizes.LiveSessions, s.opts.Sizes.LiveTTL
	server, err := s.fresh(ctx)
	if err != nil {
		return report.Row{}, err
	}
	row, err := s.liveOn(ctx, server.Target(), n, ttl)
	return row, errors.Join(err, server.Close())
}

func (s *stage) liveOn(ctx context.Context, t target.Target, n int, ttl time.Duration) (report.Row, error) {
	idle, err := s.restedRSS(ctx, t)
	if err != nil {
		return report.Row{}, err
	}
	ids, err := s.makeSessions(ctx, t, n, fmt.Sprintf(`{"TTL":%q}`, ttl))
	if err != nil {
		return report.Row{}, err
	}
	var cpu, rss report.Values
	for range min(s.opts.Rounds, sessionRounds) {
		before, err := procfs.CPU(t.PID)
		if err != nil {
			return report.Row{}, err
		}
		start := time.Now()
		if err := s.renewEvenly(ctx, t, ids, ttl/2); err != nil {
			return report.Row{}, err
		}
		after, err := procfs.CPU(t.PID)
		if err != nil {
			return report.Row{}, err
		}
		now, err := procfs.RSS(t.PID)
		if err != nil {
			return report.Row{}, err
		}
		cpu = append(cpu, 100*(after-before).Seconds()/time.Since(start).Seconds())
		rss = append(rss, mebi(now))
	}
	return report.Row{
		Note: fmt.Sprintf("%d sessions with TTL %s, each renewed every %s", n, ttl, ttl/2),
		Figures: []report.Figure{
			{Name: "CPU % of a core", Subject: cpu},
			{Name: "RSS MiB", Subject: rss},
			{Name: "RSS MiB before", Subject: report.Values{mebi(idle)}},
		},
	}, nil
}

// renewEvenly renews each session once, spread over the given time.
func (s *stage) renewEvenly(ctx context.Context, t target.Target, ids []string, over time.Duration) error {
	clients := min(s.opts.Sizes.SessionClients, len(ids))
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		g.Go(func() error {
			c, err := rawhttp.Dial(ctx, t.Addr)
			if err != nil {
				return err
			}
			defer c.Close()
			for i := client; i < len(ids); i += clients {
				at := start.Add(over * time.Duration(i) / time.Duration(len(ids)))
				if err := pause(ctx, time.Until(at)); err != nil {
					return err
				}
				r, err := c.Do(ctx, http.MethodPut, "/v1/session/renew/"+ids[i], nil)
				if err == nil {
					err = wantOK(r)
				}
				if err != nil {
					return fmt.Errorf("renew a session: %w", err)
				}
			}
			return pause(ctx, time.Until(start.Add(over)))
		})
	}
	return g.Wait()
}

// expiry lets sessions run out together and measures what other writes feel of it,
// and how late the last one ends.
func (s *stage) expiry(ctx context.Context) (report.Row, error) {
	n, ttl, t := s.opts.Sizes.Expiring, s.opts.Sizes.ExpiringTTL, s.subject()
	var quiet, storm, late report.Values
	var ops report.Values
	for range min(s.opts.Rounds, sessionRounds) {
		calm, err := s.writesUntil(ctx, t, s.opts.Round, nil)
		if err != nil {
			return report.Row{}, err
		}
		ids, err := s.makeSessions(ctx, t, n, fmt.Sprintf(`{"TTL":%q,"Grace":"0s"}`, ttl))
		if err != nil {
			return report.Row{}, err
		}
		// Making them took a while; the renewals bring their ends together.
		start := time.Now()
		if _, err := s.onSessions(ctx, t, "renew", ids); err != nil {
			return report.Row{}, err
		}
		renewed := time.Now()
		if err := pause(ctx, time.Until(start.Add(ttl-expiryEarly))); err != nil {
			return report.Row{}, err
		}
		var gone time.Time
		busy, err := s.writesUntil(ctx, t, 0, func(ctx context.Context) error {
			var err error
			gone, err = awaitEnd(ctx, t, ids[len(ids)-1], renewed.Add(ttl+expiryPatience))
			return err
		})
		if err != nil {
			return report.Row{}, err
		}
		quiet = append(quiet, millis(calm.Latency.At(99)))
		storm = append(storm, millis(busy.Latency.At(99)))
		ops = append(ops, float64(busy.Ops))
		late = append(late, millis(gone.Sub(renewed.Add(ttl))))
	}
	return report.Row{
		Note: fmt.Sprintf("%d sessions run out together while %d clients write; the limit is the same server when it is quiet", n, s.opts.Sizes.SessionClients),
		Figures: []report.Figure{
			{Name: stormMillis, Subject: storm, Limit: quiet},
			{Name: "writes meanwhile", Subject: ops},
			{Name: lateMillis, Subject: late},
		},
	}, nil
}

// writesUntil writes keys in a closed loop for the given time, or until done returns.
func (s *stage) writesUntil(ctx context.Context, t target.Target, d time.Duration, done func(context.Context) error) (load.Result, error) {
	var over atomic.Bool
	clients := s.opts.Sizes.SessionClients
	p := load.Plan{
		Addr: t.Addr, Conns: clients, Loops: s.opts.Loops, Duration: d, Check: wantOK,
		Next: func(conn, n int) []byte {
			if over.Load() {
				return nil
			}
			path := fmt.Sprintf("/v1/kv/%smeanwhile/%d/%d", s.prefix, conn, n%64)
			return rawhttp.Request(http.MethodPut, path, t.Addr, text(uint64(50_000+n), 256))
		},
	}
	g, ctx := errgroup.WithContext(ctx)
	if done != nil {
		g.Go(func() error {
			defer over.Store(true)
			return done(ctx)
		})
	}
	var res load.Result
	g.Go(func() (err error) {
		res, err = p.Run(ctx)
		return err
	})
	return res, g.Wait()
}

// awaitEnd looks for a session until it is gone, and returns when that was.
func awaitEnd(ctx context.Context, t target.Target, id string, deadline time.Time) (time.Time, error) {
	c, err := rawhttp.Dial(ctx, t.Addr)
	if err != nil {
		return time.Time{}, err
	}
	defer c.Close()
	for {
		r, err := c.Do(ctx, http.MethodGet, "/v1/session/info/"+id, nil)
		if err == nil {
			err = wantOK(r)
		}
		now := time.Now()
		switch {
		case err != nil:
			return now, err
		case string(r.Body) == "[]":
			return now, nil
		case now.After(deadline):
			return now, fmt.Errorf("session %s has not ended", id)
		}
		if err := pause(ctx, expiryLook); err != nil {
			return now, err
		}
	}
}
