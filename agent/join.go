package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-sockaddr/template"

	"github.com/holdfast-kv/holdfast/agent/gossip"
)

// openGossip starts to listen for other servers.
func (a *Agent) openGossip() error {
	if !a.wantsGossip() {
		return nil
	}
	cfg := a.config()
	g := &cfg.Gossip
	var key []byte
	if g.EncryptKey != "" {
		var err error
		if key, err = base64.StdEncoding.DecodeString(g.EncryptKey); err != nil {
			return fmt.Errorf("encrypt: %w", err)
		}
	}
	dir := ""
	if a.dir != nil {
		dir = filepath.Join(a.dir.Path(), "serf")
	}
	var err error
	a.gossip, err = gossip.Start(gossip.Options{
		NodeName: cfg.NodeName, NodeID: a.nodeID, Datacenter: cfg.Datacenter, Tags: a.tags(),
		BindAddr: g.SerfLANBind, AdvertiseAddr: cfg.AdvertiseAddr, Port: cfg.Ports.SerfLAN, Allowed: g.SerfLANAllowed,
		Dir: dir, Rejoin: cfg.Join.Rejoin,
		EncryptKey: key, VerifyIncoming: g.EncryptVerifyIncoming, VerifyOutgoing: g.EncryptVerifyOutgoing, NoKeyringFile: g.DisableKeyringFile,
		ReconnectWithin: g.ReconnectTimeout,
		Interval:        g.Interval, Nodes: g.Nodes, ProbeInterval: g.ProbeInterval, ProbeTimeout: g.ProbeTimeout,
		RetransmitMult: g.RetransmitMult, SuspicionMult: g.SuspicionMult,
		Log: a.logs.Named("gossip"),
	})
	return err
}

// joinAddresses works out what the configuration has as addresses: templates, and the
// port of the gossip where there is none.
func (a *Agent) joinAddresses(list []string) ([]string, error) {
	var out []string
	for _, address := range list {
		if strings.Contains(address, "{{") {
			var err error
			if address, err = template.Parse(address); err != nil {
				return nil, fmt.Errorf("address to join: %w", err)
			}
		}
		for _, one := range strings.Fields(address) {
			if _, _, err := net.SplitHostPort(one); err != nil {
				port := a.config().Ports.SerfLAN
				if port <= 0 {
					port = defaultGossipPort
				}
				one = net.JoinHostPort(strings.Trim(one, "[]"), strconv.Itoa(port))
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// defaultGossipPort is where the gossip of others is found that say nothing else.
const defaultGossipPort = 8301

// joinAtStart joins what start_join names; the server does not start if nobody answers.
func (a *Agent) joinAtStart() error {
	list := a.config().Join.Start
	if len(list) == 0 {
		return nil
	}
	if a.gossip == nil {
		return errors.New("start_join: this server has no gossip to join with: set ports.serf_lan and ports.server")
	}
	addresses, err := a.joinAddresses(list)
	if err != nil {
		return err
	}
	if _, err := a.gossip.Join(addresses); err != nil {
		return fmt.Errorf("start_join: none of %s answered: %w", strings.Join(addresses, ", "), err)
	}
	return nil
}

// retryJoin joins what retry_join names, and goes on trying until somebody answers.
func (a *Agent) retryJoin(ctx context.Context) error {
	join := &a.config().Join
	if len(join.Retry) == 0 || a.gossip == nil {
		return nil
	}
	for try := 1; ; try++ {
		addresses, err := a.joinAddresses(join.Retry)
		if err == nil {
			var met int
			if met, err = a.gossip.Join(addresses); a.metOthers(met) {
				a.log.Info("joined other servers", "answered", met)
				return nil
			}
			if err == nil {
				err = errors.New("nobody but this server answered")
			}
		}
		if join.MaxTries > 0 && try >= join.MaxTries {
			return fmt.Errorf("retry_join: gave up after %d rounds: %w", try, err)
		}
		wait := min(join.Interval, firstRetries(try))
		a.log.Info("join other servers: none has answered yet", "again_in", wait, "reason", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// metOthers tells whether somebody else than this server answered, which may be among
// the addresses itself.
func (a *Agent) metOthers(met int) bool {
	if met == 0 {
		return false
	}
	for _, m := range a.gossip.Members() {
		if m.ID != a.nodeID && m.Status == gossip.Alive {
			return true
		}
	}
	return false
}

// firstRetries makes the first rounds follow each other quickly: servers that are
// started together find each other in the first second.
func firstRetries(try int) time.Duration {
	return 100 * time.Millisecond << min(try-1, 10)
}

// Join meets another server.
//
// Source: contract, agent, section 2, for the text.
func (a *Agent) Join(_ context.Context, address string) error {
	if a.gossip == nil {
		return joinError(address, errors.New("this server has no gossip: set ports.serf_lan and ports.server"))
	}
	if strings.Contains(address, "{{") { // a template is for those who configure the server
		return joinError(address, errNoAddress)
	}
	addresses, err := a.joinAddresses([]string{address})
	if err == nil && len(addresses) == 0 {
		err = errNoAddress
	}
	if err != nil {
		return joinError(address, err)
	}
	if _, err := a.gossip.Join(addresses); err != nil {
		return err
	}
	if _, removed := a.place.look(a.configuration().Servers); removed {
		a.place.renew()
	}
	return nil
}

var errNoAddress = errors.New("it is no address")

func joinError(address string, err error) error {
	//lint:ignore ST1005 the text is the wire's
	return fmt.Errorf("1 error occurred:\n\t* Failed to join %s: %w\n\n", address, err)
}

// ForceLeave makes a failed server count as one that left.
//
// Source: contract, agent, section 2, for the text.
func (a *Agent) ForceLeave(_ context.Context, node string, prune bool) error {
	err := gossip.ErrUnknownMember
	if a.gossip != nil {
		err = a.gossip.ForceLeave(node, prune)
	}
	if errors.Is(err, gossip.ErrUnknownMember) {
		return fmt.Errorf("agent: No node found with name '%s'", node)
	}
	return err
}
