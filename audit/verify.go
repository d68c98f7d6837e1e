package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Report is what a check of audit logs has found.
type Report struct {
	Files       int
	Lines       uint64
	First, Last uint64 // numbers of the lines
	Head        string // hash of the last line
	From, To    time.Time
	Torn        int    // lines that a crash cut short
	Lost        uint64 // lines that the server could not keep, by its own account
	Chains      int    `json:",omitempty"` // of the system's log: how often the server began anew
}

// Fault is the first thing in an audit log that is not as it was written.
type Fault struct {
	File string
	Line int // from 1
	Why  string
}

func (f *Fault) Error() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Why) }

// Verify checks the chain of audit logs, given in the order in which they were
// written. The first line may be any: what was before it is not known. The error is a
// *Fault, or says that a file cannot be read; the report is about what came before it.
func Verify(names ...string) (Report, error) {
	v := verifier{}
	for _, name := range names {
		if err := v.file(name); err != nil {
			return v.Report, err
		}
	}
	return v.Report, nil
}

// VerifySyslog is Verify for files that a daemon has written of what it was sent. Lines
// of other programs are passed over, and so are those of other servers when server is not
// "". A server that is started anew begins another chain there, for it cannot read where
// it was: lines cut off at the end of a chain leave no trace.
func VerifySyslog(server string, names ...string) (Report, error) {
	v := verifier{syslog: true, server: server, only: server != ""}
	for _, name := range names {
		if err := v.file(name); err != nil {
			return v.Report, err
		}
	}
	return v.Report, nil
}

type verifier struct {
	Report
	syslog bool   // what is read is a file of the system's log
	server string // whose lines are looked at there; "" before the first one
	only   bool   // those of others are passed over

	at   chain
	torn bool // the last thing read was no line, and the next one must admit it
}

func (v *verifier) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	v.Files++
	r := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		text, err := readBounded(r)
		switch {
		case errors.Is(err, io.EOF) && len(text) == 0:
			if v.torn {
				return &Fault{name, n - 1, "no audit line"}
			}
			return nil
		case errors.Is(err, io.EOF):
			return &Fault{name, n, "the last line has no end: it was cut short"}
		case err != nil:
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		at := 0
		var why string
		if v.syslog {
			why = v.syslogLine(text)
		} else {
			why, at = v.line(text)
		}
		if why != "" {
			return &Fault{name, n + at, why}
		}
	}
}

// syslogLine checks one line of a file of the system's log.
func (v *verifier) syslogLine(text []byte) (why string) {
	if text = fromSyslog(text); text == nil {
		return ""
	}
	l, err := readLine(text)
	switch {
	case errors.Is(err, errNoLine) && v.only && saysOther(text, v.server): // a line of v.server's would be missed
		return ""
	case errors.Is(err, errNoLine):
		return "the line was changed, or the daemon has cut it off: see how long it lets messages be"
	case err != nil:
		return err.Error()
	case v.server == "":
		v.server = l.event.Server
	case v.server != l.event.Server && v.only:
		return ""
	case v.server != l.event.Server:
		return fmt.Sprintf("a line of the server %q among those of %q: say whose shall be checked", l.event.Server, v.server)
	}
	begins := l.n == 1 && l.prev == hash{}
	if begins {
		v.at = chain{}
	}
	if begins || v.Lines == 0 {
		v.Chains++
	}
	why, _ = v.check(l, nil)
	return why
}

// line checks one line. The text says what is wrong, and with which: this one, or the
// one before (-1).
func (v *verifier) line(text []byte) (why string, at int) {
	if fromSyslog(text) != nil {
		return "this is a file of the system's log: it must be checked as one (-syslog)", 0
	}
	return v.check(readLine(text))
}

func (v *verifier) check(l line, err error) (why string, at int) {
	switch {
	case v.torn && (err != nil || l.event.Torn == 0):
		return "no audit line, and the next one does not say that it was cut short", -1
	case errors.Is(err, errNoLine):
		v.torn = true // perhaps: the next line says
		v.Torn++
		return "", 0
	case err != nil:
		return err.Error(), 0
	case v.Lines == 0 && l.n == 1 && l.prev != (hash{}):
		return "line number 1 follows on another", 0
	case v.Lines == 0:
		v.First, v.From = l.n, l.event.Time
	case l.n > v.at.n+1:
		return fmt.Sprintf("lines are missing: number %d follows on number %d", l.n, v.at.n), 0
	case l.n <= v.at.n:
		return fmt.Sprintf("number %d follows on number %d: lines were put in, or the files are not in their order", l.n, v.at.n), 0
	case l.prev != v.at.head:
		return fmt.Sprintf("does not follow on number %d as it stands here: one of the two was made anew", v.at.n), 0
	}
	v.torn = false
	v.at = chain{l.n, l.hash}
	v.Lines++
	v.Last, v.Head, v.To = l.n, l.hash.String(), l.event.Time
	v.Lost += l.event.Lost
	return "", 0
}

// A line is what the check of one needs.
type line struct {
	n          uint64
	prev, hash hash
	event      Event
}

// errNoLine says that a text is not even the form of a line.
var errNoLine = errors.New("no audit line")

// readLine reads a line and checks it against its own hash.
func readLine(text []byte) (line, error) {
	const tail = len(hashField) + 2*sha256.Size + len(`"}`)
	if len(text) < tail || !bytes.HasPrefix(text, []byte(`{"n":`)) || !bytes.HasPrefix(text[len(text)-tail:], []byte(hashField)) {
		return line{}, errNoLine
	}
	var fields struct {
		N    uint64 `json:"n"`
		Prev string `json:"prev"`
		Hash string `json:"hash"`
	}
	var l line
	if err := errors.Join(json.Unmarshal(text, &fields), json.Unmarshal(text, &l.event)); err != nil {
		return line{}, fmt.Errorf("%w: %w", errNoLine, err)
	}
	var ok, also bool
	l.n = fields.N
	l.prev, ok = parseHash(fields.Prev)
	l.hash, also = parseHash(fields.Hash)
	if !ok || !also {
		return line{}, errNoLine
	}
	if l.hash != sha256.Sum256(text[:len(text)-tail]) {
		return line{}, errors.New("the line was changed: it does not fit its hash")
	}
	return l, nil
}

// readBounded reads a line with its end.
func readBounded(r *bufio.Reader) ([]byte, error) {
	var all []byte
	for {
		part, err := r.ReadSlice('\n')
		all = append(all, part...)
		if len(all) > limit.AuditLineBytes {
			return nil, errors.New("the line is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return all, err
		}
	}
}
