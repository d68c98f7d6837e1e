//go:build linux

package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// owned tells whether the socket of a client's connection was taken from package net.
func (s *Server) owned(client net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.conns; c != nil; c = c.next {
		if c.remote == client.String() {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.fd >= 0
		}
	}
	return false
}

// own has a connection park until its socket was taken.
func (c *client) own(l *lot, s *Server) {
	c.t.Helper()
	for !s.owned(c.LocalAddr()) {
		n := s.waiting()
		c.send("/wait")
		await(c.t, "parked", func() bool { return s.waiting() > n })
		l.resume(nil)
		c.wants("woken")
	}
}

// TestWireOfOwnSocketIsNetHTTPs is TestWireIsNetHTTPs on connections that have parked before, so
// that their sockets are not package net's any more.
func TestWireOfOwnSocketIsNetHTTPs(t *testing.T) {
	const wait = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
	ask := func(c net.Conn) {
		_, _ = io.WriteString(c, wait)
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // nothing comes behind it, so the reader has kept nothing
		_ = r.Body.Close()
	}
	l := newLot()
	both := func(wait http.Handler) http.Handler {
		wire := wireHandler(t)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				wait.ServeHTTP(w, r)
				return
			}
			wire.ServeHTTP(w, r)
		})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	ready := func(s *Server) func(net.Conn) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					l.resume(nil)
				}
			}
		})
		return func(c net.Conn) {
			for !s.owned(c.LocalAddr()) {
				ask(c)
			}
		}
	}
	theirs := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "woken") })
	compareWires(t, both(theirs), ask, both(l), ready)
}

func TestOwnSocket(t *testing.T) {
	l := newLot()
	var open atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/echo" {
			_, _ = io.Copy(w, r.Body)
			return
		}
		l.ServeHTTP(w, r)
	})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(&http.Server{Handler: handler})
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(&countingListener{inner, &open}) })
	t.Cleanup(func() {
		_ = s.Close()
		wg.Wait()
		await(t, "every connection was closed once", func() bool { return open.Load() == 0 })
	})
	addr := inner.Addr().String()
	connect := func(t *testing.T) *client {
		c := dial(t, addr)
		c.own(l, s)
		return c
	}
	alone := func() { // what the last test has left
		await(t, "nobody is connected", func() bool { return open.Load() == 0 })
	}
	t.Run("goes on", func(t *testing.T) {
		defer alone()
		c := connect(t)
		c.send("/1", "/2")
		c.wants("/1", "/2")
		c.send("/wait")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		c.send("/3")
		l.resume(nil)
		c.wants("woken", "/3")
		_ = c.Close()
	})
	t.Run("a head in two parts", func(t *testing.T) {
		defer alone()
		c := connect(t)
		_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHo")
		await(t, "it is waited for", func() bool { return !s.owned(c.LocalAddr()) })
		_, _ = io.WriteString(c, "st: a\r\n\r\n")
		c.wants("/1")
		for range 3 { // it is not taken again
			c.send("/wait")
			await(t, "parked", func() bool { return s.waiting() == 1 })
			l.resume(nil)
			c.wants("woken")
		}
		if s.owned(c.LocalAddr()) {
			t.Error("the socket was taken again")
		}
		_ = c.Close()
	})
	t.Run("a body in two parts", func(t *testing.T) {
		defer alone()
		c := connect(t)
		_, _ = io.WriteString(c, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
		await(t, "it is waited for", func() bool { return !s.owned(c.LocalAddr()) })
		_, _ = io.WriteString(c, "def")
		c.wants("abcdef")
		_ = c.Close()
	})
	t.Run("for net/http", func(t *testing.T) {
		defer alone()
		c := connect(t)
		_, _ = io.WriteString(c, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		c.wants("abc")
		c.send("/1")
		c.wants("/1")
		_ = c.Close()
	})
	t.Run("a slow client", func(t *testing.T) {
		defer alone()
		c := connect(t)
		large := strings.Repeat("x", 32<<20) // beyond all buffers
		l.say(large)
		defer l.say("woken")
		c.send("/wait")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		await(t, "it is waited for", func() bool { return !s.owned(c.LocalAddr()) })
		c.wants(large)
		_ = c.Close()
	})
	t.Run("leaves while it waits", func(t *testing.T) {
		defer alone()
		c := connect(t)
		_, _, before := l.counts()
		c.send("/wait")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		_ = c.Close()
		await(t, "the request is told", func() bool { _, _, gone := l.counts(); return gone == before+1 })
	})
	t.Run("ends with a request", func(t *testing.T) {
		defer alone()
		c := connect(t)
		c.send("/1")
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.wants("/1")
		if !c.ended() { // and not when it has rested for too long
			t.Error("the connection is open")
		}
	})
	t.Run("no more keep-alives", func(t *testing.T) {
		defer alone()
		c := connect(t)
		s.SetKeepAlivesEnabled(false)
		defer s.SetKeepAlivesEnabled(true)
		if !c.ended() {
			t.Error("the connection is open")
		}
	})
	t.Run("descriptors", func(t *testing.T) {
		defer alone()
		count := func() int {
			list, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		before := count()
		const clients = 20
		for i := range clients {
			c := connect(t)
			if i%2 == 0 {
				_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHo")
				await(t, "it is waited for", func() bool { return !s.owned(c.LocalAddr()) })
			}
			_ = c.Close()
		}
		alone()
		await(t, "the descriptors are closed", func() bool { return count() <= before })
	})
}

// countingListener counts the connections that are open.
type countingListener struct {
	net.Listener
	open *atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConn{Conn: c, open: l.open}, nil
}

type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) NetConn() net.Conn { return c.Conn }

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
