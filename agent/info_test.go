package agent

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// read asks for JSON.
func read[T any](t *testing.T, m *inMemory, path string) (v T) {
	t.Helper()
	status, _, body := m.ask(t, http.MethodGet, path, "")
	if status != 200 {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("GET %s: %v\n%s", path, err, body)
	}
	return v
}

func TestSelf(t *testing.T) {
	cfg := testConfig()
	cfg.NodeMeta = map[string]string{"rack": "7"}
	cfg.Gossip.EncryptKey, cfg.ACL.Tokens.Agent = "c2VjcmV0IGtleSBvZiAxNg==", "secret-token"
	m, _ := startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg}})
	m.ask(t, http.MethodPut, "/v1/kv/app/motd", "hello")

	_, _, body := m.ask(t, http.MethodGet, "/v1/agent/self", "")
	for _, secret := range []string{"c2VjcmV0", "secret-token"} {
		if strings.Contains(body, secret) {
			t.Errorf("self shows the secret %s", secret)
		}
	}
	self := read[httpapi.Self](t, m, "/v1/agent/self")
	want := httpapi.SelfConfig{
		Datacenter: "dc1", PrimaryDatacenter: "dc1", NodeName: "node-1", NodeID: m.nodeID, Revision: httpapi.Revision(), Server: true,
		Version: version.Version, BuildDate: httpapi.BuildDate(), SessionTTLMin: 10_000_000_000,
	}
	if diff := cmp.Diff(want, self.Config); diff != "" {
		t.Errorf("Config (-want +got):\n%s", diff)
	}
	for name, want := range map[string]any{"SessionTTLMin": "10s", "KVMaxValueSize": float64(512 << 10), "ACLsEnabled": false, "EncryptKey": "hidden"} {
		if got := self.DebugConfig[name]; got != want {
			t.Errorf("DebugConfig.%s = %v, want %v", name, got, want)
		}
	}
	if self.Meta["rack"] != "7" || self.Coord != nil {
		t.Errorf("meta %v, coordinates %v", self.Meta, self.Coord)
	}
	for _, s := range []struct{ section, name, want string }{
		{"consul", "leader", "true"},
		{"consul", "server", "true"},
		{"consul", "leader_addr", "127.0.0.1:8300"},
		{"consul", "acl", "disabled"},
		{"raft", "state", "Leader"},
		{"raft", "num_peers", "0"},
		{"raft", "last_contact", "0"},
		{"agent", "checks", "0"},
		{"build", "version", version.Version},
		{"holdfast", "keys", "1"},
		{"holdfast", "read_only", "false"},
	} {
		if got := self.Stats[s.section][s.name]; got != s.want {
			t.Errorf("Stats.%s.%s = %q, want %q", s.section, s.name, got, s.want)
		}
	}
	for _, name := range []string{"applied_index", "commit_index", "last_log_index", "term", "fsm_pending"} {
		if _, err := strconv.ParseUint(self.Stats["raft"][name], 10, 64); err != nil {
			t.Errorf("Stats.raft.%s = %q is no number", name, self.Stats["raft"][name])
		}
	}
}

func TestMembersIsThisServer(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		config func(*config.Config)
		tags   map[string]string // "" is: absent
		port   uint16
	}{
		{"alone", func(*config.Config) {}, map[string]string{"role": "consul", "dc": "dc1", "port": "8300", "bootstrap": "1", "expect": "", "acls": "0", "raft_vsn": "3", "build": version.Version + ":"}, 8301},
		{"one of three", func(c *config.Config) { c.BootstrapExpect = 3 }, map[string]string{"bootstrap": "", "expect": "3"}, 8301},
		{"with access rules", func(c *config.Config) { c.ACL.Enabled = true }, map[string]string{"acls": "1"}, 8301},
		{"without gossip", func(c *config.Config) { c.Ports.SerfLAN = -1 }, nil, 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			cfg := testConfig()
			tc.config(cfg)
			a := &Agent{nodeID: "id-1"}
			a.loaded.Store(&config.Loaded{Config: cfg})
			m := a.Members(false)[0]
			if m.Name != "node-1" || m.Addr != "127.0.0.1" || m.Port != tc.port || m.Status != httpapi.MemberAlive || m.Tags["id"] != "id-1" {
				t.Errorf("member is %+v", m)
			}
			for name, want := range tc.tags {
				if got, there := m.Tags[name]; got != want || there != (want != "") {
					t.Errorf("tag %s is %q, want %q", name, got, want)
				}
			}
			if got := a.Members(true)[0].Name; got != "node-1.dc1" {
				t.Errorf("across datacenters it is %s", got)
			}
		})
	}
}

func TestCatalogNodeHasItsAddressesAndMeta(t *testing.T) {
	for _, tc := range []struct {
		address string
		want    map[string]string
	}{
		{"192.0.2.1", map[string]string{"lan": "192.0.2.1", "wan": "192.0.2.1", "lan_ipv4": "192.0.2.1", "wan_ipv4": "192.0.2.1"}},
		{"2001:db8::1", map[string]string{"lan": "2001:db8::1", "wan": "2001:db8::1", "lan_ipv6": "2001:db8::1", "wan_ipv6": "2001:db8::1"}},
		{"host.example", map[string]string{"lan": "host.example", "wan": "host.example"}},
	} {
		cfg := testConfig()
		cfg.AdvertiseAddr, cfg.NodeMeta = tc.address, map[string]string{"rack": "7"}
		a := &Agent{nodeID: "id-1"}
		a.loaded.Store(&config.Loaded{Config: cfg})
		n := a.CatalogNode()
		if diff := cmp.Diff(tc.want, n.TaggedAddresses); diff != "" || n.Address != tc.address || n.ID != "id-1" || n.Node != "node-1" || n.Datacenter != "dc1" {
			t.Errorf("node is %+v, addresses (-want +got):\n%s", n, diff)
		}
		meta := map[string]string{"rack": "7", "consul-network-segment": "", "consul-version": version.Version}
		if diff := cmp.Diff(meta, n.Meta); diff != "" {
			t.Errorf("meta (-want +got):\n%s", diff)
		}
		if len(cfg.NodeMeta) != 1 {
			t.Error("the configuration was changed")
		}
	}
}

func TestHostIsThisMachine(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	host := read[struct {
		Host           struct{ Hostname, OS string }
		Disk           struct{ Path string }
		CollectionTime int64
		CPU            []struct{}
	}](t, m, "/v1/agent/host")
	if host.Host.Hostname == "" || host.Disk.Path != "/" || host.CollectionTime == 0 || len(host.CPU) == 0 {
		t.Errorf("host is %+v", host)
	}
}
