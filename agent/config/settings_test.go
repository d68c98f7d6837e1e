package config_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/agent/config"
)

func TestDiffPartsReloadableFromTheRest(t *testing.T) {
	before := hcl("log_level = \"INFO\"\nencrypt = \"AAAAAAAAAAAAAAAAAAAAAA==\"\nhttp_config { response_headers { A = \"1\" } }").mustLoad(t).Config
	after := hcl("log_level = \"debug\"\nencrypt = \"AAAAAAAAAAAAAAAAAAAAAQ==\"\nports { http = 8600 }\n" +
		"http_config { response_headers { A = \"2\" } }\nhistory { versions = 3 }").mustLoad(t).Config
	changed, needRestart := config.Diff(before, after)
	if diff := cmp.Diff([]config.Change{
		{Name: "http_config.response_headers", Old: "A=1", New: "A=2"},
		{Name: "history.versions", Old: "64", New: "3"},
		{Name: "log_level", Old: "INFO", New: "DEBUG"},
	}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]config.Change{
		{Name: "ports.http", Old: "8500", New: "8600"},
		{Name: "encrypt", Old: "hidden", New: "hidden"},
	}, needRestart); diff != "" {
		t.Errorf("need a restart (-want +got):\n%s", diff)
	}
}

func TestDiffOfTheSameIsNothing(t *testing.T) {
	g := hcl(`node_meta { a = "1" b = "2" c = "3" }`)
	if changed, needRestart := config.Diff(g.mustLoad(t).Config, g.mustLoad(t).Config); changed != nil || needRestart != nil {
		t.Errorf("changed %v, need a restart %v; want nothing", changed, needRestart)
	}
}

func TestSettingsTellTheWholeStory(t *testing.T) {
	l := given{
		args: []string{"--data-dir=/d", "--retry-join=c", "--node-meta=b:2"},
		env:  []string{"HOLDFAST_RETRY_JOIN=b", "HOLDFAST_ACL_TOKENS_AGENT=topsecret"},
		files: map[string]string{
			"a.hcl": "retry_join = [\"a\"]\nraft_logstore { wal { segment_size_mb = 32 } }\nmax_query_time = \"90m\"\nnode_meta { a = \"1\" }",
		},
	}.mustLoad(t)
	conf := strings.TrimSuffix(l.Files[0], "a.hcl")
	if len(l.Settings) != len(config.Options()) {
		t.Errorf("%d settings, want one for each of %d options", len(l.Settings), len(config.Options()))
	}
	for _, want := range []config.Setting{
		{Name: "retry_join", Value: "a, b, c", Source: "file " + conf + "a.hcl:1, env HOLDFAST_RETRY_JOIN, flag -retry-join"},
		{Name: "node_meta", Value: "a=1, b=2", Source: "file " + conf + "a.hcl:4, flag -node-meta"},
		{Name: "raft_logstore.wal.segment_size_mb", Value: "32", Default: "64", Source: "file " + conf + "a.hcl:2"},
		{Name: "max_query_time", Value: "1h30m", Default: "10m", Source: "file " + conf + "a.hcl:3", Reloadable: true},
		{Name: "limits.kv_max_value_size", Value: "512KiB", Default: "512KiB", Source: "default", Reloadable: true},
		{Name: "acl.tokens.agent", Value: "hidden", Source: "env HOLDFAST_ACL_TOKENS_AGENT"},
		{Name: "acl.tokens.default", Value: "", Source: "default", Reloadable: true},
		{Name: "node_name", Value: "test-host", Source: "the host name"},
		{Name: "primary_datacenter", Value: "dc1", Source: "from datacenter"},
	} {
		want.Unused = config.Lookup(want.Name).Unused
		if diff := cmp.Diff(want, setting(t, l, want.Name)); diff != "" {
			t.Errorf("setting (-want +got):\n%s", diff)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v", l.Settings), "topsecret") {
		t.Error("the settings show a secret")
	}
}

func TestDebugConfig(t *testing.T) {
	c := hcl(`encrypt = "AAAAAAAAAAAAAAAAAAAAAA==", node_meta { a = "1" }`).mustLoad(t).Config
	got := c.DebugConfig()
	for name, want := range map[string]any{
		"SessionTTLMin": "10s", "KVMaxValueSize": int64(524288), "TxnMaxReqLen": int64(524288), "DefaultQueryTime": "5m0s", "MaxQueryTime": "10m0s",
		"RPCHoldTimeout": "7s", "ACLsEnabled": false, "ACLInitialManagementToken": "hidden", "EncryptKey": "hidden", "HTTPPort": 8500, "ServerMode": true,
		"DataDir": "/d", "NodeName": "test-host", "Datacenter": "dc1", "NodeMeta": map[string]string{"a": "1"}, "ClientAddrs": []string{"127.0.0.1"},
		"RetryJoinLAN": []string{}, "HTTPMaxConnsPerClient": 200, "LogLevel": "INFO", "HistoryMinDeleteRetention": "15m0s", "AllowWriteHTTPFrom": []string{},
		"RaftSnapshotThreshold": uint64(16384), "CheckUpdateInterval": "5m0s", "HTTPResponseHeaders": map[string]string{}, "DevMode": false,
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s = %#v, want %#v", name, got[name], want)
		}
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "null") || strings.Contains(string(text), "AAAAAAAA") {
		t.Errorf("there is a null or a secret in %s", text)
	}
	got["NodeMeta"].(map[string]string)["a"] = "2"
	if c.NodeMeta["a"] != "1" {
		t.Error("who changes the map changes the configuration")
	}
}

func TestBytes(t *testing.T) {
	for in, want := range map[string]config.Bytes{
		"0": 0, "1": 1, "524288": 512 * config.KiB, "512KiB": 512 * config.KiB, "512 kib": 512 * config.KiB, "1kB": 1000, "1K": 1000, "2MiB": 2 * config.MiB,
		"2M": 2_000_000, "3GiB": 3 * config.GiB, "1TiB": config.TiB, "-1": -1, " 7b ": 7, "8796093022207MiB": 8796093022207 * config.MiB,
	} {
		got, err := config.ParseBytes(in)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
		if back, err := config.ParseBytes(got.String()); err != nil || back != got {
			t.Errorf("%d is written %q, which is read as %d, %v", got, got.String(), back, err)
		}
	}
	for _, in := range []string{"", "x", "KiB", "1.5MiB", "1XB", "--1", "9223372036854775808", "8796093022208MiB", "1 KiB KiB", "-9223372036854775808k"} {
		if got, err := config.ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", in, got)
		}
	}
}
