//go:build linux

package http1

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveTLS serves with TLS as package agent does: the handshake is made before Accept returns.
func serveTLS(t *testing.T, handler http.Handler) (addr string, s *Server) {
	t.Helper()
	given := httptest.NewUnstartedServer(nil)
	given.StartTLS()
	config := &tls.Config{Certificates: given.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	given.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = New(&http.Server{Handler: handler, IdleTimeout: time.Minute, TLSConfig: &tls.Config{NextProtos: []string{"h2", "http/1.1"}}})
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(&shaking{l, config}) })
	t.Cleanup(func() {
		_ = s.Close()
		wg.Wait()
	})
	return l.Addr().String(), s
}

type shaking struct {
	net.Listener
	config *tls.Config
}

func (l *shaking) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		secure := tls.Server(c, l.config)
		if secure.Handshake() == nil {
			return secure, nil
		}
		_ = c.Close()
	}
}

func dialTLS(t *testing.T, addr string, protocols ...string) *client {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t, c, bufio.NewReaderSize(c, 512)}
}

func TestParkedWithTLS(t *testing.T) {
	const many = 100
	l := newLot()
	var tlsSeen sync.Map
	addr, s := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tlsSeen.Store(r.TLS != nil && r.TLS.HandshakeComplete, true)
		l.ServeHTTP(w, r)
	}))
	before := runtime.NumGoroutine()
	var clients []*client
	for range many {
		clients = append(clients, dialTLS(t, addr, "http/1.1"))
	}
	for round := range 3 {
		for _, c := range clients {
			c.send("/before")
			c.wants("/before")
			c.send("/wait", "/1")
			c.send("/2")
		}
		await(t, "all are parked", func() bool { return s.waiting() == many })
		await(t, "no goroutine is left but those that are kept", func() bool { return runtime.NumGoroutine() <= before+maxIdle+4 })
		l.say(strings.Repeat("x", 5000*round)) // more than fits without waiting, at last
		l.resume(&Share{})
		for _, c := range clients {
			c.wants(*l.answer.Load(), "/1", "/2")
		}
	}
	for _, c := range clients {
		c.send("/wait")
	}
	await(t, "all are parked", func() bool { return s.waiting() == many })
	for _, c := range clients {
		_ = c.Close()
	}
	await(t, "all are gone", func() bool { return l.parked() == 0 })
	if _, ok := tlsSeen.Load(false); ok {
		t.Error("a request had no state of TLS")
	}
}

func TestHandedOverWithTLS(t *testing.T) {
	addr, _ := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.URL.Path, r.TLS != nil && r.TLS.HandshakeComplete)
	}))
	c := dialTLS(t, addr, "http/1.1")
	c.send("/a")
	_, _ = io.WriteString(c, "GET /b HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n")
	c.send("/c")
	c.wants("/atrue", "/btrue", "/ctrue")
}

func TestHTTP2IsNetHTTPs(t *testing.T) {
	addr, _ := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(Parker); ok {
			t.Error("a request by HTTP/2 cannot be parked")
		}
		_, _ = fmt.Fprint(w, r.Proto, r.TLS != nil)
	}))
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "HTTP/2.0true" {
		t.Errorf("answer %q, %v", b, err)
	}
}
