package agent

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// lingerer serves nothing but errors with net/http, and waits long for clients.
func lingerer(t *testing.T) (s *http.Server, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun") // in parts, since it is flushed
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})}
	of := &lingering{Listener: &listener{Listener: l, conns: &connLimit{by: map[netip.Addr]int{}}}, patience: time.Hour}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(of) })
	t.Cleanup(served.Wait)
	t.Cleanup(func() { _ = s.Close() })
	return s, l.Addr().String()
}

// TestAnswerToWhoIsStillSending reaches the client whole: it can send the rest of its request behind
// the answer, and sees the end of the connection, not that it broke.
func TestAnswerToWhoIsStillSending(t *testing.T) {
	_, addr := lingerer(t)
	for range 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		send := func(text string) {
			t.Helper()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
		}
		send("PUT /a%zz HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
		r := bufio.NewReader(c)
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "400") {
			t.Fatalf("%q, %v", line, err)
		}
		send("1")
		if _, err := r.ReadString('\r'); err != nil {
			t.Fatal(err)
		}
		send("2")
		if _, err := io.ReadAll(r); err != nil {
			t.Fatalf("behind the answer: %v", err)
		}
		_ = c.Close()
	}
}

// TestServerThatEndsWaitsForNoClient, also in the middle of an answer.
func TestServerThatEndsWaitsForNoClient(t *testing.T) {
	s, addr := lingerer(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(c).ReadString('5'); err != nil { // the length of the first part
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // and not in an hour
		t.Fatal(err)
	}
}
