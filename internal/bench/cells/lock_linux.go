package cells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// handOvers is the most times that the lock changes hands in a round.
const handOvers = 100

const requestsPerHandOver = "requests/hand-over"

// lockGroup lets many contend for one lock of the server's own and passes it on: how
// long that takes, and how many requests it costs all of them together.
func lockGroup(*Options) group {
	return group{name: "lock", cells: []cell{{
		name: "lock-handover",
		bars: bars{requestsPerHandOver: report.AtMost(2, "")},
		run:  func(ctx context.Context, s *stage) (report.Row, error) { return s.lockHandOver(ctx) },
	}}}
}

// errNoLocks says that a server does not have what is measured.
var errNoLocks = errors.New("the server has no locks of its own")

func (s *stage) lockHandOver(ctx context.Context) (report.Row, error) {
	n := s.opts.Sizes.WakeKeys
	columns := []string{requestsPerHandOver, p50, p99, "CPU µs/hand-over"}
	row, err := s.against(ctx, references{}, columns, func(t target.Target) (*side, error) {
		return newContenders(ctx, t, n, strings.TrimSuffix(s.prefix, "/")+"/"+t.Addr)
	})
	if errors.Is(err, errNoLocks) {
		return report.Row{Skipped: errNoLocks.Error()}, nil
	}
	if err == nil && row.Note == "" {
		row.Note = fmt.Sprintf("%d sessions contend for one lock; each hand-over is a release, and an answer to whoever is next", n)
	}
	return row, err
}

// contenders are the clients of one lock, each with a session of its own.
type contenders struct {
	*crowd
	name     string
	sessions []string // by client
}

func newContenders(ctx context.Context, t target.Target, n int, name string) (*side, error) {
	c := &contenders{name: "/v1/lock/" + name}
	if err := c.begin(ctx, t, n); err != nil {
		return nil, errors.Join(err, c.end(ctx, t))
	}
	w, err := load.DialWatchers(ctx, t.Addr, n, 0, func(id int, _ uint64) []byte {
		path := c.name + "?wait=" + queryWait + "&session=" + c.sessions[id]
		return rawhttp.Request(http.MethodPost, path, t.Addr, []byte{})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%d contenders: %w", n, err), c.end(ctx, t))
	}
	c.crowd = &crowd{Watchers: w, target: t, n: n}
	return &side{round: c.round, close: func() error {
		return errors.Join(w.Close(), c.end(context.WithoutCancel(ctx), t))
	}}, nil
}

// begin makes the sessions. They have no TTL: nobody is to renew them meanwhile.
func (c *contenders) begin(ctx context.Context, t target.Target, n int) error {
	client, err := rawhttp.Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	for range n {
		r, err := client.Do(ctx, http.MethodPut, "/v1/session/create", []byte(`{"LockDelay":"0s"}`))
		switch {
		case err != nil:
			return err
		case r.Status != http.StatusOK:
			return errNoLocks
		}
		var made struct{ ID string }
		if err := json.Unmarshal(r.Body, &made); err != nil {
			return fmt.Errorf("make a session: %w", err)
		}
		c.sessions = append(c.sessions, made.ID)
	}
	r, err := client.Do(ctx, http.MethodGet, c.name, nil)
	if err == nil && r.Status != http.StatusOK {
		err = errNoLocks
	}
	return err
}

// end ends the sessions, and with them their places.
func (c *contenders) end(ctx context.Context, t target.Target) error {
	ctx, cancel := context.WithTimeout(ctx, cleanLimit)
	defer cancel()
	client, err := rawhttp.Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, id := range c.sessions {
		if _, err := client.Do(ctx, http.MethodPut, "/v1/session/destroy/"+id, []byte{}); err != nil {
			return fmt.Errorf("end a session: %w", err)
		}
	}
	return nil
}

// assemble lets everybody who has no place ask for one, waits until all have, and
// returns who holds the lock. That one is answered at once, whether or not it has
// asked before.
func (c *contenders) assemble(ctx context.Context) (holder int, err error) {
	if err := c.Park(); err != nil {
		return 0, err
	}
	var answered []int
	for start := time.Now(); time.Since(start) < serveLimit; {
		more, err := c.Listen(ctx, settleStep)
		answered = append(answered, more...)
		if err != nil {
			return 0, err
		}
		waiting, err := c.waiting(ctx)
		switch {
		case err != nil:
			return 0, err
		case len(answered) > 1:
			return 0, fmt.Errorf("%d of %d contenders were told that they hold the lock", len(answered), c.n)
		case len(answered) == 1 && waiting == c.n-1:
			return answered[0], nil
		}
	}
	return 0, fmt.Errorf("%d contenders have not all got a place within %v", c.n, serveLimit)
}

// waiting is how many stand in line.
func (c *contenders) waiting(ctx context.Context) (int, error) {
	r, err := c.target.Do(ctx, http.MethodGet, c.name+"?limit=0", nil)
	if err != nil {
		return 0, err
	}
	var lock struct{ WaiterCount int }
	if err := json.Unmarshal(r.Body, &lock); err != nil {
		return 0, fmt.Errorf("look at the lock: %w", err)
	}
	return lock.WaiterCount, nil
}

// round lets all contend and passes the lock on, each time from who holds it to who is
// next. Whoever else is answered costs a request.
func (c *contenders) round(ctx context.Context) (values, error) {
	holder, err := c.assemble(ctx)
	if err != nil {
		return nil, err
	}
	times := min(handOvers, c.n/2)
	latency := load.NewLatency()
	requests := 0
	before, err := c.cpu()
	if err != nil {
		return nil, err
	}
	for range times {
		release := rawhttp.Request(http.MethodDelete, c.name+"?session="+c.sessions[holder], c.target.Addr, nil)
		shot, err := c.Fire(ctx, release, 1, serveLimit)
		if err != nil {
			return nil, err
		}
		latency.Add(shot.Delivered)
		requests += 1 + len(shot.Woken)
		holder = shot.Woken[0]
	}
	after, err := c.cpu()
	if err != nil {
		return nil, err
	}
	// Somebody who was woken without need may still be on his way.
	woken, err := c.Listen(ctx, 10*time.Millisecond)
	if err != nil {
		return nil, err
	}
	return values{
		float64(requests+len(woken)) / float64(times),
		millis(latency.At(50)),
		millis(latency.At(99)),
		cpuMicros(c.target.PID != 0, after-before, float64(times)),
	}, nil
}
