package cells

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// entry is a key as a read shows it.
type entry struct {
	Key         string
	Value       []byte
	ModifyIndex uint64
}

// getGroup reads one key over and over.
func getGroup(o *Options) group {
	g := group{name: "get"}
	const key = "key"
	value := text(10, o.Sizes.ValueBytes)
	g.setup = func(ctx context.Context, s *stage) error {
		for _, t := range s.targets() {
			if err := put(ctx, t, s.prefix+key, value); err != nil {
				return err
			}
		}
		return nil
	}
	check := func(body []byte, _ string) error {
		var got []entry
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		if len(got) != 1 || !bytes.Equal(got[0].Value, value) {
			return fmt.Errorf("the answer is not the one entry that was written: %.200s", body)
		}
		return nil
	}
	for _, mode := range []struct{ name, query string }{{"default", ""}, {"consistent", "?consistent"}, {"stale", "?stale"}} {
		for _, clients := range o.Sizes.Clients {
			if mode.query != "" && clients != 16 && clients != 64 {
				continue // the modes differ in what a server does, not in how it takes few or many
			}
			g.cells = append(g.cells, cell{
				name: fmt.Sprintf("get-%s-c%d", mode.name, clients),
				bars: getBars(mode.name, clients),
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{path: key + mode.query, clients: clients, check: check})
				},
			})
		}
	}
	return g
}

// getBars are those of reading one key.
func getBars(mode string, clients int) bars {
	switch clients {
	case 16:
		return bars{opsPerSecond: report.RatioAtLeast(0.85).AndPeer(2.4), cpuPerOp: report.RatioAtMost(1.25)}
	case 64:
		peer := 2.8
		if mode == "consistent" {
			peer = 2.2
		}
		return bars{opsPerSecond: report.RatioAtLeast(0.85).AndPeer(peer), cpuPerOp: report.RatioAtMost(1.25), p99: report.RatioAtMost(1.5)}
	}
	return nil
}

// listGroup reads many entries, or their names, at once.
func listGroup(o *Options) group {
	at := func(prefix string, bytes int, seed uint64) func(int) pair {
		return func(i int) pair {
			return pair{fmt.Sprintf("%sservice-%05d/settings", prefix, i), text(seed+uint64(i), bytes)}
		}
	}
	const seed = 20_000
	size := o.Sizes.ValueBytes
	entries := func(body []byte, prefix string) error {
		return checkEntries(body, o.Sizes.Entries, at(prefix+"entries/", size, seed))
	}
	return group{
		name: "list",
		setup: func(ctx context.Context, s *stage) error {
			const small = 64 // values of keys whose names are listed
			return errors.Join(
				s.fillAll(ctx, o.Sizes.Entries, at(s.prefix+"entries/", size, seed)),
				s.fillAll(ctx, o.Sizes.Names, at(s.prefix+"names/", small, seed)),
			)
		},
		cells: []cell{
			{
				name: fmt.Sprintf("recurse-%d", o.Sizes.Entries),
				bars: bars{cpuPerOp: report.RatioAtMost(2).AndPeer(0.28)},
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{path: "entries/?recurse", clients: o.Sizes.ListClients, check: entries})
				},
			},
			{
				// The limit sends the list as it is, with no compression: what a list costs it
				// is known of the peer's run too, where 0.25 of the peer's 40.4 ms were 29.7 times
				// the limit's 0.34 ms.
				name: fmt.Sprintf("recurse-%d-gzip", o.Sizes.Entries),
				bars: bars{cpuPerOp: report.RatioAtMost(29.7).AndPeer(0.25)},
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{path: "entries/?recurse", clients: o.Sizes.ListClients, check: entries, gzip: true})
				},
			},
			{
				name: fmt.Sprintf("keys-%d", o.Sizes.Names),
				bars: bars{cpuPerOp: report.RatioAtMost(6).AndPeer(0.2)},
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{
						path: "names/?keys", clients: o.Sizes.ListClients,
						check: func(body []byte, prefix string) error {
							return checkNames(body, o.Sizes.Names, at(prefix+"names/", 0, seed))
						},
					})
				},
			},
		},
	}
}

func checkEntries(body []byte, n int, at func(int) pair) error {
	var got []entry
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if len(got) != n {
		return fmt.Errorf("the answer has %d entries, %d were written", len(got), n)
	}
	for i, e := range got {
		if want := at(i); e.Key != want.key || !bytes.Equal(e.Value, want.value) {
			return fmt.Errorf("entry %d of the answer, %s, is not what was written", i, e.Key)
		}
	}
	return nil
}

func checkNames(body []byte, n int, at func(int) pair) error {
	var got []string
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if len(got) != n {
		return fmt.Errorf("the answer has %d names, %d were written", len(got), n)
	}
	for i, name := range got {
		if want := at(i).key; name != want {
			return fmt.Errorf("name %d of the answer is %s, want %s", i, name, want)
		}
	}
	return nil
}

// reading is one GET that is sent over and over.
type reading struct {
	path    string // below the stage's prefix
	clients int
	gzip    bool // the client takes compressed answers; the limit sends none

	// check looks at the first answer of each server; the others must have its length.
	check func(body []byte, prefix string) error
}

func (r reading) fields() []rawhttp.Field {
	if !r.gzip {
		return nil
	}
	return []rawhttp.Field{{Name: "Accept-Encoding", Value: "gzip"}}
}

// loneRounds is how many times as many rounds a single reader has: the time that its answers take, most of
// it waking up, moves by a half from round to round.
const loneRounds = 4

// reads measures a GET against a limit that answers with the same bytes.
func (s *stage) reads(ctx context.Context, g reading) (report.Row, error) {
	limit, err := s.limit(limitserver.Ready)
	if err != nil {
		return report.Row{}, err
	}
	refs := references{limit: limit}
	path := "/v1/kv/" + s.prefix + g.path
	if _, err := s.record(ctx, refs, http.MethodGet, path); err != nil {
		return report.Row{}, err
	}
	rounds := s.opts.Rounds
	if g.clients == 1 {
		rounds *= loneRounds
	}
	return s.fight(ctx, rounds, limit, closedColumns, func(t target.Target) (load.Plan, error) {
		first, err := send(ctx, t, http.MethodGet, path, g.fields()...)
		if err != nil {
			return load.Plan{}, err
		}
		body, err := unpacked(first)
		if err == nil {
			err = g.check(body, s.prefix)
		}
		if err != nil {
			return load.Plan{}, fmt.Errorf("GET %s: %w", path, err)
		}
		request := rawhttp.RequestWith(g.fields(), http.MethodGet, path, t.Addr, nil)
		return load.Plan{
			Conns: g.clients,
			Next:  func(int, int) []byte { return request },
			Check: sameLength(path, first.Length),
		}, nil
	})
}

// sameLength refuses what is not a good answer of that length.
func sameLength(path string, length int64) func(rawhttp.Response) error {
	return func(r rawhttp.Response) error {
		if r.Status != http.StatusOK || r.Length != length {
			return fmt.Errorf("GET %s: %w, %d bytes; want 200 and %d bytes", path, r.Problem(), r.Length, length)
		}
		return nil
	}
}

// unpacked is the body of an answer, uncompressed if it was compressed.
func unpacked(r rawhttp.Response) ([]byte, error) {
	for _, f := range r.Fields() {
		if strings.EqualFold(f.Name, "Content-Encoding") && f.Value == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(r.Body))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(z)
		}
	}
	return r.Body, nil
}
