package gossip

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// The tags of a member that are looked at here and in package agent. Those without a
// word of ours are what existing tools read.
//
// Source: contract, agent, section 2.
const (
	TagRole       = "role"
	TagID         = "id"
	TagDatacenter = "dc"
	TagPort       = "port" // of the server port
	TagExpect     = "expect"
	TagReplica    = "read_replica"
	TagEntries    = "holdfast_entries" // version of the log entries that the member understands

	RoleServer = "consul"
)

// reclaimAfter is how long a member must have been failed before one with another
// address may have its name: a server that restarts elsewhere.
const reclaimAfter = time.Second

// Options is what a Gossip is made of.
type Options struct {
	NodeName, NodeID, Datacenter string
	Tags                         map[string]string

	BindAddr      string
	AdvertiseAddr string
	Port          int            // 0: a free one
	Allowed       []netip.Prefix // empty: everybody

	// Dir is where members and keys are kept over a restart; empty: nowhere.
	Dir             string
	Rejoin          bool // also after the server left
	EncryptKey      []byte
	VerifyIncoming  bool
	VerifyOutgoing  bool
	NoKeyringFile   bool
	ReconnectWithin time.Duration // how long a failed member is remembered

	Interval       time.Duration
	Nodes          int
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	RetransmitMult int
	SuspicionMult  int

	Log hclog.Logger
}

// Status is how a member is.
type Status = serf.MemberStatus

// Member is one server of the cluster, as others have told.
type Member struct {
	Name, ID, Datacenter string
	Addr                 string // IP address
	Port                 uint16 // of the gossip
	Tags                 map[string]string
	Status               Status
	serf.Member
}

// ServerAddress is where the member's server port is.
func (m *Member) ServerAddress() string { return net.JoinHostPort(m.Addr, m.Tags[TagPort]) }

// Expect is how many servers the member wants to meet before a cluster is formed; 0
// when it does not say.
func (m *Member) Expect() int {
	n, err := strconv.Atoi(m.Tags[TagExpect])
	if err != nil {
		return 0
	}
	return n
}

// Replica tells whether the member has no vote.
func (m *Member) Replica() bool { return m.Tags[TagReplica] == "1" }

// Gossip is this server among the members.
type Gossip struct {
	opts   Options
	serf   *serf.Serf
	events chan serf.Event
	done   sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a member changes; guarded by mu
}

// Start begins to listen. It knows nobody but those it met before the last restart.
func Start(o Options) (*Gossip, error) {
	g := &Gossip{opts: o, events: make(chan serf.Event, 256), changed: make(chan struct{})}
	conf, err := g.config()
	if err != nil {
		return nil, err
	}
	// Members that were met before are tried in the background.
	g.serf, err = serf.Create(conf)
	if err != nil {
		return nil, fmt.Errorf("start gossip on %s port %d: %w", o.BindAddr, o.Port, err)
	}
	g.done.Go(g.follow)
	return g, nil
}

func (g *Gossip) config() (*serf.Config, error) {
	o := &g.opts
	m := memberlist.DefaultLANConfig()
	m.Name, m.BindAddr, m.BindPort = o.NodeName, o.BindAddr, o.Port
	m.AdvertiseAddr, m.AdvertisePort = o.AdvertiseAddr, o.Port
	m.GossipInterval, m.GossipNodes = o.Interval, o.Nodes
	m.ProbeInterval, m.ProbeTimeout = o.ProbeInterval, o.ProbeTimeout
	m.RetransmitMult, m.SuspicionMult = o.RetransmitMult, o.SuspicionMult
	m.GossipVerifyIncoming, m.GossipVerifyOutgoing = o.VerifyIncoming, o.VerifyOutgoing
	m.DeadNodeReclaimTime = reclaimAfter
	for _, p := range o.Allowed {
		p = p.Masked()
		m.CIDRsAllowed = append(m.CIDRsAllowed, net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	std := o.Log.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})
	m.Logger, m.LogOutput = std, nil

	conf := serf.DefaultConfig()
	conf.Init()
	conf.NodeName = o.NodeName
	conf.ProtocolVersion = serf.ProtocolVersionMax
	conf.Tags = maps.Clone(o.Tags)
	conf.MemberlistConfig = m
	conf.Logger, conf.LogOutput = std, nil
	conf.EventCh = g.events
	conf.EnableNameConflictResolution = false // the operator decides who is renamed
	conf.DisableCoordinates = true
	conf.RejoinAfterLeave = o.Rejoin
	conf.ReconnectTimeout = o.ReconnectWithin
	conf.ReconnectInterval = 2 * time.Second // there are few servers: meet again soon
	conf.LeavePropagateDelay = 500 * time.Millisecond
	conf.Merge = &gate{datacenter: o.Datacenter, id: o.NodeID, name: o.NodeName}
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder for members: %w", err)
		}
		conf.SnapshotPath = filepath.Join(o.Dir, "local.snapshot")
	}
	return conf, g.keys(conf)
}

// follow hears of every change of a member.
func (g *Gossip) follow() {
	for {
		select {
		case <-g.events:
			g.tell()
		case <-g.serf.ShutdownCh():
			g.tell()
			return
		}
	}
}

func (g *Gossip) tell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.changed)
	g.changed = make(chan struct{})
}

// Changed is closed when a member comes, goes or changes. Take it before looking at
// Members.
func (g *Gossip) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// Members are all that are known, this server among them, by name.
func (g *Gossip) Members() []Member {
	all := g.serf.Members()
	members := make([]Member, 0, len(all))
	for i := range all {
		m := &all[i]
		members = append(members, Member{
			Name: m.Name, ID: m.Tags[TagID], Datacenter: m.Tags[TagDatacenter], Addr: m.Addr.String(), Port: m.Port,
			Tags: m.Tags, Status: m.Status, Member: *m,
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return members
}

// Stats are Serf's own figures, by name.
func (g *Gossip) Stats() map[string]string { return g.serf.Stats() }

// Join meets other servers at these addresses, with or without a port, and returns how
// many answered. It is an error when none did.
func (g *Gossip) Join(addresses []string) (int, error) {
	n, err := g.serf.Join(addresses, true)
	if err != nil {
		return n, err
	}
	return n, nil
}

// ErrUnknownMember says that there is no member with a name.
var ErrUnknownMember = errors.New("no such member")

// ForceLeave makes a failed member count as one that left, and with prune forgets it.
func (g *Gossip) ForceLeave(name string, prune bool) error {
	if !slices.ContainsFunc(g.serf.Members(), func(m serf.Member) bool { return m.Name == name }) {
		return ErrUnknownMember
	}
	leave := g.serf.RemoveFailedNode
	if prune {
		leave = g.serf.RemoveFailedNodePrune
	}
	if err := leave(name); err != nil {
		return fmt.Errorf("force %s to leave: %w", name, err)
	}
	return nil
}

// Leave tells the others that this server goes for good.
func (g *Gossip) Leave() error {
	if err := g.serf.Leave(); err != nil {
		return fmt.Errorf("tell the others of leaving: %w", err)
	}
	return nil
}

// Close stops. Without Leave, the others will hold this server for failed.
func (g *Gossip) Close() error {
	err := g.serf.Shutdown()
	g.done.Wait()
	if err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// gate lets only servers of this datacenter in, each under one id.
type gate struct{ datacenter, id, name string }

// NotifyMerge is part of serf.MergeDelegate. It is asked of each member alone that is
// said to live, and of all together that a server knows which is met. Of those nothing
// tells who lives, and one that this server was under its former name may be among
// them; so the id is looked at in members that come alone.
func (g *gate) NotifyMerge(members []*serf.Member) error {
	for _, m := range members {
		switch {
		case m.Tags[TagRole] != RoleServer:
			return fmt.Errorf("member %s is no server", m.Name)
		case m.Tags[TagDatacenter] != g.datacenter:
			return fmt.Errorf("member %s is part of datacenter %q, this server of %q", m.Name, m.Tags[TagDatacenter], g.datacenter)
		case m.Tags[TagID] == g.id && m.Name != g.name && m.Status != serf.StatusLeft && len(members) == 1:
			return fmt.Errorf("member %s has the node id of this server, %s; was its data dir copied?", m.Name, g.id)
		}
	}
	return nil
}

// How a member can be.
const (
	Alive   = serf.StatusAlive
	Leaving = serf.StatusLeaving
	Left    = serf.StatusLeft
	Failed  = serf.StatusFailed
)
