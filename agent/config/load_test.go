package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/agent/config"
)

func TestTheStrongestSourceWins(t *testing.T) {
	file := map[string]string{"a.hcl": "data_dir = \"/d\"\nports { http = 2 }"}
	for _, tc := range []struct {
		rule   string
		given  given
		port   int
		source string
	}{
		{"nobody says anything: the default", given{args: []string{"--dev"}}, 8500, "default"},
		{"a file wins over the default", given{files: file}, 2, "file CONF/a.hcl:2"},
		{"the environment wins over a file", given{files: file, env: []string{"HOLDFAST_PORTS_HTTP=3"}}, 3, "env HOLDFAST_PORTS_HTTP"},
		{
			"a flag wins over the environment",
			given{files: file, env: []string{"HOLDFAST_PORTS_HTTP=3"}, args: []string{"--http-port=4"}},
			4, "flag -http-port",
		},
		{"a flag that is repeated counts the last time", given{files: file, args: []string{"--http-port=4", "--http-port=5"}}, 5, "flag -http-port"},
		{"an empty variable is not set", given{files: file, env: []string{"HOLDFAST_PORTS_HTTP="}}, 2, "file CONF/a.hcl:2"},
		{"a piece of configuration wins over files", given{files: file, args: []string{"--hcl", "ports { http = 6 }"}}, 6, "flag -hcl:1"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			l := tc.given.mustLoad(t)
			if l.Config.Ports.HTTP != tc.port {
				t.Errorf("ports.http = %d, want %d", l.Config.Ports.HTTP, tc.port)
			}
			got := setting(t, l, "ports.http").Source
			if len(l.Files) > 0 {
				got = strings.ReplaceAll(got, filepath.Dir(l.Files[0]), "CONF")
			}
			if got != tc.source {
				t.Errorf("source = %q, want %q", got, tc.source)
			}
		})
	}
}

func TestFolderIsReadInTheOrderOfNames(t *testing.T) {
	l := given{files: map[string]string{
		"10-first.hcl":      `data_dir = "/d", node_name = "first", datacenter = "one", retry_join = ["a"]` + "\n",
		"20-second.json":    `{"node_name": "second", "retry_join": ["b", "c"], "node_meta": {"x": "2", "y": "2"}}`,
		"30-third.hcl":      "node_name = \"third\"\nretry_join = [\"d\"]\nnode_meta { y = \"3\" }",
		"40-skipped.yaml":   `node_name: fourth`,
		"README":            `not a configuration`,
		"50-folder.hcl/x":   `node_name = "fifth"`,
		"60-empty.json":     " \n",
		"70-empty.hcl":      "# nothing but a comment\n",
		"80-byteorder.json": "\uFEFF{}",
	}}.mustLoad(t)
	c := l.Config
	if c.NodeName != "third" || c.Datacenter != "one" {
		t.Errorf("node_name = %q, datacenter = %q; want the last one to win: third, one", c.NodeName, c.Datacenter)
	}
	if want := []string{"a", "b", "c", "d"}; !reflect.DeepEqual(c.Join.Retry, want) {
		t.Errorf("retry_join = %q, want all lists together: %q", c.Join.Retry, want)
	}
	if want := map[string]string{"x": "2", "y": "3"}; !reflect.DeepEqual(c.NodeMeta, want) {
		t.Errorf("node_meta = %v, want %v", c.NodeMeta, want)
	}
	var names []string
	for _, f := range l.Files {
		names = append(names, filepath.Base(f))
	}
	want := []string{"10-first.hcl", "20-second.json", "30-third.hcl", "60-empty.json", "70-empty.hcl", "80-byteorder.json"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files read (-want +got):\n%s", diff)
	}
}

func TestFilesAreReadInTheOrderGiven(t *testing.T) {
	files := map[string]string{
		"b.hcl":       `node_name = "b"`,
		"d/a.hcl":     `node_name = "d"`,
		"c.json":      `{"node_name": "c"}`,
		"e/conf":      `node_name = "e"`,
		"f/odd.json5": `{"node_name": "f"}`,
	}
	for _, tc := range []struct {
		rule string
		args []string
		env  []string
		want string
	}{
		{"files and folders as they come", []string{"--config-file=CONF/c.json", "--config-dir=CONF/d", "--config-file=CONF/b.hcl"}, nil, "b"},
		{"a folder last", []string{"--config-file=CONF/b.hcl", "--config-dir=CONF/d"}, nil, "d"},
		{"a folder may be given as a file", []string{"--config-file=CONF/b.hcl", "--config-file=CONF/d"}, nil, "d"},
		{"the environment names files too", nil, []string{"HOLDFAST_CONFIG_FILE=CONF/b.hcl,CONF/c.json"}, "c"},
		{"those of flags come later", []string{"--config-file=CONF/b.hcl"}, []string{"HOLDFAST_CONFIG_DIR=CONF/d"}, "b"},
		{"a name that does not say needs the format", []string{"--config-format=hcl", "--config-file=CONF/e/conf"}, nil, "e"},
		{"with a format a folder gives all of its files", []string{"--config-format=json", "--config-dir=CONF/f"}, nil, "f"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			g := given{files: files, paths: []string{}, args: append(tc.args, "--data-dir=/d"), env: tc.env}
			if got := g.mustLoad(t).Config.NodeName; got != tc.want {
				t.Errorf("node_name = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBothDialectsAndAllSpellings(t *testing.T) {
	want := func(c *config.Config) {
		c.NodeName = "n"
		c.Ports.HTTP, c.Ports.Server = 8600, 8700
		c.Limits.KVMaxValueSize = 1024
		c.History.MaxBytes = 64 * config.MiB
		c.History.Retention = 36 * time.Hour
		c.Raft.Logstore.Backend = "boltdb"
		c.Raft.Logstore.WALSegmentSize = 16 * config.MiB
		c.Raft.SnapshotThreshold = 100
		c.HTTP.ResponseHeaders = map[string]string{"X-A": "b", "X.C": "d"}
		c.Addresses.HTTP = []string{"127.0.0.1", "unix:///run/h.sock"}
		c.ClientAddrs = []string{"10.0.0.1", "::1"}
		c.HTTP.AllowWriteFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}
		c.Limits.RequestReadRate = 1.5
		c.Bootstrap = true
	}
	for rule, g := range map[string]given{
		"HCL with blocks": hcl(`
			node_name = "n"
			bootstrap = true
			client_addr = "10.0.0.1 ::1"
			ports { http = 8600 server = 8700 }
			limits { kv_max_value_size = 1024, request_limits { read_rate = 1.5 } }
			history { max_bytes = "64 MiB" retention = "36h" }
			raft_logstore { backend = "boltdb" wal { segment_size_mb = 16 } }
			raft_snapshot_threshold = 100
			http_config { response_headers { X-A = "b", "X.C" = "d" } allow_write_http_from = ["10.1.2.3/8", "127.0.0.1"] }
			addresses { http = "127.0.0.1 unix:///run/h.sock" }`),
		"HCL with assignments": hcl(`
			"node_name" = "n"
			bootstrap = true
			client_addr = "10.0.0.1  ::1"
			ports = { http = 8600, server = 8700 }
			limits = { kv_max_value_size = "1KiB", request_limits = { read_rate = 1.5 } }
			history = { max_bytes = 67108864, retention = "36h0m" }
			raft_logstore = { backend = "boltdb", wal = { segment_size_mb = 16 } }
			raft_snapshot_threshold = 0x64
			http_config = { response_headers = { "X-A" = "b", X.C = "d" }, allow_write_http_from = ["10.0.0.0/8", "127.0.0.1/32"] }
			addresses = { http = "127.0.0.1 unix:///run/h.sock" }`),
		"HCL with blocks in pieces": hcl(`
			node_name = "n"
			bootstrap = true
			client_addr = <<EOT
10.0.0.1 ::1
EOT
			ports { http = 8600 }
			ports { server = 8700 }
			limits { kv_max_value_size = 1024 }
			limits { request_limits { read_rate = 1.5 } }
			history { max_bytes = "64MiB" }
			history { retention = "36h" }
			raft_logstore { backend = "boltdb" }
			raft_logstore { wal { segment_size_mb = 16 } }
			raft_snapshot_threshold = 100
			http_config { response_headers { X-A = "b" } }
			http_config { response_headers { "X.C" = "d" } allow_write_http_from = ["10.0.0.0/8", "127.0.0.1/32"] }
			addresses { http = "127.0.0.1 unix:///run/h.sock" }`),
		"JSON": {args: []string{"--data-dir=/d"}, files: map[string]string{"a.json": `{
			"node_name": "n", "bootstrap": true, "client_addr": "10.0.0.1 ::1", "datacenter": null,
			"ports": {"http": 8600, "server": 8700},
			"limits": {"kv_max_value_size": 1024, "request_limits": {"read_rate": 1.5}},
			"history": {"max_bytes": 6.7108864e7, "retention": "36h"},
			"raft_logstore": {"backend": "boltdb", "wal": {"segment_size_mb": 16.0}},
			"raft_snapshot_threshold": 100,
			"http_config": {"response_headers": {"X-A": "b", "X.C": "d"}, "allow_write_http_from": ["10.0.0.0/8", "127.0.0.1/32"]},
			"addresses": {"http": "127.0.0.1 unix:///run/h.sock"}}`}},
		"JSON with lists of blocks": {args: []string{"--data-dir=/d"}, files: map[string]string{"a.json": `{
			"node_name": "n", "bootstrap": true, "client_addr": "10.0.0.1 ::1",
			"ports": [{"http": 8600}, {"server": 8700}],
			"limits": [{"kv_max_value_size": "1KiB", "request_limits": [{"read_rate": 1.5}]}],
			"history": [{"max_bytes": "64MiB", "retention": "36h"}],
			"raft_logstore": [{"backend": "boltdb", "wal": [{"segment_size_mb": "16MiB"}]}],
			"raft_snapshot_threshold": 1e2,
			"http_config": [{"response_headers": [{"X-A": "b"}, {"X.C": "d"}], "allow_write_http_from": ["10.0.0.0/8", "127.0.0.1/32"]}],
			"addresses": [{"http": "127.0.0.1 unix:///run/h.sock"}]}`}},
		"the environment": {env: []string{
			"HOLDFAST_DATA_DIR=/d", "HOLDFAST_NODE_NAME=n", "HOLDFAST_BOOTSTRAP=1", "HOLDFAST_CLIENT_ADDR=10.0.0.1 ::1", "HOLDFAST_PORTS_HTTP=8600",
			"HOLDFAST_PORTS_SERVER=8700", "HOLDFAST_LIMITS_KV_MAX_VALUE_SIZE=1KiB", "HOLDFAST_LIMITS_REQUEST_LIMITS_READ_RATE=1.5",
			"HOLDFAST_HISTORY_MAX_BYTES=64mib", "HOLDFAST_HISTORY_RETENTION=36h", "HOLDFAST_RAFT_LOGSTORE_BACKEND=boltdb",
			"HOLDFAST_RAFT_LOGSTORE_WAL_SEGMENT_SIZE_MB=16", "HOLDFAST_RAFT_SNAPSHOT_THRESHOLD=100",
			"HOLDFAST_HTTP_CONFIG_RESPONSE_HEADERS=X-A=b, X.C=d", "HOLDFAST_HTTP_CONFIG_ALLOW_WRITE_HTTP_FROM=10.0.0.0/8,127.0.0.1",
			"HOLDFAST_ADDRESSES_HTTP=127.0.0.1 unix:///run/h.sock",
		}},
		"the environment with JSON": {env: []string{
			"HOLDFAST_DATA_DIR=/d", "HOLDFAST_NODE_NAME=n", "HOLDFAST_BOOTSTRAP=true", "HOLDFAST_CLIENT_ADDR=10.0.0.1 ::1", "HOLDFAST_PORTS_HTTP=8600",
			"HOLDFAST_PORTS_SERVER=8700", "HOLDFAST_LIMITS_KV_MAX_VALUE_SIZE=1024", "HOLDFAST_LIMITS_REQUEST_LIMITS_READ_RATE=1.5",
			"HOLDFAST_HISTORY_MAX_BYTES=64MiB", "HOLDFAST_HISTORY_RETENTION=36h", "HOLDFAST_RAFT_LOGSTORE_BACKEND=boltdb",
			"HOLDFAST_RAFT_LOGSTORE_WAL_SEGMENT_SIZE_MB=16MiB", "HOLDFAST_RAFT_SNAPSHOT_THRESHOLD=100",
			`HOLDFAST_HTTP_CONFIG_RESPONSE_HEADERS={"X-A": "b", "X.C": "d"}`, `HOLDFAST_HTTP_CONFIG_ALLOW_WRITE_HTTP_FROM=["10.0.0.0/8", "127.0.0.1/32"]`,
			"HOLDFAST_ADDRESSES_HTTP=127.0.0.1 unix:///run/h.sock",
		}},
		"flags": {args: []string{
			"--data-dir=/d", "--node", "n", "--bootstrap", "--client", "10.0.0.1 ::1", "--http-port", "8600", "--server-port=8700",
			"--limits-kv-max-value-size=1KiB", "--limits-request-limits-read-rate=1.5", "--history-max-bytes=64MiB", "--history-retention=36h",
			"--raft-logstore-backend=boltdb", "--raft-logstore-wal-segment-size-mb=16", "--raft-snapshot-threshold=100",
			"--http-config-response-headers=X-A=b", "--http-config-response-headers=X.C:d", "--allow-write-http-from=10.0.0.0/8",
			"--allow-write-http-from=127.0.0.1", "--addresses-http=127.0.0.1 unix:///run/h.sock",
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			got := g.mustLoad(t).Config
			c := config.Default()
			c.DataDir = "/d"
			want(c)
			c.PrimaryDatacenter, c.Gossip.SerfLANBind, c.AdvertiseAddr = got.PrimaryDatacenter, got.Gossip.SerfLANBind, got.AdvertiseAddr
			equalPrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
			if diff := cmp.Diff(c, got, equalPrefix); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOldNamesOfConsul(t *testing.T) {
	c := hcl(`
		kv_max_value_size = 1
		txn_max_req_len = 2
		acl_datacenter = "EU"
		acl_default_policy = "deny"
		acl_master_token = "s1"
		acl { tokens { agent_master = "s2" } }
		http_api_response_headers { A = "b" }
		disable_http_unprintable_char_filter = true
		non_voting_server = true
		raft_boltdb { NoFreelistSync = false }
		cert_file = "c" key_file = "k" ca_file = "a"
		verify_incoming_https = true
		verify_server_hostname = true
		tls_min_version = "tls13"
		`).mustLoad(t).Config
	for name, fact := range map[string]bool{
		"kv_max_value_size":                    c.Limits.KVMaxValueSize == 1,
		"txn_max_req_len":                      c.Limits.TxnMaxReqLen == 2,
		"acl_datacenter":                       c.PrimaryDatacenter == "eu",
		"acl_default_policy":                   c.ACL.DefaultPolicy == "deny",
		"acl_master_token":                     c.ACL.Tokens.InitialManagement == "s1",
		"acl.tokens.agent_master":              c.ACL.Tokens.AgentRecovery == "s2",
		"http_api_response_headers":            c.HTTP.ResponseHeaders["A"] == "b",
		"disable_http_unprintable_char_filter": c.AllowNonprintablePaths,
		"non_voting_server":                    c.ReadReplica,
		"raft_boltdb.NoFreelistSync":           !c.Raft.Logstore.BoltDBNoFreelistSync,
		"cert_file, taken over by HTTPS":       c.TLS.HTTPS.CertFile == "c" && c.TLS.RPC.KeyFile == "k" && c.TLS.RPC.CAFile == "a",
		"verify_incoming_https":                c.TLS.HTTPS.VerifyIncoming && !c.TLS.RPC.VerifyIncoming && !c.TLS.Defaults.VerifyIncoming,
		"verify_server_hostname":               c.TLS.VerifyServerHostname,
		"tls_min_version":                      c.TLS.Defaults.MinVersion == "TLSv1_3" && c.TLS.HTTPS.MinVersion == "TLSv1_3",
	} {
		if !fact {
			t.Errorf("%s is not understood", name)
		}
	}
}

// TestFaults has one configuration for each rule and the whole text that the
// operator reads.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		given given
		want  string
	}{
		{
			"an unknown key names file, line and the nearest one", hcl("\n\ndata_dri = \"x\""),
			`a.hcl:3: data_dri: there is no such setting; did you mean "data_dir"?`,
		},
		{
			"in a block", hcl("ports {\n htpp = 1\n}"),
			`a.hcl:2: ports.htpp: there is no such setting; did you mean "ports.http"?`,
		},
		{
			"an unknown block", hcl(`histroy { versions = 1 }`),
			`a.hcl:1: histroy: there is no such setting; did you mean "history"?`,
		},
		{
			"the name of the flag", hcl(`http_port = 1`),
			`a.hcl:1: http_port: there is no such setting; did you mean "ports.http"?`,
		},
		{
			"the right name in the wrong block", hcl(`segment_size_mb = 1`),
			`a.hcl:1: segment_size_mb: there is no such setting; did you mean "raft_logstore.wal.segment_size_mb"?`,
		},
		{
			"a read replica that starts a cluster", hcl("read_replica = true\nbootstrap = true"),
			`a.hcl:1: read_replica: cannot be on together with bootstrap: a server without a vote starts no cluster, it joins one`,
		},
		{"nothing is near", hcl(`zzz = 1`), `a.hcl:1: zzz: there is no such setting`},
		{
			"the dots of this package's own spelling", hcl(`"raft_logstore.wal.segment_size_mb" = 1`),
			`a.hcl:1: raft_logstore.wal.segment_size_mb: write it as a block: raft_logstore { wal { segment_size_mb = … }`,
		},
		{"a block with a label", hcl(`ports "x" { http = 1 }`), `a.hcl:1: ports.x: there is no such setting; did you mean "ports"?`},
		{"dev cannot be in a file", hcl(`dev = true`), `a.hcl:1: dev: there is no such setting`},

		{"a text for a number", hcl(`ports { http = "8500" }`), `a.hcl:1: ports.http: want a whole number, have the text "8500"`},
		{"a fraction for a whole number", hcl(`ports { http = 8500.5 }`), `a.hcl:1: ports.http: want a whole number, have the number 8500.5`},
		{"a negative number where there is none", hcl(`raft_trailing_logs = -1`), `a.hcl:1: raft_trailing_logs: want a whole number, have the number -1`},
		{"a number for a text", hcl(`node_name = 7`), `a.hcl:1: node_name: want a text, have the number 7`},
		{"a text for a boolean", hcl(`bootstrap = "true"`), `a.hcl:1: bootstrap: want true or false, have the text "true"`},
		{"a number for a duration", hcl(`max_query_time = 600`), `a.hcl:1: max_query_time: want a duration such as "30s" or "5m", have the number 600`},
		{"a duration without unit", hcl(`max_query_time = "600"`), `a.hcl:1: max_query_time: want a duration such as "30s" or "5m", have the text "600"`},
		{
			"a size that is none", hcl(`history { max_bytes = "many" }`),
			`a.hcl:1: history.max_bytes: want a number of bytes or a size such as "512KiB", have the text "many"`,
		},
		{"a list of numbers", hcl(`retry_join = [1]`), `a.hcl:1: retry_join: want a list of texts, have a list`},
		{"a block for a text", hcl(`node_name { a = 1 }`), `a.hcl:1: node_name: want a text, have a block`},
		{"a text for a block", hcl(`ports = "8500"`), `a.hcl:1: ports: want a block, have the text "8500"`},
		{"pairs with a number", hcl(`node_meta { rack = 5 }`), `a.hcl:1: node_meta: want a block of texts: "rack" has the number 5`},
		{
			"a network that is none", hcl(`http_config { allow_write_http_from = ["10.0.0.0/99"] }`),
			`a.hcl:1: http_config.allow_write_http_from: "10.0.0.0/99" is no network: want one such as 10.0.0.0/8`,
		},
		{
			"JSON has lines too",
			given{args: []string{"--data-dir=/d"}, files: map[string]string{"a.json": "{\n\"node_name\": \"n\",\n\"ports\": {\n  \"http\": \"x\"}}"}},
			`a.json:4: ports.http: want a whole number, have the text "x"`,
		},
		{"a flag", given{args: []string{"--dev", "--http-port=x"}}, `flag -http-port: want a whole number, have the text "x"`},
		{"a boolean flag", given{args: []string{"--dev", "--bootstrap=perhaps"}}, `flag -bootstrap: want true or false, have the text "perhaps"`},
		{"a pair without a value", given{args: []string{"--dev", "--node-meta=x"}}, `flag -node-meta: want key=value: have the text "x"`},
		{
			"the environment",
			given{args: []string{"--dev"}, env: []string{"HOLDFAST_PORTS_HTTP=x"}},
			`environment variable HOLDFAST_PORTS_HTTP: want a whole number, have the text "x"`,
		},
		{"a secret is not shown", hcl(`encrypt = 12345`), `a.hcl:1: encrypt: want a text`},
		{"nor a wrong one", hcl(`encrypt = "geheim"`), `a.hcl:1: encrypt: the key is not 16, 24 or 32 bytes in base64`},

		{"the same key twice in one file", hcl("node_name = \"a\"\nnode_name = \"b\""), `a.hcl:2: node_name: set twice in this file, first in line 1`},
		{
			"also by its other name", hcl("limits { kv_max_value_size = 1 }\nkv_max_value_size = 2"),
			`a.hcl:2: kv_max_value_size: set twice in this file, first in line 1`,
		},
		{"HCL that is none", hcl("a = 1\nb = = 2"), `a.hcl:2: `},
		{"JSON that is none", given{files: map[string]string{"a.json": "{\n\"a\": 1,\n}"}}, `a.json:3: `},
		{"JSON that ends early", given{files: map[string]string{"a.json": "{\n\"a\": {"}}, `a.json:2: the file ends too early`},
		{"JSON that is no object", given{files: map[string]string{"a.json": "[1]"}}, `a.json:1: the file must be one object: { … }`},
		{"JSON with more behind it", given{files: map[string]string{"a.json": "{}\n{}"}}, `a.json:2: there is more after the end of the value`},
		{"brackets without end", given{files: map[string]string{"a.json": strings.Repeat("[", 1000)}}, `a.json:1: brackets are nested more than 100 deep`},
		{"in HCL too", given{files: map[string]string{"a.hcl": "a = " + strings.Repeat("[", 1000)}}, `a.hcl:1: brackets are nested more than 100 deep`},
		{"a number that HCL cannot hold", hcl("\nraft_trailing_logs = 99999999999999999999"), `a.hcl:2: "99999999999999999999" is no number that can be used`},
		{"a file that is not there", given{paths: []string{"/no/such/file.hcl"}}, `/no/such/file.hcl: cannot be read: no such file or directory`},
		{
			"a file whose name does not say",
			given{files: map[string]string{"conf": ""}, paths: []string{"CONF/conf"}},
			`conf: the name ends in neither .hcl nor .json; say which it is with -config-format`,
		},
		{"a format that is none", given{args: []string{"--dev", "--config-format=toml"}}, `flag -config-format: want "hcl" or "json", have "toml"`},
		{"a piece of configuration", given{args: []string{"--dev", "--hcl", "x = 1"}}, `flag -hcl:1: x: there is no such setting`},

		{"no data dir", given{args: []string{}}, `data_dir: is needed: name a folder for the data, or try Holdfast in memory with -dev`},
		{"no client agents", hcl(`server = false`), `a.hcl:1: server: Holdfast has servers only: leave the key out, and point clients at a server`},
		{
			"alone and together", hcl("bootstrap = true\nbootstrap_expect = 3"),
			`a.hcl:1: bootstrap: cannot be on together with bootstrap_expect: the one starts a cluster alone, the other waits for more servers`,
		},
		{"out of range", hcl(`performance { raft_multiplier = 11 }`), `a.hcl:1: performance.raft_multiplier: 11 is out of range: want 1 to 10`},
		{"out of range by flag", given{args: []string{"--dev", "--http-port=65536"}}, `flag -http-port: 65536 is out of range: want -1 to 65535`},
		{"too small a duration", hcl(`limits { idle_timeout = "10ms" }`), `a.hcl:1: limits.idle_timeout: 10ms is too small: want at least 1s`},
		{"too large a value", hcl(`kv_max_value_size = "1GiB"`), `a.hcl:1: limits.kv_max_value_size: 1GiB is out of range: want 1 to 32MiB`},
		{"a word that is not known", hcl(`log_level = "loud"`), `a.hcl:1: log_level: "LOUD" is not known: want "TRACE", "DEBUG", "INFO", "WARN" or "ERROR"`},
		{"a log store that is not known", hcl(`raft_logstore { backend = "lmdb" }`), `a.hcl:1: raft_logstore.backend: "lmdb" is not known: want "wal" or "boltdb"`},
		{
			"a broken version of TLS", hcl(`tls { https { tls_min_version = "TLSv1_0" } }`),
			`a.hcl:1: tls.https.tls_min_version: "TLSv1_0" is not known: want "TLSv1_2" or "TLSv1_3"`,
		},
		{"a datacenter with a dot", hcl(`datacenter = "a.b"`), `a.hcl:1: datacenter: "a.b" is no datacenter name: want 1 to 64 letters, digits, - and _`},
		{"a name with a slash", hcl(`node_name = "a/b"`), `a.hcl:1: node_name: "a/b" may not hold spaces, slashes, quotes or control characters`},
		{"an id that is none", hcl(`node_id = "1"`), `a.hcl:1: node_id: "1" is no UUID`},
		{"reserved metadata", hcl(`node_meta { consul-x = "1" }`), `a.hcl:1: node_meta: key "consul-x": names that begin with consul- are reserved`},
		{
			"a name for an address", hcl(`bind_addr = "localhost"`),
			`a.hcl:1: bind_addr: "localhost" is no IP address: want one such as 127.0.0.1 or ::1, or a go-sockaddr template that gives one`,
		},
		{
			"an address that nobody can reach", hcl(`advertise_addr = "0.0.0.0"`),
			`a.hcl:1: advertise_addr: 0.0.0.0 means every address and cannot be reached by others: name one`,
		},
		{
			"a socket with a relative path", hcl(`addresses { http = "unix://h.sock" }`),
			`a.hcl:1: addresses.http: "unix://h.sock": the path of a unix socket must be absolute`,
		},
		{"no client address", hcl(`client_addr = " "`), `a.hcl:1: client_addr: is empty: want at least one address`},
		{"a template that is none", hcl(`bind_addr = "{{ NoSuchThing }}"`), `a.hcl:1: bind_addr: template "{{ NoSuchThing }}": `},
		{
			"a template without an answer", hcl(`bind_addr = "{{ GetInterfaceIP \"none9\" }}"`),
			`a.hcl:1: bind_addr: template "{{ GetInterfaceIP \"none9\" }}": it gives no address on this host`,
		},
		{
			"a template with two answers", hcl(`bind_addr = "{{ print \"10.0.0.1 10.0.0.2\" }}"`),
			`a.hcl:1: bind_addr: "{{ print \"10.0.0.1 10.0.0.2\" }}" gives several addresses (10.0.0.1 10.0.0.2): want one`,
		},
		{"one port for two things", hcl("ports { http = 7000\nserver = 7000 }"), `a.hcl:2: ports.server: 7000 is the port of ports.http already`},
		{
			"the default waits longer than is allowed", hcl(`default_query_time = "20m"`),
			`a.hcl:1: default_query_time: 20m is longer than max_query_time, 10m`,
		},
		{
			"half a certificate", hcl(`tls { https { cert_file = "c" } }`),
			`a.hcl:1: tls.https.cert_file: certificate and key belong together: cert_file and key_file are both needed, or neither`,
		},
		{
			"an insecure cipher suite", hcl(`tls { https { tls_cipher_suites = ["TLS_RSA_WITH_RC4_128_SHA"] } }`),
			`a.hcl:1: tls.https.tls_cipher_suites: TLS_RSA_WITH_RC4_128_SHA is insecure: leave it out`,
		},
		{
			"a domain that is none", hcl(`domain = "a_b"`),
			`a.hcl:1: domain: "a_b" is no domain name: want letters, digits, - and dots`,
		},
		{
			"a header name that is none", hcl(`http_config { response_headers { "a b" = "c" } }`),
			`a.hcl:1: http_config.response_headers: "a b" is no header name`,
		},
		{
			"a header value with a line break", hcl(`http_config { response_headers { a = "b\nc: d" } }`),
			`a.hcl:1: http_config.response_headers: the value of header "a" may not hold line breaks`,
		},
		{
			"an endpoint without a slash", hcl(`http_config { block_endpoints = ["v1/kv"] }`),
			`a.hcl:1: http_config.block_endpoints: "v1/kv": a path begins with a slash`,
		},
		{
			"permissions that are none", hcl(`unix_sockets { mode = "rw" }`),
			`a.hcl:1: unix_sockets.mode: "rw" are no permissions: want octal digits such as "0660"`,
		},
		{"a list for a text", hcl(`node_name = ["a"]`), `a.hcl:1: node_name: want a text, have a list`},
		{"a boolean for a text", hcl(`node_name = true`), `a.hcl:1: node_name: want a text, have true`},
		{"a boolean for a list", hcl(`retry_join = false`), `a.hcl:1: retry_join: want a list of texts, have false`},
		{"a text for pairs", hcl(`node_meta = "a"`), `a.hcl:1: node_meta: want a block of texts: have the text "a"`},
		{
			"a boolean for a size", hcl(`kv_max_value_size = true`),
			`a.hcl:1: kv_max_value_size: want a number of bytes or a size such as "512KiB", have true`,
		},
		{
			"a size in MiB that is out of range", hcl(`raft_logstore { wal { segment_size_mb = 9223372036854775807 } }`),
			`a.hcl:1: raft_logstore.wal.segment_size_mb: want a number of bytes or a size such as "512KiB", have the number 9223372036854775807`,
		},
		{"an unknown key with a dot", hcl(`"ports.htpp" = 1`), `a.hcl:1: ports.htpp: there is no such setting; did you mean "ports.http"?`},
		{
			"a key that would steer a terminal",
			given{args: []string{"--data-dir=/d"}, files: map[string]string{"a.json": `{"\u001b[31m\n": 1}`}},
			"a.json:1: \uFFFD[31m; : there is no such setting",
		},
		{
			"a text that is very long", hcl(`node_id = "` + strings.Repeat("x", 100) + `"`),
			`a.hcl:1: node_id: "` + strings.Repeat("x", 60) + `"… is no UUID`,
		},
		{
			"a name that is too long", hcl(`node_name = "` + strings.Repeat("x", 129) + `"`),
			`a.hcl:1: node_name: "` + strings.Repeat("x", 60) + `"… is longer than 128 bytes`,
		},
		{
			"metadata that is too long", hcl(`node_meta { a = "` + strings.Repeat("x", 513) + `" }`),
			`a.hcl:1: node_meta: key "a": the value is longer than 512 bytes`,
		},
		{"metadata with a strange key", hcl(`node_meta { "a b" = "1" }`), `a.hcl:1: node_meta: key "a b": want 1 to 128 letters, digits, - and _`},
		{"too much metadata", hcl("node_meta {\n" + manyPairs(65) + "}"), `a.hcl:1: node_meta: 65 pairs are too many: want at most 64`},
		{"small, but not 0", hcl(`log_rotate_bytes = 1`), `a.hcl:1: log_rotate_bytes: 1 is out of range: want 0, or at least 4KiB`},
		{
			"a rate below none", hcl(`limits { request_limits { read_rate = -5 } }`),
			`a.hcl:1: limits.request_limits.read_rate: -5 is out of range: want -1 for no limit, or at least 0`,
		},
		{
			"a rate that is no number",
			given{args: []string{"--dev"}, env: []string{"HOLDFAST_LIMITS_REQUEST_LIMITS_READ_RATE=NaN"}},
			`environment variable HOLDFAST_LIMITS_REQUEST_LIMITS_READ_RATE: want a number, have the number NaN`,
		},
		{
			"a group out of range", hcl(`unix_sockets { group = "4294967296" }`),
			`a.hcl:1: unix_sockets.group: "4294967296" is no numeric id: want one such as 1000`,
		},
		{"a broken text, which may be a secret", hcl(`encrypt = "geheim\q"`), `a.hcl:1: `},
		{"a user by name", hcl(`unix_sockets { user = "root" }`), `a.hcl:1: unix_sockets.user: "root" is no numeric id: want one such as 1000`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := tc.given.load(t)
			if err == nil {
				t.Fatalf("no fault; got %+v", got.Config)
			}
			if strings.HasSuffix(tc.want, ": ") { // what follows is a library's business
				if !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("faults:\n%v\nwant one that begins with\n%s", err, tc.want)
				}
				return
			}
			if err.Error() != tc.want {
				t.Errorf("faults:\n%v\nwant:\n%s", err, tc.want)
			}
		})
	}
}

// manyPairs returns n lines of pairs.
func manyPairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d = \"v\"\n", i)
	}
	return b.String()
}

func TestSpellings(t *testing.T) {
	for in, want := range map[string]string{"warning": "WARN", "err": "ERROR", "Debug": "DEBUG", "TRACE": "TRACE"} {
		if got := hcl(`log_level = "` + in + `"`).mustLoad(t).Config.Log.Level; got != want {
			t.Errorf("log_level %q is stored as %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"TLS_AUTO": "TLSv1_2", "tls12": "TLSv1_2", "TLSv1_3": "TLSv1_3", "": "TLSv1_2"} {
		if got := hcl(`tls { defaults { tls_min_version = "` + in + `" } }`).mustLoad(t).Config.TLS.RPC.MinVersion; got != want {
			t.Errorf("tls_min_version %q is stored as %q, want %q", in, got, want)
		}
	}
}

func TestAllFaultsOfAllSourcesAtOnce(t *testing.T) {
	_, err := given{
		files: map[string]string{
			"a.hcl":  "nod_name = \"x\"\nports { http = \"a\" grpz = 1 }\nlog_level = \"loud\"",
			"b.json": `{"raft_snapshot_interval": 5}`,
			"c.hcl":  "not = = hcl",
		},
		env:  []string{"HOLDFAST_PERFORMANCE_RAFT_MULTIPLIER=many"},
		args: []string{"--server-port=-5", "--config-file=/no/such.hcl"},
	}.load(t)
	if err == nil {
		t.Fatal("no fault")
	}
	want := []string{
		"/no/such.hcl: cannot be read: no such file or directory",
		`a.hcl:1: nod_name: there is no such setting; did you mean "node_name"?`,
		`a.hcl:2: ports.http: want a whole number, have the text "a"`,
		`a.hcl:2: ports.grpz: there is no such setting; did you mean "ports.grpc"?`,
		"b.json:1: raft_snapshot_interval: want a duration such as \"30s\" or \"5m\", have the number 5",
		"c.hcl:1: ",
		`environment variable HOLDFAST_PERFORMANCE_RAFT_MULTIPLIER: want a whole number, have the text "many"`,
		`flag -server-port: -5 is out of range: want 0 to 65535`,
		`a.hcl:3: log_level: "LOUD" is not known: want "TRACE", "DEBUG", "INFO", "WARN" or "ERROR"`,
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(got), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("fault %d:\n%s\nwant:\n%s", i, got[i], want[i])
		}
	}
	var one config.Fault
	if !errors.As(err, &one) || one.Where != "/no/such.hcl" {
		t.Errorf("errors.As finds %+v, want the first fault", one)
	}
}

func TestFileThatIsTooLarge(t *testing.T) {
	_, err := given{files: map[string]string{"a.hcl": strings.Repeat("#", 4<<20+1)}}.load(t)
	if want := "a.hcl: cannot be read: it is larger than 4MiB"; err == nil || err.Error() != want {
		t.Errorf("fault %v, want %s", err, want)
	}
}

func TestDevNeedsNothing(t *testing.T) {
	for _, g := range []given{{args: []string{"--dev"}}, {env: []string{"HOLDFAST_DEV=true"}}} {
		l := g.mustLoad(t)
		want := config.Default()
		want.Dev, want.Bootstrap, want.BindAddr, want.AdvertiseAddr = true, true, "127.0.0.1", "127.0.0.1"
		want.NodeName, want.PrimaryDatacenter, want.Gossip.SerfLANBind = "test-host", "dc1", "127.0.0.1"
		if diff := cmp.Diff(want, l.Config); diff != "" {
			t.Errorf("-dev (-want +got):\n%s", diff)
		}
		if len(l.Warnings) > 0 {
			t.Errorf("warnings %q, want none", l.Warnings)
		}
	}
}

func TestDevCanBeOverruled(t *testing.T) {
	l := given{args: []string{"--dev", "--bind=10.0.0.1", "--bootstrap=false", "--data-dir=/d", "--node=x"}}.mustLoad(t)
	c := l.Config
	if c.BindAddr != "10.0.0.1" || c.Bootstrap || c.NodeName != "x" {
		t.Errorf("bind_addr %s, bootstrap %v, node_name %s; want what the flags say", c.BindAddr, c.Bootstrap, c.NodeName)
	}
	if c.DataDir != "" {
		t.Errorf("data_dir %q, want none: nothing is written to disk", c.DataDir)
	}
	if want := []string{"-dev keeps everything in memory: data_dir is not used"}; !reflect.DeepEqual(l.Warnings, want) {
		t.Errorf("warnings %q, want %q", l.Warnings, want)
	}
	if (given{args: []string{"--dev=false", "--data-dir=/d"}, env: []string{"HOLDFAST_DEV=1"}}).mustLoad(t).Config.Dev {
		t.Error("-dev=false does not win over the environment")
	}
}

func TestWhoStartsACluster(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		args   []string
		want   bool
		source string
	}{
		{"a server that was told of no other", nil, true, "no other server is named"},
		{"not one that was told not to", []string{"--bootstrap=false"}, false, "flag -bootstrap"},
		{"not one that has others to join", []string{"--retry-join=10.0.0.1"}, false, "default"},
		{"nor with -join", []string{"--join=10.0.0.1"}, false, "default"},
		{"unless it says so", []string{"--bootstrap", "--retry-join=10.0.0.1"}, true, "flag -bootstrap"},
		{"one that expects one", []string{"--bootstrap-expect=1", "--retry-join=10.0.0.1"}, true, "from bootstrap_expect"},
		{"not one that expects three", []string{"--bootstrap-expect=3"}, false, "from bootstrap_expect"},
		{"not even with -dev", []string{"--dev", "--bootstrap-expect=3"}, false, "from bootstrap_expect"},
		{"not a read replica", []string{"--read-replica"}, false, "default"},
		{"-dev with others to join", []string{"--dev", "--retry-join=10.0.0.1"}, true, "-dev"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			args := tc.args
			if len(args) == 0 || args[0] != "--dev" {
				args = append(args, "--data-dir=/d")
			}
			l := given{args: args}.mustLoad(t)
			if l.Config.Bootstrap != tc.want {
				t.Errorf("bootstrap = %v, want %v", l.Config.Bootstrap, tc.want)
			}
			if got := setting(t, l, "bootstrap").Source; got != tc.source {
				t.Errorf("source %q, want %q", got, tc.source)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		conf  string
		http  []config.Listener
		https []config.Listener
	}{
		{"the default", "", []config.Listener{{"tcp", "127.0.0.1:8500"}}, nil},
		{"several addresses", `client_addr = "127.0.0.1 ::1"`, []config.Listener{{"tcp", "127.0.0.1:8500"}, {"tcp", "[::1]:8500"}}, nil},
		{"off", `ports { http = -1 https = 8501 }`, nil, []config.Listener{{"tcp", "127.0.0.1:8501"}}},
		{
			"a socket serves one thing only", "client_addr = \"unix:///run/h.sock 127.0.0.2\"\nports { https = 8501 }",
			[]config.Listener{{"unix", "/run/h.sock"}, {"tcp", "127.0.0.2:8500"}},
			[]config.Listener{{"tcp", "127.0.0.2:8501"}},
		},
		{
			"a socket for HTTPS", `addresses { https = "unix:///run/h.sock" } ports { http = -1 https = 8501 }`,
			nil,
			[]config.Listener{{"unix", "/run/h.sock"}},
		},
		{"any port", `ports { http = 0 }`, []config.Listener{{"tcp", "127.0.0.1:0"}}, nil},
		{
			"a socket beside an address", `addresses { http = "unix:///run/h.sock 127.0.0.2" }`,
			[]config.Listener{{"unix", "/run/h.sock"}, {"tcp", "127.0.0.2:8500"}},
			nil,
		},
		{"a template", `client_addr = "{{ print \"10.0.0.1\" }}"`, []config.Listener{{"tcp", "10.0.0.1:8500"}}, nil},
		{
			"a template with two answers", `client_addr = "{{ print \"10.0.0.1 10.0.0.2\" }}"`,
			[]config.Listener{{"tcp", "10.0.0.1:8500"}, {"tcp", "10.0.0.2:8500"}},
			nil,
		},
		{"a template beside an address", `client_addr = "127.0.0.1 {{ print \"10.0.0.1\" | attr }}"`, nil, nil},
		{
			"a template of the host", `client_addr = "{{ GetAllInterfaces | include \"flags\" \"loopback\" | include \"type\" \"IPv4\" | limit 1 | join \"address\" \" \" }}"`,
			[]config.Listener{{"tcp", "127.0.0.1:8500"}},
			nil,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			l, err := hcl(tc.conf).load(t)
			if tc.http == nil && tc.https == nil {
				if err == nil || !strings.HasPrefix(err.Error(), "a.hcl:1: client_addr: template ") {
					t.Errorf("fault %v, want one about the template", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.http, l.Config.HTTPListeners()); diff != "" {
				t.Errorf("HTTP (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.https, l.Config.HTTPSListeners()); diff != "" {
				t.Errorf("HTTPS (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDomain(t *testing.T) {
	for conf, want := range map[string]string{"": "consul", `domain = "consul."`: "consul", `domain = "KV.Example.com"`: "kv.example.com", `domain = ""`: "consul"} {
		if got := hcl(conf).mustLoad(t).Config.Domain; got != want {
			t.Errorf("%q makes the domain %q, want %q", conf, got, want)
		}
	}
}

func TestUnknownCipherSuite(t *testing.T) {
	_, err := hcl(`tls { https { tls_cipher_suites = ["TLS_AES_128_GCM_SHA256"] } }`).load(t)
	if err == nil || !strings.Contains(err.Error(), "is no cipher suite of TLS 1.2: want one of TLS_ECDHE_") {
		t.Errorf("fault %v", err)
	}
	l := hcl(`tls { https { tls_cipher_suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] } }`).mustLoad(t)
	if got := l.Config.TLS.HTTPS.CipherSuites; len(got) != 1 {
		t.Errorf("suites %v", got)
	}
}

// TestInspection is about faults that Sources.Inspect finds.
func TestInspection(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.hcl")
	text := "data_dir = \"/d\"\ntls { defaults { ca_file = \"x\"\nverify_incoming = true } }\ntls { https { cert_file = \"c\" } }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(config.Sources{Paths: []string{file}, Env: []string{"HOLDFAST_TLS_INTERNAL_RPC_KEY_FILE=k"}, Inspect: func(c *config.Config) []config.Fault {
		if c.TLS.HTTPS.CAFile != "x" {
			t.Errorf("ca_file %q is looked at", c.TLS.HTTPS.CAFile)
		}
		return []config.Fault{
			{Key: "tls.https.ca_file", Why: "is no good"},
			{Key: "tls.internal_rpc.ca_file", Why: "is no good"},   // the same setting, taken over twice
			{Key: "tls.https.cert_file", Why: "is no good either"}, // of a setting that has a fault already
			{Key: "ports.https", Why: "lacks something"},           // a default
			{Key: "data_dir", Why: "is elsewhere"},
		}
	}})
	want := strings.ReplaceAll(`DIR/a.hcl:4: tls.https.cert_file: certificate and key belong together: cert_file and key_file are both needed, or neither
environment variable HOLDFAST_TLS_INTERNAL_RPC_KEY_FILE: tls.internal_rpc.cert_file: certificate and key belong together: cert_file and key_file are both needed, or neither
DIR/a.hcl:2: tls.defaults.ca_file: is no good
ports.https: lacks something
DIR/a.hcl:1: data_dir: is elsewhere`, "DIR", dir)
	if err == nil {
		t.Fatal("it is taken")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAdvertisedAddress(t *testing.T) {
	for _, tc := range []struct{ rule, conf, want string }{
		{"follows bind_addr", `bind_addr = "10.1.2.3"`, "10.1.2.3"},
		{"or what is said", "bind_addr = \"0.0.0.0\"\nadvertise_addr = \"192.0.2.1\"", "192.0.2.1"},
		{"or a template", `advertise_addr = "{{ print \"192.0.2.2\" }}"`, "192.0.2.2"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := hcl(tc.conf).mustLoad(t).Config.AdvertiseAddr; got != tc.want {
				t.Errorf("advertise_addr = %s, want %s", got, tc.want)
			}
		})
	}
	t.Run("is never every address", func(t *testing.T) {
		c := hcl("").mustLoad(t).Config
		addr, err := netip.ParseAddr(c.AdvertiseAddr)
		if err != nil || addr.IsUnspecified() {
			t.Errorf("advertise_addr = %q with bind_addr %s, want an address of the host", c.AdvertiseAddr, c.BindAddr)
		}
		if got, want := c.ServerListener(), (config.Listener{Network: "tcp", Address: "0.0.0.0:8300"}); got != want {
			t.Errorf("server listens at %v, want %v", got, want)
		}
	})
}

func TestSplitAddrs(t *testing.T) {
	for in, want := range map[string][]string{
		"":                             nil,
		"  ":                           nil,
		"a":                            {"a"},
		" a  b ":                       {"a", "b"},
		"{{ a b }}":                    {"{{ a b }}"},
		"a {{ b c }} d":                {"a", "{{ b c }}", "d"},
		"{{ a }}:1 {{ b }}":            {"{{ a }}:1", "{{ b }}"},
		"{{ open ended":                {"{{ open ended"},
		`unix:///x {{ GetPrivateIP }}`: {"unix:///x", "{{ GetPrivateIP }}"},
	} {
		if got := config.SplitAddrs(in); !reflect.DeepEqual(got, want) {
			t.Errorf("splitAddrs(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestHostNameThatCannotBeUsed(t *testing.T) {
	load := func(name string, err error) error {
		_, got := config.Load(config.Sources{Env: []string{"HOLDFAST_DEV=1"}, Hostname: func() (string, error) { return name, err }})
		return got
	}
	if err := load("", os.ErrPermission); err == nil || err.Error() != "node_name: is not set, and the host name cannot be used: permission denied" {
		t.Errorf("fault %v", err)
	}
	if err := load("my computer", nil); err == nil || !strings.HasPrefix(err.Error(), `the host name: node_name: "my computer" may not hold spaces`) {
		t.Errorf("fault %v", err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		given given
		want  []string
	}{
		{
			"one warning lists what Holdfast has no use for", hcl("connect { enabled = true }\nui_config { enabled = true }\nservices { name = \"x\" }\nports { dns = 8600 }"),
			[]string{"accepted and ignored, Holdfast has no use for: " +
				"connect (CONF/a.hcl:1; there is no service mesh and no gRPC interface for proxies), " +
				"ui_config (CONF/a.hcl:2; the web UI has no settings), " +
				"services (CONF/a.hcl:3; services and checks are not registered from files), " +
				"ports.dns (CONF/a.hcl:4; there is no DNS server)"},
		},
		{
			"what is below an ignored key does not matter", hcl(`telemetry { anything = [1, { at = "all" }] }`),
			[]string{"accepted and ignored, Holdfast has no use for: telemetry (CONF/a.hcl:1; metrics are always served at /metrics and /v1/agent/metrics, and nowhere else)"},
		},
		{"no word about what is off anyway", hcl("connect { enabled = false }\nports { dns = -1 grpc = 0 serf_wan = -1 }\nenable_script_checks = false\nrecursors = []"), nil},
		{"nor about what Holdfast does anyway", hcl("disable_update_check = true\nraft_protocol = 3\ndisable_coordinates = true"), nil},
		{
			"flags too",
			given{args: []string{"--dev", "--ui", "--dns-port=8600", "--grpc-port=-1"}},
			[]string{"accepted and ignored, Holdfast has no use for: -ui (the web UI has no settings), -dns-port (there is no DNS server)"},
		},
		{
			"a slip in a variable",
			given{args: []string{"--dev"}, env: []string{"HOLDFAST_PORTS_HTPP=1"}},
			[]string{"environment variable HOLDFAST_PORTS_HTPP is no setting and was ignored; did you mean HOLDFAST_PORTS_HTTP?"},
		},
		{"variables of the command line and of Kubernetes are none of ours", given{args: []string{"--dev"}, env: []string{
			"HOLDFAST_HTTP_ADDR=x", "HOLDFAST_HTTP_TOKEN=x", "HOLDFAST_HTTP_SSL=1", "HOLDFAST_HTTP_SSL_VERIFY=0", "HOLDFAST_CACERT=x", "HOLDFAST_CAPATH=x",
			"HOLDFAST_CLIENT_CERT=x", "HOLDFAST_CLIENT_KEY=x", "HOLDFAST_TLS_SERVER_NAME=x", "HOLDFAST_NAMESPACE=x", "HOLDFAST_PARTITION=x",
			"HOLDFAST_HTTP_AUTH=x", "HOLDFAST_HTTP_TOKEN_FILE=x", "HOLDFAST_FORMAT=json", "HOLDFAST_PORT=tcp://10.0.0.1:8500", "HOLDFAST_SERVICE_HOST=10.0.0.1",
			"HOLDFAST_SERVICE_PORT=8500", "HOLDFAST_PORT_8500_TCP_ADDR=10.0.0.1", "HOLDFAST_SERVER_PORT=tcp://10.0.0.1:8300", "CONSUL_HTTP_ADDR=x",
		}}, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			l := tc.given.mustLoad(t)
			got := l.Warnings
			if len(l.Files) > 0 {
				for i := range got {
					got[i] = strings.ReplaceAll(got[i], filepath.Dir(l.Files[0]), "CONF")
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettingsWithoutEffectAreNamedInOneWarning(t *testing.T) {
	var env []string
	var want []string
	for _, o := range config.Options() {
		if o.Unused != "" && o.Type() == "boolean" {
			env = append(env, o.Env+"=true")
			if config.DefaultOf(o) != "true" { // no word about what is the default anyway
				want = append(want, o.Key+" (environment variable "+o.Env+"; "+o.Unused+")")
			}
		}
	}
	if len(want) == 0 {
		t.Skip("every setting has an effect")
	}
	got := given{args: []string{"--dev"}, env: env}.mustLoad(t).Warnings
	if diff := cmp.Diff([]string{"understood, but without effect in this version: " + strings.Join(want, ", ")}, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestMaxQueryTimeCutsTheDefault(t *testing.T) {
	l := hcl(`max_query_time = "1m"`).mustLoad(t)
	if l.Config.DefaultQueryTime != time.Minute {
		t.Errorf("default_query_time = %v, want max_query_time, 1m", l.Config.DefaultQueryTime)
	}
	if got := setting(t, l, "default_query_time").Source; got != "from max_query_time" {
		t.Errorf("source %q", got)
	}
}

func TestNearest(t *testing.T) {
	for in, want := range map[string]string{
		"Data_Dir": "data_dir", "datadir": "data_dir", "node": "node_name", "bind": "bind_addr", "client": "client_addr",
		"ports.htttp": "ports.http", "raft_snapshot_treshold": "raft_snapshot_threshold", "conect": "connect", "qqqqqq": "",
	} {
		if got := config.Nearest(in); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
