package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// pilotOfThree is a leader, a voter that has failed, and a replica.
func pilotOfThree() AutopilotState {
	since := time.Date(2026, 11, 22, 1, 7, 53, 512345678, time.FixedZone("", 3600))
	return AutopilotState{
		Known: true, Healthy: false, FailureTolerance: 0, OptimisticFailureTolerance: 1, Leader: "id-1", Voters: []string{"id-1", "id-2"},
		Servers: []AutopilotServer{
			{
				ID: "id-1", Name: "c1", Address: "10.0.0.1:8300", NodeStatus: "alive", SerfStatus: "alive", Version: "1.2.3", Status: "leader",
				NodeType: "voter", Leader: true, Voter: true, Healthy: true, LastTerm: 2, LastIndex: 11, StableSince: since,
				Meta: map[string]string{"consul-version": "1.2.3"},
			},
			{
				ID: "id-2", Name: "c2", Address: "10.0.0.2:8300", NodeStatus: "alive", SerfStatus: "failed", Version: "1.2.3", Status: "voter",
				NodeType: "voter", Voter: true, LastContact: 604875 * time.Nanosecond, LastTerm: 2, LastIndex: 9,
			},
			{
				ID: "id-3", Name: "c3", Address: "10.0.0.3:8300", NodeStatus: "alive", SerfStatus: "alive", Version: "1.2.3", Status: "non-voter",
				NodeType: "read-replica", ReadReplica: true, Healthy: true, LastContact: 20 * time.Millisecond, LastTerm: 2, LastIndex: 11, StableSince: since,
			},
		},
	}
}

func TestAutopilotHealthAndState(t *testing.T) {
	healthy := pilotOfThree()
	healthy.Healthy, healthy.FailureTolerance, healthy.Servers, healthy.Voters = true, 0, healthy.Servers[:1], healthy.Voters[:1]
	const one = `{"ID":"id-1","Name":"c1","Address":"10.0.0.1:8300","SerfStatus":"alive","Version":"1.2.3","Leader":true,"LastContact":"0s","LastTerm":2,"LastIndex":11,"Healthy":true,"Voter":true,"StableSince":"2026-11-22T00:07:54Z"}`
	const oneState = `"id-1":{"ID":"id-1","Name":"c1","Address":"10.0.0.1:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"0s","LastTerm":2,"LastIndex":11,"Healthy":true,"StableSince":"2026-11-22T00:07:53.512345678Z","ReadReplica":false,"Status":"leader","Meta":{"consul-version":"1.2.3"},"NodeType":"voter"}`
	for _, tc := range []struct {
		rule, target string
		state        AutopilotState
		err          error
		status       int
		body, asked  string
	}{
		{
			rule: "a healthy cluster is 200", target: "health", state: healthy, status: 200, asked: "state 0",
			body: `{"Healthy":true,"FailureTolerance":0,"Servers":[` + one + `]}`,
		},
		{
			rule: "one that is not is 429 with the same body", target: "health?stale", state: pilotOfThree(), status: 429, asked: "state 2",
			body: `{"Healthy":false,"FailureTolerance":0,"Servers":[` + one + `,` +
				`{"ID":"id-2","Name":"c2","Address":"10.0.0.2:8300","SerfStatus":"failed","Version":"1.2.3","Leader":false,"LastContact":"604.875µs","LastTerm":2,"LastIndex":9,"Healthy":false,"Voter":true,"StableSince":"0001-01-01T00:00:00Z"},` +
				`{"ID":"id-3","Name":"c3","Address":"10.0.0.3:8300","SerfStatus":"alive","Version":"1.2.3","Leader":false,"LastContact":"20ms","LastTerm":2,"LastIndex":11,"Healthy":true,"Voter":false,"StableSince":"2026-11-22T00:07:54Z"}]}`,
		},
		{
			rule: "before the first look nothing is healthy", target: "health?consistent", status: 429, asked: "state 1",
			body: `{"Healthy":false,"FailureTolerance":0,"Servers":[]}`,
		},
		{rule: "without a leader nobody knows", target: "health", err: ErrNoLeader, status: 500, asked: "state 0", body: "No cluster leader"},
		{rule: "of another datacenter neither", target: "health?dc=nodc", status: 500, body: "No path to datacenter"},
		{rule: "modes exclude each other", target: "health?stale&consistent", status: 400, body: "Cannot specify ?stale with ?consistent, conflicting semantics."},
		{
			rule: "the state is 200 in any case", target: "state", status: 200, asked: "state 0",
			body: `{"Healthy":false,"FailureTolerance":0,"OptimisticFailureTolerance":0,"Servers":{},"Leader":"","Voters":[]}`,
		},
		{
			rule: "the state of one server", target: "state", state: healthy, status: 200, asked: "state 0",
			body: `{"Healthy":true,"FailureTolerance":0,"OptimisticFailureTolerance":1,"Servers":{` + oneState + `},"Leader":"id-1","Voters":["id-1"]}`,
		},
		{
			rule: "replicas are listed too", target: "state?stale", state: pilotOfThree(), status: 200, asked: "state 2",
			body: `{"Healthy":false,"FailureTolerance":0,"OptimisticFailureTolerance":1,"Servers":{` + oneState + `,` +
				`"id-2":{"ID":"id-2","Name":"c2","Address":"10.0.0.2:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"604.875µs","LastTerm":2,"LastIndex":9,"Healthy":false,"StableSince":"0001-01-01T00:00:00Z","ReadReplica":false,"Status":"voter","Meta":{},"NodeType":"voter"},` +
				`"id-3":{"ID":"id-3","Name":"c3","Address":"10.0.0.3:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"20ms","LastTerm":2,"LastIndex":11,"Healthy":true,"StableSince":"2026-11-22T00:07:53.512345678Z","ReadReplica":true,"Status":"non-voter","Meta":{},"NodeType":"read-replica"}},` +
				`"Leader":"id-1","Voters":["id-1","id-2"],"ReadReplicas":["id-3"]}`,
		},
		{rule: "but not without a leader", target: "state", err: ErrNoLeader, status: 500, asked: "state 0", body: "No cluster leader"},
		{rule: "nor of another datacenter", target: "state?dc=nodc", status: 500, body: "No path to datacenter"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			m := &fakeMembership{pilot: tc.state, err: tc.err}
			w := ask(t, newMembershipServer(t, m), http.MethodGet, "/v1/operator/autopilot/"+tc.target, "")
			expect(t, w, tc.status, tc.body)
			if got := m.take(); got != tc.asked {
				t.Errorf("asked for %q, want %q", got, tc.asked)
			}
			if tc.status == http.StatusTooManyRequests {
				expectHeader(t, w, "Content-Type", "application/json")
			}
			expectHeader(t, w, "X-Consul-Index", "")
		})
	}
}

const firstPilotConfig = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,"ServerStabilizationTime":"10s",` +
	`"RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"","CreateIndex":4,"ModifyIndex":`

func TestAutopilotConfiguration(t *testing.T) {
	const path = "/v1/operator/autopilot/configuration"
	const bad = "Error parsing autopilot config: "
	for _, tc := range []struct {
		rule, query, body string
		status            int
		answer            string
		after             string // the configuration then; "" = as it was
	}{
		{
			rule: "what is not named has its default", body: `{"MaxTrailingLogs":500}`, status: 200, answer: "true",
			after: strings.Replace(firstPilotConfig, "250", "500", 1) + "6}",
		},
		{
			rule: "all of it is kept", status: 200, answer: "true",
			body: `{"cleanupdeadservers":false,"LastContactThreshold":"1.5s","MaxTrailingLogs":1,"MinQuorum":3,"ServerStabilizationTime":5000000,` +
				`"RedundancyZoneTag":"z","DisableUpgradeMigration":true,"UpgradeVersionTag":"v","CreateIndex":99,"ModifyIndex":99}`,
			after: `{"CleanupDeadServers":false,"LastContactThreshold":"1.5s","MaxTrailingLogs":1,"MinQuorum":3,"ServerStabilizationTime":"5ms",` +
				`"RedundancyZoneTag":"z","DisableUpgradeMigration":true,"UpgradeVersionTag":"v","CreateIndex":4,"ModifyIndex":6}`,
		},
		{rule: "nothing is the defaults", body: `{}`, status: 200, answer: "true", after: firstPilotConfig + "6}"},
		{rule: "null too, and what follows is not looked at", body: "null x", status: 200, answer: "true", after: firstPilotConfig + "6}"},
		{rule: "the index it has may be named", query: "?cas=5", body: `{}`, status: 200, answer: "true", after: firstPilotConfig + "6}"},
		{rule: "an older index changes nothing", query: "?cas=4", body: `{"MinQuorum":1}`, status: 200, answer: "false"},
		{rule: "nor does zero, now that there is one", query: "?cas=0", body: `{"MinQuorum":1}`, status: 200, answer: "false"},
		{rule: "an index is a number", query: "?cas=x", body: `{}`, status: 400, answer: `Error parsing cas value: strconv.ParseUint: parsing "x": invalid syntax`},
		{rule: "and not empty", query: "?cas", body: `{}`, status: 400, answer: `Error parsing cas value: strconv.ParseUint: parsing "": invalid syntax`},
		{rule: "a body must be there", status: 400, answer: bad + "EOF"},
		{rule: "and whole", body: "{", status: 400, answer: bad + "unexpected EOF"},
		{rule: "and known", body: `{"Bogus":1}`, status: 400, answer: bad + `json: unknown field "Bogus"`},
		{rule: "a duration has a unit", body: `{"LastContactThreshold":"5"}`, status: 400, answer: bad + `time: missing unit in duration "5"`},
		{rule: "and is not empty", body: `{"ServerStabilizationTime":""}`, status: 400, answer: bad + `time: invalid duration ""`},
		{rule: "and not negative", body: `{"ServerStabilizationTime":"-1s"}`, status: 400, answer: bad + "a duration must not be negative"},
		{rule: "a count is not negative", body: `{"MinQuorum":-1}`, status: 400, answer: bad + "json: cannot unmarshal number -1 into Go struct field pilotConfig.MinQuorum of type uint64"},
		{rule: "another datacenter has its own", query: "?dc=nodc", body: `{}`, status: 500, answer: "No path to datacenter"},
		{rule: "a body is bounded", body: strings.Repeat(" ", 600<<10), status: 413, answer: "Request body(614400 bytes) too large, max size: 524288 bytes. See limits.txn_max_req_len."},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newTestServer(t, newLocalNode(t))
			expect(t, ask(t, s, http.MethodPut, path, "{}"), http.StatusOK, "true")                        // at index 4
			expect(t, ask(t, s, http.MethodPut, path+"?cas=4", `{}`), http.StatusOK, "true")               // at index 5
			expect(t, ask(t, s, http.MethodGet, path+"?dc=dc1", ""), http.StatusOK, firstPilotConfig+"5}") // both kept
			expect(t, ask(t, s, http.MethodPut, path+tc.query, tc.body), tc.status, tc.answer)
			after := tc.after
			if after == "" {
				after = firstPilotConfig + "5}"
			}
			w := ask(t, s, http.MethodGet, path, "")
			expect(t, w, http.StatusOK, after)
			expectHeader(t, w, "X-Consul-Index", "")
		})
	}
}

func TestAutopilotConfigurationIsARead(t *testing.T) {
	const path = "/v1/operator/autopilot/configuration"
	node := newLocalNode(t)
	s := newTestServer(t, node)
	expect(t, ask(t, s, http.MethodGet, path, ""), http.StatusInternalServerError, "autopilot has no configuration yet: the first leader is about to write it")
	expect(t, ask(t, s, http.MethodPut, path+"?cas=0", "{}"), http.StatusOK, "true")
	node.gates = nil
	for _, query := range []string{"", "?stale", "?consistent"} {
		expect(t, ask(t, s, http.MethodGet, path+query, ""), http.StatusOK, firstPilotConfig+"4}")
	}
	if got := fmt.Sprint(node.gates); got != fmt.Sprint([]Mode{Default, Stale, Consistent}) {
		t.Errorf("it asked for leave to read in modes %s", got)
	}
	expect(t, ask(t, s, http.MethodGet, path+"?stale&consistent", ""), http.StatusBadRequest, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	expect(t, ask(t, s, http.MethodGet, path+"?dc=nodc", ""), http.StatusInternalServerError, "No path to datacenter")
	node.setContact(Contact{}, ErrNoLeader)
	expect(t, ask(t, s, http.MethodGet, path, ""), http.StatusInternalServerError, "No cluster leader")
}
