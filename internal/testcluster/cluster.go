//go:build unix

package testcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/faultnet"
	"github.com/holdfast-kv/holdfast/internal/netns"
)

// ClusterOptions say how a cluster is to be started.
type ClusterOptions struct {
	Servers int     // how many; 0 is 3
	Each    Options // of every server; none is a development server

	// Faults has the servers talk to each other through Cluster.Network. It needs
	// Linux, whose loopback interface has many addresses.
	Faults bool

	// Namespaces has each server live in a network namespace of its own, and Cluster.Kernel
	// break the network between them; see CanSeparate. Not together with Faults.
	Namespaces bool
}

// Cluster is servers that form one cluster. Its methods fail the test on an
// unexpected result unless they return an error, and are for the goroutine of the
// test only.
type Cluster struct {
	// Network is what the servers talk to each other through, each under its number;
	// nil without Faults.
	Network *faultnet.Net

	// Kernel is the network of the servers, each under its number; nil without Namespaces.
	Kernel *netns.Net

	tb      testing.TB
	opts    ClusterOptions
	servers []*Server // by number; nil for one that was removed
	expect  int
}

// member is what a server is in its cluster.
type member struct {
	cluster    *Cluster
	id         int
	bind       netip.Addr
	advertise  netip.Addr
	gossipPort int
	moves      int // how often it has got new addresses
}

// Limits of waiting for a cluster. Like the others they end only tests that fail.
const (
	formLimit = 60 * time.Second
	askLimit  = time.Second // of one question to one server, which may be frozen
)

// StartCluster starts a cluster and returns when it is formed. It ends with the test.
func StartCluster(tb testing.TB, opts ClusterOptions) *Cluster {
	tb.Helper()
	c := NewCluster(tb, opts)
	for _, s := range c.Servers() {
		s.Launch()
	}
	c.AwaitFormed()
	return c
}

// NewCluster makes all of a cluster but its processes.
func NewCluster(tb testing.TB, opts ClusterOptions) *Cluster {
	tb.Helper()
	if opts.Servers == 0 {
		opts.Servers = 3
	}
	if opts.Each.Dev {
		tb.Fatal("a cluster of development servers: they are clusters of their own")
	}
	c := &Cluster{tb: tb, opts: opts, expect: opts.Servers}
	if opts.Faults {
		c.Network = faultnet.New()
		tb.Cleanup(c.Network.Close) // after the servers, whose clean-up is registered later
	}
	if opts.Namespaces {
		var err error
		if c.Kernel, err = netns.New(); err != nil {
			tb.Fatalf("network namespaces: %v", err)
		}
		tb.Cleanup(func() { // after the servers, too
			if err := c.Kernel.Close(); err != nil {
				tb.Error(err)
			}
		})
	}
	for range opts.Servers {
		c.newServer()
	}
	return c
}

// newServer makes the next server of the cluster, without a process.
func (c *Cluster) newServer() *Server {
	c.tb.Helper()
	s := New(c.tb, c.opts.Each)
	id := len(c.servers)
	s.name = "node-" + strconv.Itoa(id+1)
	s.DataDir = filepath.Join(s.dir, "data")
	s.member = &member{cluster: c, id: id}
	c.place(s)
	c.servers = append(c.servers, s)
	return s
}

// place gives a server its addresses and ports for peers. The second byte from the
// right tells bind addresses (even) from advertised ones (odd).
func (c *Cluster) place(s *Server) {
	c.tb.Helper()
	m := s.member
	m.gossipPort = FreePort(c.tb)
	m.bind = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	m.advertise = m.bind
	if c.Kernel != nil && m.moves == 0 {
		if err := c.Kernel.Attach(m.id); err != nil {
			c.tb.Fatal(err)
		}
	}
	if c.Kernel != nil {
		m.bind = c.Kernel.PeerAddr(m.id)
		m.advertise = m.bind
		s.host = c.Kernel.ClientAddr(m.id).String()
		s.runner = c.Kernel.Command(m.id)
	}
	if c.Network == nil {
		return
	}
	last := byte(10 + m.id)
	m.bind = netip.AddrFrom4([4]byte{127, 0, byte(2 * m.moves), last})
	m.advertise = netip.AddrFrom4([4]byte{127, 0, byte(2*m.moves + 1), last})
	err := c.Network.Attach(m.id, faultnet.Endpoint{
		Bind: m.bind, Advertise: m.advertise,
		TCP: []int{s.serverPort, m.gossipPort}, UDP: []int{m.gossipPort},
	})
	if err != nil {
		c.tb.Fatal(err)
	}
}

// config is what the configuration file says of the cluster.
func (m *member) config() map[string]any {
	config := map[string]any{
		"bind_addr":        m.bind.String(),
		"advertise_addr":   m.advertise.String(),
		"bootstrap_expect": m.cluster.expect,
		"performance":      map[string]any{"raft_multiplier": 1},
	}
	var peers []string
	for _, s := range m.cluster.Servers() {
		if s.member.id != m.id {
			peers = append(peers, netip.AddrPortFrom(s.member.advertise, uint16(s.member.gossipPort)).String())
		}
	}
	if len(peers) > 0 {
		config["retry_join"] = peers
		config["retry_interval"] = "1s"
	}
	if m.id >= m.cluster.expect { // it came later: it joins and starts nothing
		delete(config, "bootstrap_expect")
	}
	return config
}

// Servers are the members, in the order of their numbers.
func (c *Cluster) Servers() []*Server {
	var present []*Server
	for _, s := range c.servers {
		if s != nil {
			present = append(present, s)
		}
	}
	return present
}

// Server is the one with a number, from 0.
func (c *Cluster) Server(id int) *Server { return c.servers[id] }

// ID is the server's number in its cluster, 0 of a server alone: what Cluster.Network
// knows it by.
func (s *Server) ID() int {
	if s.member == nil {
		return 0
	}
	return s.member.id
}

// PeerAddr is the address at which other servers know this one: that of its Raft.
func (s *Server) PeerAddr() string {
	if s.member == nil {
		return fmt.Sprintf("127.0.0.1:%d", s.serverPort)
	}
	return netip.AddrPortFrom(s.member.advertise, uint16(s.serverPort)).String()
}

// AwaitFormed waits until every member is a voter, all know the same leader, and each
// answers linearizable reads.
func (c *Cluster) AwaitFormed() {
	c.tb.Helper()
	var gone error
	err := Eventually(c.tb.Context(), formLimit, func() error {
		err := c.Formed(c.tb.Context())
		if errors.Is(err, errGone) { // it does not come back
			gone = err
			return nil
		}
		return err
	})
	if err = errors.Join(err, gone); err != nil {
		c.tb.Fatalf("form a cluster of %d: %v", len(c.Servers()), err)
	}
}

// Formed says why the cluster is not what AwaitFormed waits for, nil if it is.
func (c *Cluster) Formed(ctx context.Context) error {
	leader := ""
	for _, s := range c.Servers() {
		if !s.Running() {
			return fmt.Errorf("%s: %w", s.name, errGone)
		}
		known, err := s.KnownLeader(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", s.name, err)
		case known == "":
			return fmt.Errorf("%s knows no leader", s.name)
		case leader != "" && known != leader:
			return fmt.Errorf("%s knows the leader %s, another server %s", s.name, known, leader)
		}
		leader = known
		voters, err := s.Voters(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if len(voters) != len(c.Servers()) {
			return fmt.Errorf("%s knows the voters %v, want %d", s.name, voters, len(c.Servers()))
		}
		if err := s.AnswersReads(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// ask sends one question to a server that may be frozen, and decodes its answer.
func (s *Server) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	resp, err := s.TryDo(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, resp.Status, resp.Body)
	}
	if err := json.Unmarshal(resp.Body, answer); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", path, err)
	}
	return nil
}

// KnownLeader is the address that the server takes for its leader's, "" if it knows
// none. Safe for concurrent use, like the questions below.
func (s *Server) KnownLeader(ctx context.Context) (string, error) {
	var addr string
	err := s.ask(ctx, "/v1/status/leader", &addr)
	return addr, err
}

// Voters are the node names of the cluster's voters, as this server knows them.
func (s *Server) Voters(ctx context.Context) ([]string, error) {
	var config struct {
		Servers []struct {
			Node  string
			Voter bool
		}
	}
	if err := s.ask(ctx, "/v1/operator/raft/configuration?stale", &config); err != nil {
		return nil, err
	}
	var names []string
	for _, v := range config.Servers {
		if v.Voter {
			names = append(names, v.Node)
		}
	}
	return names, nil
}

// AnswersReads says why the server does not answer linearizable reads, nil if it does.
func (s *Server) AnswersReads(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return s.readable(ctx)
}

// errNoAgreement says that the servers do not agree on a leader.
var errNoAgreement = errors.New("no server is taken for the leader by a majority and by itself")

// Leader waits until a majority and the leader itself agree on who leads.
func (c *Cluster) Leader() *Server {
	c.tb.Helper()
	var leader *Server
	err := Eventually(c.tb.Context(), formLimit, func() error {
		var err error
		leader, err = c.FindLeader(c.tb.Context())
		return err
	})
	if err != nil {
		c.tb.Fatal(err)
	}
	return leader
}

// FindLeader asks all the servers at once who leads.
func (c *Cluster) FindLeader(ctx context.Context) (*Server, error) {
	members := c.Servers()
	type opinion struct {
		of     *Server
		leader string
	}
	opinions := make(chan opinion, len(members))
	for _, s := range members {
		go func() {
			known, err := s.KnownLeader(ctx)
			if err != nil {
				known = ""
			}
			opinions <- opinion{s, known}
		}()
	}
	votes := map[string]int{}
	own := map[string]*Server{}
	for range members {
		o := <-opinions
		votes[o.leader]++
		if o.leader != "" && (o.leader == o.of.PeerAddr() || len(members) == 1) {
			own[o.leader] = o.of
		}
	}
	for addr, s := range own {
		if votes[addr] > len(members)/2 {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: %v", errNoAgreement, maps.Clone(votes))
}

// Followers are the members without the leader.
func (c *Cluster) Followers() []*Server {
	c.tb.Helper()
	leader := c.Leader()
	var rest []*Server
	for _, s := range c.Servers() {
		if s != leader {
			rest = append(rest, s)
		}
	}
	return rest
}

// Add makes a new server, which joins the others when it is started.
func (c *Cluster) Add() *Server {
	c.tb.Helper()
	return c.newServer()
}

// Remove has a server leave its cluster, waits until its process has ended, and forgets
// it.
func (c *Cluster) Remove(s *Server) {
	c.tb.Helper()
	resp, err := s.TryDo(c.tb.Context(), http.MethodPut, "/v1/agent/leave", nil)
	if err == nil && resp.Status != http.StatusOK { // the answer may not come: it ends
		c.tb.Fatalf("%s leaves: %d %s", s.name, resp.Status, resp.Body)
	}
	s.Wait(stopLimit)
	c.Forget(s)
}

// Forget takes a server, which must not run, off the list of members.
func (c *Cluster) Forget(s *Server) {
	c.tb.Helper()
	if s.Running() {
		c.tb.Fatalf("%s still runs", s.name)
	}
	if c.Network != nil {
		c.Network.Detach(s.ID())
	}
	c.servers[s.ID()] = nil
}

// Move gives a server that does not run new addresses and ports for its peers; its data
// and its address for clients stay. The others are told when they are started.
func (c *Cluster) Move(s *Server) {
	c.tb.Helper()
	if s.Running() {
		c.tb.Fatalf("%s still runs", s.name)
	}
	s.member.moves++
	s.serverPort = FreePort(c.tb)
	c.place(s)
}

// Rotate gives each of some servers, which do not run, the address for Raft of the next
// one, and the last that of the first. It is for clusters whose network is not broken.
func (c *Cluster) Rotate(servers ...*Server) {
	c.tb.Helper()
	first := servers[0].serverPort
	for i, s := range servers {
		switch {
		case s.Running():
			c.tb.Fatalf("%s still runs", s.name)
		case c.Network != nil || c.Kernel != nil:
			c.tb.Fatal("the addresses of these servers cannot be exchanged")
		case i+1 < len(servers):
			s.serverPort = servers[i+1].serverPort
		default:
			s.serverPort = first
		}
	}
}

// CanSeparate reports whether ClusterOptions.Namespaces works here, and why not.
func CanSeparate() error {
	n, err := netns.New()
	if err != nil {
		return err
	}
	return errors.Join(n.Attach(0), n.Close())
}

// CanFault reports whether ClusterOptions.Faults works here, and why not.
func CanFault() error {
	l, err := net.Listen("tcp", "127.0.1.10:0")
	if err != nil {
		return fmt.Errorf("listen on a second loopback address: %w", err)
	}
	return l.Close()
}
