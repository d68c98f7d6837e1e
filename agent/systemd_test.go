package agent

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a service manager that keeps what it is told.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T, socket string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{t, conn}
}

// hears waits for a message that has all the lines, and returns it.
func (m *manager) hears(lines ...string) string {
	m.t.Helper()
	buf := make([]byte, 4096)
	var heard []string
	for {
		if err := m.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			m.t.Fatal(err)
		}
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("no message with %q: %v; heard %q", lines, err, heard)
		}
		message := string(buf[:n])
		heard = append(heard, message)
		found := true
		for _, line := range lines {
			found = found && strings.Contains("\n"+message, "\n"+line)
		}
		if found {
			return message
		}
	}
}

func TestServiceManagerHearsHowTheServerLives(t *testing.T) {
	for _, tc := range []struct{ rule, socket string }{
		{"over a path", filepath.Join(t.TempDir(), "notify")},
		{"over an abstract name", fmt.Sprintf("@holdfast-test-%d-%d", os.Getpid(), time.Now().UnixNano())},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if tc.socket[0] == '@' && runtime.GOOS != "linux" {
				t.Skip("only Linux has abstract names")
			}
			heard := newManager(t, tc.socket)
			m, stop := startInMemory(t, Options{Systemd: Systemd{Socket: tc.socket, Watchdog: 20 * time.Millisecond}})
			heard.hears("READY=1", "STATUS=Serving as leader")
			heard.hears("WATCHDOG=1")
			heard.hears("WATCHDOG=1")

			if err := m.Reload(); err != nil {
				t.Fatal(err)
			}
			message := heard.hears("RELOADING=1", "MONOTONIC_USEC=")
			_, stamp, _ := strings.Cut(message, "MONOTONIC_USEC=")
			if usec, err := strconv.ParseInt(stamp, 10, 64); err != nil || runtime.GOOS == "linux" && usec == 0 {
				t.Errorf("stamp of the reload is %q", stamp)
			}
			heard.hears("READY=1")
			stop()
			heard.hears("STOPPING=1")
		})
	}
}

func TestServerRunsWithoutItsServiceManager(t *testing.T) {
	m, stop := startInMemory(t, Options{Systemd: Systemd{Socket: filepath.Join(t.TempDir(), "nobody")}})
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	stop()
	if n := strings.Count(m.log.String(), "service manager does not listen"); n != 1 {
		t.Errorf("the log says so %d times, want once:\n%s", n, m.log)
	}
}

func TestNoServiceManagerIsTold(t *testing.T) {
	if err := (Systemd{}).notify("READY=1"); err != nil {
		t.Error(err)
	}
	if err := (Systemd{Socket: "vsock:2:1"}).notify("READY=1"); err == nil {
		t.Error("a socket of another kind was taken for a path")
	}
}

func TestSystemdFromEnv(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	for _, tc := range []struct {
		rule string
		env  map[string]string
		want Systemd
	}{
		{"nothing", nil, Systemd{}},
		{"a socket", map[string]string{"NOTIFY_SOCKET": "/run/n"}, Systemd{Socket: "/run/n"}},
		{"a watchdog", map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "30000000"}, Systemd{"@n", 30 * time.Second}},
		{"a watchdog for this process", map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": pid}, Systemd{"@n", time.Millisecond}},
		{"a watchdog for another", map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, Systemd{Socket: "@n"}},
		{"a watchdog without a socket", map[string]string{"WATCHDOG_USEC": "1000"}, Systemd{}},
		{"a watchdog that is no number", map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "x"}, Systemd{Socket: "@n"}},
		{"a watchdog of no time", map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, Systemd{Socket: "@n"}},
		{"a watchdog beyond reason", map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "9223372036854775807"}, Systemd{Socket: "@n"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := SystemdFromEnv(func(name string) string { return tc.env[name] }); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
