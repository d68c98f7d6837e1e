//go:build unix

package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// ran is what a child did.
type ran struct {
	stdout, stderr string
	said           string
	err            error
}

// runChild runs words under held.
func runChild(t *testing.T, p *program, held context.Context, stdin string, words ...string) ran {
	t.Helper()
	var stdout, stderr, said bytes.Buffer
	c := &cobra.Command{}
	c.SetContext(t.Context())
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	n := &notices{w: &said}
	err := p.run(c, held, words, []string{"HOLDFAST_TEST=yes"}, n.say)
	return ran{stdout.String(), stderr.String(), said.String(), err}
}

// awaitFile waits until a child has made a file, and returns what it holds.
func awaitFile(t *testing.T, path string) string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if data, err := os.ReadFile(path); err == nil && bytes.HasSuffix(data, []byte("\n")) {
			return strings.TrimSpace(string(data))
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s was not made", path)
		}
	}
}

func TestHowAChildEnds(t *testing.T) {
	for _, tc := range []struct {
		rule     string
		script   string
		exitCode bool
		code     int // of the command
	}{
		{"well", "exit 0", false, 0},
		{"badly, which is not asked for", "exit 7", false, 0},
		{"well, which is", "exit 0", true, 0},
		{"badly, which is", "exit 7", true, 7},
		{"by a signal, which is", "kill -9 $$", true, 137},
		{"by a signal, which is not", "kill -9 $$", false, 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			p := &program{shell: true, exitCode: tc.exitCode, grace: time.Second}
			if got := runChild(t, p, t.Context(), "", tc.script); exitCode(got.err) != tc.code {
				t.Errorf("error = %v, exit code %d, want %d", got.err, exitCode(got.err), tc.code)
			}
		})
	}
}

func TestWhatAChildIsGiven(t *testing.T) {
	t.Run("the shell, our environment and more, no input", func(t *testing.T) {
		got := runChild(t, &program{shell: true, grace: time.Second}, t.Context(), "input", "echo", "$HOLDFAST_TEST", "$HOME;", "cat;", "echo err >&2")
		if got.stdout != "yes "+os.Getenv("HOME")+"\n" || got.stderr != "err\n" || got.err != nil {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("no shell, and the input", func(t *testing.T) {
		got := runChild(t, &program{passStdin: true, grace: time.Second}, t.Context(), "input", "cat", "-", "/dev/null")
		if got.stdout != "input" || got.err != nil {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("one that cannot be run", func(t *testing.T) {
		got := runChild(t, &program{grace: time.Second}, t.Context(), "", "/does/not/exist")
		if exitCode(got.err) != exitFailed || !strings.Contains(got.err.Error(), "run command: ") {
			t.Errorf("error = %v", got.err)
		}
	})
}

// loseWhenReady ends the returned context once the file is there.
func loseWhenReady(t *testing.T, path string) context.Context {
	held, lose := context.WithCancel(t.Context())
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		awaitFile(t, path)
		lose()
	}()
	t.Cleanup(func() { <-ready })
	return held
}

func TestALossEndsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	ready, other := filepath.Join(dir, "ready"), filepath.Join(dir, "other")
	script := `sleep 1000 & echo $! > ` + other + `; trap 'echo asked; exit 0' TERM; echo > ` + ready + `; while :; do sleep 0.01; done`
	got := runChild(t, &program{shell: true, exitCode: true, grace: time.Minute}, loseWhenReady(t, ready), "", script)
	if got.err != nil || !strings.Contains(got.stdout, "asked") {
		t.Errorf("got %+v, want it asked, and to end well", got)
	}
	if strings.Contains(got.said, "Killing") {
		t.Errorf("it was killed: %s", got.said)
	}
	gone(t, awaitFile(t, other))
}

func TestWhoDoesNotEndIsKilled(t *testing.T) {
	dir := t.TempDir()
	ready, other := filepath.Join(dir, "ready"), filepath.Join(dir, "other")
	script := `trap '' TERM; sleep 1000 & echo $! > ` + other + `; echo > ` + ready + `; while :; do sleep 0.01; done`
	got := runChild(t, &program{shell: true, exitCode: true, grace: 100 * time.Millisecond}, loseWhenReady(t, ready), "", script)
	if exitCode(got.err) != 137 || !strings.Contains(got.said, "Killing") {
		t.Errorf("got %+v, exit code %d, want it killed", got, exitCode(got.err))
	}
	gone(t, awaitFile(t, other))
}

// TestOneThatLeavesOthersBehindIsWaitedFor: the leader of the group ends at once, and
// what it has started does not.
func TestOneThatLeavesOthersBehindIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	ready, other := filepath.Join(dir, "ready"), filepath.Join(dir, "other")
	script := `(trap '' TERM; while :; do sleep 0.01; done) & echo $! > ` + other + `; echo > ` + ready + `; exec sleep 1000`
	got := runChild(t, &program{shell: true, grace: 200 * time.Millisecond}, loseWhenReady(t, ready), "", script)
	if got.err != nil || !strings.Contains(got.said, "Killing") {
		t.Errorf("got %+v", got)
	}
	gone(t, awaitFile(t, other))
}

// gone checks that a process ends soon.
func gone(t *testing.T, text string) {
	t.Helper()
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-tick.C:
		case <-deadline:
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// alive says whether a process runs; a dead one that nobody has asked for does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestSignalsArePassedOn(t *testing.T) {
	// Without a handler of the test's own, a signal that comes too late would end it.
	quiet := make(chan os.Signal, 16)
	signal.Notify(quiet, forwarded...)
	defer signal.Stop(quiet)
	for _, tc := range []struct {
		rule     string
		sig      syscall.Signal
		name     string
		exitCode bool
		code     int
	}{
		{"one that ends programs, which ends the command", syscall.SIGTERM, "TERM", false, exitInterrupted},
		{"so does that of the terminal", syscall.SIGINT, "INT", false, exitInterrupted},
		{"unless the child's code is asked for", syscall.SIGTERM, "TERM", true, 9},
		{"one that does not", syscall.SIGUSR1, "USR1", false, 0},
		{"one that asks to read the configuration", syscall.SIGHUP, "HUP", true, 9},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			ready := filepath.Join(t.TempDir(), "ready")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				awaitFile(t, ready)
				_ = syscall.Kill(os.Getpid(), tc.sig)
			}()
			script := `trap 'echo got; exit 9' ` + tc.name + `; echo > ` + ready + `; while :; do sleep 0.01; done`
			got := runChild(t, &program{shell: true, exitCode: tc.exitCode, grace: time.Second}, t.Context(), "", script)
			<-sent
			if exitCode(got.err) != tc.code || !strings.Contains(got.stdout, "got") {
				t.Errorf("got %+v, exit code %d, want %d", got, exitCode(got.err), tc.code)
			}
		})
	}
}

// TestAfterASignalTheWholeGroupIsWaitedFor: the shell that runs the command ends by the
// signal at once, while the command itself tidies up.
func TestAfterASignalTheWholeGroupIsWaitedFor(t *testing.T) {
	quiet := make(chan os.Signal, 16)
	signal.Notify(quiet, forwarded...)
	defer signal.Stop(quiet)
	dir := t.TempDir()
	ready, tidied := filepath.Join(dir, "ready"), filepath.Join(dir, "tidied")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		awaitFile(t, ready)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	inner := `trap 'sleep 0.2; echo > ` + tidied + `; exit 0' TERM; echo > ` + ready + `; while :; do sleep 0.01; done`
	got := runChild(t, &program{shell: true, grace: time.Minute}, t.Context(), "", `sh -c "`+inner+`"; true`)
	<-sent
	if _, err := os.Stat(tidied); err != nil || exitCode(got.err) != exitInterrupted {
		t.Errorf("got %+v before the command had tidied up: %v", got, err)
	}
}

func TestAStoppedChildIsWokenToEnd(t *testing.T) {
	quiet := make(chan os.Signal, 16)
	signal.Notify(quiet, forwarded...)
	defer signal.Stop(quiet)
	ready := filepath.Join(t.TempDir(), "ready")
	held := loseWhenReady(t, ready)
	script := `trap 'exit 0' TERM; (sleep 0.05; echo > ` + ready + `) & kill -STOP $$; exit 3`
	got := runChild(t, &program{shell: true, exitCode: true, grace: time.Minute}, held, "", script)
	if code := exitCode(got.err); code != 0 && code != 143 && code != 3 {
		t.Errorf("got %+v, exit code %d", got, code)
	}
}

func TestNothingIsRunAfterASignal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &cobra.Command{}
	c.SetContext(ctx)
	marker := filepath.Join(t.TempDir(), "ran")
	err := (&program{shell: true, grace: time.Second}).run(c, t.Context(), []string{"echo > " + marker}, nil, func(string, ...any) {})
	if exitCode(err) != exitInterrupted {
		t.Errorf("error = %v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("it was run")
	}
}
