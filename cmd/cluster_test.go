package cmd

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestCommandLinesAboutTheClusterThatAreWrong(t *testing.T) {
	t.Setenv("HOLDFAST_HTTP_ADDR", "127.0.0.1:1") // nothing of this may reach a server
	for _, tc := range []struct{ line, says string }{
		{"join", "ADDRESS is missing"},
		{"join a -wan", `unexpected "-wan": flags stand before`},
		{"leave x", `unexpected argument "x"`},
		{"force-leave", "NODE is missing"},
		{"force-leave a b", `unexpected argument "b"`},
		{"keygen x", `unexpected argument "x"`},
		{"keyring", "exactly one of -list"},
		{"keyring -list -use=a", "exactly one of -list"},
		{"keyring -install=", "exactly one of -list"},
		{"keyring -list=false", "exactly one of -list"},
		{"keyring -list x", `unexpected argument "x"`},
		{"keyring -list -relay-factor=6", "-relay-factor must be from 0 to 5"},
		{"keyring -list -relay-factor=-1", "-relay-factor must be from 0 to 5"},
		{"keyring -use=a -local-only", "-local-only means nothing"},
		{"operator raft remove-peer", "exactly one of -id and -address"},
		{"operator raft remove-peer -id=a -address=b", "exactly one of -id and -address"},
		{"operator raft transfer-leader x", `unexpected argument "x"`},
		{"operator autopilot set-config", "no setting was given"},
		{"operator autopilot set-config -last-contact-threshold=-1s", "must not be negative"},
		{"operator autopilot set-config -min-quorum=-1", "-min-quorum"},
		{"operator autopilot state -format=x", "not a format"},
		{"operator usage services", `unexpected argument "services"`},
		{"operator recover", "DATA-DIR is missing"},
		{"operator recover -yes=1 /nowhere", "-yes is for -recover"},
		{"operator recover -recover /nowhere", "needs -yes=INDEX where nobody can be asked"},
		{"operator recover -format=x /nowhere", "not a format"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.stdout != "" || !strings.Contains(got.stderr, tc.says) || got.code != exitUsage {
				t.Errorf("got %+v, want %q", got, tc.says)
			}
		})
	}
}

const (
	pilotConfigText = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,"ServerStabilizationTime":"10s","RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"","CreateIndex":4,"ModifyIndex":9}`

	pilotStateText = `{"Healthy":true,"FailureTolerance":1,"OptimisticFailureTolerance":1,"Leader":"id-1","Voters":["id-1"],"ReadReplicas":["id-0"],"Servers":{` +
		`"id-1":{"ID":"id-1","Name":"a","Address":"10.0.0.1:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"0s","LastTerm":2,"LastIndex":68,"Healthy":true,"StableSince":"2026-11-22T02:04:21.2Z","Status":"leader","Meta":{"consul-version":"1.2.3"},"NodeType":"voter"},` +
		`"id-0":{"ID":"id-0","Name":"b","Address":"10.0.0.2:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"20ms","LastTerm":2,"LastIndex":68,"Healthy":true,"StableSince":"2026-11-22T02:04:21.2Z","ReadReplica":true,"Status":"non-voter","Meta":null,"NodeType":"read-replica"}}}`

	keysText = `[{"WAN":true,"Datacenter":"dc1","Keys":{"a2V5":1},"PrimaryKeys":{"a2V5":1},"NumNodes":1},` +
		`{"WAN":false,"Datacenter":"dc1","Keys":{"b2xk":1,"a2V5":3},"PrimaryKeys":{"a2V5":3},"NumNodes":3}]`
)

// serveCluster answers as a cluster does in which all goes well, and notes the last
// request.
func serveCluster(t *testing.T) *string {
	t.Helper()
	asked := new(string)
	serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		*asked = strings.TrimSpace(r.Method + " " + r.RequestURI + " " + string(body))
		answer := map[string]string{
			"GET /v1/operator/autopilot/configuration": pilotConfigText,
			"PUT /v1/operator/autopilot/configuration": "true",
			"GET /v1/operator/autopilot/state":         pilotStateText,
			"GET /v1/operator/keyring":                 keysText,
			"GET /v1/operator/usage":                   `{"Usage":{"dc1":{"Services":1,"ServiceInstances":3,"BillableServiceInstances":0,"Nodes":3}}}`,
			"POST /v1/operator/raft/transfer-leader":   `{"Success":true}`,
			"GET /v1/agent/members":                    `[{"Name":"a.dc1","Addr":"10.0.0.1","Port":8302,"Status":1,"Tags":{"role":"consul","dc":"dc1","build":"1.2.3:"},"ProtocolCur":2}]`,
		}[r.Method+" "+r.URL.Path]
		_, _ = io.WriteString(w, answer)
	})
	return asked
}

func TestWordsAboutTheClusterThatUsersKnow(t *testing.T) {
	const state = `Healthy:                      true
Failure Tolerance:            1
Optimistic Failure Tolerance: 1
Leader:                       id-1
Voters:
   id-1
Read Replicas:
   id-0
Servers:
   id-0
      Name:            b
      Address:         10.0.0.2:8300
      Version:         1.2.3
      Status:          non-voter
      Node Type:       read-replica
      Node Status:     alive
      Healthy:         true
      Last Contact:    20ms
      Last Term:       2
      Last Index:      68
   id-1
      Name:            a
      Address:         10.0.0.1:8300
      Version:         1.2.3
      Status:          leader
      Node Type:       voter
      Node Status:     alive
      Healthy:         true
      Last Contact:    0s
      Last Term:       2
      Last Index:      68
      Meta
         "consul-version": "1.2.3"
`
	const config = `CleanupDeadServers = true
LastContactThreshold = 200ms
MaxTrailingLogs = 250
MinQuorum = 0
ServerStabilizationTime = 10s
RedundancyZoneTag = ""
DisableUpgradeMigration = false
UpgradeVersionTag = ""
`
	for _, tc := range []struct{ line, asked, stdout, stderr string }{
		{"join 10.0.0.1 10.0.0.2", "PUT /v1/agent/join/10.0.0.2", "Successfully joined cluster by contacting 2 nodes.\n", ""},
		{"leave", "PUT /v1/agent/leave", "Graceful leave complete\n", ""},
		{"force-leave a", "PUT /v1/agent/force-leave/a", "Success! Forced to leave: a\n", ""},
		{"force-leave -prune -wan a.dc1", "PUT /v1/agent/force-leave/a.dc1?prune=&wan=1", "Success! Forced to leave: a.dc1\n", ""},
		{
			"members -wan", "GET /v1/agent/members?wan=1",
			"Node   Address        Status  Type    Build  Protocol  DC   Partition  Segment\n" +
				"a.dc1  10.0.0.1:8302  alive   server  1.2.3  2         dc1  default    <all>\n", "",
		},
		{"operator raft remove-peer -id=i", "DELETE /v1/operator/raft/peer?id=i", "Removed peer with id \"i\"\n", ""},
		{"operator raft remove-peer -address=10.0.0.3:8300", "DELETE /v1/operator/raft/peer?address=10.0.0.3%3A8300", "Removed peer with address \"10.0.0.3:8300\"\n", ""},
		{"operator raft transfer-leader", "POST /v1/operator/raft/transfer-leader", "Success\n", ""},
		{"operator raft transfer-leader -id i", "POST /v1/operator/raft/transfer-leader?id=i", "Success\n", ""},
		{"operator autopilot get-config -stale", "GET /v1/operator/autopilot/configuration?stale=", config, ""},
		{
			"operator autopilot set-config -cleanup-dead-servers=false -min-quorum=3 -last-contact-threshold=1s",
			"PUT /v1/operator/autopilot/configuration?cas=9 " + strings.NewReplacer(
				`"CleanupDeadServers":true`, `"CleanupDeadServers":false`, `"MinQuorum":0`, `"MinQuorum":3`, "200ms", "1s",
			).Replace(pilotConfigText),
			"Configuration updated!\n", "",
		},
		{
			"operator autopilot set-config -max-trailing-logs=1 -server-stabilization-time=2s -redundancy-zone-tag=z -disable-upgrade-migration -upgrade-version-tag=v",
			"PUT /v1/operator/autopilot/configuration?cas=9 " + strings.NewReplacer(
				"250", "1", `"10s"`, `"2s"`, `"RedundancyZoneTag":""`, `"RedundancyZoneTag":"z"`, `"DisableUpgradeMigration":false`, `"DisableUpgradeMigration":true`,
				`"UpgradeVersionTag":""`, `"UpgradeVersionTag":"v"`,
			).Replace(pilotConfigText),
			"Configuration updated!\n", "",
		},
		{"operator autopilot state", "GET /v1/operator/autopilot/state", state, ""},
		{
			"operator usage", "GET /v1/operator/usage",
			"Datacenter  Nodes  Services  Service instances  Billable Service Instances\ndc1         3      1         3                  0\n", "",
		},
		{
			"operator usage -format=yaml instances", "GET /v1/operator/usage",
			"dc1:\n  Services: 1\n  ServiceInstances: 3\n  ConnectServiceInstances: null\n  BillableServiceInstances: 0\n  Nodes: 3\n", "",
		},
		{
			"keyring -list", "GET /v1/operator/keyring",
			"WAN:\n  a2V5 [1/1]\n\ndc1 (LAN):\n  a2V5 [3/3]\n  b2xk [1/3]\n", "==> Gathering installed encryption keys...\n",
		},
		{
			"keyring -list-primary -local-only", "GET /v1/operator/keyring",
			"WAN:\n  a2V5 [1/1]\n\ndc1 (LAN):\n  a2V5 [3/3]\n", "==> Gathering installed encryption keys...\n",
		},
		{
			"keyring -install=a2V5 -relay-factor=2", `POST /v1/operator/keyring?relay-factor=2 {"Key":"a2V5"}`,
			"Success! Installed key: a2V5\n", "==> Installing new gossip encryption key...\n",
		},
		{
			"keyring -use=a2V5", `PUT /v1/operator/keyring {"Key":"a2V5"}`,
			"Success! Now encrypting with key: a2V5\n", "==> Changing primary gossip encryption key...\n",
		},
		{
			"keyring -format=json -remove=a2V5", `DELETE /v1/operator/keyring {"Key":"a2V5"}`,
			"{\n  \"Key\": \"a2V5\"\n}\n", "==> Removing gossip encryption key...\n",
		},
	} {
		t.Run(tc.line, func(t *testing.T) {
			asked := serveCluster(t)
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got != (outcome{0, tc.stdout, tc.stderr}) {
				t.Errorf("got %d\n%s%s\nwant\n%s%s", got.code, got.stdout, got.stderr, tc.stdout, tc.stderr)
			}
			if *asked != tc.asked {
				t.Errorf("asked\n%s\nwant\n%s", *asked, tc.asked)
			}
		})
	}
}

func TestWhatAClusterRefusesDecidesTheExitCode(t *testing.T) {
	for _, tc := range []struct {
		line   string
		status int
		body   string
		code   int
		says   string
	}{
		{"join a b", 500, "1 error occurred:\n\t* Failed to join a: no", 1, "Error joining address 'b': "},
		{"join a", 500, "1 error occurred:\n\t* Failed to join a: no", 1, "\nFailed to join any nodes.\n"},
		{"join a b", 403, "Permission denied", 4, "Error: join \"a\": server answered 403: Permission denied"},
		{"leave", 200, "The server ends without having left in good order: No cluster leader", 1, "No cluster leader"},
		{"force-leave ghost", 500, "agent: No node found with name 'ghost'", 1, "No node found with name 'ghost'"},
		{"operator raft remove-peer -id=x", 500, `id "x" was not found in the Raft configuration`, 1, "was not found"},
		{"operator raft transfer-leader", 500, "cannot find peer", 1, "cannot find peer"},
		{"operator raft transfer-leader", 500, "No cluster leader", 6, "No cluster leader"},
		{"operator autopilot get-config", 500, "No cluster leader", 6, "No cluster leader"},
		{"keyring -list", 500, "2 errors occurred:\n\t* dc1 (LAN) error: 1/1 nodes reported failure\n\t* a: Keyring is empty (encryption not enabled)\n\n", 1, "* a: Keyring is empty"},
	} {
		t.Run(tc.line+" "+tc.body, func(t *testing.T) {
			serveWith(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.code != tc.code || got.stdout != "" || !strings.Contains(got.stderr, tc.says) {
				t.Errorf("got %+v, want %d and %q", got, tc.code, tc.says)
			}
		})
	}
}

func TestAJoinThatMeetsSomebodyIsDone(t *testing.T) {
	serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bad") {
			http.Error(w, "no", http.StatusInternalServerError)
		}
	})
	got := runLine(t.Context(), "", "join", "bad", "good")
	want := outcome{0, "Successfully joined cluster by contacting 1 nodes.\n", "Error joining address 'bad': join \"bad\": server answered 500: no\n"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAnAutopilotConfigurationThatChangedMeanwhile(t *testing.T) {
	serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, pilotConfigText)
			return
		}
		_, _ = io.WriteString(w, "false")
	})
	got := runLine(t.Context(), "", "operator", "autopilot", "set-config", "-min-quorum=3")
	if want := (outcome{exitLostRace, "", "Configuration could not be atomically updated, please try again\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKeygen(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		got := runLine(t.Context(), "", "keygen")
		key, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(got.stdout, "\n"))
		if got.code != 0 || err != nil || len(key) != 32 || seen[got.stdout] {
			t.Errorf("got %+v, %v", got, err)
		}
		seen[got.stdout] = true
	}
}

func TestWhatIsOfferedAboutTheCluster(t *testing.T) {
	serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/agent/members":
			_, _ = io.WriteString(w, `[{"Name":"live","Status":1},{"Name":"dead","Status":4}]`)
		case "/v1/operator/raft/configuration":
			_, _ = io.WriteString(w, `{"Servers":[{"ID":"id-1","Node":"a","Address":"10.0.0.1:8300"}]}`)
		case "/v1/operator/keyring":
			_, _ = io.WriteString(w, keysText)
		}
	})
	for line, want := range map[string]string{
		"force-leave ":                           "dead\tfailed\n",
		"operator raft remove-peer -id ":         "id-1\ta\n",
		"operator raft remove-peer -address ":    "10.0.0.1:8300\ta\n",
		"operator raft transfer-leader -id ":     "id-1\ta\n",
		"keyring -use ":                          "a2V5\nb2xk\n",
		"operator autopilot set-config -min-quo": "-min-quorum\t",
	} {
		got := runLine(t.Context(), "", append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if !strings.HasPrefix(got.stdout, want) || got.code != 0 {
			t.Errorf("%q offers %q, want %q", line, got.stdout, want)
		}
	}
}
