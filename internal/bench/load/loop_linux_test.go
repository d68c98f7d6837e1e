package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns the address of a server that ends with the test.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func want200(r rawhttp.Response) error {
	if r.Status != http.StatusOK {
		return r.Problem()
	}
	return nil
}

func TestPlanSendsWhatNextGivesAndCountsEveryAnswer(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path]++
	})
	const conns, each = 10, 7
	for _, loops := range []int{0, 1, 3, 20} {
		mu.Lock()
		clear(seen)
		mu.Unlock()
		res, err := Plan{
			Addr: addr, Conns: conns, Loops: loops, Check: want200,
			Next: func(conn, n int) []byte {
				if n == each {
					return nil
				}
				return rawhttp.Request("GET", fmt.Sprintf("/%d/%d", conn, n), addr, nil)
			},
			CPU: func() (time.Duration, error) { return 5 * time.Second, nil },
		}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if res.Ops != conns*each || res.Latency.Count() != conns*each || res.CPU != 0 || res.Elapsed <= 0 {
			t.Errorf("%d loops: result %+v, want %d operations", loops, res, conns*each)
		}
		mu.Lock()
		for c := range conns {
			for n := range each {
				if got := seen[fmt.Sprintf("/%d/%d", c, n)]; got != 1 {
					t.Errorf("%d loops: request %d of client %d was seen %d times", loops, n, c, got)
				}
			}
		}
		mu.Unlock()
	}
}

func TestPlanEndsWithItsDuration(t *testing.T) {
	var answered atomic.Int64
	addr := serve(t, func(http.ResponseWriter, *http.Request) { answered.Add(1) })
	req := rawhttp.Request("GET", "/", addr, nil)
	res, err := Plan{
		Addr: addr, Conns: 4, Duration: 20 * time.Millisecond, Check: want200,
		Next: func(int, int) []byte { return req },
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Ops != answered.Load() {
		t.Errorf("%d operations counted, the server answered %d", res.Ops, answered.Load())
	}
	if res.Elapsed < 20*time.Millisecond {
		t.Errorf("ended after %v, before its time", res.Elapsed)
	}
}

func TestPlanEndsAtTheFirstWrongAnswer(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no leader", http.StatusInternalServerError)
	})
	req := rawhttp.Request("GET", "/", addr, nil)
	_, err := Plan{
		Addr: addr, Conns: 2, Duration: time.Minute, Check: want200,
		Next: func(int, int) []byte { return req },
	}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "status 500: no leader") {
		t.Errorf("error %v, want the server's text", err)
	}
}

func TestPlanReportsAServerWhoseCPUCannotBeRead(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	gone := errors.New("no such process")
	_, err := Plan{
		Addr: addr, Conns: 1, Duration: time.Minute, Check: want200,
		Next: func(int, int) []byte { return nil },
		CPU:  func() (time.Duration, error) { return 0, gone },
	}.Run(t.Context())
	if !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
}

func TestPlanEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{}, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		<-arrived
		cancel()
	})
	_, err := Plan{
		Addr: addr, Conns: 1, Duration: time.Minute, Check: want200,
		Next: func(int, int) []byte { return rawhttp.Request("GET", "/", addr, nil) },
	}.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	wg.Wait()
}

func TestLargeBodiesPassBothWays(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB: more than socket buffers hold
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(b, body) {
			t.Errorf("server got %d bytes, error %v", len(b), err)
		}
		_, _ = w.Write(b)
	})
	req := rawhttp.Request("PUT", "/", addr, body)
	res, err := Plan{
		Addr: addr, Conns: 2,
		Next: func(_, n int) []byte {
			if n == 2 {
				return nil
			}
			return req
		},
		Check: func(r rawhttp.Response) error {
			if r.Length != int64(len(body)) {
				return fmt.Errorf("%d bytes came back", r.Length)
			}
			return want200(r)
		},
	}.Run(t.Context())
	if err != nil || res.Ops != 4 {
		t.Errorf("%d operations, error %v", res.Ops, err)
	}
}

func TestAConnectionThatTheServerClosesIsAnError(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	_, err := Plan{
		Addr: addr, Conns: 1, Duration: time.Minute, Check: want200,
		Next: func(int, int) []byte { return rawhttp.Request("GET", "/", addr, nil) },
	}.Run(t.Context())
	if err == nil {
		t.Error("no error")
	}
}

func TestOneRequestAtATimeOnAConnection(t *testing.T) {
	arrived := make(chan struct{}, 1)
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	l, err := Dial(t.Context(), addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	req := rawhttp.Request("GET", "/", addr, nil)
	if err := l.Send(l.Conns()[0], req); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := l.Send(l.Conns()[0], req); err == nil {
		t.Error("a second request was taken")
	}
	if err := l.Run(t.Context(), time.Now(), nil); !errors.Is(err, ErrTime) {
		t.Errorf("error %v, want ErrTime", err)
	}
	if l.Outstanding() != 1 {
		t.Errorf("%d outstanding, want 1", l.Outstanding())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestDialReportsWhoDoesNotListen(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	addr := strings.TrimPrefix(srv.URL, "http://")
	srv.Close()
	if _, err := Dial(t.Context(), addr, 3); err == nil || !strings.Contains(err.Error(), "connection 1 of 3") {
		t.Errorf("error %v", err)
	}
	if _, err := Dial(t.Context(), "not an address", 1); err == nil {
		t.Error("no error for a bad address")
	}
}

func TestPlanRepliesToEveryAnswer(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	const conns = 4
	var heard [conns]int
	res, err := Plan{
		Addr: addr, Conns: conns, Loops: 2, Duration: 20 * time.Millisecond, Check: want200,
		Next: func(int, int) []byte { return rawhttp.Request("GET", "/a", addr, nil) },
		Reply: func(conn int, r rawhttp.Response) []byte {
			// "/a" is answered with "/bb", and that with "/a".
			if want := int64(2 + heard[conn]%2); r.Length != want {
				t.Errorf("client %d: an answer of %d bytes after %d, want %d", conn, r.Length, heard[conn], want)
			}
			heard[conn]++
			return rawhttp.Request("GET", []string{"/a", "/bb"}[heard[conn]%2], addr, nil)
		},
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sum := heard[0] + heard[1] + heard[2] + heard[3]; int64(sum) != res.Ops || sum <= conns {
		t.Errorf("heard of %d answers %v, %d were counted", sum, heard, res.Ops)
	}
}

func TestACrowdComesFromSeveralAddresses(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for _, tc := range []struct {
		to   *net.TCPAddr
		i    int
		want string
	}{
		{loopback, 0, ""},
		{loopback, perSource - 1, ""},
		{loopback, perSource, "127.0.0.2"},
		{loopback, 5*perSource - 1, "127.0.0.5"},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, perSource, ""},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 1}, perSource, ""},
	} {
		got := ""
		if sa, ok := source(tc.to, tc.i).(*unix.SockaddrInet4); ok && sa != nil {
			got = net.IP(sa.Addr[:]).String()
		}
		if got != tc.want {
			t.Errorf("connection %d to %v comes from %q, want %q", tc.i, tc.to, got, tc.want)
		}
	}
	// The kernel takes such an address.
	var from atomic.Value
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) { from.Store(r.RemoteAddr) })
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	family, sa := sockaddr(tcp)
	fd, err := connect(family, sa, source(tcp, 3*perSource))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, rawhttp.Request("GET", "/", addr, nil)); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Read(fd, make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(from.Load()); !strings.HasPrefix(got, "127.0.0.4:") {
		t.Errorf("the server saw %s", got)
	}
}
