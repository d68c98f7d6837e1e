package cells

import (
	"context"
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	putKeys     = 1024 // different keys that are written in turn
	putVersions = 4    // different values of each, so that every write changes something
	txnRing     = 64   // different transactions
)

// putGroup writes single keys, each on the disk before its answer.
func putGroup(o *Options) group {
	g := group{name: "put"}
	for _, clients := range o.Sizes.Clients {
		var b bars
		if clients == 1 || clients == 64 || clients == 256 {
			b = bars{opsPerSecond: report.RatioAtLeast(0.6)}
		}
		g.cells = append(g.cells, cell{
			name: fmt.Sprintf("put-c%d", clients),
			run: func(ctx context.Context, s *stage) (report.Row, error) {
				return s.writes(ctx, clients, b, func(addr string) [][]byte {
					ring := make([][]byte, putKeys*putVersions)
					for i := range ring {
						path := fmt.Sprintf("/v1/kv/%sput/%04d", s.prefix, i%putKeys)
						ring[i] = rawhttp.Request(http.MethodPut, path, addr, text(30_000+uint64(i), o.Sizes.ValueBytes))
					}
					return ring
				})
			},
		})
	}
	return g
}

// txnGroup writes many keys in one step.
func txnGroup(o *Options) group {
	return group{name: "txn", cells: []cell{{
		name: fmt.Sprintf("txn-%d", o.Sizes.TxnOps),
		run: func(ctx context.Context, s *stage) (report.Row, error) {
			b := bars{cpuPerOp: report.RatioAtMost(3)}
			return s.writes(ctx, o.Sizes.TxnClients, b, func(addr string) [][]byte {
				ring := make([][]byte, txnRing)
				for i := range ring {
					pairs := make([]pair, o.Sizes.TxnOps)
					for j := range pairs {
						n := i*o.Sizes.TxnOps + j
						// Half as many keys as puts: each is written anew with another value.
						key := fmt.Sprintf("%stxn/%05d", s.prefix, n%(txnRing*o.Sizes.TxnOps/2))
						pairs[j] = pair{key, text(40_000+uint64(n), o.Sizes.TxnBytes)}
					}
					ring[i] = rawhttp.Request(http.MethodPut, "/v1/txn", addr, txnBody(pairs))
				}
				return ring
			})
		},
	}}}
}

// writes measures writes against a limit that appends the same bodies to a file.
// ring makes the requests, which the clients send in turn, each from a place of
// its own.
func (s *stage) writes(ctx context.Context, clients int, b bars, ring func(addr string) [][]byte) (report.Row, error) {
	limit, err := s.limit(limitserver.Append)
	if err != nil {
		return report.Row{}, err
	}
	if err := limit.Reset(); err != nil {
		return report.Row{}, err
	}
	if err := s.recordWrite(ctx, limit, ring); err != nil {
		return report.Row{}, err
	}
	maker := func(t target.Target) (*side, error) {
		requests := ring(t.Addr)
		sent := make([]int, clients) // by client, over all rounds; each is used by one thread at a time
		return s.closed(t, load.Plan{
			Conns: clients,
			Check: wantOK,
			Next: func(conn, _ int) []byte {
				i := conn*len(requests)/clients + sent[conn]
				sent[conn]++
				return requests[i%len(requests)]
			},
		}), nil
	}
	return s.against(ctx, limit, closedColumns(b), maker)
}

// recordWrite sends the first request of the ring to the subject and makes the
// limit answer like it.
func (s *stage) recordWrite(ctx context.Context, limit *target.Limit, ring func(string) [][]byte) error {
	t := s.subject()
	c, err := rawhttp.Dial(ctx, t.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Send(ctx, ring(t.Addr)[0])
	if err != nil {
		return err
	}
	if err := wantOK(r); err != nil {
		return err
	}
	return limit.SetAnswer(limitserver.AnswerLike(r))
}
