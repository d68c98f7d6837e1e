package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Systemd is how the service manager wants to hear from the server. The zero value
// is that it does not.
//
// Source: the manual page sd_notify(3).
type Systemd struct {
	// Socket takes the messages: a path, or a name after an @ for one that is in no
	// file system; empty: none.
	Socket string

	// Watchdog is within which time the server must show that it is alive; 0: never.
	Watchdog time.Duration
}

// SystemdFromEnv reads what the service manager has set in the environment.
func SystemdFromEnv(getenv func(string) string) Systemd {
	s := Systemd{Socket: getenv("NOTIFY_SOCKET")}
	if s.Socket == "" {
		return Systemd{}
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return s // it means another process
	}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && usec < 1<<53 {
		s.Watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// notify sends one message.
func (s Systemd) notify(lines ...string) error {
	if s.Socket == "" {
		return nil
	}
	if s.Socket[0] != '@' && !filepath.IsAbs(s.Socket) {
		return fmt.Errorf("tell the service manager: socket %q is neither a path nor an abstract name", s.Socket)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	err = conn.SetWriteDeadline(time.Now().Add(time.Second)) // a manager that hangs must not hang us
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(lines, "\n")))
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// tell tells the service manager, which the server can do without. That it does not
// listen is logged once, until it does again.
func (a *Agent) tell(lines ...string) {
	err := a.opts.Systemd.notify(lines...)
	if err != nil && !a.untold.Swap(true) {
		a.log.Warn("service manager does not listen", "error", err)
	}
	if err == nil {
		a.untold.Store(false)
	}
}

func (a *Agent) tellReady() {
	a.tell("READY=1", "STATUS=Serving as "+strings.ToLower(a.raft.State().String()))
}

func (a *Agent) tellReloading() {
	a.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonicMicros(), 10))
}

// serveManager tells the service manager when this server can serve reads, and
// from then on that it is alive.
func (a *Agent) serveManager(ctx context.Context) error {
	a.tell("STATUS=Reading what is stored")
	select {
	case <-ctx.Done():
		return nil
	case <-a.caughtUp:
	}
	a.tellReady()
	if a.opts.Systemd.Watchdog <= 0 {
		return nil
	}
	tick := time.NewTicker(max(a.opts.Systemd.Watchdog/2, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if a.alive() {
			a.tell("WATCHDOG=1")
		}
	}
}

// alive goes through the locks that every request needs. If one of them is stuck it
// does not return, and the manager ends the process.
func (a *Agent) alive() bool {
	a.store.Hub().Len()
	a.api.Parked()
	return a.raft.State() != raft.Shutdown && len(a.fatal) == 0
}
