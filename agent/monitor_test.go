package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// taken reads the tail until it has said everything that holds waits for.
func taken(t *testing.T, tail interface {
	Ready() <-chan struct{}
	Take() []byte
}, holds func(text string) bool,
) string {
	t.Helper()
	var text strings.Builder
	for !holds(text.String()) {
		select {
		case <-tail.Ready():
			text.Write(tail.Take())
		case <-time.After(10 * time.Second):
			t.Fatalf("not after 10 s; have\n%s", text.String())
		}
	}
	return text.String()
}

func TestTailHasItsOwnLevelAndForm(t *testing.T) {
	logs := NewLogs(io.Discard, hclog.Error, false)
	text, asJSON := logs.Tail(hclog.Debug, false), logs.Tail(hclog.Warn, true)
	defer text.Close()
	defer asJSON.Close()
	log := logs.Named("raft")
	log.Trace("least")
	log.Debug("small", "index", 7)
	log.With("peer", "b").Warn("large")

	got := taken(t, text, func(s string) bool { return strings.Contains(s, "large") })
	if strings.Contains(got, "least") || !strings.Contains(got, "[DEBUG] holdfast.raft: small: index=7\n") || !strings.Contains(got, "large: peer=b\n") {
		t.Errorf("text is\n%s", got)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(taken(t, asJSON, func(s string) bool { return s != "" })), &line); err != nil {
		t.Fatal(err)
	}
	if line["@message"] != "large" || line["@module"] != "holdfast.raft" || line["peer"] != "b" {
		t.Errorf("line is %v", line)
	}
}

func TestTailDropsWhatIsTooMuchAndSaysSo(t *testing.T) {
	for _, level := range []hclog.Level{hclog.Info, hclog.Error} {
		t.Run(level.String(), func(t *testing.T) {
			logs := NewLogs(io.Discard, hclog.Error, false)
			tail := logs.Tail(level, false)
			defer tail.Close()
			log, line := logs.Named("x"), strings.Repeat("l", 1000)
			const written = 2 * tailBytes / 1000
			for range written {
				log.Error(line)
			}
			got := string(tail.Take())
			kept := strings.Count(got, line)
			var dropped int
			last := got[strings.LastIndexByte(got[:len(got)-1], '\n')+1:]
			if _, after, ok := strings.Cut(last, "log lines were dropped, this client reads too slowly: lines="); ok {
				if _, err := fmt.Sscan(after, &dropped); err != nil {
					t.Fatal(err)
				}
			}
			if kept == 0 || kept+dropped != written || len(got) > tailBytes+500 {
				t.Errorf("%d kept, %d dropped of %d, %d bytes; last line is %q", kept, dropped, written, len(got), last)
			}
			if got := logs.dropped.Load(); got != uint64(dropped) {
				t.Errorf("counted %d dropped lines, told %d", got, dropped)
			}
			log.Error("after")
			if got := string(tail.Take()); strings.Contains(got, "dropped") || !strings.Contains(got, "after") {
				t.Errorf("then came %q", got)
			}
		})
	}
}

func TestTailThatIsClosedHearsNothing(t *testing.T) {
	logs := NewLogs(io.Discard, hclog.Error, false)
	tail := logs.Tail(hclog.Info, false)
	if got := logs.tails.Load(); got != 1 {
		t.Errorf("%d follow the log, want 1", got)
	}
	tail.Close()
	logs.Named("x").Error("late")
	if got := tail.Take(); len(got) != 0 {
		t.Errorf("heard %q", got)
	}
	if got := logs.tails.Load(); got != 0 {
		t.Errorf("%d follow the log, want none", got)
	}
}

func TestManyLogAndManyFollow(t *testing.T) {
	logs := NewLogs(io.Discard, hclog.Error, false)
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for n := range 200 {
				logs.Named("x").Info("line", "from", i, "number", n)
			}
		})
		wait.Go(func() {
			for range 20 {
				tail := logs.Tail(hclog.Info, i%2 == 0)
				tail.Take()
				tail.Close()
			}
		})
	}
	wait.Wait()
	if got := logs.tails.Load(); got != 0 {
		t.Errorf("%d follow the log, want none", got)
	}
}

func TestMonitorFollowsARunningServerToItsEnd(t *testing.T) {
	m, stop := startInMemory(t, Options{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+"/v1/agent/monitor?loglevel=debug", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	m.logs.Named("test").Debug("a line", "number", 1)
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the line has not come: %v", err)
		}
		if strings.Contains(line, "holdfast.test: a line: number=1") {
			break
		}
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a client that follows the log held the server for %s", took)
	}
	if rest, err := io.ReadAll(lines); err != nil || !strings.Contains(string(rest), "stopping") {
		t.Errorf("at the end came %q, %v", rest, err)
	}
}
