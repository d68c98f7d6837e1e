package netns

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// prefix begins the names of everything that is made here: then comes the id of the
// process, in base 36, and one letter.
const prefix = "hf"

// MostNodes is how many nodes a Net can have.
const MostNodes = 200

// Net is a set of namespaces that reach each other over one bridge, and this process
// over another. The methods are for one goroutine.
type Net struct {
	name  string
	block byte // third byte of all addresses
	nodes map[int]*node
}

// node is one namespace.
type node struct {
	name         string
	peer, client netip.Addr
	cut          bool
	dropping     map[int]bool // by the node whose packets are dropped
}

// inUse are the blocks of addresses of this process.
var (
	inUse   = map[byte]bool{} // guarded by blockMu
	blockMu sync.Mutex
)

// New makes a network without nodes. The error says why that is not possible here.
func New() (*Net, error) {
	if err := removeLeftovers(); err != nil {
		return nil, err
	}
	n := &Net{nodes: map[int]*node{}}
	blockMu.Lock()
	defer blockMu.Unlock()
	for n.block = byte(os.Getpid()); inUse[n.block]; n.block++ {
		if len(inUse) > 100 {
			return nil, errors.New("too many networks at a time")
		}
	}
	n.name = fmt.Sprintf("%s%sx%02x", prefix, strconv.FormatInt(int64(os.Getpid()), 36), n.block)
	for _, b := range []struct{ bridge, address string }{{n.name + "p", ""}, {n.name + "c", fmt.Sprintf("198.19.%d.1/24", n.block)}} {
		err := ip("link", "add", b.bridge, "type", "bridge")
		if err == nil && b.address != "" {
			err = ip("address", "add", b.address, "dev", b.bridge)
		}
		if err == nil {
			err = ip("link", "set", b.bridge, "up")
		}
		if err != nil {
			return nil, errors.Join(err, n.removeBridges())
		}
	}
	inUse[n.block] = true
	return n, nil
}

// Attach makes a namespace for a node, a number from 0.
func (n *Net) Attach(id int) error {
	if id < 0 || id >= MostNodes || n.nodes[id] != nil {
		return fmt.Errorf("node %d: its number is taken, or not from 0 to %d", id, MostNodes-1)
	}
	nd := &node{
		name: fmt.Sprintf("%s-%d", n.name, id), dropping: map[int]bool{},
		peer:   netip.AddrFrom4([4]byte{198, 18, n.block, byte(10 + id)}),
		client: netip.AddrFrom4([4]byte{198, 19, n.block, byte(10 + id)}),
	}
	if err := ip("netns", "add", nd.name); err != nil {
		return err
	}
	n.nodes[id] = nd
	in := func(args ...string) error { return ip(append([]string{"-n", nd.name}, args...)...) }
	for _, i := range []struct {
		kind    string
		address netip.Addr
	}{{"p", nd.peer}, {"c", nd.client}} {
		outside := n.outside(id, i.kind)
		inside := "eth-" + i.kind
		err := errors.Join(
			ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", nd.name),
			ip("link", "set", outside, "master", n.name+i.kind, "up"),
			in("address", "add", i.address.String()+"/24", "dev", inside),
			in("link", "set", inside, "up"),
		)
		if err != nil {
			return err
		}
	}
	return errors.Join(
		in("link", "set", "lo", "up"),
		// The rule that finds the own addresses makes room for rules that come before it.
		in("rule", "add", "pref", "10", "lookup", "local"),
		in("rule", "del", "pref", "0"),
	)
}

// outside is the name of the end of a node's interface that is here.
func (n *Net) outside(id int, kind string) string { return fmt.Sprintf("%s%s%d", n.name, kind, id) }

// PeerAddr is the address of a node for the others.
func (n *Net) PeerAddr(id int) netip.Addr { return n.nodes[id].peer }

// ClientAddr is the address of a node for this process, which no fault takes away.
func (n *Net) ClientAddr(id int) netip.Addr { return n.nodes[id].client }

// Command is what a command line must begin with to be run by a node. The process is
// the one that is started, not a child of it.
func (n *Net) Command(id int) []string { return []string{"ip", "netns", "exec", n.nodes[id].name} }

// Isolate cuts a node off from all others, as pulling its cable does.
func (n *Net) Isolate(id int) error {
	n.nodes[id].cut = true
	return ip("link", "set", n.outside(id, "p"), "down")
}

// Drop has everything vanish that one node sends to another; the other direction works.
func (n *Net) Drop(from, to int) error {
	if n.nodes[to].dropping[from] {
		return nil
	}
	n.nodes[to].dropping[from] = true
	return ip("-n", n.nodes[to].name, "rule", "add", "pref", "5", "from", n.nodes[from].peer.String(), "blackhole")
}

// Heal ends all faults.
func (n *Net) Heal() error {
	var errs []error
	for id, nd := range n.nodes {
		if nd.cut {
			errs = append(errs, ip("link", "set", n.outside(id, "p"), "up"))
			nd.cut = false
		}
		for range nd.dropping {
			errs = append(errs, ip("-n", nd.name, "rule", "del", "pref", "5"))
		}
		clear(nd.dropping)
	}
	return errors.Join(errs...)
}

// Close removes everything. The processes of the nodes must have ended.
func (n *Net) Close() error {
	var errs []error
	for id, nd := range n.nodes {
		for _, kind := range []string{"p", "c"} { // with the namespace they would go, but later
			if _, err := os.Stat("/sys/class/net/" + n.outside(id, kind)); err == nil {
				errs = append(errs, ip("link", "delete", n.outside(id, kind)))
			}
		}
		errs = append(errs, ip("netns", "delete", nd.name))
	}
	clear(n.nodes)
	blockMu.Lock()
	defer blockMu.Unlock()
	delete(inUse, n.block)
	return errors.Join(append(errs, n.removeBridges())...)
}

func (n *Net) removeBridges() error {
	var errs []error
	for _, kind := range []string{"p", "c"} {
		if _, err := os.Stat("/sys/class/net/" + n.name + kind); err == nil {
			errs = append(errs, ip("link", "delete", n.name+kind))
		}
	}
	return errors.Join(errs...)
}

// removeLeftovers removes what processes have left that are gone.
func removeLeftovers() error {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	var errs []error
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); ofTheDead(name) {
			errs = append(errs, ip("netns", "delete", name))
		}
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return fmt.Errorf("list network interfaces: %w", err)
	}
	for _, l := range links {
		if ofTheDead(l.Name()) {
			_ = ip("link", "delete", l.Name()) // it may go with a namespace at this moment
		}
	}
	return errors.Join(errs...)
}

// ofTheDead tells whether a name is one of those given here, by a process that has ended.
func ofTheDead(name string) bool {
	rest, ours := strings.CutPrefix(name, prefix)
	id, _, found := strings.Cut(rest, "x")
	pid, err := strconv.ParseInt(id, 36, 32)
	if !ours || !found || err != nil {
		return false
	}
	_, err = os.Stat(fmt.Sprintf("/proc/%d", pid))
	return errors.Is(err, os.ErrNotExist)
}

// ip runs the command of that name.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
