//go:build unix

package cmd

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that a child gets from us. It is in a group of its own, so
// that it gets none from the terminal.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT,
}

// ends says whether a signal is meant to end a program.
func ends(sig os.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// ownGroup gives a command a process group of its own, so that all that it starts can
// be ended with it. One that reads from a terminal is put in the foreground there, as
// it could not read otherwise; the function returned takes the terminal back.
func ownGroup(cmd *exec.Cmd) (takeBack func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	terminal, ok := cmd.Stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return func() {}
	}
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(terminal.Fd())
	return func() {
		// Who is in the background is stopped when it takes the terminal.
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPGRP, syscall.Getpgrp()) // it may be gone
	}
}

// signalGroup sends a signal to the group of p, and wakes it if it is to end.
func signalGroup(p *os.Process, sig os.Signal) {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	_ = syscall.Kill(-p.Pid, number) // nobody may be left
	if ends(sig) {
		_ = syscall.Kill(-p.Pid, syscall.SIGCONT)
	}
}

// terminateGroup asks the group of p to end.
func terminateGroup(p *os.Process) { signalGroup(p, syscall.SIGTERM) }

// killGroup ends the group of p.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// groupLives says whether anybody of the group of p is left.
func groupLives(p *os.Process) bool { return !errors.Is(syscall.Kill(-p.Pid, 0), syscall.ESRCH) }

// A guard ends the group of a child when this process is killed, or ends in any other
// way in which it cannot do so itself. It is a process of its own that waits for the end
// of a pipe: the kernel closes it, whatever we die of. A nil guard does nothing.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
	told bool // whom to guard
}

// guardScript reads the group and then, if all goes well, that the child has ended. The
// grace in seconds is its argument.
const guardScript = `read -r group || exit 0
read -r over && exit 0
kill -s TERM -- "-$group" || exit 0
kill -s CONT -- "-$group"
sleep "$1"
kill -s KILL -- "-$group"`

// startGuard starts a guard, so that it is there before the child is. It is in a group
// of its own, where signals of the terminal do not reach it.
func startGuard(grace time.Duration) (*guard, error) {
	g := &guard{cmd: exec.Command("/bin/sh", "-c", guardScript, "guard", strconv.Itoa(int(math.Ceil(grace.Seconds()))))}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.pipe, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	return g, nil
}

// over tells whom to guard.
func (g *guard) over(p *os.Process) {
	if g != nil {
		_, _ = fmt.Fprintln(g.pipe, p.Pid) // a guard that is dead guards nobody
		g.told = true
	}
}

// dismiss ends the guard.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	if g.told {
		_, _ = fmt.Fprintln(g.pipe, "over")
	}
	_ = g.pipe.Close()
	_ = g.cmd.Wait() // how it ended is of no interest
}

// codeOf is the exit code of a child as shells give it.
func codeOf(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
