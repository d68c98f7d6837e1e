//go:build !unix

package cmd

import (
	"os"
	"os/exec"
	"time"
)

// forwarded are the signals that a child gets from us. It shares our console, and gets
// them from there; ours must not end us.
var forwarded = []os.Signal{os.Interrupt}

// ends says whether a signal is meant to end a program.
func ends(os.Signal) bool { return true }

// ownGroup does nothing: this system has no process groups.
func ownGroup(*exec.Cmd) (takeBack func()) { return func() {} }

// signalGroup does nothing: the child has got the signal from the console.
func signalGroup(*os.Process, os.Signal) {}

// terminateGroup ends p: this system has no way to ask.
func terminateGroup(p *os.Process) { killGroup(p) }

// killGroup ends p.
func killGroup(p *os.Process) { _ = p.Kill() } // it may have ended

// groupLives says that nobody else is known of.
func groupLives(*os.Process) bool { return false }

// A guard would end a child when this process is killed; this system has no way to.
type guard struct{}

func startGuard(time.Duration) (*guard, error) { return nil, nil }
func (*guard) over(*os.Process)                {}
func (*guard) dismiss()                        {}

// codeOf is the exit code of a child.
func codeOf(exit *exec.ExitError) int { return exit.ExitCode() }
