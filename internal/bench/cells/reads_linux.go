package cells

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
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
					return s.reads(ctx, reading{paths: []string{key + mode.query}, clients: clients, check: check})
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

// inTree are the pairs of a tree, with values of so many bytes.
func inTree(tree string, bytes int) func(int) pair {
	const seed = 20_000
	return func(i int) pair {
		return pair{fmt.Sprintf("%sservice-%05d/settings", tree, i), text(seed+uint64(i), bytes)}
	}
}

// listGroup reads many entries, or their names, at once.
func listGroup(o *Options) group {
	size := o.Sizes.ValueBytes
	entries := func(body []byte, tree string) error {
		return checkEntries(body, o.Sizes.Entries, inTree(tree, size))
	}
	return group{
		name: "list",
		setup: func(ctx context.Context, s *stage) error {
			const small = 64 // values of keys whose names are listed
			return errors.Join(
				s.fillAll(ctx, o.Sizes.Entries, inTree(s.prefix+"entries/", size)),
				s.fillAll(ctx, o.Sizes.Names, inTree(s.prefix+"names/", small)),
			)
		},
		cells: []cell{
			{
				name: fmt.Sprintf("recurse-%d", o.Sizes.Entries),
				bars: bars{cpuPerOp: report.RatioAtMost(2).AndPeer(0.28)},
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{paths: []string{"entries/?recurse"}, clients: o.Sizes.ListClients, check: entries})
				},
			},
			{
				// The limit sends the list as it is, with no compression: what a list costs it
				// is known of the peer's run too, where 0.25 of the peer's 40.4 ms were 29.7 times
				// the limit's 0.34 ms.
				name: fmt.Sprintf("recurse-%d-gzip", o.Sizes.Entries),
				bars: bars{cpuPerOp: report.RatioAtMost(29.7).AndPeer(0.25)},
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{paths: []string{"entries/?recurse"}, clients: o.Sizes.ListClients, check: entries, gzip: true})
				},
			},
			{
				name: fmt.Sprintf("keys-%d", o.Sizes.Names),
				bars: bars{cpuPerOp: report.RatioAtMost(6).AndPeer(0.2)},
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, reading{
						paths: []string{"names/?keys"}, clients: o.Sizes.ListClients,
						check: func(body []byte, tree string) error {
							return checkNames(body, o.Sizes.Names, inTree(tree, 0))
						},
					})
				},
			},
		},
	}
}

// treesGroup reads lists of one tree among many, at random: a server that keeps the answers it gave
// last has not kept most of them.
func treesGroup(o *Options) group {
	var paths []string
	for i := range o.Sizes.Trees {
		paths = append(paths, fmt.Sprintf("tree-%02d/?recurse", i))
	}
	return group{
		name: "trees",
		setup: func(ctx context.Context, s *stage) error {
			for i := range o.Sizes.Trees {
				if err := s.fillAll(ctx, o.Sizes.Entries, inTree(fmt.Sprintf("%stree-%02d/", s.prefix, i), o.Sizes.ValueBytes)); err != nil {
					return err
				}
			}
			return nil
		},
		cells: []cell{{
			// No bar: twice the limit's CPU time, that of recurse, is about what it takes, and a busy
			// machine would decide. What is committed holds it.
			name: fmt.Sprintf("recurse-random-%d", o.Sizes.Entries),
			run: func(ctx context.Context, s *stage) (report.Row, error) {
				return s.reads(ctx, reading{paths: paths, clients: o.Sizes.ListClients, check: func(body []byte, tree string) error {
					return checkEntries(body, o.Sizes.Entries, inTree(tree, o.Sizes.ValueBytes))
				}})
			},
		}},
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

// reading is a GET that is sent over and over.
type reading struct {
	paths   []string // below the stage's prefix; each request takes one at random
	clients int
	gzip    bool // the client takes compressed answers; the limit sends none

	// check looks at the first answer to each path, which is about a tree; the others must have the
	// length of one of these. The limit has one answer to all.
	check func(body []byte, tree string) error
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
	if _, err := s.record(ctx, refs, http.MethodGet, s.pathOf(g.paths[0])); err != nil {
		return report.Row{}, err
	}
	rounds := s.opts.Rounds
	if g.clients == 1 {
		rounds *= loneRounds
	}
	return s.fight(ctx, rounds, limit, closedColumns, func(t target.Target) (load.Plan, error) {
		var requests [][]byte
		var lengths []int64
		for i, path := range g.paths {
			requests = append(requests, rawhttp.RequestWith(g.fields(), http.MethodGet, s.pathOf(path), t.Addr, nil))
			if i > 0 && t == limit.Target() {
				continue
			}
			length, err := s.firstLook(ctx, t, g, path)
			if err != nil {
				return load.Plan{}, err
			}
			lengths = append(lengths, length)
		}
		return load.Plan{
			Conns: g.clients,
			Next:  anyOf(requests, g.clients),
			Check: sameLength(s.pathOf(g.paths[0]), lengths...),
		}, nil
	})
}

func (s *stage) pathOf(path string) string { return "/v1/kv/" + s.prefix + path }

// firstLook asks once, checks the answer, and returns its length.
func (s *stage) firstLook(ctx context.Context, t target.Target, g reading, path string) (int64, error) {
	first, err := send(ctx, t, http.MethodGet, s.pathOf(path), g.fields()...)
	if err != nil {
		return 0, err
	}
	body, err := unpacked(first)
	if err == nil {
		tree, _, _ := strings.Cut(s.prefix+path, "?")
		err = g.check(body, tree)
	}
	if err != nil {
		return 0, fmt.Errorf("GET %s: %w", s.pathOf(path), err)
	}
	return first.Length, nil
}

// anyOf takes one of the requests at random.
func anyOf(requests [][]byte, clients int) func(conn, n int) []byte {
	if len(requests) == 1 {
		return func(int, int) []byte { return requests[0] }
	}
	chance := make([]*rand.Rand, clients) // by client; each is used by one thread at a time
	for i := range chance {
		chance[i] = rand.New(rand.NewPCG(uint64(i), 7))
	}
	return func(conn, _ int) []byte { return requests[chance[conn].IntN(len(requests))] }
}

// sameLength refuses what is not a good answer of one of these lengths.
func sameLength(path string, lengths ...int64) func(rawhttp.Response) error {
	return func(r rawhttp.Response) error {
		if r.Status != http.StatusOK || !slices.Contains(lengths, r.Length) {
			return fmt.Errorf("GET %s: %w, %d bytes; want 200 and %d bytes", path, r.Problem(), r.Length, lengths)
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
