package cells

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	scatterClients = 64
	readsPerWrite  = 100
	// lengthSlack is how much the answers for different keys may differ in length: their
	// indexes have more digits or fewer.
	lengthSlack = 64
)

// scatterGroup reads single keys of many at random, alone and with some writes between.
func scatterGroup(o *Options) group {
	sc := &scatter{o: o}
	return group{name: "scatter", setup: sc.fill, cells: []cell{
		{name: fmt.Sprintf("get-random-%d", o.Sizes.Scattered), bars: bars{opsPerSecond: report.RatioAtLeast(0.8)}, run: func(ctx context.Context, s *stage) (report.Row, error) {
			return sc.run(ctx, s, 0)
		}},
		{name: fmt.Sprintf("mixed-%d-to-1", readsPerWrite), bars: bars{cpuPerOp: report.RatioAtMost(1.35)}, run: func(ctx context.Context, s *stage) (report.Row, error) {
			return sc.run(ctx, s, readsPerWrite+1)
		}},
	}}
}

// scatter is the many keys.
type scatter struct{ o *Options }

func (sc *scatter) key(prefix string, i int) string {
	return fmt.Sprintf("%sservice-%06d/settings", prefix, i)
}

func (sc *scatter) fill(ctx context.Context, s *stage) error {
	return s.fillAll(ctx, sc.o.Sizes.Scattered, func(i int) pair {
		return pair{sc.key(s.prefix, i), text(100_000+uint64(i), sc.o.Sizes.ValueBytes)}
	})
}

// run reads keys at random; every n-th request of a client is a write, unless n is 0. The
// limit answers reads with ready-made bytes, and writes when they are on the disk.
func (sc *scatter) run(ctx context.Context, s *stage, n int) (report.Row, error) {
	limit, err := s.limit(limitserver.Append)
	if err != nil {
		return report.Row{}, err
	}
	refs := references{limit: limit}
	example, err := s.record(ctx, refs, http.MethodGet, "/v1/kv/"+sc.key(s.prefix, 0))
	if err != nil {
		return report.Row{}, err
	}
	put := rawhttp.Request(http.MethodPut, "/v1/kv/"+sc.key(s.prefix, 0), s.subject().Addr, text(100_000, sc.o.Sizes.ValueBytes))
	if err := s.recordWrite(ctx, limit, put); err != nil {
		return report.Row{}, err
	}
	return s.fight(ctx, s.opts.Rounds, limit, closedColumns, func(t target.Target) (load.Plan, error) {
		gets := make([][]byte, sc.o.Sizes.Scattered)
		for i := range gets {
			gets[i] = rawhttp.Request(http.MethodGet, "/v1/kv/"+sc.key(s.prefix, i), t.Addr, nil)
		}
		puts := make([][]byte, min(putKeys, sc.o.Sizes.Scattered))
		for i := range puts {
			puts[i] = rawhttp.Request(http.MethodPut, "/v1/kv/"+sc.key(s.prefix, i), t.Addr, text(200_000+uint64(i), sc.o.Sizes.ValueBytes))
		}
		chance := make([]*rand.Rand, scatterClients) // by client; each is used by one thread at a time
		for i := range chance {
			chance[i] = rand.New(rand.NewPCG(uint64(i), 7))
		}
		sent := make([]int, scatterClients) // by client, over all slices
		return load.Plan{
			Conns: scatterClients,
			Next: func(conn, _ int) []byte {
				sent[conn]++
				// Not all clients write at the same time.
				if n > 0 && (sent[conn]+conn*n/scatterClients)%n == 0 {
					return puts[chance[conn].IntN(len(puts))]
				}
				return gets[chance[conn].IntN(len(gets))]
			},
			Check: func(r rawhttp.Response) error {
				wrote := n > 0 && r.Length < int64(sc.o.Sizes.ValueBytes)
				if err := wantOK(r); err != nil || wrote {
					return err
				}
				if off := r.Length - example.Length; off < -lengthSlack || off > lengthSlack {
					return fmt.Errorf("an answer of %d bytes, want about %d", r.Length, example.Length)
				}
				return nil
			},
		}, nil
	})
}
