package limitserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, kind Kind) *Server {
	t.Helper()
	s, err := Start(kind, filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) *rawhttp.Client {
	t.Helper()
	c, err := rawhttp.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestReadySendsTheRecordedAnswer(t *testing.T) {
	s := start(t, Ready)
	want := Answer{
		Status: 404,
		Fields: []rawhttp.Field{
			{Name: "Vary", Value: "Accept-Encoding"},
			{Name: "X-Consul-Index", Value: "42"},
			{Name: "X-Consul-Knownleader", Value: "true"},
		},
		Body: bytes.Repeat([]byte("0123456789"), 10_000),
	}
	s.SetAnswer(want)
	c := dial(t, s)
	for range 3 {
		r, err := c.Do(t.Context(), "GET", "/v1/kv/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		// net/http sorts headers; the recorded ones above are in that order.
		if diff := cmp.Diff(want, AnswerLike(r)); diff != "" {
			t.Fatalf("answer (-want +got):\n%s", diff)
		}
	}
}

func TestAnswerLikeLeavesFramingOut(t *testing.T) {
	r := rawhttp.Response{
		Status: 200,
		Head:   []byte("HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nVary: x\r\nConnection: close"),
		Body:   []byte("b"),
	}
	want := Answer{Status: 200, Fields: []rawhttp.Field{{Name: "Vary", Value: "x"}}, Body: []byte("b")}
	if diff := cmp.Diff(want, AnswerLike(r)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestParkWakesAllOnAPut(t *testing.T) {
	const waiters = 20
	s := start(t, Park)
	s.SetAnswer(Answer{Status: 200, Body: []byte("woken")})

	bodies := make(chan string, waiters)
	var wg sync.WaitGroup
	for range waiters {
		c := dial(t, s)
		wg.Go(func() {
			r, err := c.Do(t.Context(), "GET", "/?index=1", nil)
			if err != nil {
				bodies <- err.Error()
				return
			}
			bodies <- string(r.Body)
		})
	}
	await(t, func() bool { return s.Parked() == waiters })
	if len(bodies) != 0 {
		t.Fatalf("%d answers before the write", len(bodies))
	}
	r, err := dial(t, s).Do(t.Context(), "PUT", "/", []byte("x"))
	if err != nil || string(r.Body) != "true" {
		t.Fatalf("write answered %q, error %v", r.Body, err)
	}
	wg.Wait()
	close(bodies)
	for b := range bodies {
		if b != "woken" {
			t.Errorf("a waiter got %q", b)
		}
	}
	if n := s.Parked(); n != 0 {
		t.Errorf("%d still parked", n)
	}
}

func TestParkForgetsAClientThatIsGone(t *testing.T) {
	s := start(t, Park)
	ctx, cancel := context.WithCancel(t.Context())
	c := dial(t, s)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		_, _ = c.Do(ctx, "GET", "/?index=1", nil)
	})
	await(t, func() bool { return s.Parked() == 1 })
	cancel()
	<-done
	_ = c.Close()
	await(t, func() bool { return s.Parked() == 0 })
	wg.Wait()
}

func TestAppendKeepsEveryBodyOnce(t *testing.T) {
	const writers, each = 16, 20
	path := filepath.Join(t.TempDir(), "journal")
	s, err := Start(Append, path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		c := dial(t, s)
		wg.Go(func() {
			for i := range each {
				r, err := c.Do(t.Context(), "PUT", "/v1/kv/a", fmt.Appendf(nil, "%d/%d\n", w, i))
				if err != nil || string(r.Body) != "true" {
					t.Errorf("writer %d: answer %q, error %v", w, r.Body, err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for line := range strings.Lines(string(got)) {
		w, i, _ := strings.Cut(strings.TrimSpace(line), "/")
		if i != fmt.Sprint(next[w]) {
			t.Fatalf("writer %s: line %s, want %d", w, i, next[w])
		}
		next[w]++
	}
	for w := range writers {
		if n := next[fmt.Sprint(w)]; n != each {
			t.Errorf("writer %d: %d lines, want %d", w, n, each)
		}
	}

	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("after a reset: size %v, error %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAppendRefusesABodyAboveTheBound(t *testing.T) {
	s := start(t, Append)
	c := dial(t, s)
	r, err := c.Do(t.Context(), "PUT", "/", bytes.Repeat([]byte("x"), maxBodyBytes+1))
	if err == nil && r.Status != 500 {
		t.Errorf("a body above the bound is answered %d", r.Status)
	}
}

func TestAppendReportsADiskError(t *testing.T) {
	s := start(t, Append)
	_ = s.journal.file.Close()
	r, err := dial(t, s).Do(t.Context(), "PUT", "/", []byte("x"))
	if err != nil || r.Status != 500 {
		t.Errorf("status %d, error %v; want 500", r.Status, err)
	}
	// Let Close succeed.
	s.journal.file, err = os.Create(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
}

func TestStartRefusesAnUnknownKind(t *testing.T) {
	if _, err := Start("nonsense", ""); err == nil {
		t.Error("no error")
	}
}

func TestMainObeysCommandsUntilInputEnds(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := Main(Append, filepath.Join(t.TempDir(), "journal"), inR, outW)
		_ = outW.Close()
		ended <- err
	})
	send, receive := json.NewEncoder(inW), json.NewDecoder(outR)
	var hello Reply
	if err := receive.Decode(&hello); err != nil || hello.Addr == "" {
		t.Fatalf("first line %+v, error %v", hello, err)
	}
	for _, tc := range []struct {
		rule  string
		c     Command
		fails bool
	}{
		{"an answer is taken", Command{Op: SetAnswer, Answer: &Answer{Status: 200, Body: []byte("read")}}, false},
		{"and one to writes", Command{Op: SetWriteAnswer, Answer: &Answer{Status: 200, Body: []byte("mine")}}, false},
		{"an answer without one is refused", Command{Op: SetAnswer}, true},
		{"goroutines are counted", Command{Op: Goroutines}, false},
		{"parked requests are counted", Command{Op: Parked}, false},
		{"the file is emptied", Command{Op: Reset}, false},
		{"anything else is refused", Command{Op: "dance"}, true},
	} {
		if err := send.Encode(tc.c); err != nil {
			t.Fatal(err)
		}
		var r Reply
		if err := receive.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if (r.Error != "") != tc.fails {
			t.Errorf("%s: reply %+v", tc.rule, r)
		}
	}
	c, err := rawhttp.Dial(t.Context(), hello.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r, err := c.Do(t.Context(), "PUT", "/", []byte("x")); err != nil || string(r.Body) != "mine" {
		t.Errorf("answer %q, error %v", r.Body, err)
	}
	_ = inW.Close()
	if err := <-ended; err != nil {
		t.Errorf("Main: %v", err)
	}
	wg.Wait()
}

// await polls until the condition holds: the counters have no channel to wait on.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	for !holds() {
		select {
		case <-ticks.C:
		case <-t.Context().Done():
			t.Fatal("condition never held")
		}
	}
}
