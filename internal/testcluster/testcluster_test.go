//go:build unix

package testcluster

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPortsAreHandedOutOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 3 * blockSize { // more than one block
		port := FreePort(t)
		if seen[port] {
			t.Fatalf("port %d was handed out twice", port)
		}
		seen[port] = true
		l, err := listen(port)
		if err != nil {
			t.Fatalf("port %d is not free: %v", port, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLogKeepsBothEnds(t *testing.T) {
	var b logBuffer
	line := strings.Repeat("x", 1023) + "\n"
	for range 10 * keepBytes / len(line) {
		if n, err := b.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := b.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if len(got) > 4*keepBytes {
		t.Errorf("keeps %d bytes", len(got))
	}
	if !strings.HasPrefix(got, line) || !strings.HasSuffix(got, "the end") || !strings.Contains(got, " bytes ...]") {
		t.Errorf("an end is missing: %.40q ... %q", got, got[len(got)-40:])
	}
}

func TestShortLogIsWhole(t *testing.T) {
	var b logBuffer
	for _, s := range []string{"a", "b", "c"} {
		if _, err := b.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.String(); got != "abc" {
		t.Errorf("got %q", got)
	}
}

func TestEnvironmentOfAServerIsClean(t *testing.T) {
	got := cleanEnv([]string{"HOME=/x", "HOLDFAST_DATA_DIR=/x", "CONSUL_HTTP_ADDR=x", "NOTIFY_SOCKET=/x", "PATH=/bin"})
	if want := []string{"HOME=/x", "PATH=/bin"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEventuallySaysTheLastError(t *testing.T) {
	last := errors.New("the door is shut")
	if err := Eventually(t.Context(), 50*time.Millisecond, func() error { return last }); !errors.Is(err, last) {
		t.Errorf("got %v", err)
	}
	calls := 0
	err := Eventually(t.Context(), time.Minute, func() error {
		if calls++; calls < 3 {
			return last
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Eventually(ctx, time.Minute, func() error { return last }); err == nil {
		t.Error("went on after its context had ended")
	}
}

func TestNodeNames(t *testing.T) {
	for test, want := range map[string]string{
		"TestX":                               "node-testx",
		"TestX/a_rule,_stated":                "node-a-rule--stated",
		"TestX/" + strings.Repeat("long", 20): "node-" + strings.Repeat("long", 6),
	} {
		if got := nodeName(test); got != want {
			t.Errorf("%s: %s, want %s", test, got, want)
		}
	}
}

// TestEachMode: in every mode what was written before the turn is there after it, and
// the store is empty at the beginning.
func TestEachMode(t *testing.T) {
	var ran []string
	EachMode(t, Options{}, func(t *testing.T, s *Server) {
		ran = append(ran, t.Name())
		if resp := s.Do(http.MethodGet, "/v1/kv/?recurse", nil); resp.Status != http.StatusNotFound {
			t.Fatalf("not empty at the beginning: %d %s", resp.Status, resp.Body)
		}
		pid := s.PID()
		s.Put("a", "1")
		s.Turn()
		if value, _ := s.Get("a"); value != "1" {
			t.Errorf("holds %q, want %q", value, "1")
		}
		if same := s.PID() == pid; same != (s.mode == Single) {
			t.Errorf("mode %s: same process: %v", s.mode, same)
		}
	})
	if len(ran) != len(Modes()) {
		t.Errorf("ran %v", ran)
	}
}

func TestServerLife(t *testing.T) {
	s := Start(t, Options{})
	s.Put("a", "1")
	s.Kill9()
	if s.Running() {
		t.Fatal("still runs")
	}
	s.Start()
	if value, found := s.Get("a"); !found || value != "1" {
		t.Errorf("after kill -9: %q, %v", value, found)
	}
	s.Restart()
	if value, found := s.Get("a"); !found || value != "1" {
		t.Errorf("after a restart: %q, %v", value, found)
	}
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(time.Minute); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.Wipe()
	s.Start()
	if _, found := s.Get("a"); found {
		t.Error("still there after the data directory was removed")
	}
}

func TestServerThatRefuses(t *testing.T) {
	s := New(t, Options{Config: map[string]any{"no_such_key": 1}})
	code, output := s.StartFailing()
	if code == 0 || !strings.Contains(output, "no_such_key") {
		t.Errorf("exit code %d: %s", code, output)
	}
	s.opts.Config = nil
	s.Start() // and it is well again without the cause
}

func TestDevServer(t *testing.T) {
	s := Start(t, Options{Dev: true})
	s.Put("a", "1")
	if value, _ := s.Get("a"); value != "1" {
		t.Errorf("holds %q", value)
	}
	if _, err := os.Stat(s.dir + "/data"); !os.IsNotExist(err) {
		t.Errorf("it has a data directory: %v", err)
	}
}
