package cells

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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
	for _, mode := range []struct{ name, query string }{{"default", ""}, {"stale", "?stale"}} {
		for _, clients := range o.Sizes.Clients {
			var b bars
			if clients == 64 {
				b = bars{cpuPerOp: report.RatioAtMost(1.5), p99: report.RatioAtMost(2)}
			}
			g.cells = append(g.cells, cell{
				name: fmt.Sprintf("get-%s-c%d", mode.name, clients),
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					return s.reads(ctx, key+mode.query, clients, b, check)
				},
			})
		}
	}
	return g
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
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					b := bars{cpuPerOp: report.RatioAtMost(2.5)}
					return s.reads(ctx, "entries/?recurse", o.Sizes.ListClients, b, func(body []byte, prefix string) error {
						return checkEntries(body, o.Sizes.Entries, at(prefix+"entries/", size, seed))
					})
				},
			},
			{
				name: fmt.Sprintf("keys-%d", o.Sizes.Names),
				run: func(ctx context.Context, s *stage) (report.Row, error) {
					b := bars{cpuPerOp: report.RatioAtMost(6)}
					return s.reads(ctx, "names/?keys", o.Sizes.ListClients, b, func(body []byte, prefix string) error {
						return checkNames(body, o.Sizes.Names, at(prefix+"names/", 0, seed))
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

// reads measures GETs of one path below the stage's prefix against a limit that
// answers with the same bytes. The first answer of each server goes through
// check, which is given the prefix too; the others must have its length.
func (s *stage) reads(ctx context.Context, path string, clients int, b bars, check func(body []byte, prefix string) error) (report.Row, error) {
	limit, err := s.limit(limitserver.Ready)
	if err != nil {
		return report.Row{}, err
	}
	path = "/v1/kv/" + s.prefix + path
	if _, err := s.record(ctx, limit, http.MethodGet, path, nil); err != nil {
		return report.Row{}, err
	}
	maker := func(t target.Target) (*side, error) {
		first, err := t.Do(ctx, http.MethodGet, path, nil)
		if err == nil {
			err = wantOK(first)
		}
		if err == nil {
			err = check(first.Body, s.prefix)
		}
		if err != nil {
			return nil, fmt.Errorf("GET %s: %w", path, err)
		}
		request := rawhttp.Request(http.MethodGet, path, t.Addr, nil)
		return s.closed(t, load.Plan{
			Conns: clients,
			Next:  func(int, int) []byte { return request },
			Check: func(r rawhttp.Response) error {
				if r.Status != http.StatusOK || r.Length != first.Length {
					return fmt.Errorf("GET %s: %w, %d bytes; want 200 and %d bytes", path, r.Problem(), r.Length, first.Length)
				}
				return nil
			},
		}), nil
	}
	return s.against(ctx, limit, closedColumns(b), maker)
}
