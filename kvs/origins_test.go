package kvs

import (
	"fmt"
	"testing"
	"unique"
)

// TestOrigins: whatever came before, a handle is that of its origin, and who is read from
// bytes is who they say.
func TestOrigins(t *testing.T) {
	var late Origins
	for round := range 3 {
		for i := range 1000 {
			by := Origin{Accessor: fmt.Sprint(i), Address: fmt.Sprint(i % 7), Reason: fmt.Sprint(i % 3)}
			if i%3 == 0 {
				by.Reason = ""
			}
			if got := late.Handle(by); got != unique.Make(by) {
				t.Fatalf("round %d: %+v has the handle of %+v", round, by, got.Value())
			}
			by.Reason = ""
			if got := late.Of([]byte(by.Accessor), []byte(by.Address)); got != unique.Make(by) {
				t.Fatalf("round %d: %+v is read as %+v", round, by, got.Value())
			}
		}
		if got := late.Of(nil, nil); got != Nobody {
			t.Fatalf("nobody is %+v", got.Value())
		}
		if got := late.Handle(Origin{}); got != unique.Make(Origin{}) {
			t.Fatalf("nobody is %+v", got.Value())
		}
	}
}

// TestOriginsInOnePlace: origins that have the same place put each other out, and none is
// taken for another.
func TestOriginsInOnePlace(t *testing.T) {
	var late Origins
	first := Origin{Accessor: "a-12345678", Address: "10.0.0.1"}
	for round := range 3 {
		for _, by := range []Origin{
			first,
			{Accessor: "b-12345678", Address: "10.0.0.1"},
			{Accessor: "12345678", Address: "10.0.0.1"},
			{Accessor: "a-12345678", Address: "110.0.0.1"},
		} {
			if got, want := placeFor(by.Accessor, by.Address, 0), placeFor(first.Accessor, first.Address, 0); got != want {
				t.Fatalf("%+v is in place %d, %+v in %d: the test is none", by, got, first, want)
			}
			if got := late.Of([]byte(by.Accessor), []byte(by.Address)); got != unique.Make(by) {
				t.Errorf("round %d: %+v is read as %+v", round, by, got.Value())
			}
		}
	}
}

// TestOriginsInTurn: dozens who take turns need no memory.
func TestOriginsInTurn(t *testing.T) {
	var late Origins
	address := []byte("127.0.0.1")
	accessors := make([][]byte, 0, 64)
	taken := map[uint64]bool{}
	for i := 0; len(accessors) < cap(accessors); i++ {
		accessor := fmt.Appendf(nil, "%08x-0000-4000-8000-%012x", i*7919, i*2654435761)
		if place := placeFor(accessor, address, 0); !taken[place] { // now and then two would have the same
			accessors, taken[place] = append(accessors, accessor), true
		}
	}
	turn := func() {
		for _, accessor := range accessors {
			late.Of(accessor, address)
		}
	}
	turn()
	if n := testing.AllocsPerRun(10, turn); n != 0 {
		t.Errorf("%v allocations for %d origins in turn, want none", n, len(accessors))
	}
}
