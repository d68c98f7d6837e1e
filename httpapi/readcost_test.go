package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
)

// readAllocations and readBytes are the most that a read of a key, and a read of a small
// list, may take from the collected heap beside what serving HTTP takes.
const (
	readAllocations = 8
	readBytes       = 1 << 10
)

// reads are the requests that are held to that.
var reads = []struct {
	name, target string
	tag          string // of If-None-Match
	status       int
}{
	{name: "default", target: "/v1/kv/app/motd", status: 200},
	{name: "consistent", target: "/v1/kv/app/motd?consistent", status: 200},
	{name: "stale", target: "/v1/kv/app/motd?stale", status: 200},
	{name: "raw", target: "/v1/kv/app/motd?raw", status: 200},
	{name: "missing", target: "/v1/kv/app/none", status: 404},
	{name: "not modified", target: "/v1/kv/app/motd", tag: "*", status: 304},
	{name: "10 names", target: "/v1/kv/list/?keys", status: 200},
	{name: "10 entries", target: "/v1/kv/list/?recurse", status: 200},
}

// readServers are a server that checks no rights and one that does, with the same keys
// and the secret of a token that may read them.
func readServers(t testing.TB) (plain, guarded *Server, secret string) {
	g := newGuardedServer(t, acl.DefaultDeny)
	plain = newTestServer(t, newLocalNode(t))
	fill := func(put func(key, value string)) {
		put("app/motd", strings.Repeat("x", 1024))
		for i := range 10 {
			put(fmt.Sprintf("list/service-%d", i), strings.Repeat("x", 64))
		}
	}
	fill(func(key, value string) { g.put(t, key, value) })
	fill(func(key, value string) { mustPut(t, plain, key, value) })
	x := g.token(t, `key_prefix "app/" { policy = "read" }
key_prefix "list/" { policy = "read" }`)
	return plain, g.Server, x.secret
}

// readRun returns one read that can be made again and again with one request and one
// ResponseWriter, so that nothing but the handler is measured.
func readRun(t testing.TB, s *Server, target, tag, secret string, status int) func() {
	r := httptest.NewRequestWithContext(WithClient(t.Context(), netip.MustParseAddr("127.0.0.1")), http.MethodGet, target, nil)
	r.Header.Set("X-Consul-Token", secret)
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != status {
		t.Fatalf("%s is answered %d %q, want %d", target, w.Code, w.Body, status)
	}
	again := &discard{h: http.Header{}}
	return func() {
		clear(again.h)
		s.ServeHTTP(again, r)
	}
}

// bytesPerRun is how much of the collected heap a run takes.
func bytesPerRun(runs int, f func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(runs)
}

// TestReadCost holds the reads that make up most requests to what they cost the memory.
func TestReadCost(t *testing.T) {
	forgets := poolsForget()
	plain, guarded, secret := readServers(t)
	for _, of := range []struct {
		name string
		s    *Server
	}{{"without rights", plain}, {"with rights", guarded}} {
		for _, tc := range reads {
			t.Run(of.name+"/"+tc.name, func(t *testing.T) {
				run := readRun(t, of.s, tc.target, tc.tag, secret, tc.status)
				for range 10 { // a cache may want to see a list twice
					run()
				}
				count, bytes := testing.AllocsPerRun(200, run), bytesPerRun(500, run)
				t.Logf("%.0f allocations, %.0f bytes", count, bytes)
				if count > readAllocations || bytes > readBytes && !forgets {
					t.Errorf("a read takes %.0f allocations and %.0f bytes, want at most %d and %d",
						count, bytes, readAllocations, readBytes)
				}
			})
		}
	}
}

// poolsForget tells whether a sync.Pool drops some of what it is given, though nothing is
// collected, as it does with the race detector. A buffer that is made anew for every fourth
// read says nothing about the read. "make test-memory" runs these tests without it.
func poolsForget() bool {
	made := 0
	pool := sync.Pool{New: func() any { made++; return new([64]byte) }}
	for range 200 {
		pool.Put(pool.Get())
	}
	return made > 20
}

func BenchmarkRead(b *testing.B) {
	plain, guarded, secret := readServers(b)
	for _, tc := range reads {
		b.Run("plain/"+strings.ReplaceAll(tc.name, " ", "-"), func(b *testing.B) {
			run := readRun(b, plain, tc.target, tc.tag, secret, tc.status)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
		b.Run("guarded/"+strings.ReplaceAll(tc.name, " ", "-"), func(b *testing.B) {
			run := readRun(b, guarded, tc.target, tc.tag, secret, tc.status)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
