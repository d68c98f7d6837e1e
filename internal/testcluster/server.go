//go:build unix

package testcluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is one holdfast server of a test: a place on disk and two ports, and most
// of the time a process that serves them. Its methods fail the test on an unexpected
// result. They may be called from several goroutines only where the comment says so.
type Server struct {
	// DataDir is where the server keeps its data; empty for a development server.
	DataDir string

	tb         testing.TB
	mode       Mode // what Turn does; "" does nothing
	opts       Options
	name       string
	dir        string // holds the configuration file and the data directory
	configFile string
	host       string   // where its API is
	runner     []string // what runs its process; empty: nothing
	httpPort   int
	httpsPort  int // 0: none
	serverPort int
	member     *member // what it is in its cluster; nil of a server alone
	client     *http.Client
	log        *logBuffer // of all the processes so far

	mu      sync.Mutex
	process *process // the current or the last one; guarded by mu
}

// Start starts a server and returns when it answers linearizable reads. It ends with
// the test, and prints its log if the test has failed.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := New(tb, opts)
	s.mustStart()
	return s
}

// New makes all of a server but its process: Start, Launch or StartFailing makes that.
func New(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := &Server{
		tb:         tb,
		opts:       opts,
		name:       nodeName(tb.Name()),
		dir:        tb.TempDir(),
		host:       "127.0.0.1",
		httpPort:   FreePort(tb),
		serverPort: FreePort(tb),
		log:        &logBuffer{},
		client:     &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	if !opts.Dev {
		s.DataDir = filepath.Join(s.dir, "data")
	}
	if opts.HTTPS {
		s.httpsPort = FreePort(tb)
	}
	tb.Cleanup(s.cleanUp)
	return s
}

// nodeName makes a node's name from a test's: of its last part the letters, digits
// and dashes, and not many of them.
func nodeName(test string) string {
	last := strings.ToLower(test[strings.LastIndexByte(test, '/')+1:])
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, last)
	return "node-" + strings.Trim(name[:min(len(name), 24)], "-")
}

func (s *Server) cleanUp() {
	if err := s.end(); err != nil {
		s.tb.Error(err)
	}
	for _, report := range races(s.log.String()) {
		s.tb.Errorf("%s: the race detector found something:\n%s", s.name, report)
	}
	if s.tb.Failed() {
		s.tb.Logf("log of %s:\n%s", s.name, s.log.String())
	}
	s.client.CloseIdleConnections()
}

func (s *Server) mustStart() {
	s.tb.Helper()
	if err := s.start(); err != nil {
		s.tb.Fatalf("start %s: %v\n%s", s.name, err, s.log.String())
	}
}

// start starts a process and waits until it is ready. A port that somebody outside
// these tests has taken in the meantime is given up for another, but only while the
// server has no data yet: later its clients know the address.
func (s *Server) start() error {
	for try := 1; ; try++ {
		p, err := s.launch()
		if err != nil {
			return err
		}
		err = s.waitReady(s.tb.Context(), p)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errGone) || try == 3 || !strings.Contains(s.log.String(), "address already in use") {
			return err
		}
		if s.DataDir != "" {
			if err := os.RemoveAll(s.DataDir); err != nil || try > 1 {
				return errors.Join(errGone, err)
			}
		}
		s.httpPort, s.serverPort = FreePort(s.tb), FreePort(s.tb)
	}
}

// launch starts a process and returns at once.
func (s *Server) launch() (*process, error) {
	if err := s.writeConfig(); err != nil {
		return nil, err
	}
	args := []string{"agent"}
	if s.opts.Dev {
		args = append(args, "-dev")
	}
	args = append(args, "-config-file", s.configFile)
	p, err := startProcess(s.runner, BinaryWith(s.tb, s.opts.Build), append(args, s.opts.Args...), s.opts.Env, s.log)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	return p, nil
}

// end kills the process if there is one.
func (s *Server) end() error {
	p := s.current()
	if p == nil { // New without a start
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return p.wait(killLimit)
}

func (s *Server) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Outcome is what became of a start whose end is open.
type Outcome struct {
	Ready    bool   // it runs and answers linearizable reads
	Hung     bool   // it did neither that nor end, and was killed
	ExitCode int    // of a process that ended by itself; -1 if it was a signal
	Output   string // all that this process printed, up to then
}

// TryStart starts the server again over the data it has, whatever state that is in,
// and returns when it is ready or gone.
func (s *Server) TryStart() Outcome {
	s.tb.Helper()
	if s.Running() {
		s.tb.Fatalf("%s still runs", s.name)
	}
	before := len(s.log.String())
	p, err := s.launch()
	if err != nil {
		s.tb.Fatal(err)
	}
	err = s.waitReady(s.tb.Context(), p)
	o := Outcome{Ready: err == nil, Hung: err != nil && !errors.Is(err, errGone)}
	if o.Hung {
		s.Kill9()
	}
	if !o.Ready {
		o.ExitCode = p.exitCode()
	}
	o.Output = s.log.String()[before:]
	return o
}

// StartFailing starts the server, which must refuse to start, and returns its exit
// code and what this process printed.
func (s *Server) StartFailing() (exitCode int, output string) {
	s.tb.Helper()
	o := s.TryStart()
	if o.Ready || o.Hung {
		s.tb.Fatalf("%s should have refused to start: %+v", s.name, o)
	}
	return o.ExitCode, o.Output
}

// URL is where the API is, such as "http://127.0.0.1:14001". Safe for concurrent use
// as long as nobody calls Restore.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Addr is the host and port of URL.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.httpPort)) }

// HTTPSAddr is where the server serves HTTPS, if the options ask for it.
func (s *Server) HTTPSAddr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.httpsPort)) }

// Name is the server's node name.
func (s *Server) Name() string { return s.name }

// PID is the process id of the current or last process.
func (s *Server) PID() int { return s.current().cmd.Process.Pid }

// ConfigFile is the path of the configuration file that Start wrote. A test may
// change the file before a reload or Restart only through SetConfig.
func (s *Server) ConfigFile() string { return s.configFile }

// SetConfig changes one key of the configuration and rewrites the file. The running
// process is not told.
func (s *Server) SetConfig(key string, value any) {
	s.tb.Helper()
	next := map[string]any{key: value}
	for k, v := range s.opts.Config {
		if k != key {
			next[k] = v
		}
	}
	s.opts.Config = next
	if err := s.writeConfig(); err != nil {
		s.tb.Fatal(err)
	}
}

// SetBuild has the next start use a binary with another build tag; see Options.Build.
func (s *Server) SetBuild(tag string) { s.opts.Build = tag }

// Log is what the server's processes have printed so far; of very long logs the
// middle is missing. Safe for concurrent use.
func (s *Server) Log() string { return s.log.String() }

// Signal sends sig to the process. Safe for concurrent use.
func (s *Server) Signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.current().signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// Wait waits until the process has ended, at most for limit, and returns its exit
// code: -1 when a signal ended it.
func (s *Server) Wait(limit time.Duration) (exitCode int) {
	s.tb.Helper()
	p := s.current()
	if err := p.wait(limit); err != nil {
		s.tb.Fatal(err)
	}
	return p.exitCode()
}

// Running reports whether there is a process. Safe for concurrent use.
func (s *Server) Running() bool {
	p := s.current()
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill9 kills the process as a power cut would, except that what it gave to the
// operating system is kept, and waits until it is gone.
func (s *Server) Kill9() {
	s.tb.Helper()
	if err := s.end(); err != nil {
		s.tb.Fatal(err)
	}
}

// Stop freezes the process, as a machine does that is too busy or was suspended, until
// Cont. A frozen process can be killed, and is when the test ends.
func (s *Server) Stop() {
	s.tb.Helper()
	s.Signal(syscall.SIGSTOP)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for limit := time.After(stopLimit); !frozen(s.PID()); { // the signal reaches one thread after the other
		select {
		case <-tick.C:
		case <-limit:
			s.tb.Fatalf("%s still runs after SIGSTOP", s.name)
		}
	}
}

// Cont lets a frozen process go on.
func (s *Server) Cont() {
	s.tb.Helper()
	s.Signal(syscall.SIGCONT)
}

// Term asks the process to stop, waits until it has, and fails the test if its exit
// code is not 0.
func (s *Server) Term() {
	s.tb.Helper()
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(stopLimit); code != 0 {
		s.tb.Fatalf("%s: exit code %d after SIGTERM, want 0", s.name, code)
	}
}

// Start starts the server again over the data it has, on the same ports. The process
// before must be gone.
func (s *Server) Start() {
	s.tb.Helper()
	if s.Running() {
		s.tb.Fatalf("%s still runs", s.name)
	}
	s.mustStart()
}

// Launch starts the server again like Start, but returns at once: what it answers
// before it is ready is what the test wants to see.
func (s *Server) Launch() {
	s.tb.Helper()
	if s.Running() {
		s.tb.Fatalf("%s still runs", s.name)
	}
	if _, err := s.launch(); err != nil {
		s.tb.Fatal(err)
	}
}

// Restart stops the process in an orderly way and starts it again.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Term()
	s.Start()
}

// Ready waits until the server answers linearizable reads.
func (s *Server) Ready(ctx context.Context) {
	s.tb.Helper()
	if err := s.waitReady(ctx, s.current()); err != nil {
		s.tb.Fatal(err)
	}
}

// Wipe removes the data directory. The process must be gone.
func (s *Server) Wipe() {
	s.tb.Helper()
	if s.Running() {
		s.tb.Fatalf("%s still runs", s.name)
	}
	if err := os.RemoveAll(s.DataDir); err != nil {
		s.tb.Fatal(err)
	}
}
