package conformance

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// answer is what a query came back with.
type answer struct {
	pairs api.KVPairs
	index uint64
	took  time.Duration
	err   error
}

// ask sends a query in the background.
func ask(kv *api.KV, prefix string, recurse bool, opts api.QueryOptions) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		began := time.Now()
		var a answer
		var meta *api.QueryMeta
		if recurse {
			a.pairs, meta, a.err = kv.List(prefix, &opts)
		} else {
			var pair *api.KVPair
			if pair, meta, a.err = kv.Get(prefix, &opts); pair != nil {
				a.pairs = api.KVPairs{pair}
			}
		}
		if meta != nil {
			a.index = meta.LastIndex
		}
		a.took = time.Since(began)
		done <- a
	}()
	return done
}

// TestBlockingQueryIsWoken: a client that waits for a key or a prefix sees the change,
// and a client that asks with the index it was given misses none.
func TestBlockingQueryIsWoken(t *testing.T) {
	testcluster.EachMode(t, testcluster.Options{}, func(t *testing.T, s *testcluster.Server) {
		kv := client(t, s).KV()
		put(t, kv, "wake/key", "1")
		put(t, kv, "wake/doomed", "1")
		s.Turn()
		kv = client(t, s).KV()
		for _, tc := range []struct {
			rule    string
			key     string
			recurse bool
			change  func() error
			want    int // entries after the change
		}{
			{"a key that changes", "wake/key", false, func() error {
				_, err := kv.Put(&api.KVPair{Key: "wake/key", Value: []byte("2")}, nil)
				return err
			}, 1},
			{"a key that appears", "wake/absent", false, func() error {
				_, err := kv.Put(&api.KVPair{Key: "wake/absent", Value: []byte("1")}, nil)
				return err
			}, 1},
			{"a key that goes", "wake/doomed", false, func() error {
				_, err := kv.Delete("wake/doomed", nil)
				return err
			}, 0},
			{"a prefix below which a key appears", "wake/below/", true, func() error {
				_, err := kv.Put(&api.KVPair{Key: "wake/below/deep/er", Value: []byte("1")}, nil)
				return err
			}, 1},
			{"a prefix that is deleted", "wake/below/", true, func() error {
				_, err := kv.DeleteTree("wake/", nil)
				return err
			}, 0},
		} {
			t.Run(tc.rule, func(t *testing.T) {
				now := <-ask(kv, tc.key, tc.recurse, api.QueryOptions{})
				must(t, now.err)
				waiting := ask(kv, tc.key, tc.recurse, api.QueryOptions{WaitIndex: now.index, WaitTime: time.Minute})
				put(t, kv, "elsewhere", time.Now().String()) // wakes nobody
				must(t, tc.change())
				got := <-waiting
				must(t, got.err)
				if got.took > 30*time.Second {
					t.Errorf("took %s: not woken", got.took)
				}
				if len(got.pairs) != tc.want || got.index <= now.index {
					t.Errorf("%d entries at %d, want %d above %d", len(got.pairs), got.index, tc.want, now.index)
				}
			})
		}
	})
}

// TestBlockingQueryTimesOut: without a change the answer is the same, at the same
// index, when the time is over and not much later.
func TestBlockingQueryTimesOut(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	put(t, kv, "quiet/key", "1")
	for _, tc := range []struct {
		key     string
		recurse bool
	}{{"quiet/key", false}, {"quiet/absent", false}, {"quiet/", true}, {"silent/", true}} {
		t.Run(tc.key, func(t *testing.T) {
			now := <-ask(kv, tc.key, tc.recurse, api.QueryOptions{})
			must(t, now.err)
			const wait = 500 * time.Millisecond
			waiting := ask(kv, tc.key, tc.recurse, api.QueryOptions{WaitIndex: now.index, WaitTime: wait})
			put(t, kv, "elsewhere", time.Now().String())
			got := <-waiting
			must(t, got.err)
			if got.took < wait || got.took > 20*wait {
				t.Errorf("took %s, want about %s", got.took, wait)
			}
			if got.index != now.index || len(got.pairs) != len(now.pairs) {
				t.Errorf("%d entries at %d, want the same as before, %d at %d", len(got.pairs), got.index, len(now.pairs), now.index)
			}
		})
	}
}

// TestBlockingQueryMissesNothing: a change between two polls is seen by the second at once.
func TestBlockingQueryMissesNothing(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	put(t, kv, "gap", "1")
	now := <-ask(kv, "gap", false, api.QueryOptions{})
	must(t, now.err)
	put(t, kv, "gap", "2")
	put(t, kv, "gap", "3")
	got := <-ask(kv, "gap", false, api.QueryOptions{WaitIndex: now.index, WaitTime: time.Minute})
	must(t, got.err)
	if len(got.pairs) != 1 || string(got.pairs[0].Value) != "3" || got.took > 30*time.Second {
		t.Errorf("%v after %s, want the last value at once", got.pairs, got.took)
	}
}

// TestBlockingQueryModes: waiting combines with the consistency modes.
func TestBlockingQueryModes(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	put(t, kv, "mode", "1")
	for mode, opts := range map[string]api.QueryOptions{
		"stale": {AllowStale: true}, "consistent": {RequireConsistent: true},
	} {
		t.Run(mode, func(t *testing.T) {
			now := <-ask(kv, "mode", false, opts)
			must(t, now.err)
			opts.WaitIndex, opts.WaitTime = now.index, time.Minute
			waiting := ask(kv, "mode", false, opts)
			put(t, kv, "mode", mode)
			got := <-waiting
			must(t, got.err)
			if len(got.pairs) != 1 || string(got.pairs[0].Value) != mode {
				t.Errorf("got %v", got.pairs)
			}
		})
	}
}
