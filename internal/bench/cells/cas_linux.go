package cells

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const winsPerSecond = "wins/s"

const (
	casClients = 16                     // contend for one key
	casSlice   = 200 * time.Millisecond // that a side has at once, so that somebody wins in it
)

// casGroup has clients read a key and write it if nobody has meanwhile, again and again.
func casGroup(*Options) group {
	return group{name: "cas", cells: []cell{{
		name: fmt.Sprintf("cas-c%d", casClients),
		// 2.5 of the peer's 574, where the limit made 4,230 with one client.
		bars: bars{winsPerSecond: report.RatioAtLeast(0.34).AndPeer(2.5)},
		run:  func(ctx context.Context, s *stage) (report.Row, error) { return s.casLoop(ctx) },
	}}}
}

// casLoop measures against one client that writes the same bodies to a file: each win has
// to follow the one before it, and to be on the disk.
func (s *stage) casLoop(ctx context.Context) (report.Row, error) {
	columns := []string{winsPerSecond, "tries/win", "log entries/win", "CPU µs/win"}
	limit, err := s.appendLimit(ctx, s.putRing)
	if err != nil {
		return report.Row{}, err
	}
	c := contest{
		columns: columns, subject: s.casSide(s.subject()), limit: s.serialWrites(limit.Target()),
		slices: max(1, int(s.opts.Round/casSlice)),
	}
	c.peer = s.peer(func(t target.Target) (*side, error) { return s.casSide(t), nil })
	row, err := c.run(ctx, s.opts.Rounds)
	if err == nil && row.Note == "" {
		row.Note = fmt.Sprintf("%d clients contend for one key; the limit is one client that writes without contention", casClients)
	}
	return row, err
}

// serialWrites is one client of the limit.
func (s *stage) serialWrites(t target.Target) *side {
	p := taking(1, s.putRing(t.Addr))
	p.Duration = casSlice
	one := s.closed(t, p)
	return &side{warm: one.warm, round: func(ctx context.Context) (values, error) {
		v, err := one.round(ctx)
		if err != nil {
			return nil, err
		}
		return values{v[0], 1, 1, v[3]}, nil
	}}
}

func (s *stage) casSide(t target.Target) *side {
	return &side{round: func(ctx context.Context) (values, error) { return s.contend(ctx, t) }}
}

// contend runs the loop for a slice.
func (s *stage) contend(ctx context.Context, t target.Target) (values, error) {
	key := s.prefix + "contended"
	if err := put(ctx, t, key, []byte("0")); err != nil {
		return nil, err
	}
	before, err := s.logIndex(ctx, t)
	if err != nil {
		return nil, err
	}
	filler := text(45_000, s.opts.Sizes.ValueBytes)
	get := rawhttp.Request(http.MethodGet, "/v1/kv/"+key, t.Addr, nil)
	// A value that is there already would change nothing, so each has a number.
	value := func(conn, try int) []byte {
		return fmt.Appendf(bytes.Clone(filler), "%d/%d/%d", time.Now().UnixNano(), conn, try)
	}
	clients := make([]casClient, casClients) // each is used by one thread at a time
	res, err := load.Plan{
		Addr: t.Addr, Conns: casClients, Loops: s.opts.Loops, Duration: casSlice, CPU: t.CPU(), Check: wantOK,
		Next: func(int, int) []byte { return get },
		Reply: func(conn int, r rawhttp.Response) []byte {
			c := &clients[conn]
			if c.take(r) {
				return get
			}
			return rawhttp.Request(http.MethodPut, fmt.Sprintf("/v1/kv/%s?cas=%d", key, r.Index), t.Addr, value(conn, c.tries))
		},
	}.Run(ctx)
	if err != nil {
		return nil, err
	}
	after, err := s.logIndex(ctx, t)
	if err != nil {
		return nil, err
	}
	var wins, tries float64
	for _, c := range clients {
		wins, tries = wins+float64(c.wins), tries+float64(c.tries)
	}
	if wins == 0 {
		return nil, fmt.Errorf("none of %v tries won", tries)
	}
	return values{
		wins / res.Elapsed.Seconds(),
		tries / wins,
		float64(after-before-1) / wins, // the look itself is an entry
		cpuMicros(t.PID != 0, res.CPU, wins),
	}, nil
}

// casClient reads and writes in turn.
type casClient struct {
	wrote       bool // the request that is under way is a write
	tries, wins int
}

// take notes an answer and says whether it was that of a write.
func (c *casClient) take(r rawhttp.Response) bool {
	was := c.wrote
	c.wrote = !was
	if was {
		c.tries++
		if r.Length == int64(len("true")) { // else it is "false"
			c.wins++
		}
	}
	return was
}

// logIndex writes a key and returns at which index of the log that is.
func (s *stage) logIndex(ctx context.Context, t target.Target) (uint64, error) {
	key := s.prefix + "marker"
	if err := put(ctx, t, key, fmt.Append(nil, time.Now().UnixNano())); err != nil {
		return 0, err
	}
	r, err := send(ctx, t, http.MethodGet, "/v1/kv/"+key)
	if err != nil {
		return 0, err
	}
	var got []entry
	if err := json.Unmarshal(r.Body, &got); err != nil || len(got) != 1 {
		return 0, fmt.Errorf("GET %s: not one entry (%v): %.100s", key, err, r.Body)
	}
	return got[0].ModifyIndex, nil
}
