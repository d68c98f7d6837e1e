package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// pipes is a listener without a network: its connections are in memory, so that a
// whole server runs in a bubble of fake time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (p *pipes) dial(t testing.TB) net.Conn {
	t.Helper()
	mine, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
	case <-p.closed:
		t.Fatal("server is closed")
	}
	return mine
}

// serveOn runs the API on a listener as package agent does, and returns how to
// stop it. Nothing is left when stop returns.
func serveOn(t testing.TB, s *Server, l net.Listener) (stop func()) {
	t.Helper()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    limit.HeaderBytes,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	var done sync.WaitGroup
	done.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return func() {
		s.Drain()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("shut down: %v", err)
		}
		done.Wait()
	}
}

// send writes one request to a connection.
func send(c net.Conn, method, target, body string, headers ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: holdfast\r\n", method, target)
	if body != "" || method == http.MethodPut {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	b.WriteString("\r\n" + body)
	_, err := io.WriteString(c, b.String())
	return err
}

// wireAnswer is what came back over a connection.
type wireAnswer struct {
	status string
	header http.Header
	body   string
}

// receive reads one answer.
func receive(c net.Conn, method string) (wireAnswer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return wireAnswer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.ContentLength >= 0 {
		resp.Header.Set("Content-Length", fmt.Sprint(resp.ContentLength))
	}
	if resp.Close {
		resp.Header.Set("Connection", "close")
	}
	if len(resp.TransferEncoding) > 0 {
		resp.Header.Set("Transfer-Encoding", strings.Join(resp.TransferEncoding, ", "))
	}
	return wireAnswer{resp.Status, resp.Header, string(body)}, err
}

// String is the answer as golden files hold it. The date is left out.
func (a wireAnswer) String() string {
	var lines []string
	for name, values := range a.header {
		if name == "Date" {
			continue
		}
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	sort.Strings(lines)
	return a.status + "\n" + strings.Join(lines, "\n") + "\n\n" + a.body
}

// dialTCP connects to the API on a port of this machine that is taken for the
// test.
func dialTCP(t testing.TB, s *Server) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(serveOn(t, s, l))
	return redial(t, l.Addr())
}

func redial(t testing.TB, addr net.Addr) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// No test takes so long; one that hangs should say where.
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}
