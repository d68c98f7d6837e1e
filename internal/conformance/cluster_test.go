package conformance

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func TestStatusAndRaft(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	leader, err := c.Status().Leader()
	must(t, err)
	peers, err := c.Status().Peers()
	must(t, err)
	if leader == "" || !slices.Contains(peers, leader) {
		t.Errorf("leader %q, peers %v", leader, peers)
	}
	for mode, opts := range map[string]*api.QueryOptions{"default": nil, "stale": {AllowStale: true}} {
		raft, err := c.Operator().RaftGetConfiguration(opts)
		must(t, err)
		if len(raft.Servers) != 1 {
			t.Fatalf("%s: servers %v", mode, raft.Servers)
		}
		if one := raft.Servers[0]; !one.Leader || !one.Voter || one.Node != s.Name() || one.Address != leader || one.ID == "" {
			t.Errorf("%s: server %+v, leader %s, node %s", mode, one, leader, s.Name())
		}
	}
}

func TestAgent(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	name, err := c.Agent().NodeName()
	must(t, err)
	if name != s.Name() {
		t.Errorf("node name %q, want %q", name, s.Name())
	}
	self, err := c.Agent().Self()
	must(t, err)
	if self["Config"]["NodeName"] != s.Name() || self["Config"]["Datacenter"] != "dc1" || self["Config"]["Server"] != true {
		t.Errorf("config is %v", self["Config"])
	}
	members, err := c.Agent().Members(false)
	must(t, err)
	if len(members) != 1 || members[0].Name != s.Name() || members[0].Status != 1 || members[0].Tags["role"] != "consul" {
		t.Errorf("members are %+v", members)
	}
	if _, err := c.Agent().Metrics(); err != nil {
		t.Errorf("metrics: %v", err)
	}
	if _, err := c.Agent().Host(); err != nil {
		t.Errorf("host: %v", err)
	}
	must(t, c.Agent().Reload())
}

func TestAgentMonitor(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	stop := make(chan struct{})
	lines, err := c.Agent().Monitor("debug", stop, nil)
	must(t, err)
	must(t, c.Agent().Reload()) // which is worth a line
	if line := <-lines; line == "" {
		t.Error("the log ended")
	}
	close(stop)
	// The client looks at stop between two lines only, so it must be given some.
	err = testcluster.Eventually(t.Context(), time.Minute, func() error {
		must(t, c.Agent().Reload())
		for {
			select {
			case _, open := <-lines:
				if !open {
					return nil
				}
			default:
				return errors.New("the client still reads the log")
			}
		}
	})
	must(t, err)
}

func TestCatalog(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	dcs, err := c.Catalog().Datacenters()
	must(t, err)
	if !slices.Equal(dcs, []string{"dc1"}) {
		t.Errorf("datacenters are %v", dcs)
	}
	nodes, meta, err := c.Catalog().Nodes(nil)
	must(t, err)
	if len(nodes) != 1 || nodes[0].Node != s.Name() || nodes[0].Address != "127.0.0.1" || nodes[0].ID == "" || nodes[0].Datacenter != "dc1" {
		t.Errorf("nodes are %+v", nodes)
	}
	if meta.LastIndex == 0 {
		t.Error("index 0")
	}
}
