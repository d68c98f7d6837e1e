//go:build linux

package http1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lot is a handler whose requests for /wait are parked until somebody calls resume.
type lot struct {
	answer atomic.Pointer[string]

	mu     sync.Mutex
	spaces map[*space]struct{} // guarded by mu
	called int                 // how often a request was answered by the handler; guarded by mu
	shared int                 // how often by another's answer; guarded by mu
	gone   int                 // guarded by mu
}

// space is one request in it.
type space struct {
	lot    *lot
	ticket Ticket
}

func newLot() *lot {
	l := &lot{spaces: map[*space]struct{}{}}
	l.say("woken")
	return l
}

func (l *lot) say(s string) { l.answer.Store(&s) }

func (l *lot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, ok := w.(Parker)
	if !ok || r.URL.Path != "/wait" {
		_, _ = io.WriteString(w, r.URL.Path)
		return
	}
	if p.Resumed() == nil {
		s := &space{lot: l}
		l.mu.Lock()
		defer l.mu.Unlock()
		s.ticket = p.Park(s)
		l.spaces[s] = struct{}{}
		return
	}
	l.mu.Lock()
	l.called++
	l.mu.Unlock()
	_, _ = io.WriteString(w, *l.answer.Load())
}

func (s *space) Gone() {
	s.lot.mu.Lock()
	defer s.lot.mu.Unlock()
	delete(s.lot.spaces, s)
	s.lot.gone++
}

func (s *space) Shared(int, int) {
	s.lot.mu.Lock()
	defer s.lot.mu.Unlock()
	s.lot.shared++
}

// resume resumes all that are parked and tells how many were.
func (l *lot) resume(share *Share) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.spaces {
		delete(l.spaces, s)
		if s.ticket.Resume(share) {
			n++
		}
	}
	return n
}

func (l *lot) parked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.spaces)
}

func (l *lot) counts() (called, shared, gone int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.called, l.shared, l.gone
}

// await waits until something is true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// waiting tells how many connections have a parked request and no goroutine.
func (s *Server) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := s.conns; c != nil; c = c.next {
		c.mu.Lock()
		if c.state == waiting {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

func (s *Server) in(state connState) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := s.conns; c != nil; c = c.next {
		c.mu.Lock()
		if c.state == state {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// client is one connection to a server.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t, c, bufio.NewReaderSize(c, 512)}
}

func (c *client) send(paths ...string) {
	c.t.Helper()
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		c.t.Error(err)
	}
}

// body reads an answer.
func (c *client) body() string {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Errorf("read an answer: %v", err)
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	return string(b)
}

func (c *client) wants(bodies ...string) {
	c.t.Helper()
	for _, want := range bodies {
		if got := c.body(); got != want {
			c.t.Errorf("answer %.80q, want %.80q", got, want)
		}
	}
}

// ended tells whether the server has closed the connection.
func (c *client) ended() bool {
	_, err := c.r.ReadByte()
	return err != nil
}

func TestParkedRequestIsAnswered(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	c := dial(t, addr)
	for round := range 5 {
		c.send("/before")
		c.wants("/before")
		c.send("/wait")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.say(fmt.Sprint("answer ", round))
		if n := l.resume(nil); n != 1 {
			t.Fatalf("%d were resumed", n)
		}
		c.wants(fmt.Sprint("answer ", round))
	}
	await(t, "at rest without a goroutine", func() bool { return s.in(quiet) == 1 })
}

func TestResumeBeforeTheHandlerReturns(t *testing.T) {
	var times atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := w.(Parker)
		if times.Add(1) < 4 {
			want := Waiting(nil)
			if times.Load() > 1 {
				want = nothingWaiting{}
			}
			if p.Resumed() != want {
				t.Errorf("call %d: resumed %v, want %v", times.Load(), p.Resumed(), want)
			}
			r.URL.Path, r.Method = "/changed", "PUT"
			k := p.Park(nothingWaiting{})
			if !k.Resume(nil) || k.Resume(nil) {
				t.Error("only the first Resume resumes")
			}
			return
		}
		_, _ = io.WriteString(w, r.Method+r.URL.Path)
	})
	addr, _ := serve(t, &http.Server{Handler: handler}, true)
	c := dial(t, addr)
	c.send("/a")
	c.wants("GET/a")
}

type nothingWaiting struct{}

func (nothingWaiting) Gone()           {}
func (nothingWaiting) Shared(int, int) {}

// TestResumeRaces lets requests be resumed from elsewhere while their handlers return.
func TestResumeRaces(t *testing.T) {
	tickets, over := make(chan Ticket, 64), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p := w.(Parker)
		if p.Resumed() == nil {
			tickets <- p.Park(nothingWaiting{})
			return
		}
		_, _ = io.WriteString(w, "x")
	})
	addr, _ := serve(t, &http.Server{Handler: handler}, true)
	var resumers, clients sync.WaitGroup
	for range 4 {
		resumers.Go(func() {
			for {
				select {
				case k := <-tickets:
					k.Resume(nil)
				case <-over:
					return
				}
			}
		})
	}
	for range 20 {
		c := dial(t, addr)
		clients.Go(func() {
			for range 200 {
				c.send("/")
				c.wants("x")
			}
		})
	}
	clients.Wait()
	close(over)
	resumers.Wait()
}

func TestPipelinedWhileParked(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	t.Run("sent with it", func(t *testing.T) {
		c := dial(t, addr)
		c.send("/wait", "/1", "/2", "/wait", "/3")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		c.wants("woken", "/1", "/2")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		c.wants("woken", "/3")
	})
	t.Run("sent after it", func(t *testing.T) {
		c := dial(t, addr)
		for range 3 { // first new to the poller, then known to it
			c.send("/wait")
			await(t, "parked", func() bool { return s.waiting() == 1 })
			c.send("/1", "/2")
			c.send("/3")
			l.resume(nil)
			c.wants("woken", "/1", "/2", "/3")
		}
	})
	t.Run("more than a buffer", func(t *testing.T) {
		c := dial(t, addr)
		paths, bodies := []string{"/wait"}, []string{"woken"}
		for i := range 1000 {
			path := fmt.Sprint("/", i)
			paths, bodies = append(paths, path), append(bodies, path)
		}
		c.send(paths...)
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		c.wants(bodies...)
	})
	t.Run("a part of a head", func(t *testing.T) {
		c := dial(t, addr)
		c.send("/wait")
		_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHo")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		c.wants("woken")
		_, _ = io.WriteString(c, "st: a\r\n\r\n")
		c.wants("/1")
	})
	t.Run("one for net/http", func(t *testing.T) {
		c := dial(t, addr)
		c.send("/wait")
		_, _ = io.WriteString(c, "PUT /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		c.send("/2")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		l.resume(nil)
		c.wants("woken", "/1", "/2")
	})
}

func TestGone(t *testing.T) {
	for _, tc := range []struct {
		how   string
		leave func(c *client)
	}{
		{"closes", func(c *client) { _ = c.Close() }},
		{"resets", func(c *client) { _ = c.Conn.(*net.TCPConn).SetLinger(0); _ = c.Close() }},
		{"ends its side", func(c *client) { _ = c.Conn.(*net.TCPConn).CloseWrite() }},
		{"closes behind another request", func(c *client) { c.send("/next"); _ = c.Close() }},
	} {
		t.Run("the client "+tc.how, func(t *testing.T) {
			l := newLot()
			addr, s := serve(t, &http.Server{Handler: l}, true)
			for range 3 {
				c := dial(t, addr)
				c.send("/wait")
				await(t, "parked", func() bool { return s.waiting() == 1 })
				tc.leave(c)
				await(t, "gone", func() bool { return l.parked() == 0 })
			}
			if called, shared, gone := l.counts(); called != 0 || shared != 0 || gone != 3 {
				t.Errorf("%d called, %d shared, %d gone; want 3 gone", called, shared, gone)
			}
			await(t, "no connection is left", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.conns == nil
			})
		})
	}
	t.Run("the server closes", func(t *testing.T) {
		l := newLot()
		addr, s := serve(t, &http.Server{Handler: l}, true)
		c := dial(t, addr)
		c.send("/wait")
		await(t, "parked", func() bool { return s.waiting() == 1 })
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, _, gone := l.counts(); gone != 1 {
			t.Errorf("%d gone, want 1", gone)
		}
		if !c.ended() {
			t.Error("the connection is still open")
		}
	})
}

func TestShutdownWaitsForParked(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	parked, idle, pollerIdle := dial(t, addr), dial(t, addr), dial(t, addr)
	pollerIdle.send("/wait")
	await(t, "parked", func() bool { return s.waiting() == 1 })
	l.resume(nil)
	pollerIdle.wants("woken")
	idle.send("/x")
	idle.wants("/x")
	parked.send("/wait")
	await(t, "parked", func() bool { return s.waiting() == 1 })

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); err == nil {
		t.Error("Shutdown did not wait for the parked request")
	}
	if !idle.ended() || !pollerIdle.ended() {
		t.Error("an idle connection is still open")
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	l.resume(&Share{})
	r, err := http.ReadResponse(parked.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Close {
		t.Error("the answer does not say that the connection is closed")
	}
	_ = r.Body.Close()
	wg.Wait()
}

func TestShutdownDoesNotWaitForHalfAHead(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}, true)
	fresh, served, parked := dial(t, addr), dial(t, addr), dial(t, addr)
	served.send("/x")
	served.wants("/x")
	parked.send("/wait")
	await(t, "parked", func() bool { return s.waiting() == 1 })
	l.resume(nil)
	parked.wants("woken")
	for _, c := range []*client{fresh, served, parked} {
		_, _ = io.WriteString(c, "GET / HT")
	}
	await(t, "the halves are read", func() bool { return s.in(resting) == 3 })
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKeepAlivesSwitchedOff(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	idle, parked := dial(t, addr), dial(t, addr)
	idle.send("/x")
	idle.wants("/x")
	parked.send("/wait", "/not-answered")
	await(t, "parked", func() bool { return s.waiting() == 1 && s.in(resting) == 1 })
	s.SetKeepAlivesEnabled(false)
	if !idle.ended() {
		t.Error("the idle connection is still open")
	}
	l.resume(nil)
	parked.wants("woken")
	if !parked.ended() {
		t.Error("the connection is still open")
	}
}

// TestParkedTakeNoGoroutine parks many, and lets them go on.
func TestParkedTakeNoGoroutine(t *testing.T) {
	const many = 2000
	l := newLot()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := New(&http.Server{Handler: l, IdleTimeout: time.Minute})
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(listener) })
	defer wg.Wait()
	defer s.Close()

	before := runtime.NumGoroutine()
	var clients []*client
	for range many {
		c := dial(t, socket)
		c.send("/wait")
		clients = append(clients, c)
	}
	await(t, "all are parked", func() bool { return s.waiting() == many })
	// What was started for them ends on its own.
	await(t, "no goroutine is left but those that are kept", func() bool { return runtime.NumGoroutine() <= before+maxIdle+4 })
	if n := l.resume(nil); n != many {
		t.Fatalf("%d were resumed", n)
	}
	for _, c := range clients {
		c.wants("woken")
	}
	await(t, "all rest", func() bool { return s.in(quiet) == many })
	await(t, "no goroutine is left but those that are kept", func() bool { return runtime.NumGoroutine() <= before+maxIdle+4 })
	for _, c := range clients {
		c.send("/wait")
	}
	await(t, "all are parked again", func() bool { return s.waiting() == many })
	for _, c := range clients[:many/2] {
		_ = c.Close()
	}
	await(t, "half are gone", func() bool { return l.parked() == many/2 })
	if n := l.resume(nil); n != many/2 {
		t.Fatalf("%d were resumed", n)
	}
	for _, c := range clients[many/2:] {
		c.wants("woken")
	}
}

func TestShare(t *testing.T) {
	const many = 300
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	var clients []*client
	for range many {
		c := dial(t, addr)
		clients = append(clients, c)
	}
	for round := range 3 {
		for i, c := range clients {
			if i < many/2 {
				c.send("/wait")
			} else {
				c.send("/wait?other", "/next")
			}
		}
		await(t, "all are parked", func() bool { return s.waiting() == many })
		l.say(strings.Repeat("x", 3000+round))
		if n := l.resume(&Share{}); n != many {
			t.Fatalf("%d were resumed", n)
		}
		for i, c := range clients {
			c.wants(*l.answer.Load())
			if i >= many/2 {
				c.wants("/next")
			}
		}
	}
	called, shared, gone := l.counts()
	if most := 3 * 2 * runtime.GOMAXPROCS(0); called > most || called < 6 || called+shared != 3*many || gone != 0 {
		t.Errorf("%d called (at most %d), %d shared, %d gone; want %d together", called, most, shared, gone, 3*many)
	}
}

func TestShareIsBounded(t *testing.T) {
	s := &Share{}
	for i := range 2 * maxShareAnswer {
		s.put(answer{head: fmt.Sprint(i), raw: []byte("x")})
	}
	if len(s.answers) != maxShareAnswer {
		t.Errorf("%d answers, want %d", len(s.answers), maxShareAnswer)
	}
	s = &Share{}
	for i := range 40 {
		s.put(answer{head: fmt.Sprint(i), raw: make([]byte, maxShared)})
	}
	if len(s.answers) != maxShareBytes/maxShared-1 { // their heads count, too
		t.Errorf("%d answers of %d bytes", len(s.answers), maxShared)
	}
	s = &Share{}
	s.put(answer{head: "a", status: 1})
	s.put(answer{head: "b", status: 2})
	s.put(answer{head: "a", status: 3}) // made at the same time
	for head, want := range map[string]int{"a": 1, "b": 2} {
		if a, ok := s.get(head); !ok || a.status != want {
			t.Errorf("%s: %+v, %v; want %d", head, a, ok, want)
		}
	}
	if _, ok := s.get("c"); ok {
		t.Error("there is an answer that nobody gave")
	}
	if _, ok := (*Share)(nil).get("x"); ok {
		t.Error("no Share has an answer")
	}
}

// TestAnswerFrom: requests that are the same have the answer to the first, byte for byte, without
// having waited; others, and those after which the connection ends, have their own.
func TestAnswerFrom(t *testing.T) {
	var share Share
	var made, same atomic.Int32
	addr, _ := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w.(Parker).AnswerFrom(&share) {
			same.Add(1)
			return
		}
		w.Header().Set("X-Made", fmt.Sprint(made.Add(1)))
		_, _ = io.WriteString(w, strings.Repeat(r.URL.Path, 1000)) // more than is sent at once
	})}, true)
	ask := func(text string) string {
		t.Helper()
		c := dial(t, addr)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		var raw strings.Builder
		c.r = bufio.NewReader(io.TeeReader(c, &raw))
		if body := c.body(); !strings.HasPrefix(body, "/a/a/a") && !strings.HasPrefix(body, "/b/b/b") {
			t.Errorf("answer %.80q", body)
		}
		if strings.Contains(text, "close") {
			if !c.ended() {
				t.Error("the connection goes on")
			}
		} else { // the next request is answered
			raw.Reset()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			_ = c.body()
		}
		return raw.String()
	}
	const a = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	first := ask(a)
	for range 3 {
		if got := ask(a); got != first || !strings.Contains(got, "X-Made: 1\r\n") {
			t.Errorf("answer %.200q, the first one was %.200q", got, first)
		}
	}
	if got := ask("GET /b HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.Contains(got, "X-Made: 2\r\n") {
		t.Errorf("another request has the answer %.200q", got)
	}
	closing := "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for n := int32(3); n < 5; n++ {
		if got := ask(closing); !strings.Contains(got, fmt.Sprintf("X-Made: %d\r\n", n)) {
			t.Errorf("the last request of a connection has the answer %.200q", got)
		}
	}
	if made.Load() != 4 || same.Load() != 8 {
		t.Errorf("%d answers were made and %d were those to another, want 4 and 8", made.Load(), same.Load())
	}
}

// TestAnswersThatAreNotShared are those that are made anew for each.
func TestAnswersThatAreNotShared(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"not 200":       func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"too large":     func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 2*maxShared)) },
		"in parts":      func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x"); w.(http.Flusher).Flush() },
		"ends in haste": func(w http.ResponseWriter) { w.Header().Set("Connection", "close") },
		"panics":        func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLot()
			var called atomic.Int32
			addr, s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if w.(Parker).Resumed() == nil {
					l.ServeHTTP(w, r)
					return
				}
				called.Add(1)
				answer(w)
			})}, true)
			for range 5 {
				dial(t, addr).send("/wait")
			}
			await(t, "all are parked", func() bool { return s.waiting() == 5 })
			l.resume(&Share{})
			await(t, "each was called", func() bool { return called.Load() == 5 })
			if _, shared, _ := l.counts(); shared != 0 {
				t.Errorf("%d were shared", shared)
			}
		})
	}
}

// TestSlowClientHoldsNobodyUp resumes clients that do not read, more than there are lanes.
func TestSlowClientHoldsNobodyUp(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	var slow []*client
	for range 2 * (runtime.GOMAXPROCS(0) + 1) {
		c := dial(t, addr)
		c.send("/wait")
		slow = append(slow, c)
	}
	await(t, "parked", func() bool { return s.waiting() == len(slow) })
	large := strings.Repeat("x", 32<<20) // beyond all buffers
	l.say(large)
	l.resume(nil)
	await(t, "their answers are made", func() bool { called, _, _ := l.counts(); return called == len(slow) })
	l.say("quick")
	c := dial(t, addr)
	c.send("/wait")
	await(t, "parked", func() bool { return s.waiting() == 1 })
	l.resume(nil)
	c.wants("quick")
	for _, c := range slow {
		c.wants(large)
	}
}

// TestShareThatCannotBeSent: who gets no answer, since his connection has broken in the meantime, is
// told all the same, once.
func TestShareThatCannotBeSent(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	l.say("woken")
	const clients = 8
	for range clients {
		dial(t, addr).send("/wait")
	}
	await(t, "parked", func() bool { return s.waiting() == clients })
	share := &Share{}
	share.put(answer{head: "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n", raw: []byte("x"), status: http.StatusOK})
	// Their sockets are broken before their answer is written.
	s.mu.Lock()
	for c := s.conns; c != nil; c = c.next {
		_ = c.sock.(net.Conn).Close()
	}
	s.mu.Unlock()
	l.resume(share)
	await(t, "all are told", func() bool {
		called, shared, gone := l.counts()
		return called+shared+gone == clients
	})
	if _, _, gone := l.counts(); gone != clients {
		t.Errorf("%d of %d are told that they are gone", gone, clients)
	}
}

// TestShutdownWithAnIdleConnectionOfNetHTTP: one that was handed over and waits for its next request
// is closed at once.
func TestShutdownWithAnIdleConnectionOfNetHTTP(t *testing.T) {
	addr, s := serve(t, &http.Server{Handler: newLot()}, true)
	c := dial(t, addr)
	_, _ = io.WriteString(c, "PUT /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	c.wants("/1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if !c.ended() {
		t.Error("the connection is open")
	}
}

func TestDroppedPark(t *testing.T) {
	for name, after := range map[string]func(w http.ResponseWriter){
		"answered all the same": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
		"panicked":              func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan Ticket, 1)
			addr, _ := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				g := &goneTo{to: gone}
				g.ticket = w.(Parker).Park(g)
				after(w)
			})}, true)
			dial(t, addr).send("/")
			if k := <-gone; k.Resume(nil) {
				t.Error("it was resumed after it was gone")
			}
		})
	}
}

type goneTo struct {
	ticket Ticket
	to     chan Ticket
}

func (g *goneTo) Gone()           { g.to <- g.ticket }
func (g *goneTo) Shared(int, int) {}

func TestRequestWithBodyDoesNotPark(t *testing.T) {
	addr, _ := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(Parker); ok {
			t.Error("a request with a body can be parked, but its body cannot be read again")
		}
	})}, true)
	c := dial(t, addr)
	_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	c.wants("")
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l, IdleTimeout: 100 * time.Millisecond}, true)
	idle, pollerIdle, parked := dial(t, addr), dial(t, addr), dial(t, addr)
	pollerIdle.send("/wait")
	await(t, "parked", func() bool { return s.waiting() == 1 })
	l.resume(nil)
	pollerIdle.wants("woken")
	parked.send("/wait")
	await(t, "parked", func() bool { return s.waiting() == 1 })
	idle.send("/x")
	idle.wants("/x")
	began := time.Now()
	if !idle.ended() || !pollerIdle.ended() {
		t.Error("an idle connection is still open")
	}
	if time.Since(began) < 50*time.Millisecond {
		t.Errorf("closed after %v", time.Since(began))
	}
	l.resume(nil) // one that waits is not idle
	parked.wants("woken")
}

func TestHeadMustComeInTime(t *testing.T) {
	type answers struct{ silent, line, header, second string }
	var of []answers
	for _, own := range []bool{false, true} {
		addr, _ := serve(t, &http.Server{Handler: newLot(), ReadHeaderTimeout: 50 * time.Millisecond}, own)
		silent, line, header, second := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
		_, _ = io.WriteString(line, "GET / HT")
		_, _ = io.WriteString(header, "GET / HTTP/1.1\r\n")
		second.send("/x")
		second.wants("/x")
		_, _ = io.WriteString(second, "GET / HT")
		rest := func(c *client) string {
			b, err := io.ReadAll(c.r)
			if err != nil {
				t.Errorf("own %v: %v", own, err)
			}
			return string(b)
		}
		of = append(of, answers{rest(silent), rest(line), rest(header), rest(second)})

		patient := dial(t, addr)
		patient.send("/x")
		patient.wants("/x")
		<-time.After(100 * time.Millisecond)
		patient.send("/y")
		patient.wants("/y")
	}
	if of[0] != of[1] {
		t.Errorf("answers %q; net/http's are %q", of[1], of[0])
	}
}

// TestHandlerThatBlocksHoldsNobodyUp has handlers wait on connections that lanes serve, in the way
// that is noticed at once and in one that is not.
func TestHandlerThatBlocksHoldsNobodyUp(t *testing.T) {
	for name, wait := range map[string]func(r *http.Request, until chan struct{}){
		"asking for the context": func(r *http.Request, until chan struct{}) {
			select {
			case <-until:
			case <-r.Context().Done():
			}
		},
		"without": func(_ *http.Request, until chan struct{}) { <-until },
	} {
		t.Run(name, func(t *testing.T) {
			l, until, inside := newLot(), make(chan struct{}), make(chan struct{})
			addr, s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/block" {
					inside <- struct{}{}
					wait(r, until)
				}
				l.ServeHTTP(w, r)
			})}, true)
			var blocked []*client
			for range 4 * runtime.GOMAXPROCS(0) {
				c := dial(t, addr)
				c.send("/wait")
				await(t, "parked", func() bool { return s.waiting() == 1 })
				l.resume(nil)
				c.wants("woken")
				await(t, "at rest", func() bool { return s.in(quiet) == 1 })
				c.send("/block")
				<-inside
				blocked = append(blocked, c)
			}
			c := dial(t, addr) // a new connection begins on a lane too
			c.send("/x", "/wait")
			c.wants("/x")
			await(t, "parked", func() bool { return s.waiting() == 1 })
			l.resume(nil)
			c.wants("woken")
			close(until)
			for _, c := range blocked {
				c.wants("/block")
			}
		})
	}
}
