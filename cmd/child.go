package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// How a child is ended.
const (
	// childGrace is how long a child has to end after it was asked to. It fits into
	// the lock-delay, so that it has ended before anybody else can have the lock.
	childGrace = 5 * time.Second

	// childPoll is how often it is looked whether others of its group are left.
	childPoll = 20 * time.Millisecond
)

// A childError is a child that ended with a code other than 0, or by a signal, and
// whose code is to be that of the command. There is nothing to say about it.
type childError struct {
	code int
}

func (e *childError) Error() string {
	return fmt.Sprintf("the command ended with exit code %d", e.code)
}

// program is how a command runs a program of the user's for as long as it holds
// something.
type program struct {
	shell     bool
	passStdin bool
	exitCode  bool
	grace     time.Duration // childGrace, but for tests
}

// childFlags adds the flags about a child, with consul's names.
func childFlags(fs *pflag.FlagSet) *program {
	p := &program{grace: childGrace}
	fs.BoolVar(&p.shell, "shell", true, "Run the command through the shell.")
	fs.BoolVar(&p.passStdin, "pass-stdin", false, "Give the command this standard input.")
	fs.BoolVar(&p.exitCode, "child-exit-code", false, "End with the exit code of the command; 128 and the number of the signal when one ended it.")
	return p
}

// argv is the program and its arguments.
func (p *program) argv(words []string) (name string, args []string) {
	if p.shell {
		return shellCommand(strings.Join(words, " "))
	}
	return words[0], words[1:]
}

// run runs the command until it ends, and passes signals on to it. When held ends
// before, its whole group is asked to end, and is made to after childGrace.
//
// The error is nil when the command ended by itself, whatever its code unless that is
// wanted (a childError); context.Canceled when it ended after a signal that ends
// programs; another error when it could not be run. When held has ended the error says
// nothing about that: the caller knows.
func (p *program) run(c *cobra.Command, held context.Context, words, env []string, say func(format string, args ...any)) error {
	name, args := p.argv(words)
	cmd := exec.Command(name, args...)
	if p.passStdin {
		cmd.Stdin = c.InOrStdin()
	}
	cmd.Stdout, cmd.Stderr = c.OutOrStdout(), c.ErrOrStderr()
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = childGrace // for what it left behind and that still has its output
	takeBack := ownGroup(cmd)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	if c.Context().Err() != nil { // it came before anybody could pass it on
		return c.Context().Err()
	}
	say("Starting %q", strings.Join(words, " "))
	watch, err := startGuard(p.grace)
	if err != nil {
		say("Warning: nobody will end the command if this process is killed: %v", err)
	}
	defer watch.dismiss()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run command: %w", err)
	}
	watch.over(cmd.Process)
	defer takeBack()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // it ends before run does
	g := &running{leader: cmd.Process, done: done, say: say}
	for !g.over() {
		select {
		case err := <-g.done:
			g.ended(err)
		case sig := <-signals:
			g.pass(sig)
		case <-g.again():
		case <-held.Done():
			g.end(p.grace)
		}
	}
	return p.result(g)
}

// running is a child that runs, and its group.
type running struct {
	leader *os.Process
	done   <-chan error // what the leader ended with; nil when it has been read
	say    func(format string, args ...any)

	err    error // what the leader ended with
	ending bool  // a signal was passed on that ends programs
}

// over says whether there is nothing to wait for. After a signal that ends programs
// the others of the group are waited for too: the leader, as a rule a shell, may have
// ended before what it runs, which got the same signal and is tidying up.
func (g *running) over() bool {
	return g.done == nil && (!g.ending || !groupLives(g.leader))
}

// again tells when to look whether others of the group are left: never while the
// leader is there.
func (g *running) again() <-chan time.Time {
	if g.done != nil {
		return nil
	}
	return time.After(childPoll)
}

// ended takes in the end of the leader.
func (g *running) ended(err error) { g.err, g.done = err, nil }

// pass passes a signal on to the group.
func (g *running) pass(sig os.Signal) {
	g.say("Passing on signal: %s", sig)
	g.ending = g.ending || ends(sig)
	signalGroup(g.leader, sig)
}

// end ends the leader and its group, which have grace to do so themselves.
func (g *running) end(grace time.Duration) {
	g.say("Ending the command")
	terminateGroup(g.leader)
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for g.done != nil || groupLives(g.leader) {
		select {
		case err := <-g.done:
			g.ended(err)
		case <-g.again():
		case <-limit.C:
			g.say("Killing the command, which did not end within %s", grace)
			killGroup(g.leader)
			if g.done != nil {
				g.ended(<-g.done)
			}
			g.ending = false // nobody is left to wait for
			return
		}
	}
}

// result is what the end of a child means.
func (p *program) result(g *running) error {
	err := g.err
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it ended well and left something behind
	case err != nil && !errors.As(err, &exit):
		return fmt.Errorf("run command: %w", err)
	}
	switch {
	case p.exitCode && exit != nil:
		return &childError{code: codeOf(exit)}
	case p.exitCode:
		return nil
	case g.ending:
		return context.Canceled
	}
	return nil
}

// notices writes what a command has to say beside its output, from any goroutine.
type notices struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// say writes a line.
func (n *notices) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.w, format+"\n", args...)
}

// Write writes as a command's child does.
func (n *notices) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.w.Write(p)
}
