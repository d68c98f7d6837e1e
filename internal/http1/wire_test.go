//go:build linux

package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// logs collects what a server logs.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve starts a server on a free port, of this package or net/http's own.
func serve(t testing.TB, std *http.Server, own bool) (addr string, s *Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if std.ErrorLog == nil {
		std.ErrorLog = log.New(&logs{}, "", 0)
	}
	var both interface {
		Serve(net.Listener) error
		Close() error
	} = std
	if own {
		s = New(std)
		both = s
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := both.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := both.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
	})
	return l.Addr().String(), s
}

// wireHandler answers in all the ways that make a difference on the wire.
func wireHandler(t *testing.T) http.Handler {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/small", say("small"))
	mux.HandleFunc("/html", say("<html><body>x"))
	mux.HandleFunc("/2047", say(strings.Repeat("x", 2047)))
	mux.HandleFunc("/2048", say(strings.Repeat("x", 2048)))
	mux.HandleFunc("/2049", say(strings.Repeat("x", 2049)))
	mux.HandleFunc("/large", say(strings.Repeat("0123456789abcdef", 20_000)))
	mux.HandleFunc("/parts", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 200 {
			_, _ = fmt.Fprintf(w, "%d %s\n", i, strings.Repeat("x", i))
		}
	})
	mux.HandleFunc("/length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "50000")
		for range 50 {
			_, _ = io.WriteString(w, strings.Repeat("y", 1000))
		}
	})
	mux.HandleFunc("/long-length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write([]byte(strings.Repeat("y", 100_000)))
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	})
	mux.HandleFunc("/beyond", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, err := io.WriteString(w, "123456")
		if !errors.Is(err, http.ErrContentLength) {
			t.Errorf("Write beyond the length: %v", err)
		}
		_, _ = io.WriteString(w, "12345")
	})
	mux.HandleFunc("/no-length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "five")
		_, _ = io.WriteString(w, "12345")
	})
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "second")
		w.(http.Flusher).Flush()
		w.(http.Flusher).Flush()
	})
	mux.HandleFunc("/flush-first", func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "second")
	})
	mux.HandleFunc("/flush-length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "ab")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "cd")
	})
	for _, code := range []int{201, 204, 304, 307, 400, 404, 405, 429, 500, 503, 299, 999} {
		mux.HandleFunc(fmt.Sprintf("/status/%d", code), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x-test")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "body")
		})
		mux.HandleFunc(fmt.Sprintf("/status-length/%d", code), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "body")
		})
		mux.HandleFunc(fmt.Sprintf("/status-only/%d", code), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	mux.HandleFunc("/early-hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "then")
	})
	mux.HandleFunc("/twice", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Late", "not sent")
		_, _ = io.WriteString(w, "x")
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "x")
		w.Header().Set("Late", "not sent")
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["X-Many"] = []string{"a", "b"}
		h["lower"] = []string{"kept"}
		h["bad name"] = []string{"dropped"}
		h["X-Lines"] = []string{" a\r\nSet-Cookie: b\n "}
		h["X-None"] = nil
		h["Date"] = []string{"yesterday"}
		h["Vary"] = []string{"Accept-Encoding"}
		_, _ = io.WriteString(w, "x")
	})
	mux.HandleFunc("/no-type", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "x")
	})
	mux.HandleFunc("/no-date", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		_, _ = io.WriteString(w, "x")
	})
	mux.HandleFunc("/encoded", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "\x1f\x8b")
	})
	mux.HandleFunc("/identity", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "identity")
		_, _ = io.WriteString(w, "until the end")
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		_, _ = io.WriteString(w, "in chunks")
	})
	mux.HandleFunc("/chunked-length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "in chunks")
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	})
	mux.HandleFunc("/keep", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "keep-alive")
		_, _ = io.WriteString(w, "x")
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("as expected") })
	mux.HandleFunc("/abort", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 3000))
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %q %v %d %d %v %v", r.Method, r.RequestURI, r.Host, r.URL.Path, r.Header, r.ContentLength, len(body), err, r.Close)
	})
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 5)
		n, err := io.ReadFull(r.Body, b)
		_, _ = fmt.Fprintf(w, "%d %v", n, err)
	})
	mux.HandleFunc("/unread", say("unread"))
	mux.HandleFunc("/closed", func(w http.ResponseWriter, r *http.Request) {
		err := r.Body.Close()
		n, after := r.Body.Read(make([]byte, 1))
		_, _ = fmt.Fprintln(w, err, n, after)
	})
	mux.HandleFunc("/duplex", func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "first ")
		_ = http.NewResponseController(w).Flush()
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, len(body), err)
	})
	mux.HandleFunc("/answer-then-read", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_ = http.NewResponseController(w).Flush()
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/a/b?c=d", http.StatusTemporaryRedirect)
	})
	return mux
}

var wirePaths = strings.Fields(`/empty /small /html /2047 /2048 /2049 /large /parts /length /long-length /short /beyond /no-length
	/flush /flush-first /flush-length /early-hints /twice /late /headers /no-type /no-date /encoded /identity /chunked /chunked-length
	/close /keep /panic /abort /echo /redirect /none`)

var dateLine = regexp.MustCompile(`Date: [A-Z][a-z]{2}, [^\r]*GMT`)

// exchange sends bytes and reads until the server closes the connection.
func exchange(t *testing.T, addr, send string, before ...func(net.Conn)) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	for _, do := range before {
		do(c)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.WriteString(c, send) }) // the server may not read all of it
	defer wg.Wait()
	got, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the server does not close the connection after %.300q", got)
	}
	return dateLine.ReplaceAllString(string(got), "Date: now")
}

// TestWireIsNetHTTPs sends requests to a server of net/http and to one of this package: all the
// bytes of the answers must be the same.
func TestWireIsNetHTTPs(t *testing.T) {
	fresh := func(net.Conn) {}
	compareWires(t, wireHandler(t), fresh, wireHandler(t), func(*Server) func(net.Conn) { return fresh })
}

// compareWires does that with connections of theirs and ours with which something was done before.
func compareWires(t *testing.T, theirHandler http.Handler, before func(net.Conn), ourHandler http.Handler, ourBefore func(*Server) func(net.Conn)) {
	const last = "GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	var requests []string
	wirePaths := slices.Clone(wirePaths)
	for _, code := range []int{201, 204, 304, 307, 400, 404, 405, 429, 500, 503, 299, 999} {
		for _, kind := range []string{"status", "status-length", "status-only"} {
			wirePaths = append(wirePaths, fmt.Sprintf("/%s/%d", kind, code))
		}
	}
	for _, path := range wirePaths {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			requests = append(requests,
				fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, path)+last,
				fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", method, path))
		}
	}
	for _, path := range []string{"/echo", "/half", "/unread", "/closed", "/answer-then-read", "/small"} {
		for _, n := range []int{0, 1, 5, 3000, 5000, 200_000, 256 << 10, 256<<10 + 1, 600_000} {
			body := strings.Repeat("b", n)
			requests = append(requests,
				fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", path, n, body)+last,
				fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", path, n, body))
		}
	}
	requests = append(requests, "PUT /duplex HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"+strings.Repeat("b", 5000)+last)
	for _, tc := range heads {
		requests = append(requests, strings.Replace(tc.text, "/v1/kv/a", "/echo", 1)+last)
	}
	requests = append(requests,
		"GET /echo?"+strings.Repeat("x", 5000)+" HTTP/1.1\r\nHost: a\r\n\r\n"+last,
		"GET /echo HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 20_000)+"\r\n\r\n"+last,
		"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+last,
		"PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"+last,
		strings.Repeat("GET /small HTTP/1.1\r\nHost: a\r\n\r\n", 300)+last,
		strings.Repeat("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("b", 100), 100)+last,
		"GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.0\r\n\r\n",
		"GET /small HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n",
	)
	std := func(h http.Handler) *http.Server {
		return &http.Server{Handler: h, MaxHeaderBytes: 8 << 10, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second}
	}
	theirs, _ := serve(t, std(theirHandler), false)
	ours, s := serve(t, std(ourHandler), true)
	ownBefore := ourBefore(s)
	work := make(chan string)
	var wg sync.WaitGroup
	for range 16 { // some answers take half a second
		wg.Go(func() {
			for send := range work {
				want, got := exchange(t, theirs, send, before), exchange(t, ours, send, ownBefore)
				if want != got {
					t.Errorf("%.120q is answered with\n%.600q\nnet/http sends\n%.600q", send, got, want)
				}
			}
		})
	}
	for _, send := range requests {
		work <- send
	}
	close(work)
	wg.Wait()
}

// TestEndOfInput compares what clients get that stop sending in the middle.
func TestEndOfInput(t *testing.T) {
	std := func() *http.Server { return &http.Server{Handler: wireHandler(t)} }
	theirs, _ := serve(t, std(), false)
	ours, _ := serve(t, std(), true)
	half := func(addr, send string) string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return dateLine.ReplaceAllString(string(got), "Date: now")
	}
	const one = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, send := range []string{
		"", "G", "GET ", "GET / HTTP/1.1\r\nHost: a\r\n", one, one + "GET", one + "GET / HT", one + one,
		"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc", "PUT /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
	} {
		if want, got := half(theirs, send), half(ours, send); want != got {
			t.Errorf("%q is answered with\n%q\nnet/http sends\n%q", send, got, want)
		}
	}
}

// FuzzWire looks for bytes on a connection that are answered with others than net/http's.
func FuzzWire(f *testing.F) {
	const one = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, tc := range heads {
		f.Add(tc.text + one)
		f.Add(one + tc.text)
	}
	f.Add("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
	f.Add("PUT / HTTP/1.1\r\nHost:0\r\nContent-Length:270000\r\n\r\nabc")
	f.Add("POST / HTTP/1.1\r\nHost:0\r\n\r\n\r\n\r\n")
	f.Add("POST / HTTP/1.1\r\nHost:0\r\n\r\n\r\n\r\n\r\n\r\n" + one)
	f.Add("POST / HTTP/1.1\r\nHost:0\r\n\r\n\r\n" + one + "\r\n" + one)
	f.Add("POST / HTTP/1.1\r\nHost:0\r\n\r\n\r000")
	f.Add("POST / HTTP/1.1\r\nHost:0\r\n\r\n\r\n\r\n00")
	f.Add(one + "0")
	f.Add(one + "\x16\x03\x01\x02")
	f.Add("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n" + one + one)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body []byte
		var err error
		if !strings.Contains(r.URL.Path, "u") {
			body, err = io.ReadAll(r.Body)
		}
		_, _ = fmt.Fprintf(w, "%s %q %s %q %v %d %q %v", r.Method, r.RequestURI, r.Host, r.URL.Path, r.Header, r.ContentLength, body, err)
	})
	theirs, _ := serve(f, &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}, false)
	ours, _ := serve(f, &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}, true)
	send := func(addr, text string) (string, error) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, text) // the server may have closed already
		_ = c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		return dateLine.ReplaceAllString(string(got), "Date: now"), err
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := send(theirs, text)
		got, err2 := send(ours, text)
		var timeout net.Error
		if errors.As(err2, &timeout) && timeout.Timeout() {
			t.Fatalf("%q: no end after %q (net/http: %v)", text, got, err)
		}
		if err != nil || err2 != nil {
			return // reset in the middle of it
		}
		if want != got {
			t.Errorf("%q is answered with\n%q\nnet/http sends\n%q", text, got, want)
		}
	})
}

func TestShutdownOfAServerThatNeverServed(t *testing.T) {
	s := New(&http.Server{Handler: http.NotFoundHandler()})
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
