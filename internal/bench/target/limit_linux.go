package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
)

// Limit is one limit process.
type Limit struct {
	proc *process
	in   io.WriteCloser
	out  io.Closer
	send *json.Encoder
	read *json.Decoder
	addr string
	dir  string
}

// StartLimit starts a limit. dir is an existing folder; Append writes to a file
// in a fresh one below it. Close ends the process and removes its files.
func StartLimit(kind limitserver.Kind, dir string) (*Limit, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("limit %s: %w", kind, err)
	}
	dir, err = os.MkdirTemp(dir, "limit-")
	if err != nil {
		return nil, fmt.Errorf("limit %s: %w", kind, err)
	}
	l := &Limit{dir: dir}
	cmd := exec.Command(self, limitserver.CommandName, "-kind", string(kind), "-file", filepath.Join(dir, "journal"))
	cmd.Stderr = os.Stderr
	if err := l.start(cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("limit %s: %w", kind, err), l.Close())
	}
	return l, nil
}

func (l *Limit) start(cmd *exec.Cmd) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, outW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, in.Close())
	}
	cmd.Stdout = outW
	l.in, l.send = in, json.NewEncoder(in)
	l.out, l.read = out, json.NewDecoder(out)
	l.proc, err = start(cmd)
	// The child has its own copy; with ours closed, its end is seen as EOF.
	if err = errors.Join(err, outW.Close()); err != nil {
		return err
	}
	hello, err := l.reply()
	l.addr = hello.Addr
	return err
}

// Target is the running limit.
func (l *Limit) Target() Target { return Target{Addr: l.addr, PID: l.proc.pid()} }

// SetAnswer makes the limit answer reads like this from now on.
func (l *Limit) SetAnswer(a limitserver.Answer) error {
	_, err := l.do(limitserver.Command{Op: limitserver.SetAnswer, Answer: &a})
	return err
}

// SetWriteAnswer makes the limit answer writes like this from now on.
func (l *Limit) SetWriteAnswer(a limitserver.Answer) error {
	_, err := l.do(limitserver.Command{Op: limitserver.SetWriteAnswer, Answer: &a})
	return err
}

// Parked is how many requests wait.
func (l *Limit) Parked() (int, error) {
	r, err := l.do(limitserver.Command{Op: limitserver.Parked})
	return r.Parked, err
}

// Goroutines is how many goroutines the process has.
func (l *Limit) Goroutines() (int, error) {
	r, err := l.do(limitserver.Command{Op: limitserver.Goroutines})
	return r.Goroutines, err
}

// Reset empties the file that Append writes to.
func (l *Limit) Reset() error {
	_, err := l.do(limitserver.Command{Op: limitserver.Reset})
	return err
}

func (l *Limit) do(c limitserver.Command) (limitserver.Reply, error) {
	if err := l.send.Encode(c); err != nil {
		return limitserver.Reply{}, fmt.Errorf("limit: %w", err)
	}
	return l.reply()
}

func (l *Limit) reply() (limitserver.Reply, error) {
	var r limitserver.Reply
	if err := l.read.Decode(&r); err != nil {
		return r, fmt.Errorf("limit: reply: %w", err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("limit: %s", r.Error)
	}
	return r, nil
}

// Close ends the process and removes its files.
func (l *Limit) Close() error {
	var errs []error
	if l.in != nil {
		// It is closed already if the process has ended by itself.
		if err := l.in.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if l.proc != nil {
		errs = append(errs, l.proc.kill())
	}
	if l.out != nil {
		errs = append(errs, l.out.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}
