package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	readyLimit = 60 * time.Second // a start that takes longer is given up
	readyPoll  = 2 * time.Millisecond
	// answerLimit bounds one question during a start. A server without a leader
	// holds a request for some seconds before it refuses it.
	answerLimit = 15 * time.Second
)

// settings lift the limits that are there to protect a server from one client
// address, which is what a load generator is.
const settings = `# Written by the benchmark: all load comes from one address.
limits {
  http_max_conns_per_client = -1
  parked_queries_per_client = -1
  parked_queries_total      = -1
}
`

// ServerOptions say how a holdfast server is started.
type ServerOptions struct {
	Bin    string   // the binary
	Dir    string   // an existing folder; the server's files go into a fresh one below it
	Config []string // further configuration files, read after ours
	TLS    bool     // serve HTTPS too, at Server.SecureAddr; of a server that is alone
}

// Server is one holdfast process with a folder of its own.
type Server struct {
	opts   ServerOptions
	dir    string // all of its files
	http   int    // ports
	server int
	https  int    // 0: none
	joins  *joins // nil of a server that stays alone
	proc   *process
}

// StartServer starts a fresh single server and waits until it answers a
// consistent read. Close ends it and removes its files.
func StartServer(ctx context.Context, opts ServerOptions) (*Server, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.Dir, "server-")
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s := &Server{opts: opts, dir: dir, http: ports[0], server: ports[1]}
	if err := os.WriteFile(s.configFile(), []byte(settings), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("server: %w", err), s.Close())
	}
	if opts.TLS {
		s.https = ports[2]
		if err := writeCertificate(s.certFile(), s.keyFile()); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.awaitLeader(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.AwaitRead(ctx, "bench/ready", http.StatusOK, http.StatusNotFound); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Start starts the process on the files and ports it had before, without
// waiting until it is ready. It must not be running.
func (s *Server) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	args := []string{
		"agent", "-server",
		"-data-dir", s.DataDir(),
		"-bind", "127.0.0.1",
		"-http-port", strconv.Itoa(s.http),
		"-server-port", strconv.Itoa(s.server),
		"-config-file", s.configFile(),
	}
	args = append(args, s.joins.args()...)
	if s.https != 0 {
		args = append(args, "-https-port", strconv.Itoa(s.https), "-tls-https-cert-file", s.certFile(), "-tls-https-key-file", s.keyFile())
	}
	for _, file := range s.opts.Config {
		args = append(args, "-config-file", file)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(s.opts.Bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	s.proc, err = start(cmd)
	return err
}

// Target is the running server. It changes with every Start.
func (s *Server) Target() Target {
	return Target{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.http)), PID: s.proc.pid()}
}

// SecureAddr is where the server speaks HTTPS, "host:port"; it has a certificate that only this
// server knows who issued.
func (s *Server) SecureAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.https)) }

// DataDir is where the server keeps its data.
func (s *Server) DataDir() string    { return filepath.Join(s.dir, "data") }
func (s *Server) configFile() string { return filepath.Join(s.dir, "bench.hcl") }
func (s *Server) certFile() string   { return filepath.Join(s.dir, "cert.pem") }
func (s *Server) keyFile() string    { return filepath.Join(s.dir, "key.pem") }
func (s *Server) logFile() string    { return filepath.Join(s.dir, "server.log") }

// Kill is kill -9. It returns when the process is gone.
func (s *Server) Kill() error {
	if s.proc == nil {
		return nil
	}
	return s.proc.kill()
}

// Close kills the server and removes all its files.
func (s *Server) Close() error {
	return errors.Join(s.Kill(), os.RemoveAll(s.dir))
}

// awaitLeader waits until the server names a leader.
func (s *Server) awaitLeader(ctx context.Context) error {
	return s.await(ctx, "name a leader", func(ctx context.Context) error {
		r, err := s.Target().Do(ctx, "GET", "/v1/status/leader", nil)
		if err != nil {
			return err
		}
		if r.Status != http.StatusOK {
			return r.Problem()
		}
		if strings.TrimSpace(string(r.Body)) == `""` {
			return errors.New("it knows none")
		}
		return nil
	})
}

// AwaitRead waits until the server answers a consistent read of key with one of
// the given statuses.
func (s *Server) AwaitRead(ctx context.Context, key string, statuses ...int) error {
	return s.await(ctx, "answer a consistent read", func(ctx context.Context) error {
		r, err := s.Target().Do(ctx, "GET", "/v1/kv/"+key+"?consistent", nil)
		if err != nil {
			return err
		}
		for _, status := range statuses {
			if r.Status == status {
				return nil
			}
		}
		return r.Problem()
	})
}

// await asks again and again until there is no error, the server ends, or too
// much time has passed.
func (s *Server) await(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, answerLimit)
			defer cancel()
			return ask(ctx)
		}()
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.exited:
			return fmt.Errorf("the server ended (%w) before it could %s; its log ends with:\n%s", s.ended(), what, s.logTail())
		case <-ctx.Done():
			return fmt.Errorf("the server did not %s: %w (last answer: %w); its log ends with:\n%s", what, context.Cause(ctx), err, s.logTail())
		case <-tick.C:
		}
	}
}

// ended says how the process ended.
func (s *Server) ended() error {
	if s.proc.err == nil {
		return errors.New("exit status 0")
	}
	return s.proc.err
}

// logTail is the end of what the server printed.
func (s *Server) logTail() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return string(b[max(0, len(b)-most):])
}
