package limitserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

func startFloor(t *testing.T) *FloorServer {
	t.Helper()
	f, err := StartFloor()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// waiters are the two limits on which requests can be parked: they must behave alike.
func waiters(t *testing.T, do func(t *testing.T, l limit)) {
	t.Run("bare", func(t *testing.T) { do(t, start(t, Park)) })
	t.Run("floor", func(t *testing.T) { do(t, startFloor(t)) })
}

func client(t *testing.T, addr string) *rawhttp.Client {
	t.Helper()
	c, err := rawhttp.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestWaitersCountTheIndex(t *testing.T) {
	waiters(t, func(t *testing.T, l limit) {
		l.SetAnswer(Answer{
			Status: 200, Body: []byte("body"),
			Fields: []rawhttp.Field{{Name: "X-Consul-Index", Value: "41"}, {Name: "Vary", Value: "x"}},
		})
		l.SetWriteAnswer(Answer{Status: 200, Body: []byte("written")})
		c := client(t, l.Addr())
		ask := func(query string, index uint64) {
			t.Helper()
			r, err := c.Do(t.Context(), "GET", "/v1/kv/a"+query, nil)
			if err != nil || string(r.Body) != "body" || r.Index != index || !strings.Contains(string(r.Head), "Vary: x") {
				t.Errorf("%s: index %d, body %q, head %q, error %v; want index %d", query, r.Index, r.Body, r.Head, err, index)
			}
		}
		ask("", 41)
		ask("?index=40", 41)
		ask("?index=0", 41)
		if r, err := c.Do(t.Context(), "PUT", "/v1/kv/a", []byte("x")); err != nil || string(r.Body) != "written" {
			t.Errorf("write answered %q, error %v", r.Body, err)
		}
		ask("?wait=10m&index=41", 42)
		if n := l.Parked(); n != 0 {
			t.Errorf("%d parked", n)
		}

		// One waits for the next change, one for that after it.
		var wg sync.WaitGroup
		for _, index := range []int{42, 43} {
			c := client(t, l.Addr())
			wg.Go(func() {
				r, err := c.Do(t.Context(), "GET", fmt.Sprintf("/v1/kv/a?index=%d&wait=10m", index), nil)
				if err != nil || r.Index != uint64(index+1) {
					t.Errorf("above %d: index %d, error %v", index, r.Index, err)
				}
			})
		}
		await(t, func() bool { return l.Parked() == 2 })
		for range 2 {
			if _, err := c.Do(t.Context(), "PUT", "/v1/kv/a", []byte("x")); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
	})
}

func TestWaitersForgetAClientThatIsGone(t *testing.T) {
	waiters(t, func(t *testing.T, l limit) {
		var wg sync.WaitGroup
		stay, leave := client(t, l.Addr()), client(t, l.Addr())
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			_, _ = leave.Do(ctx, "GET", "/?index=1", nil)
			_ = leave.Close()
		})
		await(t, func() bool { return l.Parked() == 1 })
		wg.Go(func() {
			if r, err := stay.Do(t.Context(), "GET", "/?index=1", nil); err != nil || r.Status != 200 {
				t.Errorf("status %d, error %v", r.Status, err)
			}
		})
		await(t, func() bool { return l.Parked() == 2 })
		cancel()
		await(t, func() bool { return l.Parked() == 1 })
		if _, err := client(t, l.Addr()).Do(t.Context(), "PUT", "/", []byte("x")); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

func TestFloorTakesRequestsInPieces(t *testing.T) {
	f := startFloor(t)
	f.SetAnswer(Answer{Status: 200, Body: bytes.Repeat([]byte("b"), 1000)})
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	host := f.Addr()
	wire := rawhttp.Request("PUT", "/v1/kv/a", host, bytes.Repeat([]byte("v"), 3000))
	wire = append(wire, rawhttp.Request("GET", "/v1/kv/a", host, nil)...)
	var answers int
	var p rawhttp.Parser
	buf := make([]byte, 4096)
	for len(wire) > 0 || answers < 2 {
		if len(wire) > 0 {
			n := min(len(wire), 700)
			if _, err := conn.Write(wire[:n]); err != nil {
				t.Fatal(err)
			}
			wire = wire[n:]
			continue
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		for b := buf[:n]; len(b) > 0; {
			r, m, done, err := p.Feed(b)
			if err != nil {
				t.Fatal(err)
			}
			b = b[m:]
			if done {
				if want := []int64{4, 1000}[answers]; r.Length != want {
					t.Errorf("answer %d has %d bytes, want %d", answers, r.Length, want)
				}
				answers++
			}
		}
	}
}

func TestFloorKeepsWhatASlowClientDoesNotTake(t *testing.T) {
	f := startFloor(t)
	const size = 16 << 20 // more than the sockets hold
	f.SetAnswer(Answer{Status: 200, Body: make([]byte, size)})
	c := client(t, f.Addr())
	for range 2 {
		if r, err := c.Do(t.Context(), "GET", "/", nil); err != nil || r.Length != size {
			t.Fatalf("%d bytes, error %v", r.Length, err)
		}
	}
}

func TestFloorEndsConnectionsThatItDoesNotUnderstand(t *testing.T) {
	f := startFloor(t)
	for _, wire := range []string{
		"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
		fmt.Sprintf("PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n", floorReadBytes+1),
		"GET /" + strings.Repeat("x", 2*floorReadBytes),
	} {
		conn, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(wire)) // it may be closed before all is written
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%.40q is answered", wire)
		}
		_ = conn.Close()
	}
	// Others are served as before.
	if r, err := client(t, f.Addr()).Do(t.Context(), "GET", "/", nil); err != nil || r.Status != 200 {
		t.Errorf("status %d, error %v", r.Status, err)
	}
}
