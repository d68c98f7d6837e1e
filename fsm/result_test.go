package fsm

import (
	"reflect"
	"testing"
	"unique"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestStamp: an entry with a place for its time is applied with the time put there,
// and else like any other.
func TestStamp(t *testing.T) {
	for _, c := range []Command{
		write(set("k", "v")), txn(set("a", "1"), get("a")),
		{Restored: true},
		{Write: &kvs.Op{Verb: kvs.Set, Key: "k"}, Origin: kvs.Origin{Accessor: "a", Address: "10.0.0.1", Reason: "why"}},
	} {
		data, err := EncodeToStamp(&c)
		if err != nil {
			t.Fatal(err)
		}
		if err := Stamp(data, 42e9); err != nil {
			t.Fatal(err)
		}
		got, err := new(reader).parse(data)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Encode(&c, 42e9)
		if err != nil {
			t.Fatal(err)
		}
		want, err := new(reader).parse(plain)
		if err != nil {
			t.Fatal(err)
		}
		want.other, got.other = nil, nil // which differ by the time in the header
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(parsed{}, writeCommand{}), sameOrigin); diff != "" {
			t.Errorf("%+v (-plain +stamped):\n%s", c, diff)
		}
	}
	for name, data := range map[string][]byte{"nothing": nil, "no place": entry(t, 1, 1, write(set("k", "v"))).Data, "cut off": {formatStamped, 1}} {
		if Stamp(data, 1) == nil {
			t.Errorf("%s: stamped", name)
		}
	}
}

// sameOrigin compares handles as they are.
var sameOrigin = cmp.Comparer(func(a, b unique.Handle[kvs.Origin]) bool { return a == b })

// TestResultComesBackAsItWas: what a server is told that asked the leader is what the
// leader's own client would get.
func TestResultComesBackAsItWas(t *testing.T) {
	for name, r := range map[string]Result{
		"nothing":     {},
		"a write":     {Index: 7, Applied: true},
		"an acquire":  {Index: 7, Applied: true, Fence: 9},
		"sequential":  {Index: 7, Applied: true, Key: "dir/0000000001"},
		"invalid":     {Index: 7, Invalid: `invalid session "x"`},
		"denied":      {Index: 7, Denied: "ACL not found"},
		"fenced":      {Index: 7, Fenced: &kvs.FenceError{Key: "l", Asked: 1, Newest: 2}},
		"ended":       {Index: 7, Applied: true, Ended: 3},
		"rolled back": {Index: 7, Errors: []TxnError{{OpIndex: 2, What: "key \xff is locked"}}},
		"a place":     {Index: 7, Applied: true, Standing: kvs.Standing{Number: 3, Held: true, Own: true, ExpireAt: 9}},
		"no place":    {Index: 7, Invalid: "the queue is full: \xff", Refusal: kvs.QueueFull},
		"keys and catalog": {Index: 7, Applied: true, Mixed: []MixedShown{
			{KV: &kvs.Shown{Entry: &kvs.Version{Key: "k"}}},
			{Catalog: &catalog.Shown{}},
			{Catalog: &catalog.Shown{Node: &catalog.Node{ID: "i", Name: "n", Indexes: catalog.Indexes{CreateIndex: 1, ModifyIndex: 2}}}},
			{Catalog: &catalog.Shown{Service: &catalog.Service{Node: "n", ID: "s", Name: "s", Tags: []string{"a"}, Port: 1}}},
			{Catalog: &catalog.Shown{Check: &catalog.Check{Node: "n", ID: "c", Status: catalog.Passing, Output: "\xff"}}},
		}},
		"a transaction": {Index: 7, Applied: true, Shown: []kvs.Shown{
			{Value: true, Entry: &kvs.Version{
				Key: "k\xff", Value: []byte("v"), Session: "s", Flags: 1, LockIndex: 2, CreateIndex: 3, ModifyIndex: 4, Time: 5, Kind: kvs.KindLock,
			}},
			{Entry: &kvs.Version{Key: "k"}},
		}},
	} {
		data, err := EncodeResult(&r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeResult(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got, cmpopts.IgnoreFields(kvs.Version{}, "By"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Whoever gives Result another field must see to its way between servers.
	if n := reflect.TypeFor[Result]().NumField(); n != 13 {
		t.Errorf("Result has %d fields; EncodeResult knows 13", n)
	}
	if _, err := DecodeResult([]byte{0xff}); err == nil {
		t.Error("rubbish was read as a result")
	}
}
