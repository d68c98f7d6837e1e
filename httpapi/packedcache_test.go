package httpapi

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
)

func variedText(n int, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b []byte
	words := []string{"host", "port", "timeout", "upstream", "weight", "enabled", "true", "false", "service", "pool"}
	for len(b) < n {
		b = fmt.Appendf(b, "%s_%s = %d\n", words[r.IntN(len(words))], words[r.IntN(len(words))], r.IntN(100000))
	}
	return string(b[:n])
}

func BenchmarkGzipRead(b *testing.B) {
	s := newTestServer(b, newLocalNode(b))
	ask(b, s, http.MethodPut, "/v1/kv/one", variedText(1024, 1))
	for i := range 1000 {
		ask(b, s, http.MethodPut, fmt.Sprintf("/v1/kv/list/service-%05d/config", i), variedText(1024, uint64(i)))
	}
	for _, tc := range []struct{ name, target string }{
		{"one", "/v1/kv/one"}, {"cached", "/v1/kv/list/?recurse"}, {"built", "/v1/kv/list/?recurse&limit=1000"}, {"keys-built", "/v1/kv/list/?keys&limit=1000"},
	} {
		for _, z := range []string{"plain", "gzip"} {
			b.Run(tc.name+"/"+z, func(b *testing.B) {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, tc.target, nil)
				if z == "gzip" {
					r.Header.Set("Accept-Encoding", "gzip")
				}
				w := &discard{h: http.Header{}}
				for range 3 {
					clear(w.h)
					s.ServeHTTP(w, r)
				}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.h)
					s.ServeHTTP(w, r)
				}
			})
		}
	}
}

// TestPackedKeys: what is kept of a key in gzip form is what would be made anew, in each
// form, whatever happens to the key.
func TestPackedKeys(t *testing.T) {
	n := newLocalNode(t)
	s := newTestServer(t, n)
	check := func(what string) {
		t.Helper()
		for _, target := range []string{"/v1/kv/one", "/v1/kv/one?raw", "/v1/kv/one?pretty", "/v1/kv/one?consistent"} {
			want := ask(t, s, http.MethodGet, target, "").Body.String()
			for i := range 4 {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
				r.Header.Set("Accept-Encoding", "gzip")
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Header().Get("Content-Encoding") != "gzip" {
					t.Fatalf("%s, %s, read %d is not compressed", what, target, i)
				}
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(z); err != nil || string(got) != want {
					t.Fatalf("%s, %s, read %d: %q, %v, want %q", what, target, i, shortened(string(got)), err, shortened(want))
				}
			}
		}
	}
	mustPut(t, s, "one", variedText(2000, 1))
	check("as it was written")
	if v, _ := n.store.View().Get("one"); s.packed.slot(v).Load().body == nil {
		t.Error("nothing is kept of a key that was asked for again and again")
	}
	mustPut(t, s, "one?flags=7", variedText(2000, 1))
	check("with other flags")
	mustPut(t, s, "one", variedText(2000, 2))
	check("with another value")

	mustPut(t, s, "one", variedText(packedBytes+1, 3))
	check("with a value that is too large")
	if v, _ := n.store.View().Get("one"); s.packed.slot(v).Load().of == v {
		t.Error("a key is kept that is too large")
	}
}
