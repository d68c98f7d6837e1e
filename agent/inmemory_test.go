package agent

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// inMemory is a server without a data dir, on ports that the system chooses.
type inMemory struct {
	*Agent
	url string
	log *logBuffer
}

// logBuffer keeps a log for a test to look at.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// testConfig is the configuration of a server in memory. Who reads its requests is for whoever
// runs the tests to say, as it is of the servers of package testcluster.
func testConfig() *config.Config {
	cfg := config.Default()
	if server := testcluster.HTTPServer(); server != "" {
		cfg.HTTP.Server = server
	}
	cfg.Dev, cfg.Bootstrap = true, true
	cfg.BindAddr, cfg.AdvertiseAddr = "127.0.0.1", "127.0.0.1"
	cfg.NodeName, cfg.PrimaryDatacenter = "node-1", cfg.Datacenter
	cfg.Ports.HTTP = 0
	return cfg
}

// newInMemory makes a server that does not run yet. It is closed at the end of the
// test, unless it ran.
func newInMemory(t *testing.T, opts Options) *inMemory {
	t.Helper()
	m := &inMemory{log: &logBuffer{}}
	if opts.Loaded == nil {
		opts.Loaded = &config.Loaded{Config: testConfig()}
	}
	if opts.Log == nil {
		opts.Log = NewLogs(m.log, hclog.Debug, false)
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	m.Agent, m.url = a, a.URLs()[0]
	return m
}

// startInMemory makes a server and runs it until the end of the test, or until stop
// is called.
func startInMemory(t *testing.T, opts Options) (m *inMemory, stop func()) {
	t.Helper()
	m = newInMemory(t, opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server ended with: %v\n%s", err, m.log)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(stop)
	select {
	case <-m.caughtUp:
	case <-time.After(10 * time.Second):
		t.Fatalf("not ready after 10 s\n%s", m.log)
	}
	return m, stop
}

// ask sends one request and returns status, headers and body of the answer.
func (m *inMemory) ask(t *testing.T, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, m.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}
