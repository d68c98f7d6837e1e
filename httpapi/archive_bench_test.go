package httpapi

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// BenchmarkArchiveLevel is why archives have Huffman codes alone: speed, and size as
// part of what goes in, for values of random words.
func BenchmarkArchiveLevel(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for len(text) < 8<<20 {
		text = fmt.Appendf(text, "word-%d ", rnd.IntN(2000))
	}
	for name, level := range map[string]int{"huffman": gzip.HuffmanOnly, "best-speed": gzip.BestSpeed} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				z, err := gzip.NewWriterLevel(&out, level)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := z.Write(text); err != nil {
					b.Fatal(err)
				}
				if err := z.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(out.Len())/float64(len(text)), "size")
		})
	}
}
