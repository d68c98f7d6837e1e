package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRegisterAgainstCommit: watchers of keys and prefixes that come again with
// the index they were given, while others write: each sees the final state of what
// it watches, no index is wrong or goes down, and who watches something that is
// not touched is not answered at all.
func TestRegisterAgainstCommit(t *testing.T) {
	const keys, watchersPerKey, rounds = 6, 4, 150
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mustPut(t, s, "quiet", "1") // 4
	mustPut(t, s, "still/quiet", "1")

	var quiet sync.WaitGroup
	var disturbed atomic.Int64
	for _, target := range []string{"quiet?index=4", "none?index=4", "still/?keys&index=5", "never/?recurse&index=5"} {
		quiet.Go(func() {
			if w := askIn(ctx, t, s, http.MethodGet, "/v1/kv/"+target+"&wait=10m", ""); w.Code != statusClientGone {
				disturbed.Add(1)
				t.Errorf("%s was answered %d with index %s", target, w.Code, w.Header().Get("X-Consul-Index"))
			}
		})
	}
	eventually(t, "the quiet ones wait", func() bool { return s.Parked() == 4 })

	var watchers, writers sync.WaitGroup
	for k := range keys {
		for n := range watchersPerKey {
			watchers.Go(func() { followKey(ctx, t, s, fmt.Sprintf("w/%d/key", k), n%2 == 1) })
			watchers.Go(func() { followPrefix(ctx, t, s, fmt.Sprintf("w/%d/", k), 2) })
		}
		watchers.Go(func() { followPrefix(ctx, t, s, "w/", 2*keys) })
		for _, name := range []string{"key", "other"} {
			writers.Go(func() { scribble(t, s, fmt.Sprintf("w/%d/%s", k, name), rounds) })
		}
	}
	writers.Wait()
	watchers.Wait()
	cancel()
	quiet.Wait()
	if n := disturbed.Load(); n > 0 {
		t.Errorf("%d who watched nothing that changed were answered", n)
	}
	mustBeEmpty(t, s)
}

// final is the last value of every key, long enough for lists of it to be kept.
var final = "final" + strings.Repeat("!", 700)

// scribble changes a key again and again, in every way, and leaves it final.
func scribble(t *testing.T, s *Server, key string, rounds int) {
	for i := range rounds {
		switch {
		case i%7 == 3:
			ask(t, s, http.MethodDelete, "/v1/kv/"+key, "")
		case i%7 == 5:
			ask(t, s, http.MethodPut, "/v1/txn", fmt.Sprintf(`[{"KV":{"Verb":"set","Key":%q,"Value":"%04d"}}]`, key, i))
		default:
			ask(t, s, http.MethodPut, "/v1/kv/"+key, strings.Repeat("v", i)+strconv.Itoa(i))
		}
	}
	ask(t, s, http.MethodPut, "/v1/kv/"+key, final)
}

type seenEntry struct {
	Key         string
	Value       []byte
	ModifyIndex uint64
}

// poll asks once and returns the index, which must be above the last one, and the
// entries.
func poll(ctx context.Context, t *testing.T, s *Server, target string, last uint64) (uint64, []seenEntry) {
	w := askIn(ctx, t, s, http.MethodGet, fmt.Sprintf("/v1/kv/%s&wait=5m&index=%d", target, last), "")
	index, err := strconv.ParseUint(w.Header().Get("X-Consul-Index"), 10, 64)
	if err != nil || w.Code != http.StatusOK && w.Code != http.StatusNotFound {
		t.Errorf("%s answered %d %q with index %q", target, w.Code, w.Body, w.Header().Get("X-Consul-Index"))
		return 0, nil
	}
	if index <= last {
		t.Errorf("%s has index %d after %d", target, index, last)
	}
	var entries []seenEntry
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &entries); err != nil {
			t.Error(err)
		}
	}
	return index, entries
}

func followKey(ctx context.Context, t *testing.T, s *Server, key string, consistent bool) {
	target := key + "?leader"
	if consistent {
		target = key + "?consistent"
	}
	for last := uint64(0); !t.Failed(); {
		index, entries := poll(ctx, t, s, target, last)
		if len(entries) > 0 && entries[0].ModifyIndex != index {
			t.Errorf("%s has index %d, and its entry %d", key, index, entries[0].ModifyIndex)
		}
		if len(entries) > 0 && string(entries[0].Value) == final {
			return
		}
		last = index
	}
}

// followPrefix watches a prefix until all of its keys, so many, are final.
func followPrefix(ctx context.Context, t *testing.T, s *Server, prefix string, keys int) {
	for last := uint64(0); !t.Failed(); {
		index, entries := poll(ctx, t, s, prefix+"?recurse", last)
		done := 0
		for _, e := range entries {
			if e.ModifyIndex > index {
				t.Errorf("%s has index %d, and %s has %d", prefix, index, e.Key, e.ModifyIndex)
			}
			if string(e.Value) == final {
				done++
			}
		}
		if done == keys {
			return
		}
		last = index
	}
}

// TestOneOfMany: of very many who wait for different things exactly those are
// answered whose thing has changed.
func TestOneOfMany(t *testing.T) {
	const n = 1000
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
	mustPut(t, s, "k/0000", "1")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var answered atomic.Int64
	for i := range n {
		target := fmt.Sprintf("/v1/kv/k/%04d?index=4&wait=10m", i) // all but one are missing
		if i%2 == 1 {
			target = fmt.Sprintf("/v1/kv/k/%04d?keys&index=4&wait=10m", i)
		}
		all.Go(func() {
			if w := askIn(ctx, t, s, http.MethodGet, target, ""); w.Code != statusClientGone {
				answered.Add(1)
			}
		})
	}
	eventually(t, "all wait", func() bool { return s.Parked() == n })
	for _, key := range []string{"k/0998", "k/0000", "k/0997x", "elsewhere"} {
		mustPut(t, s, key, "2") // k/0997 is a prefix of the third
	}
	eventually(t, "three are answered", func() bool { return s.Parked() == n-3 })
	cancel()
	all.Wait()
	if got := answered.Load(); got != 3 {
		t.Errorf("%d were answered, want 3", got)
	}
	mustBeEmpty(t, s)
}
