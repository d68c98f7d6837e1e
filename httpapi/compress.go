package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipFrom is the size of a body from which it is compressed if the client takes
// that.
//
// Source: contract, README, section 10.
const gzipFrom = 1400

// packer is a gzip.Writer with the slice that it appends to; a stream's writes to its
// connection instead.
type packer struct {
	zip *gzip.Writer
	out []byte
}

func (p *packer) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	return len(b), nil
}

var packers = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &packer{zip: w}
}}

// takesGzip tells whether Accept-Encoding allows gzip with a weight above 0. The
// weight of any coding, *, counts when gzip is not named.
func takesGzip(h http.Header) bool {
	v, ok := h["Accept-Encoding"]
	if !ok || len(v) == 0 {
		return false
	}
	if v[0] == "gzip" {
		return true
	}
	anyCoding := false
	for _, line := range v {
		for part := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(part, ";")
			switch coding = strings.TrimSpace(coding); {
			case strings.EqualFold(coding, "gzip"):
				return hasWeight(params)
			case coding == "*":
				anyCoding = hasWeight(params)
			}
		}
	}
	return anyCoding
}

// hasWeight tells whether the parameters of a coding leave it a weight above 0.
func hasWeight(params string) bool {
	name, value, ok := strings.Cut(params, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return true
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err == nil && q > 0
}

// appendCompressed appends body in gzip form to b.
func appendCompressed(b, body []byte) []byte {
	p := packers.Get().(*packer)
	p.out = b
	p.zip.Reset(p)
	_, _ = p.zip.Write(body) // an append takes everything
	_ = p.zip.Close()
	b, p.out = p.out, nil
	packers.Put(p)
	return b
}

// compress returns body in gzip form, in a slice that holds little else.
func compress(body []byte) []byte {
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = appendCompressed((*buf)[:0], body)
	return bytes.Clone(*buf)
}
