package kvs

import (
	"fmt"
	"testing"
	"unique"
)

// TestOrigins: whatever came before, a handle is that of its origin.
func TestOrigins(t *testing.T) {
	var late Origins
	for round := range 3 {
		for i := range 1000 {
			by := Origin{Accessor: fmt.Sprint(i), Address: fmt.Sprint(i % 7), Reason: fmt.Sprint(i % 3)}
			for _, o := range []*Origins{&late, nil} {
				if got := o.handle(by); got != unique.Make(by) {
					t.Fatalf("round %d: %+v has the handle of %+v", round, by, got.Value())
				}
			}
		}
		if got := late.handle(Origin{}); got != unique.Make(Origin{}) {
			t.Fatalf("nobody is %+v", got.Value())
		}
	}
}
