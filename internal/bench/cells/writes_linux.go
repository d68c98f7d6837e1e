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

// putBars are those of single writes, by clients.
var putBars = map[int]bars{
	1:   {opsPerSecond: report.RatioAtLeast(0.8).AndPeer(1.45)},
	16:  {opsPerSecond: report.RatioAtLeast(0.7).AndPeer(2)},
	64:  {opsPerSecond: report.RatioAtLeast(0.85).AndPeer(2.2), cpuPerOp: report.RatioAtMost(1.15)},
	256: {opsPerSecond: report.RatioAtLeast(0.6)},
}

// putGroup writes single keys, each on the disk before its answer.
func putGroup(o *Options) group {
	g := group{name: "put"}
	for _, clients := range o.Sizes.Clients {
		g.cells = append(g.cells, cell{
			name: fmt.Sprintf("put-c%d", clients),
			bars: putBars[clients],
			run: func(ctx context.Context, s *stage) (report.Row, error) {
				return s.writes(ctx, clients, s.putRing)
			},
		})
	}
	return g
}

// boltGroup is putGroup for the other kind of log store. There are no bars: it is there for
// those who have data in it.
func boltGroup(o *Options) group {
	g := group{name: "bolt"}
	for _, clients := range o.Sizes.Clients {
		if clients > 64 {
			continue
		}
		g.cells = append(g.cells, cell{name: fmt.Sprintf("put-boltdb-c%d", clients), ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) {
			server, err := s.configured(ctx, "boltdb", "raft_logstore {\n  backend = \"boltdb\"\n}\n")
			if err != nil {
				return report.Row{}, err
			}
			limit, err := s.appendLimit(ctx, s.putRing)
			if err != nil {
				return report.Row{}, err
			}
			return s.duel(ctx, closedColumns, s.putting(server.Target(), clients), s.putting(limit.Target(), clients))
		}})
	}
	return g
}

// putting is one side of a duel that writes single keys. The CPU time is that of t, or, if any
// are given, of all of paid together.
func (s *stage) putting(t target.Target, clients int, paid ...target.Target) duelist {
	return duelist{s.aimed(t, taking(clients, s.putRing(t.Addr)), paid...)}
}

// putRing is writes of single keys.
func (s *stage) putRing(addr string) [][]byte {
	ring := make([][]byte, putKeys*putVersions)
	for i := range ring {
		path := fmt.Sprintf("/v1/kv/%sput/%04d", s.prefix, i%putKeys)
		ring[i] = rawhttp.Request(http.MethodPut, path, addr, text(30_000+uint64(i), s.opts.Sizes.ValueBytes))
	}
	return ring
}

// taking makes clients send the requests of a ring in turn, each from a place of its own.
func taking(clients int, ring [][]byte) load.Plan {
	sent := make([]int, clients) // by client, over all rounds; each is used by one thread at a time
	return load.Plan{
		Conns: clients,
		Check: wantOK,
		Next: func(conn, _ int) []byte {
			i := conn*len(ring)/clients + sent[conn]
			sent[conn]++
			return ring[i%len(ring)]
		},
	}
}

// txnGroup writes many keys in one step.
func txnGroup(o *Options) group {
	return group{name: "txn", cells: []cell{{
		name: fmt.Sprintf("txn-%d", o.Sizes.TxnOps),
		// 0.35 of the peer's 2.03 ms, where the limit took 0.29.
		bars: bars{cpuPerOp: report.RatioAtMost(2.45).AndPeer(0.35)},
		run: func(ctx context.Context, s *stage) (report.Row, error) {
			return s.writes(ctx, o.Sizes.TxnClients, func(addr string) [][]byte {
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
// ring makes the requests.
func (s *stage) writes(ctx context.Context, clients int, ring func(addr string) [][]byte) (report.Row, error) {
	limit, err := s.appendLimit(ctx, ring)
	if err != nil {
		return report.Row{}, err
	}
	return s.fight(ctx, duelRounds*s.opts.Rounds, limit, closedColumns, func(t target.Target) (load.Plan, error) {
		return taking(clients, ring(t.Addr)), nil
	})
}

// appendLimit is the limit that appends to a file, which is empty, and answers as the
// subject does to the first request of the ring.
func (s *stage) appendLimit(ctx context.Context, ring func(addr string) [][]byte) (*target.Limit, error) {
	limit, err := s.limit(limitserver.Append)
	if err != nil {
		return nil, err
	}
	if err := limit.Reset(); err != nil {
		return nil, err
	}
	return limit, s.recordWrite(ctx, limit, ring(s.subject().Addr)[0])
}

// recordWrite sends a request to the subject and makes the limit answer writes like it.
func (s *stage) recordWrite(ctx context.Context, limit *target.Limit, request []byte) error {
	c, err := rawhttp.Dial(ctx, s.subject().Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Send(ctx, request)
	if err == nil {
		err = wantOK(r)
	}
	if err != nil {
		return err
	}
	return limit.SetWriteAnswer(limitserver.AnswerLike(r))
}
