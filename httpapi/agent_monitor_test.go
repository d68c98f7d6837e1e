package httpapi

import (
	"bufio"
	"io"
	"net/http"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestMonitorLevel(t *testing.T) {
	for _, tc := range []struct {
		rule, query string
		level       hclog.Level
		asJSON      bool
		contentType string
	}{
		{"info when nothing is said", "", hclog.Info, false, "text/plain; charset=utf-8"},
		{"info when it is empty", "?loglevel=", hclog.Info, false, "text/plain; charset=utf-8"},
		{"in any case", "?loglevel=TrAcE", hclog.Trace, false, "text/plain; charset=utf-8"},
		{"debug", "?loglevel=debug", hclog.Debug, false, "text/plain; charset=utf-8"},
		{"warn", "?loglevel=WARN", hclog.Warn, false, "text/plain; charset=utf-8"},
		{"error in short", "?loglevel=err", hclog.Error, false, "text/plain; charset=utf-8"},
		{"error, as JSON", "?loglevel=error&logjson", hclog.Error, true, "application/x-ndjson"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := &fakeAgent{tail: newFakeTail()}
			w := ask(t, newAgentServer(t, f), http.MethodHead, "/v1/agent/monitor"+tc.query, "")
			if w.Code != 200 || w.Header().Get("Content-Type") != tc.contentType || f.tail.level != tc.level || f.tail.asJSON != tc.asJSON {
				t.Errorf("%d %s at %s, JSON %v", w.Code, w.Header().Get("Content-Type"), f.tail.level, f.tail.asJSON)
			}
		})
	}
}

func TestMonitorRefusesAnUnknownLevel(t *testing.T) {
	for query, want := range map[string]string{
		"zzz": "Unknown log level: zzz", "off": "Unknown log level: off", "info%20": "Unknown log level: info ",
	} {
		w := ask(t, newAgentServer(t, &fakeAgent{}), http.MethodGet, "/v1/agent/monitor?loglevel="+query, "")
		if w.Code != 400 || w.Body.String() != want {
			t.Errorf("%d %q, want 400 %q", w.Code, w.Body.String(), want)
		}
	}
}

func TestMonitorSendsWhatIsLoggedAndWhatIsLeftAtTheEnd(t *testing.T) {
	f := &fakeAgent{tail: newFakeTail()}
	s := newAgentServer(t, f)
	res := open(t, s, "/v1/agent/monitor")
	lines := bufio.NewReader(res.Body)
	for _, want := range []string{"one\n", "two\n"} {
		f.tail.log(want)
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	f.tail.log("stopping\n")
	s.Drain()
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "stopping\n" {
		t.Errorf("at the end came %q, %v", rest, err)
	}
	eventually(t, "the log is not followed any more", func() bool { return f.tail.openCount() == 0 && s.Streams() == 0 })
}

func TestMonitorEndsWithItsClient(t *testing.T) {
	f := &fakeAgent{tail: newFakeTail()}
	s := newAgentServer(t, f)
	res := open(t, s, "/v1/agent/monitor")
	_ = res.Body.Close()
	eventually(t, "the log is not followed any more", func() bool { return f.tail.openCount() == 0 && s.Streams() == 0 })
}
