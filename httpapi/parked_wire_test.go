package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/http1"
)

// serveHTTP1 serves the API on connections of package http1 until the test ends, and returns
// the address.
func serveHTTP1(t testing.TB, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := http1.New(&http.Server{Handler: s})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // it says that it was closed
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
		s.Close()
	})
	return l.Addr().String()
}

// wireClient is one connection.
type wireClient struct {
	net.Conn
	r *bufio.Reader
}

func dialWire(t testing.TB, address string) *wireClient {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &wireClient{c, bufio.NewReader(c)}
}

// ask sends a question about keys, with further header lines.
func (c *wireClient) ask(t testing.TB, target string, fields ...string) {
	t.Helper()
	lines := strings.Join(append([]string{"Host: x"}, fields...), "\r\n")
	if _, err := fmt.Fprintf(c, "GET /v1/kv/%s HTTP/1.1\r\n%s\r\n\r\n", target, lines); err != nil {
		t.Fatal(err)
	}
}

// read reads an answer.
func (c *wireClient) read(t testing.TB) (status int, index, body string) {
	t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Consul-Index"), string(text)
}

// mustGet reads an answer, which must be this one.
func (c *wireClient) mustGet(t testing.TB, status int, index, body string) {
	t.Helper()
	if gotStatus, gotIndex, got := c.read(t); gotStatus != status || gotIndex != index || got != body {
		t.Fatalf("answer is %d %q with index %s; want %d %q with index %s", gotStatus, got, gotIndex, status, body, index)
	}
}

// TestParkedOnTheWire: many connections wait for one key again and again, each is answered
// each time, and those that leave or are left at the end leave nothing behind.
func TestParkedOnTheWire(t *testing.T) {
	const n, rounds = 50, 5
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
	address := serveHTTP1(t, s)
	mustPut(t, s, "k", "0") // 4
	var all []*wireClient
	for range n {
		all = append(all, dialWire(t, address))
	}
	for round := range rounds {
		for i, c := range all {
			c.ask(t, []string{"k?raw", "k?raw&consistent", "?keys&stale"}[i%3]+fmt.Sprintf("&index=%d&wait=5m", 4+round))
		}
		eventually(t, "all wait", func() bool { return s.Parked() == n })
		mustPut(t, s, "k", fmt.Sprint(round+1))
		for i, c := range all {
			body := fmt.Sprint(round + 1)
			if i%3 == 2 {
				body = `["k"]`
			}
			c.mustGet(t, http.StatusOK, fmt.Sprint(5+round), body)
		}
	}
	eventually(t, "all wake-ups are counted", func() bool { return s.Wakeups().Changed.Load() == n*rounds })
	for _, c := range all {
		c.ask(t, fmt.Sprintf("k?raw&index=%d&wait=5m", 4+rounds))
	}
	eventually(t, "all wait", func() bool { return s.Parked() == n })
	for _, c := range all[:n/2] {
		_ = c.Close()
	}
	eventually(t, "half of them are gone", func() bool { return s.Parked() == n/2 && s.Wakeups().Gone.Load() == n/2 })
	s.Drain()
	for _, c := range all[n/2:] {
		c.mustGet(t, http.StatusOK, fmt.Sprint(4+rounds), fmt.Sprint(rounds))
	}
	eventually(t, "nothing is answered any more", func() bool { return s.Busy() == 0 })
	mustHaveNothingLeft(t, s)
}

// BenchmarkFanOut is what it costs to park a query on a connection, to wake it by a change of a
// key that many wait for, and to answer it; with the client, which is about a half.
func BenchmarkFanOut(b *testing.B) {
	const n = 1000
	s := newServerWith(b, newLocalNode(b), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, 0 })
	address := serveHTTP1(b, s)
	mustPut(b, s, "k", "0")
	var all []*wireClient
	for range n {
		all = append(all, dialWire(b, address))
	}
	b.ReportAllocs()
	answer := make([]byte, 4096)
	for index := 4; (index-4)*n < b.N; index++ {
		for _, c := range all {
			c.ask(b, fmt.Sprintf("k?index=%d&wait=5m", index))
		}
		for s.Parked() < n {
		}
		mustPut(b, s, "k", fmt.Sprint(index))
		for _, c := range all {
			if _, err := c.Read(answer); err != nil {
				b.Fatal(err)
			}
		}
	}
}
