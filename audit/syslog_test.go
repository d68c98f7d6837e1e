//go:build !windows && !plan9

package audit

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// daemon stands in for the system's log: it takes datagrams on a socket and keeps them.
type daemon struct {
	conn *net.UnixConn
	got  chan []byte // each datagram
}

// startDaemon serves the socket until stop, or the end of the test.
func startDaemon(t *testing.T, place string) (d *daemon, stop func()) {
	t.Helper()
	_ = os.Remove(place) // of one before
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: place, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	d = &daemon{conn: conn, got: make(chan []byte, 1000)}
	var ended sync.WaitGroup
	ended.Go(func() {
		buf := make([]byte, 256<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			d.got <- bytes.Clone(buf[:n])
		}
	})
	stop = sync.OnceFunc(func() {
		_ = conn.Close()
		ended.Wait()
	})
	t.Cleanup(stop)
	return d, stop
}

// take returns the next datagrams.
func (d *daemon) take(t *testing.T, n int) [][]byte {
	t.Helper()
	var all [][]byte
	for range n {
		select {
		case m := <-d.got:
			all = append(all, m)
		case <-time.After(20 * time.Second):
			t.Fatalf("%d datagrams came, want %d", len(all), n)
		}
	}
	return all
}

// socket is where a daemon can listen: the names of sockets must be short.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "log")
}

func syslogOptions(t *testing.T, place string) Options {
	t.Helper()
	s, err := openSyslog(time.Now, filepath.Join(filepath.Dir(place), "none"), place)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Sink: SinkSyslog, sink: s}
}

// received is a datagram as this process sends it.
var received = regexp.MustCompile(fmt.Sprintf(`^<85>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d holdfast-audit\[%d\]: (\{"n":.*\})$`, os.Getpid()))

// written is what a daemon makes of datagrams: time, host and text, each with a line end.
func written(t *testing.T, host string, messages [][]byte) string {
	t.Helper()
	var b strings.Builder
	for _, m := range messages {
		if !received.Match(m) {
			t.Fatalf("a datagram is %q", m)
		}
		_, text, _ := strings.Cut(string(m), ">")
		fmt.Fprintf(&b, "%s %s %s\n", text[:len(time.Stamp)], host, text[len(time.Stamp)+1:])
	}
	return b.String()
}

func saved(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "syslog")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSyslog: each line is one datagram, with the priority and the tag, and what a daemon
// writes of them can be checked.
func TestSyslog(t *testing.T) {
	place := socket(t)
	d, _ := startDaemon(t, place)
	l, stop := running(t, syslogOptions(t, place))
	l.Note(&Event{Kind: Write, Ops: []Op{NewOp("set", "key", "app/\n\x00<ä>")}})
	commit(t, l, 3)
	stop()
	text := written(t, "host", d.take(t, 5))
	r, err := VerifySyslog("", saved(t, text))
	if err != nil || r.Lines != 5 || r.First != 1 || r.Last != 5 || r.Chains != 1 {
		t.Errorf("%+v, %v\n%s", r, err, text)
	}
	_, err = Verify(saved(t, text))
	if err == nil || !strings.Contains(err.Error(), "-syslog") {
		t.Errorf("checked as a file of its own: %v", err)
	}
}

// TestSyslogDaemonStartsAnew: its socket is another one then, and nothing is lost.
func TestSyslogDaemonStartsAnew(t *testing.T) {
	place := socket(t)
	d, end := startDaemon(t, place)
	opts := syslogOptions(t, place)
	opts.Refuse = true
	l, stop := running(t, opts)
	commit(t, l, 2)
	text := written(t, "host", d.take(t, 3))
	end()
	d, _ = startDaemon(t, place)
	commit(t, l, 2) // at once: it is no failure
	stop()
	text += written(t, "host", d.take(t, 2))
	if r, err := VerifySyslog("", saved(t, text)); err != nil || r.Lines != 5 {
		t.Errorf("%+v, %v\n%s", r, err, text)
	}
	if f := l.Figures(); f.Failures != 0 {
		t.Errorf("%+v", f)
	}
}

// TestNoSyslogDaemon: what is done is what the configuration says, until it is there again.
func TestNoSyslogDaemon(t *testing.T) {
	for _, refuse := range []bool{true, false} {
		t.Run(fmt.Sprintf("refuse=%v", refuse), func(t *testing.T) {
			place := socket(t)
			d, end := startDaemon(t, place)
			opts := syslogOptions(t, place)
			opts.Refuse = refuse
			l, stop := running(t, opts)
			text := written(t, "host", d.take(t, 1))
			end()
			if err := l.Commit(t.Context(), &Event{Kind: Intent}); !errors.Is(err, ErrUnwritable) {
				t.Errorf("without a daemon a line that must be written: %v", err)
			}
			if err := l.Ready(); errors.Is(err, ErrUnwritable) != refuse {
				t.Errorf("ready: %v", err)
			}
			l.Note(&Event{Kind: Denied})
			if f := l.Figures(); !f.Failing || f.Failures == 0 {
				t.Errorf("%+v", f)
			}
			d, _ = startDaemon(t, place)
			text += written(t, "host", d.take(t, 2)) // that it works again, and what waited
			stop()
			r, err := VerifySyslog("", saved(t, text))
			if err != nil || r.Lines != 3 || r.Lost != 0 || !strings.Contains(text, `"event":"resumed"`) || !strings.Contains(text, `"event":"denied"`) {
				t.Errorf("%+v, %v\n%s", r, err, text)
			}
		})
	}
	if _, err := openSyslog(time.Now, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a server without a daemon starts")
	}
}

// TestSyslogDaemonThatDoesNotRead holds up neither the server nor its end for ever.
func TestSyslogDaemonThatDoesNotRead(t *testing.T) {
	place := socket(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: place, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := openSyslog(time.Now, place)
	if err != nil {
		t.Fatal(err)
	}
	line := append(bytes.Repeat([]byte("x"), 1000), '\n')
	past := time.Now().Add(50 * time.Millisecond)
	for range 100_000 {
		if err = s.send(line, past); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a daemon that does not read is told of by %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// TestLongEventsAreToldInParts where the device takes no long lines: the parts follow each
// other, have all operations in their order, and only the last says that it is the last.
func TestLongEventsAreToldInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failingSink{}
		l, stop := running(t, Options{Sink: SinkSyslog, sink: s, Refuse: true})
		var ops []Op
		for i := range 200 {
			op := NewOp("set", "key", fmt.Sprintf("app/%03d/%s", i, strings.Repeat("k", 100)))
			op.Value = ValueOf(nil)
			ops = append(ops, op)
		}
		e := &Event{Kind: Write, Request: "r", Ops: ops}
		if err := l.Commit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if len(e.Ops) != 200 {
			t.Error("the event of the caller was changed")
		}
		long := NewOp("set", "key", strings.Repeat("\x01", limit.AuditNameBytes)) // cannot be parted
		l.Note(&Event{Kind: Write, Request: "long", Ops: []Op{long}})
		stop()
		r := s.verified(t)
		parts := lines(t, saved(t, string(s.text)))[1:]
		var names []string
		for i, p := range parts[:len(parts)-1] {
			if more := p["more"] == true; more != (i < len(parts)-2) || p["request"] != "r" {
				t.Errorf("part %d is of %v, and says that there is more: %v", i, p["request"], more)
			}
			for _, op := range p["ops"].([]any) {
				names = append(names, op.(map[string]any)["name"].(string)[4:7])
			}
		}
		for i, name := range names {
			if name != fmt.Sprintf("%03d", i) {
				t.Fatalf("operation %d is %s", i, name)
			}
		}
		if len(names) != 200 || len(parts) < 5 || r.Lines != uint64(len(parts)+1) {
			t.Errorf("%d operations in %d parts", len(names), len(parts))
		}
		for i, line := range bytes.Split(bytes.TrimSpace(s.text), []byte("\n"))[:len(parts)] {
			if len(line) > 8000 {
				t.Errorf("line %d has %d bytes", i+1, len(line))
			}
		}
	})
}

// chainOf is a chain as a server writes it to the system's log, with what the daemon puts
// in front.
func chainOf(t *testing.T, server, before string, n int) []string {
	t.Helper()
	var c chain
	var all []string
	for i := range n {
		e := &Event{Kind: Write, Server: server, Time: time.Unix(int64(i), 0)}
		event, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, before+string(c.seal(event)))
	}
	return all
}

func TestVerifySyslog(t *testing.T) {
	const usual = "Nov 29 10:22:33 host holdfast-audit[123]: "
	a, b := chainOf(t, "a", usual, 5), chainOf(t, "b", usual, 3)
	other := "Nov 29 10:22:33 host sudo: root : COMMAND=/usr/bin/grep holdfast-audit[ /var/log/auth.log\n"
	join := func(parts ...[]string) string {
		var s string
		for _, p := range parts {
			s += strings.Join(p, "")
		}
		return s
	}
	for _, tc := range []struct {
		rule, text, server string
		lines              uint64
		chains             int
		fault              string
	}{
		{"nothing", "", "", 0, 0, ""},
		{"one chain", join(a), "", 5, 1, ""},
		{"the rest of one", join(a[2:]), "", 3, 1, ""},
		{"lines of other programs between", join(a[:2], []string{other}, a[2:]), "", 5, 1, ""},
		{"a server that was started anew", join(a, a), "", 10, 2, ""},
		{"ISO time", join(chainOf(t, "a", "2026-11-29T10:22:33.123456+00:00 host holdfast-audit[1]: ", 3)), "", 3, 1, ""},
		{"RFC 5424", join(chainOf(t, "a", "<85>1 2026-11-29T10:22:33Z host holdfast-audit 123 - -  ", 3)), "", 3, 1, ""},
		{"the text alone is no line there", join(chainOf(t, "a", "", 3)), "", 0, 0, ""},
		{"one taken out", join(a[:2], a[3:]), "", 2, 1, "syslog:3: lines are missing: number 4 follows on number 2"},
		{"the first of a restart taken out", join(a, a[1:]), "", 5, 1, "syslog:6: number 2 follows on number 5"},
		{"one changed", strings.Replace(join(a), "1970-01-01T00:00:02Z", "1970-01-01T00:00:03Z", 1), "", 2, 1, "syslog:3: the line was changed"},
		{"one cut off", join(a[:2], []string{a[2][:100] + "\n"}, a[3:]), "", 2, 1, "syslog:3: the line was changed, or the daemon has cut it off"},
		{"another server", join(a[:2], b), "", 2, 1, `syslog:3: a line of the server "b" among those of "a"`},
		{"another server passed over", join(a[:2], b, a[2:]), "a", 5, 1, ""},
		{"the other one", join(a[:2], b, a[2:]), "b", 3, 1, ""},
		{"another server cut off", join(a[:2], []string{b[0][:len(b[0])-80] + "\n"}, a[2:]), "a", 5, 1, ""},
		{"another server cut off, and nobody said whose", join(a[:2], []string{b[0][:len(b[0])-80] + "\n"}, a[2:]), "", 2, 1, "syslog:3: the line was changed"},
		{"cut off before it says whose", join(a[:2], []string{b[0][:len(usual)+30] + "\n"}, a[2:]), "a", 2, 1, "syslog:3: the line was changed"},
		{"one cut off, made out to be of another server", join(a[:2], []string{strings.Replace(a[2], `"server":"a"`, `"server":"b"`, 1)[:len(a[2])-80] + "\n"}, a[3:]), "a", 2, 1, "syslog:4: lines are missing: number 4 follows on number 2"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			r, err := VerifySyslog(tc.server, saved(t, tc.text))
			switch {
			case tc.fault == "" && err != nil, tc.fault != "" && (err == nil || !strings.Contains(err.Error(), tc.fault)):
				t.Errorf("error %v, want %q", err, tc.fault)
			case r.Lines != tc.lines || r.Chains != tc.chains:
				t.Errorf("%+v, want %d lines of %d chains", r, tc.lines, tc.chains)
			}
		})
	}
}

func TestSyslogIsTheSystems(t *testing.T) {
	_, err := Open(Options{Sink: SinkSyslog, Log: hclog.NewNullLogger(), Now: time.Now})
	for _, place := range syslogPlaces {
		if _, there := os.Stat(place); there == nil {
			t.Skip("this system has a log, which no test shall write to")
		}
	}
	if err == nil || !strings.Contains(err.Error(), "open the audit log") {
		t.Errorf("without a daemon: %v", err)
	}
}
