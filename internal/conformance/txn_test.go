package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func TestTxn(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	kv := c.KV()
	put(t, kv, "txn/guard", "g")
	put(t, kv, "txn/old", "o")
	guard, _ := get(t, kv, "txn/guard")

	ok, resp, _, err := kv.Txn(api.KVTxnOps{
		{Verb: api.KVCheckIndex, Key: "txn/guard", Index: guard.ModifyIndex},
		{Verb: api.KVCheckNotExists, Key: "txn/new"},
		{Verb: api.KVSet, Key: "txn/new", Value: []byte("n"), Flags: 7},
		{Verb: api.KVCAS, Key: "txn/cas", Value: []byte("c"), Index: 0},
		{Verb: api.KVGet, Key: "txn/new"},
		{Verb: api.KVGetOrEmpty, Key: "txn/absent"},
		{Verb: api.KVDelete, Key: "txn/old"},
		{Verb: api.KVGetTree, Key: "txn/"},
	}, nil)
	must(t, err)
	if !ok || len(resp.Errors) != 0 {
		t.Fatalf("rolled back: %v", resp.Errors)
	}
	fresh, _ := get(t, kv, "txn/new")
	cased, _ := get(t, kv, "txn/cas")
	if fresh == nil || string(fresh.Value) != "n" || fresh.Flags != 7 {
		t.Fatalf("txn/new is %v", fresh)
	}
	if cased == nil || cased.ModifyIndex != fresh.ModifyIndex {
		t.Errorf("writes of one transaction at %d and %v, want one index", fresh.ModifyIndex, cased)
	}
	if old, _ := get(t, kv, "txn/old"); old != nil {
		t.Error("txn/old is still there")
	}
	// In order: check-index, set, cas, get, get-or-empty, and the tree of three.
	var results []string
	for _, r := range resp.Results {
		results = append(results, fmt.Sprintf("%s=%s", strings.TrimPrefix(r.Key, "txn/"), r.Value))
	}
	want := "guard= new= cas= new=n absent= cas=c guard=g new=n"
	if got := strings.Join(results, " "); got != want {
		t.Errorf("results: %s, want %s", got, want)
	}
}

func TestTxnRollsBack(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	put(t, c.KV(), "roll/a", "before")
	for name, fails := range map[string]*api.KVTxnOp{
		"cas":              {Verb: api.KVCAS, Key: "roll/a", Index: 1, Value: []byte("x")},
		"check-index":      {Verb: api.KVCheckIndex, Key: "roll/a", Index: 1},
		"check-not-exists": {Verb: api.KVCheckNotExists, Key: "roll/a"},
		"get":              {Verb: api.KVGet, Key: "roll/absent"},
		"delete-cas":       {Verb: api.KVDeleteCAS, Key: "roll/a", Index: 1},
	} {
		t.Run(name, func(t *testing.T) {
			ok, resp, _, err := c.Txn().Txn(api.TxnOps{
				{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "roll/new", Value: []byte("n")}},
				{KV: fails},
			}, nil)
			must(t, err)
			if ok {
				t.Fatal("went through")
			}
			if len(resp.Errors) != 1 || resp.Errors[0].OpIndex != 1 || resp.Errors[0].What == "" {
				t.Errorf("errors: %v, want one for operation 1", resp.Errors)
			}
			if pair, _ := get(t, c.KV(), "roll/new"); pair != nil {
				t.Error("the first operation was kept")
			}
			if pair, _ := get(t, c.KV(), "roll/a"); string(pair.Value) != "before" {
				t.Errorf("roll/a is %q", pair.Value)
			}
		})
	}
}

func TestTxnReadOnly(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	put(t, c.KV(), "ro/a", "1")
	for mode, opts := range map[string]*api.QueryOptions{
		"default": nil, "stale": {AllowStale: true}, "consistent": {RequireConsistent: true},
	} {
		ok, resp, _, err := c.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "ro/a"}}}, opts)
		must(t, err)
		if !ok || len(resp.Results) != 1 || string(resp.Results[0].KV.Value) != "1" {
			t.Errorf("%s: %v, %+v", mode, ok, resp)
		}
	}
}

func TestTxnDeleteTree(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	put(t, c.KV(), "tree/a", "1")
	put(t, c.KV(), "tree/b", "2")
	b, _ := get(t, c.KV(), "tree/b")
	ok, resp, _, err := c.KV().Txn(api.KVTxnOps{
		{Verb: api.KVDeleteCAS, Key: "tree/b", Index: b.ModifyIndex},
		{Verb: api.KVDeleteTree, Key: "tree/"},
	}, nil)
	must(t, err)
	if !ok {
		t.Fatalf("rolled back: %v", resp.Errors)
	}
	if pairs, _, err := c.KV().List("tree/", nil); err != nil || len(pairs) != 0 {
		t.Errorf("left: %v, %v", pairs, err)
	}
}

func TestTxnTooManyOperations(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	ops := func(n int) (ops api.TxnOps) {
		for i := range n {
			ops = append(ops, &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: fmt.Sprintf("many/%d", i), Value: []byte("x")}})
		}
		return ops
	}
	if ok, resp, _, err := c.Txn().Txn(ops(128), nil); err != nil || !ok {
		t.Errorf("128 operations: %v, %v, %v", ok, resp, err)
	}
	if _, _, _, err := c.Txn().Txn(ops(129), nil); err == nil || !strings.Contains(err.Error(), "too many operations") {
		t.Errorf("129 operations: %v, want a refusal", err)
	}
}
