package crashtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestSignalDrains: a server that is asked to stop answers the queries that wait,
// and exits with 0, long before their time would have been over.
func TestSignalDrains(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			s := testcluster.Start(t, testcluster.Options{})
			s.Put("drain/present", "x")
			index := s.Do(http.MethodGet, "/v1/kv/drain/present", nil).Index()

			const each = 10
			answers := make(chan error, 3*each)
			for _, path := range []string{"drain/present?", "drain/absent?", "drain/?recurse&"} {
				for range each {
					go func() { answers <- parked(t, s, fmt.Sprintf("/v1/kv/%sindex=%d&wait=5m", path, index)) }()
				}
			}
			waitParked(t, s, 3*each)

			s.Signal(sig)
			if code := s.Wait(30 * time.Second); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			for range 3 * each {
				if err := <-answers; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// parked sends a query that is to wait and checks that it is answered like one whose
// time is over: with its status and an index, not with a broken connection.
func parked(t *testing.T, s *testcluster.Server, path string) error {
	resp, err := s.TryDo(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK && resp.Status != http.StatusNotFound {
		return fmt.Errorf("%s: %d %s", path, resp.Status, resp.Body)
	}
	if resp.Index() == 0 {
		return fmt.Errorf("%s: no index", path)
	}
	return nil
}

// TestSecondSignalEndsAtOnce: a request that never ends holds the drain up; whoever
// asks twice is not made to wait for it.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})

	upload, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer upload.Close()
	const head = "PUT /v1/kv/slow HTTP/1.1\r\nHost: holdfast\r\nContent-Length: 100\r\n\r\nhalf of it"
	if _, err := io.WriteString(upload, head); err != nil {
		t.Fatal(err)
	}
	for range 3 { // connections are accepted in order: after these the upload is being served
		s.Get("slow")
	}

	s.Signal(syscall.SIGTERM)
	err = testcluster.Eventually(t.Context(), 10*time.Second, func() error {
		conn, err := net.Dial("tcp", s.Addr())
		if err == nil {
			conn.Close()
			return fmt.Errorf("still accepts connections")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Running() {
		t.Fatal("the upload did not hold up the drain, so the second signal would show nothing")
	}

	second := time.Now()
	s.Signal(syscall.SIGTERM)
	code := s.Wait(30 * time.Second)
	if took := time.Since(second); took > 2*time.Second {
		t.Errorf("ended %s after the second signal, want at once", took)
	}
	if code == 0 {
		t.Error("exit code 0 after a stop that was cut short")
	}
	s.Start() // and the data is in order
}

// TestDataDirIsLocked: the second process on a data directory says who has it.
func TestDataDirIsLocked(t *testing.T) {
	first := testcluster.Start(t, testcluster.Options{})
	second := testcluster.New(t, testcluster.Options{Config: map[string]any{"data_dir": first.DataDir}})
	code, output := second.StartFailing()
	if code == 0 {
		t.Error("exit code 0")
	}
	for _, want := range []string{fmt.Sprint(first.PID()), first.DataDir} {
		if !strings.Contains(output, want) {
			t.Errorf("does not say %q:\n%s", want, output)
		}
	}
	noTrace(t, output)
	first.Put("locked/alive", "yes")

	first.Kill9() // a lock that outlives its holder would be worse than none
	first.Start()
	if value, _ := first.Get("locked/alive"); value != "yes" {
		t.Errorf("an acknowledged write is gone: holds %q", value)
	}
}

// noTrace checks that a refusal to start is a sentence, not a stack.
func noTrace(t *testing.T, output string) {
	t.Helper()
	for _, bad := range []string{"panic:", "goroutine ", "runtime error"} {
		if strings.Contains(output, bad) {
			t.Errorf("prints %q:\n%s", bad, output)
			return
		}
	}
}

// waitParked returns when so many queries wait at the server.
func waitParked(t *testing.T, s *testcluster.Server, want int) {
	t.Helper()
	err := testcluster.Eventually(t.Context(), time.Minute, func() error {
		resp := s.Do(http.MethodGet, "/v1/agent/metrics?format=prometheus", nil)
		found := parkedGauge.FindSubmatch(resp.Body)
		if found == nil {
			return fmt.Errorf("the metrics do not tell how many queries wait")
		}
		if string(found[1]) != fmt.Sprint(want) {
			return fmt.Errorf("%s queries wait, want %d", found[1], want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var parkedGauge = regexp.MustCompile(`(?m)^holdfast_http_parked_queries (\d+)$`)
