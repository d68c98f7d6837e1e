package cells

import (
	"encoding/base64"
	"math/rand/v2"
	"strconv"
)

// words is a vocabulary of made-up words, so that values look like text to a
// compressor and yet no two are alike.
var words = vocabulary()

func vocabulary() [][]byte {
	const count = 4096
	syllables := []string{
		"ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu", "za",
		"bra", "cle", "dri", "flo", "gru", "ster", "plin", "tron", "val", "mer", "con", "tal", "ver", "ing", "ion", "ex",
	}
	r := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, count)
	for i := range out {
		for range 1 + r.IntN(4) {
			out[i] = append(out[i], syllables[r.IntN(len(syllables))]...)
		}
	}
	return out
}

// text makes n bytes that look like a configuration file: names, numbers and
// words. The same seed gives the same bytes.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, 0, n+64)
	for len(b) < n {
		b = append(b, words[r.IntN(len(words))]...)
		b = append(b, '.')
		b = append(b, words[r.IntN(len(words))]...)
		b = append(b, " = "...)
		for range r.IntN(6) {
			b = append(b, words[r.IntN(len(words))]...)
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, uint64(r.Uint32()), 10)
		b = append(b, '\n')
	}
	return b[:n]
}

// pair is one key with its value.
type pair struct {
	key   string
	value []byte
}

// txnBody is the JSON of a transaction that sets the pairs.
func txnBody(pairs []pair) []byte {
	b := []byte{'['}
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"KV":{"Verb":"set","Key":`...)
		b = strconv.AppendQuote(b, p.key) // keys here are plain ASCII
		b = append(b, `,"Value":"`...)
		b = base64.StdEncoding.AppendEncode(b, p.value)
		b = append(b, `"}}`...)
	}
	return append(b, ']')
}
