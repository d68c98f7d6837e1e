package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// ErrNoCluster says that the servers under test do not form clusters.
var ErrNoCluster = errors.New("the servers do not form a cluster")

// Cluster is several holdfast processes on this machine that are one store.
type Cluster struct {
	servers []*Server
	leader  int
}

// joins is what a server of a cluster needs beside what one alone does.
type joins struct {
	gossip int   // port
	all    []int // ports of the gossip of all servers
}

// args are those of a server of a cluster, or of one that is alone.
func (j *joins) args() []string {
	if j == nil {
		return []string{"-bootstrap", "-serf-lan-port", "-1"} // it stays alone
	}
	args := []string{
		"-node", fmt.Sprint("bench-", j.gossip), "-bootstrap-expect", strconv.Itoa(len(j.all)), "-serf-lan-port", strconv.Itoa(j.gossip),
	}
	for _, port := range j.all {
		args = append(args, "-retry-join", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return args
}

// StartCluster starts a fresh cluster of n servers and waits until each answers a
// consistent read. Close ends it and removes its files. The error is ErrNoCluster when
// the servers start, but each by itself.
func StartCluster(ctx context.Context, opts ServerOptions, n int) (c *Cluster, err error) {
	ports, err := freePorts(3 * n)
	if err != nil {
		return nil, err
	}
	c = &Cluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			c = nil
		}
	}()
	for i := range n {
		dir, err := os.MkdirTemp(opts.Dir, "server-")
		if err != nil {
			return c, fmt.Errorf("server: %w", err)
		}
		s := &Server{opts: opts, dir: dir, http: ports[i], server: ports[n+i], joins: &joins{gossip: ports[2*n+i], all: ports[2*n:]}}
		c.servers = append(c.servers, s)
		if err := os.WriteFile(s.configFile(), []byte(settings), 0o600); err != nil {
			return c, fmt.Errorf("server: %w", err)
		}
		if err := s.Start(ctx); err != nil {
			return c, err
		}
	}
	if err := c.awaitAll(ctx); err != nil {
		return c, err
	}
	return c, c.FindLeader(ctx)
}

// FindLeader asks who leads. The error is ErrNoCluster when that is none of the servers.
func (c *Cluster) FindLeader(ctx context.Context) error {
	r, err := c.servers[0].Target().Do(ctx, http.MethodGet, "/v1/status/leader", nil)
	if err != nil {
		return err
	}
	var address string
	if err := json.Unmarshal(r.Body, &address); err != nil {
		return fmt.Errorf("who leads: %w: %.100s", err, r.Body)
	}
	for i, s := range c.servers {
		if address == net.JoinHostPort("127.0.0.1", strconv.Itoa(s.server)) {
			c.leader = i
			return nil
		}
	}
	return fmt.Errorf("%w: the first names the leader %q", ErrNoCluster, address)
}

// KillLeader is kill -9 of the server that leads now. It returns one that goes on, and the
// time just before the signal was sent: when the call returns, the process has been gone for a while.
func (c *Cluster) KillLeader(ctx context.Context) (survivor Target, at time.Time, err error) {
	if err := c.FindLeader(ctx); err != nil {
		return survivor, at, err
	}
	at = time.Now()
	return c.Follower(), at, c.servers[c.leader].Kill()
}

// Revive starts the leader that was killed, and waits until all servers answer a
// consistent read.
func (c *Cluster) Revive(ctx context.Context) error {
	if err := c.servers[c.leader].Start(ctx); err != nil {
		return err
	}
	return c.awaitAll(ctx)
}

func (c *Cluster) awaitAll(ctx context.Context) error {
	for _, s := range c.servers {
		if err := s.awaitLeader(ctx); err != nil {
			return err
		}
		if err := s.AwaitRead(ctx, "bench/ready", http.StatusOK, http.StatusNotFound); err != nil {
			return err
		}
	}
	return nil
}

// Leader is the server that led when it was last asked.
func (c *Cluster) Leader() Target { return c.servers[c.leader].Target() }

// Follower is one that did not.
func (c *Cluster) Follower() Target { return c.servers[(c.leader+1)%len(c.servers)].Target() }

// All are all servers.
func (c *Cluster) All() []Target {
	var all []Target
	for _, s := range c.servers {
		all = append(all, s.Target())
	}
	return all
}

// Close kills the servers and removes all their files.
func (c *Cluster) Close() error {
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
