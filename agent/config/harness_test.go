package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// TestHarnessConfigurations starts from what test suites and deployments of
// existing clients hand to their server, and looks at what matters to them.
func TestHarnessConfigurations(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		check   func(*config.Config) bool
		ignored string // keys in the warning
	}{
		{"a test server of a client library: testdata/harness/single-server.json", nil, func(c *config.Config) bool {
			return c.NodeName == "node-1" && c.NodeID == "adf4238a-882b-9ddc-4a9d-5b6758e4159e" && c.NodeMeta["suite"] == "api" &&
				c.Bootstrap && c.DataDir == "/tmp/harness/data" && c.Log.Level == "WARN" && c.Ports == config.Ports{HTTP: 20002, HTTPS: 20003, Server: 20006, SerfLAN: 20004} &&
				c.AdvertiseAddr == "127.0.0.1" && c.EnableDebug
		}, "ports.dns ports.serf_wan ports.grpc ports.grpc_tls enable_script_checks connect peering"},
		{"over a socket: testdata/harness/unix-socket.hcl", nil, func(c *config.Config) bool {
			return c.Bootstrap && c.BootstrapExpect == 1 && c.Leave.OnTerminate && c.UnixSockets.Mode == "700" &&
				slices.Equal(c.HTTPListeners(), []config.Listener{{Network: "unix", Address: "/tmp/harness/http.sock"}})
		}, ""},
		{"short sessions and small logs: testdata/harness/short-sessions.json", nil, func(c *config.Config) bool {
			return c.SessionTTLMin == 500*time.Millisecond && c.Limits.HTTPMaxConnsPerClient == -1 && c.Limits.KVMaxValueSize == config.MiB &&
				c.Limits.TxnMaxReqLen == config.MiB && c.Raft.SnapshotThreshold == 64 && c.Raft.SnapshotInterval == 2*time.Second &&
				c.Raft.TrailingLogs == 128 && !c.Autopilot.CleanupDeadServers && c.CheckUpdateInterval == 0 && c.NodeName == "test-host"
		}, ""},
		{"access control, in memory: testdata/harness/acl.hcl", []string{"--dev"}, func(c *config.Config) bool {
			return c.ACL.Enabled && c.ACL.DefaultPolicy == "deny" && c.ACL.Tokens.InitialManagement == "root-of-the-harness" &&
				c.HTTP.ResponseHeaders["Access-Control-Allow-Origin"] == "*" && c.HTTP.BlockEndpoints[0] == "/v1/agent/leave" && c.Dev
		}, "telemetry"},
		{"one of three servers: testdata/harness/cluster-member.hcl", nil, func(c *config.Config) bool {
			return c.Datacenter == "dc1" && c.BindAddr == "10.0.0.1" && c.AdvertiseAddr == "10.0.0.1" && !c.Bootstrap && c.BootstrapExpect == 3 &&
				len(c.Join.Retry) == 2 && c.RPCHoldTimeout == 3*time.Second && c.Raft.Logstore.Backend == "boltdb" && c.TLS.RPC.VerifyOutgoing &&
				c.TLS.VerifyServerHostname && c.Performance.LeaveDrainTime == time.Second
		}, "translate_wan_addrs ui_config dns_config recursors"},
		{
			"the command line of a container",
			[]string{
				"--server", "--bootstrap-expect=1", "--ui", "--client=0.0.0.0", "--data-dir=/d", "--node=srv",
				"--enable-script-checks=false", "--disable-host-node-id", "--hcl", "limits { http_max_conns_per_client = 1000 }", "--raft-protocol=3",
			},
			func(c *config.Config) bool {
				return c.Bootstrap && c.ClientAddrs[0] == "0.0.0.0" && c.NodeName == "srv" && c.Limits.HTTPMaxConnsPerClient == 1000
			}, "-ui",
		},
	} {
		name, file, _ := strings.Cut(tc.name, ": ")
		t.Run(name, func(t *testing.T) {
			g := given{args: tc.args, paths: []string{}}
			if file != "" {
				g.paths = []string{file}
			}
			l := g.mustLoad(t)
			if !tc.check(l.Config) {
				t.Errorf("not understood as meant: %+v", l.Config)
			}
			if got := listed(l.Warnings, "accepted and ignored"); got != tc.ignored {
				t.Errorf("ignored: %q, want %q", got, tc.ignored)
			}
			if got, want := listed(l.Warnings, "understood, but"), idle(l.Settings); got != want {
				t.Errorf("without effect: %q, want %q", got, want)
			}
			for _, w := range l.Warnings {
				if strings.Contains(w, "root-of-the-harness") {
					t.Errorf("a warning shows a secret: %s", w)
				}
			}
		})
	}
}

// idle returns the settings that somebody set in vain.
func idle(settings []config.Setting) string {
	var out []string
	for _, s := range settings {
		kind, _, _ := strings.Cut(s.Source, " ")
		if s.Unused != "" && s.Value != s.Default && (kind == "file" || kind == "flag" || kind == "env") {
			out = append(out, s.Name)
		}
	}
	return strings.Join(out, " ")
}

// listed returns the keys that the warning with this beginning lists.
func listed(warnings []string, begin string) string {
	for _, w := range warnings {
		if !strings.HasPrefix(w, begin) {
			continue
		}
		_, list, _ := strings.Cut(w, ": ")
		var keys []string
		for entry := range strings.SplitSeq(list, "), ") {
			key, _, _ := strings.Cut(entry, " (")
			keys = append(keys, key)
		}
		return strings.Join(keys, " ")
	}
	return ""
}
