package kvs

import (
	"fmt"
	"testing"
)

// BenchmarkOrigins is the look-up of who asked, when that is one of so many in turn.
func BenchmarkOrigins(b *testing.B) {
	for _, tokens := range []int{1, 64, 10_000} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			by := make([]Origin, tokens)
			for i := range by {
				by[i] = Origin{Accessor: fmt.Sprintf("%08x-0000-4000-8000-%012x", i*7919, i*2654435761), Address: "127.0.0.1"}
			}
			texts := make([][]byte, tokens)
			for i := range texts {
				texts[i] = []byte(by[i].Accessor)
			}
			address := []byte("127.0.0.1")
			o := &Origins{}
			i := 0
			for b.Loop() {
				o.Of(texts[i%tokens], address)
				i += 7
			}
		})
	}
}
