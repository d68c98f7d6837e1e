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

var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
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

// compress returns body in gzip form.
func compress(body []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(body)/3 + 64)
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&out)
	_, _ = w.Write(body) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
