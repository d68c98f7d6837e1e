//go:build unix

package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one run of the binary. It is made by startProcess and never restarted.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and err is set
	err  error         // what Wait said; read it only after done
}

// startProcess starts the binary, through a runner that becomes it if there is one,
// and watches it until it ends.
func startProcess(runner []string, bin string, args, env []string, log *logBuffer) (*process, error) {
	line := slices.Concat(runner, []string{bin}, args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = slices.Concat(cleanEnv(os.Environ()), HTTPServerEnv(), env)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// cleanEnv is env without what would configure a server or its clients.
func cleanEnv(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "HOLDFAST_") && !strings.HasPrefix(v, "CONSUL_") && !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			kept = append(kept, v)
		}
	}
	return kept
}

// signal sends sig; that the process is already gone is not an error.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %d: %w", sig, p.cmd.Process.Pid, err)
	}
	return nil
}

// wait returns when the process is gone, or with an error when it is not within limit.
func (p *process) wait(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d still runs after %s", p.cmd.Process.Pid, limit)
	}
}

// exitCode is the process's exit code, -1 if a signal ended it. The process is gone.
func (p *process) exitCode() int { return p.cmd.ProcessState.ExitCode() }

// logBuffer keeps what a process printed. It is bounded: of a process that prints
// without end it keeps the beginning, where the cause is, and the end, where the
// effect is.
type logBuffer struct {
	mu   sync.Mutex
	head bytes.Buffer // at most keepBytes; guarded by mu
	tail []byte       // at most 2*keepBytes; guarded by mu
	lost int          // bytes dropped between the two; guarded by mu
}

// keepBytes is how much of either end of a log is kept: a server at debug level
// prints about 100 bytes per event, so this is some ten thousand events.
const keepBytes = 1 << 20

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(p)
	if room := keepBytes - b.head.Len(); room > 0 {
		take := min(room, len(p))
		b.head.Write(p[:take])
		p = p[take:]
	}
	b.tail = append(b.tail, p...)
	if over := len(b.tail) - keepBytes; over > keepBytes { // cut now and then, not at each write
		b.tail = append([]byte(nil), b.tail[over:]...)
		b.lost += over
	}
	return n, nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost == 0 {
		return b.head.String() + string(b.tail)
	}
	return fmt.Sprintf("%s\n[... %d bytes ...]\n%s", b.head.String(), b.lost, b.tail)
}
