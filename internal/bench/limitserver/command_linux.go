package limitserver

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
)

// Op says what a Command asks for.
type Op string

// The operations of a limit process.
const (
	SetAnswer Op = "answer" // use Command.Answer from now on
	Parked    Op = "parked" // how many requests are parked?
	Reset     Op = "reset"  // empty the file
)

// Command is one line on a limit process's standard input.
type Command struct {
	Op     Op      `json:"op"`
	Answer *Answer `json:"answer,omitempty"`
}

// Reply is the one line that follows each Command on standard output. The first
// Reply comes unasked, when the limit listens.
type Reply struct {
	Addr   string `json:"addr,omitempty"`
	Parked int    `json:"parked,omitempty"`
	Error  string `json:"error,omitempty"`
}

// CommandName is the hidden command under which a program is a limit process.
const CommandName = "limit-server"

// RunCommand is that command, given the arguments behind its name: it serves
// until in ends.
func RunCommand(args []string, in io.Reader, out io.Writer) error {
	fs := flag.NewFlagSet(CommandName, flag.ContinueOnError)
	kind := fs.String("kind", "", "ready, park or append")
	file := fs.String("file", "", "where append writes")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return Main(Kind(*kind), *file, in, out)
}

// Main is a limit process: it starts a Server, says where it listens, obeys the
// commands on in, and returns when in ends.
func Main(kind Kind, file string, in io.Reader, out io.Writer) error {
	s, err := Start(kind, file)
	if err != nil {
		return err
	}
	err = obey(s, json.NewDecoder(in), json.NewEncoder(out))
	return errors.Join(err, s.Close())
}

func obey(s *Server, in *json.Decoder, out *json.Encoder) error {
	reply := Reply{Addr: s.Addr()}
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
		reply = s.do(c)
	}
}

func (s *Server) do(c Command) Reply {
	switch {
	case c.Op == SetAnswer && c.Answer != nil:
		s.SetAnswer(*c.Answer)
	case c.Op == Parked:
		return Reply{Parked: s.Parked()}
	case c.Op == Reset:
		if err := s.Reset(); err != nil {
			return Reply{Error: err.Error()}
		}
	default:
		return Reply{Error: fmt.Sprintf("cannot do %q", c.Op)}
	}
	return Reply{}
}
