package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// devMember is one server of a cluster on this machine.
type devMember struct {
	name   string
	folder string // holds its configuration, its log and its data
	http   int    // ports
	peers  int
	gossip int

	cmd   *exec.Cmd
	log   *os.File
	guard *guard
	ended chan struct{} // closed when the process is gone
}

func (m *devMember) url() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(m.http))
}

// running reports whether the process has not ended.
func (m *devMember) running() bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// members lays the servers out: folders, ports, and configurations in which each knows
// the others.
func (d *devCluster) members(folder string) ([]*devMember, error) {
	ports, err := d.ports()
	if err != nil {
		return nil, err
	}
	var members []*devMember
	var join []string
	for i := range d.servers {
		name := fmt.Sprintf("node-%d", i+1)
		m := &devMember{
			name: name, folder: filepath.Join(folder, name),
			http: ports[3*i], peers: ports[3*i+1], gossip: ports[3*i+2],
			ended: make(chan struct{}),
		}
		members = append(members, m)
		join = append(join, net.JoinHostPort("127.0.0.1", strconv.Itoa(m.gossip)))
	}
	for i, m := range members {
		if err := m.configure(d.servers, slices.Delete(slices.Clone(join), i, i+1)); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// ports are three for each server: HTTP, other servers, gossip.
func (d *devCluster) ports() ([]int, error) {
	var ports []int
	for i := range 3 * d.servers {
		wanted := 0
		if d.basePort > 0 {
			wanted = d.basePort + 10*(i/3) + i%3
		}
		// All are held until all are found, so that no two are the same.
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		defer func() { _ = l.Close() }() // it was only to hold the port
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("find a port: %s has none", l.Addr())
		}
		ports = append(ports, addr.Port)
	}
	return ports, nil
}

// configure writes the server's configuration.
func (m *devMember) configure(servers int, join []string) error {
	config := map[string]any{
		"server":           true,
		"bootstrap_expect": servers,
		"node_name":        m.name,
		"data_dir":         filepath.Join(m.folder, "data"),
		"bind_addr":        "127.0.0.1",
		"client_addr":      "127.0.0.1",
		"performance":      map[string]any{"raft_multiplier": 1},
		"ports":            map[string]any{"http": m.http, "server": m.peers, "serf_lan": m.gossip, "serf_wan": -1, "dns": -1, "grpc": -1},
	}
	if len(join) > 0 {
		config["retry_join"] = join
		config["retry_interval"] = "1s"
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("configure %s: %w", m.name, err)
	}
	if err := os.MkdirAll(m.folder, 0o700); err != nil {
		return err
	}
	return os.WriteFile(m.configFile(), append(text, '\n'), 0o600)
}

func (m *devMember) configFile() string { return filepath.Join(m.folder, "holdfast.json") }

func (m *devMember) logFile() string { return filepath.Join(m.folder, "log") }

// lastWords is the end of the server's log.
func (m *devMember) lastWords() string {
	text, err := os.ReadFile(m.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// fleet is the servers while they run.
type fleet struct {
	members []*devMember
	notices *notices
}

// start starts a server. It is in a process group of its own, so that Ctrl-C reaches
// it once, through us, and it ends with us even if we are killed.
func (f *fleet) start(m *devMember, program string) error {
	var err error
	if m.log, err = os.Create(m.logFile()); err != nil {
		return err
	}
	m.cmd = exec.Command(program, "agent", "-config-file="+m.configFile())
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.Env = withoutSettings(os.Environ())
	ownGroup(m.cmd)
	if m.guard, err = startGuard(endGrace); err != nil {
		f.notices.say("Warning: nobody will end %s if this process is killed: %v", m.name, err)
	}
	if err := m.cmd.Start(); err != nil {
		m.guard.dismiss()
		_ = m.log.Close() // the error before says more
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.guard.over(m.cmd.Process)
	go func() { // it ends when the process does, which end waits for
		defer close(m.ended)
		_ = m.cmd.Wait() // its state says it too
		m.guard.dismiss()
		_ = m.log.Close()
	}()
	return nil
}

// withoutSettings is an environment without what would set options of all the servers
// alike, against their files.
func withoutSettings(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		return strings.HasPrefix(v, "HOLDFAST_") || strings.HasPrefix(v, "NOTIFY_SOCKET=")
	})
}

// awaitFormed waits until all servers know the same leader.
func (f *fleet) awaitFormed(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, formLimit)
	defer cancel()
	tick := time.NewTicker(formPoll)
	defer tick.Stop()
	for {
		missing, err := f.unformed(limited)
		if err != nil || missing == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the servers did not become one cluster within %s: %s: %w", formLimit, missing, context.DeadlineExceeded)
		}
	}
}

// unformed says what is missing, "" if nothing is. The error is a server that has ended.
func (f *fleet) unformed(ctx context.Context) (missing string, err error) {
	leader := ""
	for _, m := range f.members {
		if !m.running() {
			return "", fmt.Errorf("%s ended: %s: %s", m.name, m.cmd.ProcessState, m.lastWords())
		}
		known, err := m.leader(ctx)
		switch {
		case err != nil:
			return fmt.Sprintf("%s does not answer: %v", m.name, err), nil
		case known == "":
			return m.name + " knows no leader", nil
		case leader != "" && known != leader:
			return fmt.Sprintf("%s and another server know different leaders", m.name), nil
		}
		leader = known
	}
	return "", nil
}

// leader is the address of the leader that the server knows.
func (m *devMember) leader(ctx context.Context) (string, error) {
	client, err := api.New(api.WithAddress(m.url()), api.WithRetries(0))
	if err != nil {
		return "", err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return client.Status().Leader(ctx)
}

// errAllEnded says that there is nothing left to run.
var errAllEnded = errors.New("all servers have ended")

// watch tells of servers that end, until all have or ctx does.
func (f *fleet) watch(ctx context.Context) error {
	ended := make(chan *devMember, len(f.members))
	for _, m := range f.members {
		go func() { // it ends with the process
			<-m.ended
			ended <- m
		}()
	}
	for range f.members {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-ended:
			f.notices.say("%s ended: %s. Its log: %s", m.name, m.cmd.ProcessState, m.logFile())
		}
	}
	return errAllEnded
}

// end asks all servers to stop, at the same time, and kills those that do not.
func (f *fleet) end() {
	for _, m := range f.members {
		if m.cmd != nil && m.cmd.Process != nil && m.running() {
			terminateGroup(m.cmd.Process)
		}
	}
	limit := time.NewTimer(endGrace)
	defer limit.Stop()
	for _, m := range f.members {
		if m.cmd == nil || m.cmd.Process == nil {
			continue
		}
		select {
		case <-m.ended:
			continue
		case <-limit.C:
			limit.Reset(0) // it is over for the others, too
		}
		f.notices.say("Killing %s, which did not stop within %s", m.name, endGrace)
		killGroup(m.cmd.Process)
		<-m.ended
	}
}
