package target

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/standin"
)

func TestMain(m *testing.M) {
	standin.Dispatch()
	goleak.VerifyTestMain(m)
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func TestServerKeepsItsDataOverAKill(t *testing.T) {
	dir := t.TempDir()
	s, err := StartServer(t.Context(), ServerOptions{Bin: self(t), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r, err := s.Target().Do(t.Context(), "PUT", "/v1/kv/a", []byte("1"))
	if err != nil || r.Status != http.StatusOK {
		t.Fatalf("status %d, error %v", r.Status, err)
	}
	before := s.Target()

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := procfs.RSS(before.PID); err == nil {
		t.Error("the process is still there after Kill")
	}
	if err := s.Kill(); err != nil {
		t.Errorf("a second Kill: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitRead(t.Context(), "a", http.StatusOK); err != nil {
		t.Fatal(err)
	}
	if after := s.Target(); after.Addr != before.Addr || after.PID == before.PID {
		t.Errorf("before the restart %+v, after it %+v; want the same address and another process", before, after)
	}
	if cpu, err := s.Target().CPU()(); err != nil || cpu <= 0 {
		t.Errorf("CPU time %v, error %v", cpu, err)
	}

	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("Close left %v behind", left)
	}
}

func TestServerThatEndsAtOnceIsReportedWithItsLog(t *testing.T) {
	dir := t.TempDir()
	_, err := StartServer(t.Context(), ServerOptions{Bin: self(t), Dir: dir, Config: []string{filepath.Join(dir, "none.hcl")}})
	if err == nil || !strings.Contains(err.Error(), "none.hcl: no such file") {
		t.Errorf("error %v, want the server's own text in it", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the start that failed left %v behind", left)
	}
}

func TestStartOfAServerEndsWithItsContext(t *testing.T) {
	s, err := StartServer(t.Context(), ServerOptions{Bin: self(t), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The key is not there, so this would go on for long.
	if err := s.AwaitRead(ctx, "never", http.StatusOK); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled in it", err)
	}
}

func TestServerBinaryThatIsNotThere(t *testing.T) {
	if _, err := StartServer(t.Context(), ServerOptions{Bin: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist in it", err)
	}
}

func TestLimitProcess(t *testing.T) {
	dir := t.TempDir()
	l, err := StartLimit(limitserver.Append, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetWriteAnswer(limitserver.Answer{Status: 201, Body: []byte("stored")}); err != nil {
		t.Fatal(err)
	}
	r, err := l.Target().Do(t.Context(), "PUT", "/", []byte("x"))
	if err != nil || r.Status != 201 || string(r.Body) != "stored" {
		t.Errorf("status %d, body %q, error %v", r.Status, r.Body, err)
	}
	if n, err := l.Parked(); err != nil || n != 0 {
		t.Errorf("%d parked, error %v", n, err)
	}
	if n, err := l.Goroutines(); err != nil || n < 1 {
		t.Errorf("%d goroutines, error %v", n, err)
	}
	if err := l.SetAnswer(limitserver.Answer{Status: 200, Body: []byte("read")}); err != nil {
		t.Error(err)
	}
	if r, err := l.Target().Do(t.Context(), "GET", "/", nil); err != nil || string(r.Body) != "read" {
		t.Errorf("body %q, error %v", r.Body, err)
	}
	if err := l.Reset(); err != nil {
		t.Error(err)
	}
	if l.Target().PID == os.Getpid() {
		t.Error("the limit is no process of its own")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("Close left %v behind", left)
	}
	if err := l.Reset(); err == nil {
		t.Error("a limit that has ended takes commands")
	}
}

func TestLimitOfAnUnknownKindIsReported(t *testing.T) {
	if _, err := StartLimit("nonsense", t.TempDir()); err == nil {
		t.Error("no error")
	}
}

func TestFreePortsDiffer(t *testing.T) {
	ports, err := freePorts(10)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if n := len(slices.Compact(ports)); n != 10 || ports[0] <= 0 {
		t.Errorf("%d different ports %v, want 10", n, ports)
	}
}

func TestRaiseOpenFiles(t *testing.T) {
	n, err := RaiseOpenFiles()
	if err != nil || n < 1024 {
		t.Errorf("%d files, error %v", n, err)
	}
}

func TestTargetOfUnknownProcessHasNoCPU(t *testing.T) {
	if (Target{Addr: "127.0.0.1:1"}).CPU() != nil {
		t.Error("there is a CPU reader without a process")
	}
}

func TestKillFromSeveralSides(t *testing.T) {
	l, err := StartLimit(limitserver.Park, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := l.proc.kill(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestCPUOfAll(t *testing.T) {
	self := Target{PID: os.Getpid()}
	if CPUOfAll([]Target{self, {}}) != nil {
		t.Error("the CPU time of a process that is not known is known")
	}
	one, err := self.CPU()()
	if err != nil {
		t.Fatal(err)
	}
	all, err := CPUOfAll([]Target{self, self})()
	if err != nil || all < 2*one {
		t.Errorf("%v of two, %v of one before, error %v", all, one, err)
	}
}
