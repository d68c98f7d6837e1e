package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc"
)

// peers is what this server needs of other servers: the server port, and the way to
// theirs. A server that nobody can join has none.
type peers struct {
	port    *rpc.Port
	server  *rpc.Server
	client  *rpc.Client
	forward *rpc.Forwarder
	raft    *network
	ended   chan struct{} // of capacity 1: a connection of Raft's from another server ended
	run     sync.WaitGroup
}

// openPeers opens the server port.
func (a *Agent) openPeers() error {
	cfg := a.config()
	if !a.wantsPeers() {
		return nil
	}
	source, err := netip.ParseAddr(cfg.BindAddr)
	if err != nil {
		return fmt.Errorf("bind_addr: %w", err)
	}
	port, err := rpc.Listen(rpc.Options{
		Listen: net.JoinHostPort(cfg.BindAddr, strconv.Itoa(cfg.Ports.Server)), ID: a.nodeID, Source: source,
		Incoming: a.certs.Incoming(rpc.Protocols()...), RequireTLS: a.certs.RequiresTLS(),
		Outgoing:         func(protocol string) *tls.Config { return a.certs.Outgoing(protocol) },
		HandshakeTimeout: cfg.Limits.RPCHandshakeTimeout, MostPerClient: cfg.Limits.RPCMaxConnsPerClient,
		Log: a.logs.Named("rpc"),
	})
	if err != nil {
		return err
	}
	advertised := &net.TCPAddr{IP: net.ParseIP(cfg.AdvertiseAddr), Port: cfg.Ports.Server}
	if tcp, ok := port.Addr().(*net.TCPAddr); ok {
		advertised.Port = tcp.Port
	}
	p := &peers{port: port, client: rpc.NewClient(port), ended: make(chan struct{}, 1)}
	p.forward = rpc.NewForwarder(p.client)
	p.server = rpc.NewServer(port, &backend{a})
	p.raft = &network{a: a, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: port.Streams(advertised, p.noteEnd), Logger: a.logs.Named("raft.net"),
		MaxPool: 4, Timeout: rpcTimeout, MaxRPCsInFlight: rpcsInFlight,
	})}
	a.peers = p
	p.run.Go(func() {
		if err := port.Serve(a.group.Context()); err != nil {
			a.stop(err)
		}
	})
	return nil
}

// portOfServer is the server port: the real one, when the system chose it.
func (a *Agent) portOfServer() int {
	if a.peers != nil {
		if tcp, ok := a.peers.port.Addr().(*net.TCPAddr); ok {
			return tcp.Port
		}
	}
	return a.config().Ports.Server
}

// rpcTimeout bounds a message of Raft's to another server, but for snapshots, which
// get more by their size. rpcsInFlight is how many batches of entries are under way to
// a follower before the first is answered.
const (
	rpcTimeout   = 5 * time.Second
	rpcsInFlight = 4
)

// wantsPeers tells whether other servers may find this one. In memory nothing is kept
// that others could count on, so there a server stays alone unless it is told where
// to listen.
func (a *Agent) wantsPeers() bool {
	cfg := a.config()
	if cfg.Ports.Server < 0 {
		return false
	}
	return !cfg.Dev || written(a.loaded.Load(), "ports.server")
}

func (a *Agent) wantsGossip() bool {
	cfg := a.config()
	if a.peers == nil || cfg.Ports.SerfLAN < 0 {
		return false
	}
	return !cfg.Dev || written(a.loaded.Load(), "ports.serf_lan")
}

// start answers the requests of other servers.
func (p *peers) start(stop func(error)) {
	p.run.Go(func() {
		if err := p.server.Serve(); err != nil {
			stop(fmt.Errorf("answer other servers: %w", err))
		}
	})
}

// stop ends all requests of and to other servers, but not Raft's. It does not wait for
// longer than most: a request waits for the log, which a disk that hangs or is damaged
// never lets on.
func (p *peers) stop(most time.Duration) error {
	p.forward.Close()
	p.client.Close()
	stopped := make(chan struct{})
	go func() { // ends with the requests, or with the process
		p.server.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-time.After(most):
		return errors.New("stop: requests of other servers did not end in time; what was acknowledged is on disk")
	}
}

// close closes the port. Raft must have ended; what stop has not seen end is not
// waited for much longer.
func (p *peers) close(most time.Duration) error {
	err := p.port.Close()
	ended := make(chan struct{})
	go func() { // ends with the requests, or with the process
		p.run.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(most):
		err = errors.Join(err, errors.New("close the server port: its connections did not end in time"))
	}
	return err
}

// network is Raft's transport, but that snapshots are sent at a bounded speed, and that
// it goes by who a server is and not by where the configuration has it.
type network struct {
	*raft.NetworkTransport
	a *Agent
}

// EncodePeer is the sender that Raft names in its messages: of this server the address
// that others know it by, which need not be the one where it reaches itself.
func (t *network) EncodePeer(id raft.ServerID, address raft.ServerAddress) []byte {
	if string(id) == t.a.nodeID {
		return []byte(t.a.address)
	}
	return t.NetworkTransport.EncodePeer(id, address)
}

// to is where the server with an id is now, whatever address the Raft configuration has:
// identity is the id, and nobody else at that address will do.
func (t *network) to(id raft.ServerID, configured raft.ServerAddress) raft.ServerAddress {
	if string(id) == t.a.nodeID {
		return rpc.To(id, raft.ServerAddress(t.a.ownAddress()))
	}
	return rpc.To(id, raft.ServerAddress(t.a.addressOf(string(id), string(configured))))
}

// AppendEntriesPipeline is part of raft.Transport, as are those that follow.
func (t *network) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	return t.NetworkTransport.AppendEntriesPipeline(id, t.to(id, target))
}

func (t *network) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return t.NetworkTransport.AppendEntries(id, t.to(id, target), args, resp)
}

func (t *network) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, t.to(id, target), args, resp)
}

func (t *network) RequestPreVote(
	id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	return t.NetworkTransport.RequestPreVote(id, t.to(id, target), args, resp)
}

func (t *network) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, t.to(id, target), args, resp)
}

// ownAddress is where this server reaches itself.
func (a *Agent) ownAddress() string {
	host, port, err := net.SplitHostPort(a.peers.port.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// addressOf is where the server with an id is; fallback where nobody has told.
func (a *Agent) addressOf(id, fallback string) string {
	if id == a.nodeID {
		return fallback
	}
	if m := a.memberOf(id); m != nil {
		return m.ServerAddress()
	}
	return fallback
}

// memberOf is the member with a node id; of several, which a change of name makes,
// the one that lives.
func (a *Agent) memberOf(id string) *gossip.Member {
	if a.gossip == nil || id == "" {
		return nil
	}
	var found *gossip.Member
	for _, m := range a.gossip.Members() {
		if m.ID == id && (found == nil || m.Status == gossip.Alive) {
			found = &m
		}
	}
	return found
}

// noteEnd notes that a connection of Raft's from another server has ended.
func (p *peers) noteEnd() {
	select {
	case p.ended <- struct{}{}:
	default: // one word is enough
	}
}

// electSelf makes a server that is the only one with a vote lead at once, rather than
// after it has waited for a leader that cannot be.
func (a *Agent) electSelf(ctx context.Context) error {
	if err := a.stand(); err != nil && ctx.Err() == nil {
		a.log.Warn("stand for election at once", "error", err) // it will, in a moment
	}
	return nil
}

// stand makes this server a candidate now. The others vote for it though they may know
// a leader, if their logs reach no further: Raft hands leadership over in this way. So it
// is only for who is sure that there is no leader.
func (a *Agent) stand() error {
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(a.nodeID), Addr: a.peers.raft.EncodePeer(raft.ServerID(a.nodeID), a.address),
	}}
	return a.peers.raft.TimeoutNow(raft.ServerID(a.nodeID), a.address, req, &raft.TimeoutNowResponse{})
}
