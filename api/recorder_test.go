package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/holdfast-kv/holdfast/api"
)

// sent is a request as the server saw it.
type sent struct {
	method string
	uri    string // as on the wire, escapes and all
	header http.Header
	body   string
}

// recorder answers every request with the same answer and remembers what came.
type recorder struct {
	mu   sync.Mutex
	seen []sent // guarded by mu
}

// last is the newest request.
func (r *recorder) last(t *testing.T) sent {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		t.Fatal("the server was not asked")
	}
	return r.seen[len(r.seen)-1]
}

// count is how many requests came.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// record starts a server that answers with handler.
func record(t *testing.T, handler http.HandlerFunc, opts ...api.Option) (*api.Client, *recorder) {
	t.Helper()
	r := &recorder{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		r.mu.Lock()
		r.seen = append(r.seen, sent{req.Method, req.RequestURI, req.Header.Clone(), string(body)})
		r.mu.Unlock()
		handler(w, req)
	}))
	t.Cleanup(server.Close)
	return connectTo(t, server.URL, opts...), r
}

// connectTo makes a client that ignores the environment.
func connectTo(t *testing.T, address string, opts ...api.Option) *api.Client {
	t.Helper()
	opts = append([]api.Option{api.WithoutEnvironment(), api.WithAddress(address)}, opts...)
	client, err := api.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// answer is a handler that always says the same.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// wroteHeaders tells whoever traces r that it has left, as a connection does.
func wroteHeaders(r *http.Request) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
}
