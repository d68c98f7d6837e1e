package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
)

// pilotConfig is the configuration of autopilot on the wire.
//
// Source: contract, status and operator, section 3.
type pilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    shownDuration
	MaxTrailingLogs         uint64
	MinQuorum               uint64
	ServerStabilizationTime shownDuration
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string
	CreateIndex             uint64
	ModifyIndex             uint64
}

// defaultPilotConfig is what a field has that a body does not mention.
func defaultPilotConfig() pilotConfig {
	return pilotConfig{
		CleanupDeadServers: true, LastContactThreshold: shownDuration(200 * time.Millisecond), MaxTrailingLogs: 250,
		ServerStabilizationTime: shownDuration(10 * time.Second),
	}
}

// shownDuration is a duration that is written as a text such as 200ms, and read as
// such or as a number of nanoseconds.
type shownDuration time.Duration

// MarshalJSON is part of json.Marshaler.
func (d shownDuration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON is part of json.Unmarshaler.
func (d *shownDuration) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*time.Duration)(d))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = shownDuration(parsed)
	return err
}

// autopilotConfiguration answers GET /v1/operator/autopilot/configuration.
func (c *call) autopilotConfiguration() error {
	mode, err := c.operatorRead()
	if err != nil {
		return err
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), mode); err != nil {
		return err
	}
	config := c.s.node.Store().View().Autopilot()
	if err := c.need(acl.ResourceOperator, acl.AccessRead, ""); err != nil {
		return err
	}
	if config == nil && c.s.opts.Membership != nil {
		config = c.s.opts.Membership.AutopilotConfig()
	}
	if config == nil {
		return serverError("autopilot has no configuration yet: the first leader is about to write it")
	}
	return c.encode(pilotConfig{
		CleanupDeadServers: config.CleanupDeadServers, LastContactThreshold: shownDuration(config.LastContactThreshold),
		MaxTrailingLogs: config.MaxTrailingLogs, MinQuorum: config.MinQuorum,
		ServerStabilizationTime: shownDuration(config.ServerStabilizationTime), RedundancyZoneTag: config.RedundancyZoneTag,
		DisableUpgradeMigration: config.DisableUpgradeMigration, UpgradeVersionTag: config.UpgradeVersionTag,
		CreateIndex: config.CreateIndex, ModifyIndex: config.ModifyIndex,
	})
}

// operatorRead checks the parameters of a read that concerns the cluster.
func (c *call) operatorRead() (Mode, error) {
	mode, err := c.consistency()
	if err != nil {
		return mode, err
	}
	return mode, c.checkDatacenter()
}

// setAutopilotConfiguration answers PUT /v1/operator/autopilot/configuration: true, or
// false when ?cas names another index than that of the present configuration. The body
// replaces all of it.
func (c *call) setAutopilotConfiguration() error {
	settings := c.s.settings.Load()
	body, err := c.body(max(settings.TxnBytes, settings.ValueBytes), "txn_max_req_len")
	if err != nil {
		return err
	}
	set, err := parsePilotConfig(body)
	if err != nil {
		return badRequest("Error parsing autopilot config: " + err.Error())
	}
	if c.q.has(pCAS) {
		set.Compare = true
		if set.Index, err = strconv.ParseUint(c.q.get(pCAS), 10, 64); err != nil {
			return badRequest("Error parsing cas value: " + err.Error())
		}
	}
	if err := c.needToWrite(acl.ResourceOperator, acl.AccessWrite, ""); err != nil {
		return err
	}
	res, err := c.propose(&fsm.Command{Autopilot: set})
	switch {
	case err != nil:
		return err
	case res.Invalid != "":
		return serverError(res.Invalid)
	}
	c.bool(res.Applied)
	return nil
}

func parsePilotConfig(body []byte) (*fsm.SetAutopilot, error) {
	config := defaultPilotConfig()
	if err := strictJSON(body, &config); err != nil {
		return nil, err
	}
	if config.LastContactThreshold < 0 || config.ServerStabilizationTime < 0 {
		return nil, errors.New("a duration must not be negative")
	}
	return &fsm.SetAutopilot{Config: fsm.Autopilot{
		CleanupDeadServers: config.CleanupDeadServers, LastContactThreshold: time.Duration(config.LastContactThreshold),
		MaxTrailingLogs: config.MaxTrailingLogs, MinQuorum: config.MinQuorum,
		ServerStabilizationTime: time.Duration(config.ServerStabilizationTime), RedundancyZoneTag: config.RedundancyZoneTag,
		DisableUpgradeMigration: config.DisableUpgradeMigration, UpgradeVersionTag: config.UpgradeVersionTag,
	}}, nil
}

// serverHealth is a server in the answer about health.
type serverHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact shownDuration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time // whole seconds
}

// autopilotHealth answers GET /v1/operator/autopilot/health: 429 when the cluster is
// not healthy, with the same body.
func (c *call) autopilotHealth() error {
	state, err := c.pilotState()
	if err != nil {
		return err
	}
	servers := []serverHealth{}
	for _, s := range state.Servers {
		servers = append(servers, serverHealth{
			ID: s.ID, Name: s.Name, Address: s.Address, SerfStatus: s.SerfStatus, Version: s.Version, Leader: s.Leader,
			LastContact: shownDuration(s.LastContact), LastTerm: s.LastTerm, LastIndex: s.LastIndex, Healthy: s.Healthy,
			Voter: s.Voter, StableSince: s.StableSince.UTC().Round(time.Second),
		})
	}
	if !state.Healthy {
		c.status = http.StatusTooManyRequests
	}
	return c.encode(struct {
		Healthy          bool
		FailureTolerance int
		Servers          []serverHealth
	}{state.Healthy, state.FailureTolerance, servers})
}

func (c *call) pilotState() (state AutopilotState, err error) {
	mode, err := c.operatorRead()
	if err != nil {
		return AutopilotState{}, err
	}
	if (c.guarded() || c.s.opts.Unchecked != nil) && mode != Stale {
		if _, err := c.s.node.ReadIndex(c.r.Context(), mode); err != nil {
			return AutopilotState{}, err
		}
	}
	if err := c.need(acl.ResourceOperator, acl.AccessRead, ""); err != nil {
		return AutopilotState{}, err
	}
	err = c.held(func(ctx context.Context) (err error) { // which asks the leader
		state, err = c.s.opts.Membership.AutopilotState(ctx, mode)
		return err
	})
	return state, err
}

// serverState is a server in the answer about the state of autopilot.
type serverState struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string
	Version     string
	LastContact shownDuration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	ReadReplica bool
	Status      string
	Meta        map[string]string
	NodeType    string
}

// autopilotState answers GET /v1/operator/autopilot/state.
func (c *call) autopilotState() error {
	state, err := c.pilotState()
	if err != nil {
		return err
	}
	servers := map[string]serverState{}
	var replicas []string
	for _, s := range state.Servers {
		servers[s.ID] = serverState{
			ID: s.ID, Name: s.Name, Address: s.Address, NodeStatus: s.NodeStatus, Version: s.Version,
			LastContact: shownDuration(s.LastContact), LastTerm: s.LastTerm, LastIndex: s.LastIndex, Healthy: s.Healthy,
			StableSince: s.StableSince.UTC(), ReadReplica: s.ReadReplica, Status: s.Status, Meta: mapOf(s.Meta), NodeType: s.NodeType,
		}
		if s.ReadReplica {
			replicas = append(replicas, s.ID)
		}
	}
	return c.encode(struct {
		Healthy                    bool
		FailureTolerance           int
		OptimisticFailureTolerance int
		Servers                    map[string]serverState
		Leader                     string
		Voters                     []string
		ReadReplicas               []string `json:",omitempty"`
	}{
		state.Healthy, state.FailureTolerance, state.OptimisticFailureTolerance, servers, state.Leader,
		listOf(state.Voters), replicas,
	})
}
