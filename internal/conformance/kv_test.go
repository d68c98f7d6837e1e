package conformance

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func put(t *testing.T, kv *api.KV, key, value string) {
	t.Helper()
	_, err := kv.Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
	must(t, err)
}

func get(t *testing.T, kv *api.KV, key string) (*api.KVPair, *api.QueryMeta) {
	t.Helper()
	pair, meta, err := kv.Get(key, nil)
	must(t, err)
	return pair, meta
}

// TestKVRoundTrip: what is put comes back, in each mode and whatever past the server has.
func TestKVRoundTrip(t *testing.T) {
	testcluster.EachMode(t, testcluster.Options{}, func(t *testing.T, s *testcluster.Server) {
		kv := client(t, s).KV()
		values := map[string]*api.KVPair{
			"plain":              {Value: []byte("hello")},
			"empty":              {},
			"flags":              {Value: []byte("x"), Flags: 42},
			"flags-max":          {Value: []byte("x"), Flags: math.MaxUint64},
			"binary":             {Value: []byte{0, 1, 254, 255, '\n', 0}},
			"large":              {Value: bytes.Repeat([]byte{'x'}, 512<<10)},
			"folder/":            {Value: []byte("a folder is a key like any other")},
			"with space+plus%20": {Value: []byte("x")},
			"question?mark#hash": {Value: []byte("x")},
			"unicode/grün/日本/€":  {Value: []byte("x")},
		}
		for key, pair := range values {
			pair.Key = "rt/" + key
			_, err := kv.Put(pair, nil)
			must(t, err)
		}
		s.Turn()
		kv = client(t, s).KV()
		for name, want := range values {
			for mode, opts := range map[string]*api.QueryOptions{
				"default": nil, "stale": {AllowStale: true}, "consistent": {RequireConsistent: true},
			} {
				got, meta, err := kv.Get("rt/"+name, opts)
				must(t, err)
				if got == nil {
					t.Errorf("%s, %s: absent", name, mode)
					continue
				}
				if got.Key != want.Key || !bytes.Equal(got.Value, want.Value) || got.Flags != want.Flags {
					t.Errorf("%s, %s: got %.60q flags %d, want %.60q flags %d", name, mode, got.Value, got.Flags, want.Value, want.Flags)
				}
				if got.CreateIndex == 0 || got.ModifyIndex < got.CreateIndex || meta.LastIndex != got.ModifyIndex || !meta.KnownLeader {
					t.Errorf("%s, %s: created %d, modified %d, answered at %d, known leader %v", name, mode, got.CreateIndex, got.ModifyIndex, meta.LastIndex, meta.KnownLeader)
				}
			}
		}
	})
}

func TestKVAbsent(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	pair, meta := get(t, kv, "none")
	if pair != nil {
		t.Errorf("got %v, want nil", pair)
	}
	if meta.LastIndex == 0 {
		t.Error("index 0")
	}
	pairs, _, err := kv.List("none/", nil)
	must(t, err)
	if len(pairs) != 0 {
		t.Errorf("list: got %v", pairs)
	}
	keys, _, err := kv.Keys("none/", "", nil)
	must(t, err)
	if len(keys) != 0 {
		t.Errorf("keys: got %v", keys)
	}
}

func TestKVCheckAndSet(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	cas := func(rule string, key, value string, index uint64, want bool) {
		t.Helper()
		ok, _, err := kv.CAS(&api.KVPair{Key: key, Value: []byte(value), ModifyIndex: index}, nil)
		must(t, err)
		if ok != want {
			t.Errorf("%s: %v, want %v", rule, ok, want)
		}
	}
	cas("zero creates an absent key", "cas", "1", 0, true)
	cas("zero does not replace", "cas", "2", 0, false)
	first, _ := get(t, kv, "cas")
	cas("the right index replaces", "cas", "2", first.ModifyIndex, true)
	cas("an old index does not", "cas", "3", first.ModifyIndex, false)
	cas("an index creates nothing", "cas/absent", "1", 7, false)
	second, _ := get(t, kv, "cas")
	if string(second.Value) != "2" || second.CreateIndex != first.CreateIndex || second.ModifyIndex <= first.ModifyIndex {
		t.Errorf("after the replacement: %q, created %d, modified %d", second.Value, second.CreateIndex, second.ModifyIndex)
	}

	deleteCAS := func(rule string, index uint64, want bool) {
		t.Helper()
		ok, _, err := kv.DeleteCAS(&api.KVPair{Key: "cas", ModifyIndex: index}, nil)
		must(t, err)
		if ok != want {
			t.Errorf("%s: %v, want %v", rule, ok, want)
		}
	}
	deleteCAS("an old index does not delete", first.ModifyIndex, false)
	deleteCAS("the right one does", second.ModifyIndex, true)
	deleteCAS("an absent key is deleted with any index", second.ModifyIndex, true)
	if pair, _ := get(t, kv, "cas"); pair != nil {
		t.Errorf("still there: %q", pair.Value)
	}
}

func TestKVUnchangedPutKeepsTheIndex(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	put(t, kv, "same", "x")
	before, _ := get(t, kv, "same")
	put(t, kv, "same", "x")
	after, _ := get(t, kv, "same")
	if before.ModifyIndex != after.ModifyIndex {
		t.Errorf("ModifyIndex went from %d to %d", before.ModifyIndex, after.ModifyIndex)
	}
}

func TestKVListAndKeys(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	for _, key := range []string{"l/a", "l/d/x", "l/d/y", "l/e/", "lz"} {
		put(t, kv, key, key)
	}
	pairs, meta, err := kv.List("l/", nil)
	must(t, err)
	var listed []string
	newest := uint64(0)
	for _, p := range pairs {
		listed = append(listed, p.Key)
		newest = max(newest, p.ModifyIndex)
		if string(p.Value) != p.Key {
			t.Errorf("%s: value %q", p.Key, p.Value)
		}
	}
	if want := []string{"l/a", "l/d/x", "l/d/y", "l/e/"}; !slices.Equal(listed, want) {
		t.Errorf("list: %v, want %v", listed, want)
	}
	if meta.LastIndex != newest {
		t.Errorf("list: index %d, want that of the newest entry, %d", meta.LastIndex, newest)
	}
	for _, tc := range []struct {
		prefix, separator string
		want              []string
	}{
		{"l/", "", []string{"l/a", "l/d/x", "l/d/y", "l/e/"}},
		{"l/", "/", []string{"l/a", "l/d/", "l/e/"}},
		{"l/d", "/", []string{"l/d/"}},
		{"l", "", []string{"l/a", "l/d/x", "l/d/y", "l/e/", "lz"}},
		{"", "/", []string{"l/", "lz"}},
	} {
		keys, _, err := kv.Keys(tc.prefix, tc.separator, nil)
		must(t, err)
		if !slices.Equal(keys, tc.want) {
			t.Errorf("keys %q by %q: %v, want %v", tc.prefix, tc.separator, keys, tc.want)
		}
	}
}

func TestKVDelete(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	for _, key := range []string{"d/a", "d/a/b", "d/ab", "e"} {
		put(t, kv, key, "x")
	}
	_, err := kv.Delete("d/a", nil)
	must(t, err)
	_, err = kv.Delete("d/absent", nil)
	must(t, err)
	keys, _, err := kv.Keys("", "", nil)
	must(t, err)
	if want := []string{"d/a/b", "d/ab", "e"}; !slices.Equal(keys, want) {
		t.Errorf("after the delete of d/a: %v, want %v", keys, want)
	}
	_, err = kv.DeleteTree("d/a", nil)
	must(t, err)
	keys, _, err = kv.Keys("", "", nil)
	must(t, err)
	if want := []string{"e"}; !slices.Equal(keys, want) {
		t.Errorf("after the delete of the tree d/a: %v, want %v", keys, want)
	}
	_, err = kv.DeleteTree("", nil)
	must(t, err)
	if pairs, _, err := kv.List("", nil); err != nil || len(pairs) != 0 {
		t.Errorf("after the delete of everything: %v, %v", pairs, err)
	}
}

func TestKVTooLarge(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	kv := client(t, s).KV()
	_, err := kv.Put(&api.KVPair{Key: "big", Value: make([]byte, 512<<10+1)}, nil)
	if err == nil || !strings.Contains(err.Error(), "413") {
		t.Errorf("a value above the limit: %v, want a 413", err)
	}
	if pair, _ := get(t, kv, "big"); pair != nil {
		t.Error("it was stored")
	}
}

func TestKVDatacenter(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	put(t, c.KV(), "dc", "x")
	if pair, _, err := c.KV().Get("dc", &api.QueryOptions{Datacenter: "dc1"}); err != nil || pair == nil {
		t.Errorf("in the own datacenter: %v, %v", pair, err)
	}
	_, _, err := c.KV().Get("dc", &api.QueryOptions{Datacenter: "nowhere"})
	if err == nil || !strings.Contains(err.Error(), "No path to datacenter") {
		t.Errorf("in an unknown datacenter: %v", err)
	}
}

func TestKVConcurrentCheckAndSetHasOneWinner(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	const clients, rounds = 8, 25
	done := make(chan error, clients)
	for n := range clients {
		go func() {
			kv := client(t, s).KV()
			done <- count(kv, fmt.Sprintf("client %d", n), rounds)
		}()
	}
	for range clients {
		must(t, <-done)
	}
	pair, _ := get(t, client(t, s).KV(), "counter")
	if got := string(pair.Value); got != fmt.Sprint(clients*rounds) {
		t.Errorf("counter is %s, want %d", got, clients*rounds)
	}
}

// count adds one to a counter so many times, each by as many checks and sets as it takes.
func count(kv *api.KV, who string, rounds int) error {
	deadline := time.Now().Add(2 * time.Minute)
	for done := 0; done < rounds; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: only %d rounds in two minutes", who, done)
		}
		pair, _, err := kv.Get("counter", nil)
		if err != nil {
			return err
		}
		if pair == nil {
			pair = &api.KVPair{Key: "counter", Value: []byte("0")}
		}
		var n int
		if _, err := fmt.Sscan(string(pair.Value), &n); err != nil {
			return fmt.Errorf("%s: counter holds %q: %w", who, pair.Value, err)
		}
		pair.Value = []byte(fmt.Sprint(n + 1))
		ok, _, err := kv.CAS(pair, nil)
		if err != nil {
			return err
		}
		if ok {
			done++
		}
	}
	return nil
}
