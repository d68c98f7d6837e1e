package target

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// process is a child that is always waited for.
type process struct {
	cmd    *exec.Cmd
	waiter sync.WaitGroup
	exited chan struct{} // closed when it has ended
	err    error         // how it ended; valid after exited is closed
}

// start runs cmd in a process group of its own, so that a ctrl-c on the terminal
// reaches only the benchmark, and lets the kernel kill it if the benchmark dies.
func start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	p.waiter.Go(func() {
		p.err = cmd.Wait()
		close(p.exited)
	})
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process at once and returns when it is gone. Calling it again
// does nothing.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	p.waiter.Wait()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}
