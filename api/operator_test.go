package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

func TestCallsOnTheClusterSendWhatTheContractSays(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		call   func(context.Context, *api.Client) error
		answer string
		method string
		uri    string
		body   string
	}{
		{"join", func(ctx context.Context, c *api.Client) error { return c.Agent().Join(ctx, "[::1]:8301") }, "", "PUT", "/v1/agent/join/%5B%3A%3A1%5D%3A8301", ""},
		{"leave", func(ctx context.Context, c *api.Client) error { return c.Agent().Leave(ctx) }, "", "PUT", "/v1/agent/leave", ""},
		{"force-leave", func(ctx context.Context, c *api.Client) error { return c.Agent().ForceLeave(ctx, "a/b", false) }, "", "PUT", "/v1/agent/force-leave/a/b", ""},
		{
			"force-leave with prune", func(ctx context.Context, c *api.Client) error {
				return c.Agent().ForceLeave(ctx, "c2.dc1", true, api.WAN())
			}, "", "PUT", "/v1/agent/force-leave/c2.dc1?prune=&wan=1", "",
		},
		{
			"members across datacenters", func(ctx context.Context, c *api.Client) error {
				_, err := c.Agent().Members(ctx, api.WAN())
				return err
			}, "[]", "GET", "/v1/agent/members?wan=1", "",
		},
		{
			"transfer to any", func(ctx context.Context, c *api.Client) error { return c.Operator().TransferLeader(ctx, "") },
			`{"Success":true}`, "POST", "/v1/operator/raft/transfer-leader", "",
		},
		{
			"transfer to one", func(ctx context.Context, c *api.Client) error { return c.Operator().TransferLeader(ctx, "id-1") },
			`{"Success":true}`, "POST", "/v1/operator/raft/transfer-leader?id=id-1", "",
		},
		{"remove a peer", func(ctx context.Context, c *api.Client) error { return c.Operator().RemovePeer(ctx, "id-1") }, "", "DELETE", "/v1/operator/raft/peer?id=id-1", ""},
		{
			"remove a peer by its address", func(ctx context.Context, c *api.Client) error {
				return c.Operator().RemovePeerByAddress(ctx, "10.0.0.1:8300")
			}, "", "DELETE", "/v1/operator/raft/peer?address=10.0.0.1%3A8300", "",
		},
		{
			"install a key", func(ctx context.Context, c *api.Client) error {
				return c.Operator().InstallKey(ctx, "a2V5", api.RelayFactor(3))
			}, "", "POST", "/v1/operator/keyring?relay-factor=3", `{"Key":"a2V5"}`,
		},
		{"use a key", func(ctx context.Context, c *api.Client) error { return c.Operator().UseKey(ctx, "a2V5") }, "", "PUT", "/v1/operator/keyring", `{"Key":"a2V5"}`},
		{"remove a key", func(ctx context.Context, c *api.Client) error { return c.Operator().RemoveKey(ctx, "a2V5") }, "", "DELETE", "/v1/operator/keyring", `{"Key":"a2V5"}`},
		{
			"set autopilot", func(ctx context.Context, c *api.Client) error {
				return c.Operator().SetAutopilotConfig(ctx, api.AutopilotConfig{LastContactThreshold: api.Duration(200 * time.Millisecond), ModifyIndex: 7})
			}, "true", "PUT", "/v1/operator/autopilot/configuration",
			`{"CleanupDeadServers":false,"LastContactThreshold":"200ms","MaxTrailingLogs":0,"MinQuorum":0,"ServerStabilizationTime":"0s","RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"","CreateIndex":0,"ModifyIndex":7}`,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, rec := record(t, answer(http.StatusOK, tc.answer))
			if err := tc.call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if got := rec.last(t); got.method != tc.method || got.uri != tc.uri || got.body != tc.body {
				t.Errorf("sent %s %s %s, want %s %s %s", got.method, got.uri, got.body, tc.method, tc.uri, tc.body)
			}
			refused, _ := record(t, answer(http.StatusInternalServerError, "boom"))
			var status *api.StatusError
			if err := tc.call(t.Context(), refused); !errors.As(err, &status) || status.Body != "boom" {
				t.Errorf("a refusal gives %v", err)
			}
		})
	}
}

func TestCallsOnTheClusterThatAreNotSent(t *testing.T) {
	client, rec := record(t, answer(http.StatusOK, ""))
	for rule, err := range map[string]error{
		"join without an address":    client.Agent().Join(t.Context(), ""),
		"force-leave without a node": client.Agent().ForceLeave(t.Context(), "", true),
		"leave, of one of several":   connectTo(t, client.Address()+",http://127.0.0.1:1").Agent().Leave(t.Context()),
	} {
		if err == nil {
			t.Errorf("%s is no error", rule)
		}
	}
	if rec.count() > 0 {
		t.Errorf("the server was asked: %+v", rec.last(t))
	}
}

func TestALeaveThatWentWrongIsAnError(t *testing.T) {
	client, _ := record(t, answer(http.StatusOK, "The server ends without having left in good order: No cluster leader"))
	if err := client.Agent().Leave(t.Context()); err == nil || !strings.Contains(err.Error(), "No cluster leader") {
		t.Errorf("it gives %v", err)
	}
	cut, _ := record(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := cut.Agent().Leave(t.Context()); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("an answer without an end gives %v", err)
	}
}

func TestATransferThatDidNotHappenIsAnError(t *testing.T) {
	client, _ := record(t, answer(http.StatusOK, `{"Success":false}`))
	if err := client.Operator().TransferLeader(t.Context(), ""); err == nil {
		t.Error("it is none")
	}
}

func TestAutopilotConfigCAS(t *testing.T) {
	for said, want := range map[string]bool{"true": true, "false": false} {
		client, rec := record(t, answer(http.StatusOK, said))
		got, err := client.Operator().SetAutopilotConfigCAS(t.Context(), api.AutopilotConfig{ModifyIndex: 7})
		if err != nil || got != want {
			t.Errorf("%s gives %t, %v", said, got, err)
		}
		if uri := rec.last(t).uri; uri != "/v1/operator/autopilot/configuration?cas=7" {
			t.Errorf("URI = %s", uri)
		}
	}
}

func TestAutopilotReads(t *testing.T) {
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, "/v1/operator/autopilot/") {
		case "configuration":
			answer(200, `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":3,"ServerStabilizationTime":10000000000,"CreateIndex":4,"ModifyIndex":9}`)(w, r)
		case "health":
			answer(429, `{"Healthy":false,"FailureTolerance":0,"Servers":[{"ID":"i","Name":"c1","LastContact":"604.875µs","StableSince":"2026-11-22T01:07:54Z","Voter":true}]}`, "Content-Type", "application/json")(w, r)
		case "state":
			answer(200, `{"Healthy":true,"Leader":"i","Voters":["i"],"Servers":{"i":{"ID":"i","Status":"leader","LastContact":"0s","StableSince":"2026-11-22T02:04:21.228900424Z"}}}`)(w, r)
		}
	})
	ctx := t.Context()
	config, err := client.Operator().AutopilotConfig(ctx, api.Stale())
	if err != nil || *config != (api.AutopilotConfig{
		CleanupDeadServers: true, LastContactThreshold: api.Duration(200 * time.Millisecond), MaxTrailingLogs: 250, MinQuorum: 3,
		ServerStabilizationTime: api.Duration(10 * time.Second), CreateIndex: 4, ModifyIndex: 9,
	}) {
		t.Errorf("configuration = %+v, %v", config, err)
	}
	if uri := rec.last(t).uri; uri != "/v1/operator/autopilot/configuration?stale=" {
		t.Errorf("URI = %s", uri)
	}
	health, err := client.Operator().AutopilotHealth(ctx)
	if err != nil || health.Healthy || len(health.Servers) != 1 || time.Duration(health.Servers[0].LastContact) != 604875*time.Nanosecond {
		t.Errorf("health = %+v, %v", health, err)
	}
	state, err := client.Operator().AutopilotState(ctx)
	if err != nil || state.Servers["i"].Status != "leader" || state.Servers["i"].StableSince.Nanosecond() != 228900424 {
		t.Errorf("state = %+v, %v", state, err)
	}
}

func TestHealthTellsSickServersFromTooManyRequests(t *testing.T) {
	client, _ := record(t, answer(http.StatusTooManyRequests, "rate limit exceeded", "Content-Type", "text/plain; charset=utf-8"))
	if _, err := client.Operator().AutopilotHealth(t.Context()); !errors.Is(err, api.ErrTooMany) {
		t.Errorf("it gives %v", err)
	}
}

func TestKeyringsAndUsage(t *testing.T) {
	client, _ := record(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/operator/keyring" {
			answer(200, `[{"WAN":false,"Datacenter":"dc1","Keys":{"a2V5":3},"PrimaryKeys":{"a2V5":3},"NumNodes":3}]`)(w, r)
			return
		}
		answer(200, `{"Usage":{"dc1":{"Services":1,"ServiceInstances":2,"BillableServiceInstances":1,"Nodes":3}},"Index":5}`, "X-Consul-Index", "5")(w, r)
	})
	rings, err := client.Operator().Keyrings(t.Context())
	if err != nil || len(rings) != 1 || rings[0].Keys["a2V5"] != 3 || rings[0].NumNodes != 3 {
		t.Errorf("rings = %+v, %v", rings, err)
	}
	usage, meta, err := client.Operator().Usage(t.Context())
	if err != nil || usage["dc1"].ServiceInstances != 2 || meta.Index != 5 {
		t.Errorf("usage = %+v, %+v, %v", usage, meta, err)
	}
}

func TestADurationIsATextInJSON(t *testing.T) {
	for text, want := range map[string]string{`"1m30s"`: `"1m30s"`, `1500000000`: `"1.5s"`, `null`: `"0s"`} {
		var d api.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(d); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
	for _, text := range []string{`"5"`, `""`, `1.5`, `true`} {
		var d api.Duration
		if json.Unmarshal([]byte(text), &d) == nil {
			t.Errorf("%s became %s", text, d)
		}
	}
}
