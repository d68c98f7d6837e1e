//go:build linux

package http1

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// clientHello is how a TLS handshake begins, as far as it matters here. Nothing in it ends a line.
const clientHello = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"

// promising are beginnings of what a client sends, and whether they may become a head that is read here.
var promising = []struct {
	begins   string
	promises bool
}{
	{"", true},
	{"G", true},
	{"GET", true},
	{"GET ", true},
	{"GET /v1/kv/a HTT", true},
	{"GET /v1/kv/a HTTP/1.1", true},
	{"GET /v1/kv/a HTTP/1.1\r", true},
	{"GET /v1/kv/a HTTP/1.1\r\n", true},
	{"GET /v1/kv/a HTTP/1.1\r\nHost: a\r\nX-Con", true},
	{"PURGE", true}, // its end tells
	{"\x16", false},
	{clientHello, false},
	{"get / HTTP/1.1\r\n", false},
	{" GET / HTTP/1.1\r\n", false},
	{"\r\nGET / HTTP/1.1\r\n", false},
	{"\n", false},
	{"\x00", false},
	{"GET / HTTP/1.0\r\n", false},
	{"GET / HTTP/1.1\n", false},
	{"GET / HTTP/1.1 \r\n", false},
	{"GET /\r\n", false},
	{"PRI * HTTP/2.0\r\n", false},
	{"SSH-2.0-client\r\n", false},
}

// TestPromises: what can never become a request that is read here is told from what may.
func TestPromises(t *testing.T) {
	const earlier = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n" // what was used does not count
	for _, tc := range promising {
		for _, used := range []string{"", earlier, clientHello + "\n"} {
			turn := &turn{r: len(used)}
			turn.w = copy(turn.buf[:], used+tc.begins)
			if got := turn.promises(); got != tc.promises {
				t.Errorf("%q after %q promises a head: %v, want %v", tc.begins, used, got, tc.promises)
			}
		}
	}
}

// open tells how many connections there are that are not net/http's.
func (s *Server) open() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.conns; c != nil; c = c.next {
		n++
	}
	return n
}

// allRead tells whether the server has read everything that the client has sent.
func (s *Server) allRead(t *testing.T, client syscall.Conn) bool {
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if queued(t, raw, unix.TIOCOUTQ) > 0 {
		return false // some of it is on its way
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.conns; c != nil; c = c.next {
		if c.unread(t) > 0 {
			return false
		}
	}
	return true
}

// unread is how many bytes of a client have not been read.
func (c *conn) unread(t *testing.T) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return queued(t, c.raw, unix.TIOCINQ)
	}
	n, err := unix.IoctlGetInt(c.fd, unix.TIOCINQ)
	if err != nil {
		t.Error(err)
	}
	return n
}

// queued is how many bytes the system keeps for a socket.
func queued(t *testing.T, raw syscall.RawConn, which uint) (n int) {
	err := raw.Control(func(fd uintptr) {
		var err error
		if n, err = unix.IoctlGetInt(int(fd), which); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNoHeadIsNotWaitedFor: a client that says what cannot become a request is net/http's at once,
// however little it has said, and net/http answers as it always does.
func TestNoHeadIsNotWaitedFor(t *testing.T) {
	std := func() *http.Server { return &http.Server{Handler: wireHandler(t)} } // it waits for a head for ever
	theirs, _ := serve(t, std(), false)
	ours, s := serve(t, std(), true)
	for _, tc := range promising {
		if tc.promises {
			continue
		}
		c := dial(t, ours)
		await(t, "the connection is accepted", func() bool { return s.open() == 1 })
		if _, err := io.WriteString(c, tc.begins); err != nil {
			t.Fatal(err)
		}
		await(t, fmt.Sprintf("who says %q is net/http's", tc.begins), func() bool { return s.open() == 0 })
		_ = c.Close() // there is nobody to tell
	}
	const hello = clientHello + "\n\xc0\x2f" // net/http answers at the end of a line
	if want, got := exchange(t, theirs, hello), exchange(t, ours, hello); want != got || want == "" {
		t.Errorf("a TLS handshake is answered with %q, net/http sends %q", got, want)
	}
}

// TestSlowHeadIsWaitedFor: a good head is read here though it comes byte by byte, and so is the next
// one of its connection.
func TestSlowHeadIsWaitedFor(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	c := dial(t, addr)
	await(t, "the connection is accepted", func() bool { return s.open() == 1 })
	for range 2 {
		const head = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
		for i := range len(head) {
			if _, err := io.WriteString(c, head[i:i+1]); err != nil {
				t.Fatal(err)
			}
			await(t, "the byte is read", func() bool { return s.allRead(t, c.Conn.(syscall.Conn)) })
		}
		await(t, "the request is parked, which net/http cannot do", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		c.wants("woken")
	}
}
