package rawhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		rule string
		body []byte
		want string
	}{
		{"without a body there is no length", nil, "PUT /v1/kv/a?flags=1 HTTP/1.1\r\nHost: h:1\r\n\r\n"},
		{"an empty body has length 0", []byte{}, "PUT /v1/kv/a?flags=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n"},
		{"a body follows the head", []byte("xyz"), "PUT /v1/kv/a?flags=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\n\r\nxyz"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := string(Request("PUT", "/v1/kv/a?flags=1", "h:1", tc.body)); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestClientAgainstNetHTTP(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "12")
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("GET /chunked", func(w http.ResponseWriter, _ *http.Request) {
		for part := range slices.Chunk(big, 30_000) {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("GET /missing", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "13")
		w.WriteHeader(http.StatusNotFound)
	})
	mux.HandleFunc("PUT /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()

	// One connection for all rows: each must leave it usable for the next.
	c, err := Dial(t.Context(), strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tc := range []struct {
		rule, method, target string
		send                 []byte
		status               int
		index                uint64
		body                 []byte
	}{
		{"a short answer", "GET", "/length", nil, 200, 12, []byte("hello")},
		{"a chunked answer larger than the buffer", "GET", "/chunked", nil, 200, 0, big},
		{"a 404 with an empty body", "GET", "/missing", nil, 404, 13, nil},
		{"a large body both ways", "PUT", "/echo", big, 200, 0, big},
		{"the connection is still good", "GET", "/length", nil, 200, 12, []byte("hello")},
	} {
		r, err := c.Do(t.Context(), tc.method, tc.target, tc.send)
		if err != nil {
			t.Fatalf("%s: %v", tc.rule, err)
		}
		if r.Status != tc.status || r.Index != tc.index || !bytes.Equal(r.Body, tc.body) || r.Length != int64(len(tc.body)) {
			t.Errorf("%s: status %d, index %d, %d bytes (length %d); want %d, %d, %d bytes",
				tc.rule, r.Status, r.Index, len(r.Body), r.Length, tc.status, tc.index, len(tc.body))
		}
	}
}

func TestClientDoEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	defer srv.Close()
	c, err := Dial(t.Context(), strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, "GET", "/", nil)
		done <- err
	}()
	<-arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled in it", err)
	}
}

func TestClientReportsAConnectionThatEndsEarly(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
	}))
	defer srv.Close()
	c, err := Dial(t.Context(), strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Do(t.Context(), "GET", "/", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want an unexpected EOF", err)
	}
}
