package limitserver

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
)

// Op says what a Command asks for.
type Op string

// The operations of a limit process.
const (
	SetAnswer      Op = "answer"       // use Command.Answer for reads from now on
	SetWriteAnswer Op = "write-answer" // and this for writes
	Parked         Op = "parked"       // how many requests are parked?
	Goroutines     Op = "goroutines"   // how many goroutines are there?
	Reset          Op = "reset"        // empty the file
)

// Command is one line on a limit process's standard input.
type Command struct {
	Op     Op      `json:"op"`
	Answer *Answer `json:"answer,omitempty"`
}

// Reply is the one line that follows each Command on standard output. The first
// Reply comes unasked, when the limit listens.
type Reply struct {
	Addr       string `json:"addr,omitempty"`
	Parked     int    `json:"parked,omitempty"`
	Goroutines int    `json:"goroutines,omitempty"`
	Error      string `json:"error,omitempty"`
}

// CommandName is the hidden command under which a program is a limit process.
const CommandName = "limit-server"

// RunCommand is that command, given the arguments behind its name: it serves
// until in ends.
func RunCommand(args []string, in io.Reader, out io.Writer) error {
	fs := flag.NewFlagSet(CommandName, flag.ContinueOnError)
	kind := fs.String("kind", "", "ready, park, append or floor")
	file := fs.String("file", "", "where append writes")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return Main(Kind(*kind), *file, in, out)
}

// limit is what obeys commands: a Server or a FloorServer.
type limit interface {
	Addr() string
	SetAnswer(Answer)
	SetWriteAnswer(Answer)
	Parked() int
	Reset() error
	Close() error
}

// Main is a limit process: it starts a limit, says where it listens, obeys the
// commands on in, and returns when in ends.
func Main(kind Kind, file string, in io.Reader, out io.Writer) error {
	l, err := startAny(kind, file)
	if err != nil {
		return err
	}
	err = obey(l, json.NewDecoder(in), json.NewEncoder(out))
	return errors.Join(err, l.Close())
}

func startAny(kind Kind, file string) (limit, error) {
	if kind == Floor {
		return StartFloor()
	}
	return Start(kind, file)
}

func obey(l limit, in *json.Decoder, out *json.Encoder) error {
	reply := Reply{Addr: l.Addr()}
	for {
		if err := out.Encode(reply); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
		var c Command
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("command: %w", err)
		}
		reply = c.do(l)
	}
}

func (c Command) do(l limit) Reply {
	switch {
	case c.Op == SetAnswer && c.Answer != nil:
		l.SetAnswer(*c.Answer)
	case c.Op == SetWriteAnswer && c.Answer != nil:
		l.SetWriteAnswer(*c.Answer)
	case c.Op == Parked:
		return Reply{Parked: l.Parked()}
	case c.Op == Goroutines:
		return Reply{Goroutines: runtime.NumGoroutine()}
	case c.Op == Reset:
		if err := l.Reset(); err != nil {
			return Reply{Error: err.Error()}
		}
	default:
		return Reply{Error: fmt.Sprintf("cannot do %q", c.Op)}
	}
	return Reply{}
}
