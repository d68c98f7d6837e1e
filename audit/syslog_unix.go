//go:build !windows && !plan9

package audit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// syslogPlaces are where the system's log may listen.
var syslogPlaces = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// syslogPriority is the facility authpriv, which systems keep apart, and the severity
// notice.
const syslogPriority = 10<<3 | 5

// syslogSink sends each line to the system's log, as one datagram in the form that
// daemons expect on their local socket: priority, time, tag, text.
//
// Why not log/syslog: it writes without a deadline, and so a daemon that has stopped to
// read would hold up the server, also when it is to end.
type syslogSink struct {
	places []string
	tag    string
	now    func() time.Time
	conn   net.Conn // nil: to be connected
}

func openSyslog(now func() time.Time, places ...string) (*syslogSink, error) {
	s := &syslogSink{places: places, now: now, tag: fmt.Sprintf("%s[%d]: ", syslogTag, os.Getpid())}
	return s, s.connect()
}

// connect finds the daemon. A socket that nobody serves is none.
func (s *syslogSink) connect() error {
	var first error
	for _, place := range s.places {
		conn, err := net.Dial("unixgram", place)
		if err == nil {
			s.conn = conn
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return fmt.Errorf("no syslog daemon listens on %s: %w", strings.Join(s.places, ", "), first)
}

// write sends lines. A datagram arrives whole or not at all.
func (s *syslogSink) write(lines [][]byte) (int, error) {
	deadline := time.Now().Add(limit.AuditSyslogTime)
	for i, line := range lines {
		if err := s.send(line[:len(line)-1], deadline); err != nil {
			return i, err
		}
	}
	return len(lines), nil
}

// send sends one line. When the daemon was started anew, its socket is another one.
func (s *syslogSink) send(line []byte, deadline time.Time) error {
	message := fmt.Appendf(nil, "<%d>%s %s", syslogPriority, s.now().Format(time.Stamp), s.tag)
	message = append(message, line...)
	connected := s.conn != nil
	err := s.try(message, deadline)
	if err != nil && connected && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = s.try(message, deadline)
	}
	return err
}

func (s *syslogSink) try(message []byte, deadline time.Time) error {
	if s.conn == nil {
		if err := s.connect(); err != nil {
			return err
		}
	}
	err := s.conn.SetWriteDeadline(deadline)
	if err == nil {
		_, err = s.conn.Write(message)
	}
	if err != nil {
		_ = s.close() // it is of no use any more
	}
	return err
}

func (s *syslogSink) sync() error { return nil }

func (s *syslogSink) close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
