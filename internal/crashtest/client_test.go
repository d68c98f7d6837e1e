package crashtest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// watcherEnv names the environment variable of a process that only waits for keys until it
// is killed: where the server is.
const watcherEnv = "CRASHTEST_WATCHER_OF"

// watched is how many blocking queries such a process has: fewer than one address may have.
const watched = 100

// watch is the life of such a process. It ends by itself only when something is wrong.
func watch(addr string) {
	answered := make(chan error)
	for i := range watched {
		go func() { answered <- watchKey(addr, i) }()
	}
	fmt.Fprintln(os.Stderr, "a query that was to wait has ended:", <-answered)
	os.Exit(1)
}

func watchKey(addr string, i int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/kv/watched/%d?index=1&wait=10m HTTP/1.1\r\nHost: %s\r\n\r\n", i, addr); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return fmt.Errorf("it was answered %s", resp.Status)
}

// TestKilledClientIsForgotten: the kernel ends the connections of a client that is killed,
// and with each the server gives back all that its query held, whoever reads requests.
func TestKilledClientIsForgotten(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skipf("NOT TESTED HERE: the open files of a process cannot be counted on this system: %v", err)
	}
	for _, server := range []string{"http1", "net/http"} {
		t.Run(strings.ReplaceAll(server, "/", " "), func(t *testing.T) {
			s := testcluster.Start(t, testcluster.Options{Dev: true, Env: []string{"HOLDFAST_HTTP_CONFIG_SERVER=" + server}})
			before := holdings(t, s)
			for range 3 { // so that what is forgotten a little each time adds up
				killedWatcher(t, s)
				awaitHoldings(t, s, func(now heldBy) bool { return now.parked == 0 && now.connections <= before.connections })
			}
			// The server's own reader keeps some goroutines that have nothing to do, and
			// the server opens and closes files of its own.
			awaitHoldings(t, s, func(now heldBy) bool { return now.files <= before.files+5 && now.goroutines <= before.goroutines+40 })
		})
	}
}

// killedWatcher starts a process that waits, and kills it when the server has all its queries.
func killedWatcher(t *testing.T, s *testcluster.Server) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), watcherEnv+"="+s.Addr())
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it may be gone, which is found here
		if err := cmd.Wait(); err == nil || said.Len() > 0 {
			t.Errorf("the client was to be killed, and ended with: %v\n%s", err, &said)
		}
	}()
	awaitHoldings(t, s, func(now heldBy) bool {
		return now.parked == watched && now.connections >= watched && now.files >= watched
	})
}

// heldBy is what a server holds for its clients, and for itself.
type heldBy struct{ parked, connections, goroutines, files int }

// awaitHoldings waits until what the server holds is as it must be.
func awaitHoldings(t *testing.T, s *testcluster.Server, as func(now heldBy) bool) {
	t.Helper()
	err := testcluster.Eventually(t.Context(), 30*time.Second, func() error {
		if now := holdings(t, s); !as(now) {
			return fmt.Errorf("the server holds %+v", now)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// holdings asks the server, and the kernel for its open files. The question is a connection
// itself.
func holdings(t *testing.T, s *testcluster.Server) heldBy {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	page := s.Do(http.MethodGet, "/v1/agent/metrics?format=prometheus", nil).Body
	value := func(name string) int {
		for line := range strings.Lines(string(page)) {
			if text, found := strings.CutPrefix(line, name+" "); found {
				n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
				if err != nil {
					t.Fatalf("%s in the metrics: %v", name, err)
				}
				return int(n)
			}
		}
		t.Fatalf("the metrics have no %s", name)
		return 0
	}
	return heldBy{
		parked: value("holdfast_http_parked_queries"), connections: value("holdfast_http_connections"),
		goroutines: value("go_goroutines"), files: len(files),
	}
}
