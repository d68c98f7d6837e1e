//go:build linux

package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

type markKey struct{}

// asked sends one request to a handler, and waits until the handler has said that it is done.
func asked(t *testing.T, handle func(w http.ResponseWriter, r *http.Request), after func(c *client)) {
	t.Helper()
	done := make(chan struct{})
	addr, _ := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		handle(w, r)
	})}, true)
	c := dial(t, addr)
	c.send("/")
	after(c)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the handler has not returned")
	}
}

func TestContextEndsWhenTheClientLeaves(t *testing.T) {
	for name, wait := range map[string]func(r *http.Request) error{
		"Done": func(r *http.Request) error {
			<-r.Context().Done()
			return r.Context().Err()
		},
		"a child with a timeout": func(r *http.Request) error {
			ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), markKey{}, 1), time.Hour)
			defer cancel()
			stacks := make([]byte, 1<<20)
			if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("propagateCancel")) {
				t.Errorf("it has a goroutine:\n%s", stacks)
			}
			<-ctx.Done()
			return ctx.Err()
		},
		"AfterFunc": func(r *http.Request) error {
			called := make(chan struct{})
			stop := context.AfterFunc(r.Context(), func() { close(called) })
			<-called
			if stop() {
				t.Error("it could still be stopped")
			}
			return r.Context().Err()
		},
		"a copy of the request": func(r *http.Request) error {
			r = r.WithContext(context.WithValue(r.Context(), markKey{}, 1))
			<-r.Context().Done()
			return r.Context().Err()
		},
	} {
		for how, leave := range map[string]func(c *client){
			"closes": func(c *client) { _ = c.Close() },
			"resets": func(c *client) { _ = c.Conn.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				waits := make(chan struct{})
				asked(t, func(_ http.ResponseWriter, r *http.Request) {
					close(waits)
					if err := wait(r); !errors.Is(err, context.Canceled) {
						t.Errorf("error %v", err)
					}
				}, func(c *client) {
					<-waits
					leave(c)
				})
			})
		}
	}
}

func TestContextEndsWithTheHandler(t *testing.T) {
	kept := make(chan context.Context, 2)
	l := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ask" {
			_ = r.Context().Done()
			if err := r.Context().Err(); err != nil {
				t.Errorf("while the handler runs: %v", err)
			}
		}
		kept <- r.Context()
	})
	addr, _ := serve(t, &http.Server{Handler: l}, true)
	c := dial(t, addr)
	for range 3 {
		c.send("/ask", "/")
		c.wants("", "")
		if err := (<-kept).Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("after the handler has returned: %v", err)
		}
		<-kept // nobody has asked, and nobody may yet
	}
}

func TestStoppedAfterFuncIsNotCalled(t *testing.T) {
	asked(t, func(_ http.ResponseWriter, r *http.Request) {
		stop := context.AfterFunc(r.Context(), func() { t.Error("called") })
		if !stop() || stop() {
			t.Error("it stops once")
		}
	}, func(c *client) { c.wants("") })
}

func TestContextKeptTooLongIsDone(t *testing.T) {
	x := &requestContext{}
	called := make(chan struct{})
	stop := context.AfterFunc(x, func() { close(called) })
	<-called
	if stop() {
		t.Error("it could be stopped")
	}
	<-x.Done()
	if x.Err() == nil || x.Value(markKey{}) != nil {
		t.Error("it is of no request")
	}
	if _, ok := x.Deadline(); ok {
		t.Error("it has a deadline")
	}
	if (&requestContext{}).Value(markKey{}) != nil {
		t.Error("it has a value")
	}
}

func TestContextHasTheValuesOfItsConnection(t *testing.T) {
	var std *http.Server
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if ctx.Value(markKey{}) != "mark" {
			t.Errorf("value %v", ctx.Value(markKey{}))
		}
		if ctx.Value(http.ServerContextKey) != std {
			t.Errorf("server %v", ctx.Value(http.ServerContextKey))
		}
		if addr, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); !ok || addr.String() != r.Header.Get("X-Addr") {
			t.Errorf("local address %v, want %s", addr, r.Header.Get("X-Addr"))
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	})
	calls := make(chan net.Conn, 8)
	std = &http.Server{Handler: handler, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		calls <- c
		return context.WithValue(ctx, markKey{}, "mark")
	}}
	addr, _ := serve(t, std, true)
	for _, more := range []string{"", "Pragma: no-cache\r\n"} { // the second is handed over
		c := dial(t, addr)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+more+"X-Addr: "+addr+"\r\n\r\n")
		c.wants(c.LocalAddr().String())
		if conn, ok := (<-calls).(*net.TCPConn); !ok {
			t.Errorf("ConnContext was called with a %T", conn)
		}
		if len(calls) > 0 {
			t.Error("ConnContext was called twice")
		}
	}
}

// TestCloseEndsContexts: handlers that wait for their context end with the server.
func TestCloseEndsContexts(t *testing.T) {
	waits, ended := make(chan struct{}), make(chan struct{})
	addr, s := serve(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		done := r.Context().Done()
		close(waits)
		<-done
		close(ended)
	})}, true)
	c := dial(t, addr)
	c.send("/")
	<-waits
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}
