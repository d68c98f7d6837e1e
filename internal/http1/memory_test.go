//go:build linux

package http1

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawClients connects n clients that cost this process no memory, since they are only file
// descriptors, and has each send a request.
func rawClients(t testing.TB, addr string, n int, request string) []int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}
	var fds []int
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	return fds
}

// inUse is the memory that the process uses, without what is free to be used again.
func inUse() int64 {
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestParkedTakesLittleMemory holds the bound of a parked request: what is in use for one, the
// connection and all.
func TestParkedTakesLittleMemory(t *testing.T) {
	const (
		many = 3000
		most = 1600 // bytes
	)
	l := newLot()
	l.spaces = make(map[*space]struct{}, many+1) // is the test's, not the server's
	addr, s := serve(t, &http.Server{Handler: l, ReadHeaderTimeout: time.Minute, IdleTimeout: 2 * time.Second}, true)
	before := inUse()
	rawClients(t, addr, many, "GET /wait HTTP/1.1\r\nHost: 127.0.0.1:8500\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n")
	await(t, "all are parked", func() bool { return s.waiting() == many })
	await(t, "their goroutines have ended", func() bool { return runtime.NumGoroutine() < 2*maxIdle })
	each := (inUse() - before) / many
	t.Logf("%d bytes for each", each)
	if each > most {
		t.Errorf("%d bytes for each parked request, want at most %d", each, most)
	}
	if n := l.resume(nil); n != many {
		t.Errorf("%d were resumed", n)
	}
}

// BenchmarkServe is one request and its answer, over loopback, beside net/http.
func BenchmarkServe(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("own=%v", own), func(b *testing.B) {
			body := []byte(`[{"LockIndex":0,"Key":"a","Flags":0,"Value":"aGVsbG8=","CreateIndex":12,"ModifyIndex":12}]`)
			std := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				h := w.Header()
				h["Content-Type"] = []string{"application/json"}
				h["X-Consul-Index"] = []string{"12"}
				h["Vary"] = []string{"Accept-Encoding"}
				_, _ = w.Write(body)
			}), ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			if own {
				s := New(std)
				go s.Serve(l)
				defer s.Close()
			} else {
				go std.Serve(l)
				defer std.Close()
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request := []byte("GET /v1/kv/a HTTP/1.1\r\nHost: 127.0.0.1:8500\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n")
			buf := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// channelLot is a lot whose requests wait as net/http has them wait.
type channelLot struct {
	*lot
	mu     sync.Mutex
	gate   chan struct{}
	inside int
}

func (l *channelLot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	gate := l.gate
	l.inside++
	l.mu.Unlock()
	select {
	case <-gate:
	case <-r.Context().Done():
		return
	}
	_, _ = io.WriteString(w, *l.answer.Load())
}

func (l *channelLot) parked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inside
}

func (l *channelLot) resume(*Share) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.inside
	l.inside = 0
	close(l.gate)
	l.gate = make(chan struct{})
	return n
}

// BenchmarkWake resumes a thousand parked requests and parks their clients' next ones, beside
// net/http. An operation is one answer, the client's part of it included.
func BenchmarkWake(b *testing.B) {
	const many = 1000
	request := "GET /wait HTTP/1.1\r\nHost: 127.0.0.1:8500\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
	type lotOf interface {
		http.Handler
		parked() int
		resume(*Share) int
	}
	run := func(b *testing.B, own bool, l lotOf, share func() *Share) {
		addr, _ := serve(b, &http.Server{Handler: l, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute}, own)
		fds := rawClients(b, addr, many, request)
		buf := make([]byte, 8192)
		b.ReportAllocs()
		b.ResetTimer()
		for n := 0; n < b.N; n += many {
			for l.parked() < many {
				runtime.Gosched()
			}
			l.resume(share())
			for _, fd := range fds {
				if _, err := unix.Read(fd, buf); err != nil {
					b.Fatal(err)
				}
				if _, err := unix.Write(fd, []byte(request)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("net-http", func(b *testing.B) {
		run(b, false, &channelLot{lot: newLot(), gate: make(chan struct{})}, func() *Share { return nil })
	})
	b.Run("each", func(b *testing.B) { run(b, true, newLot(), func() *Share { return nil }) })
	b.Run("shared", func(b *testing.B) { run(b, true, newLot(), func() *Share { return &Share{} }) })
}
