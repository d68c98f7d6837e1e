package httpapi

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func TestMetricsForm(t *testing.T) {
	const (
		text = "text/plain; version=0.0.4; charset=utf-8"
		open = "application/openmetrics-text; version=1.0.0; charset=utf-8"
		js   = "application/json"
	)
	for _, tc := range []struct{ rule, target, accept, contentType string }{
		{"JSON when nobody says otherwise", "/v1/agent/metrics", "", js},
		{"the format parameter", "/v1/agent/metrics?format=prometheus", "", text},
		{"another format is JSON", "/v1/agent/metrics?format=xml", "", js},
		{"OpenMetrics accepted", "/v1/agent/metrics", "application/openmetrics-text; version=1.0.0", text},
		{"what Prometheus itself sends", "/v1/agent/metrics", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", text},
		{"the version that clients copied", "/v1/agent/metrics", "text/plain;version=0.4.0", text},
		{"the version that is right", "/v1/agent/metrics", "text/html, text/plain; q=0.5; version=0.0.4", text},
		{"another version", "/v1/agent/metrics", "text/plain;version=1.2", js},
		{"a bare text/plain", "/v1/agent/metrics", "text/plain", js},
		{"anything", "/v1/agent/metrics", "*/*", js},
		{"the page for scrapers", "/metrics", "", text},
		{"the page for scrapers in OpenMetrics", "/metrics", "application/openmetrics-text", open},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := ask(t, newAgentServer(t, &fakeAgent{}), http.MethodGet, tc.target, "", "Accept", tc.accept)
			if got := w.Header().Get("Content-Type"); w.Code != 200 || got != tc.contentType {
				t.Fatalf("%d %s, want 200 %s", w.Code, got, tc.contentType)
			}
			switch body := w.Body.String(); tc.contentType {
			case js:
				if body != `{"Timestamp":""}` {
					t.Errorf("body is %q", body)
				}
			case open:
				if !strings.HasSuffix(body, "# EOF\n") {
					t.Errorf("body is %q", body)
				}
			default:
				if body != "# TYPE holdfast_x gauge\nholdfast_x 1\n" {
					t.Errorf("body is %q", body)
				}
			}
		})
	}
}

// open sends a request to a real server and returns the answer, whose headers have
// come.
func open(t *testing.T, s *Server, target string, headers ...string) *http.Response {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not after 10 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestMetricsStreamSendsEachInterval(t *testing.T) {
	f := &fakeAgent{metrics: newFakeMetrics()}
	s := newAgentServer(t, f)
	res := open(t, s, "/v1/agent/metrics/stream")
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "application/json" {
		t.Fatalf("%d %s", res.StatusCode, got)
	}
	lines := bufio.NewReader(res.Body)
	for _, want := range []string{"{\n    \"Timestamp\": \"i\"\n}\n", "{\n    \"Timestamp\": \"ii\"\n}\n"} {
		f.metrics.complete()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(lines, got); err != nil || string(got) != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}
	if n := s.Streams(); n != 1 {
		t.Errorf("%d streams are open, want 1", n)
	}
	s.Drain()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Errorf("a server that stops ends the stream in good order; got %q, %v", rest, err)
	}
	eventually(t, "no stream is open", func() bool { return s.Streams() == 0 })
}

func TestMetricsStreamEndsWithItsClient(t *testing.T) {
	s := newAgentServer(t, &fakeAgent{})
	res := open(t, s, "/v1/agent/metrics/stream")
	_ = res.Body.Close()
	eventually(t, "no stream is open", func() bool { return s.Streams() == 0 })
}

func TestStreamIsCompressedFromTheFirstByte(t *testing.T) {
	f := &fakeAgent{metrics: newFakeMetrics()}
	s := newAgentServer(t, f)
	res := open(t, s, "/v1/agent/metrics/stream", "Accept-Encoding", "gzip")
	if got := res.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("content encoding is %q", got)
	}
	f.metrics.complete()
	plain, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Timestamp string }
	if err := json.NewDecoder(plain).Decode(&object); err != nil || object.Timestamp != "i" {
		t.Errorf("got %+v, %v", object, err)
	}
	s.Drain()
	if _, err := io.ReadAll(plain); err != nil {
		t.Errorf("the compressed stream has no proper end: %v", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	for _, target := range []string{"/v1/agent/monitor", "/v1/agent/metrics/stream"} {
		t.Run(target, func(t *testing.T) {
			f := &fakeAgent{tail: newFakeTail()}
			s := newAgentServer(t, f)
			s.streams.Store(maxStreams)
			w := ask(t, s, http.MethodGet, target, "")
			if w.Code != 429 || !strings.Contains(w.Body.String(), "close one first") {
				t.Errorf("%d %q, want 429", w.Code, w.Body.String())
			}
			if n := s.Streams(); n != maxStreams {
				t.Errorf("%d streams after the refusal, want %d", n, maxStreams)
			}
			if n := f.tail.openCount(); n != 0 {
				t.Errorf("the refused request follows the log")
			}
		})
	}
}

func TestHeadOfAStreamEnds(t *testing.T) {
	for _, target := range []string{"/v1/agent/monitor", "/v1/agent/metrics/stream"} {
		s := newAgentServer(t, &fakeAgent{})
		w := ask(t, s, http.MethodHead, target, "", "Accept-Encoding", "gzip")
		if w.Code != 200 || w.Body.Len() != 0 || s.Streams() != 0 {
			t.Errorf("HEAD %s: %d, %d bytes, %d streams left", target, w.Code, w.Body.Len(), s.Streams())
		}
	}
}

// TestWaitingIsNotCountedAsAnswering lets a stream wait for a while and looks at
// what was counted as the time of its answer.
func TestWaitingIsNotCountedAsAnswering(t *testing.T) {
	s := newAgentServer(t, &fakeAgent{})
	began := time.Now()
	res := open(t, s, "/v1/agent/metrics/stream")
	eventually(t, "100 ms are over", func() bool { return time.Since(began) > 100*time.Millisecond })
	s.Drain()
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	counters := routeMetrics(t, s, "/v1/agent/metrics/stream")
	eventually(t, "the stream is counted", func() bool { return counters.Codes[2].Load() == 1 })
	if got := time.Duration(counters.Nanos.Load()); got < 0 || got > 50*time.Millisecond {
		t.Errorf("a stream of 100 ms counts as an answer of %s", got)
	}
}

func routeMetrics(t *testing.T, s *Server, path string) *RouteMetrics {
	t.Helper()
	for _, r := range s.RequestMetrics() {
		if r.Path == path {
			return r
		}
	}
	t.Fatalf("no route %s", path)
	return nil
}
