package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// An AutopilotConfig is how the cluster looks after its servers.
type AutopilotConfig struct {
	CleanupDeadServers      bool     // whether servers that are dead lose their place in the consensus group
	LastContactThreshold    Duration // a server that has not heard of the leader for longer is not healthy
	MaxTrailingLogs         uint64   // nor is one that lacks more entries of the log
	MinQuorum               uint64   // dead servers stay while there are no more than this many; 0 = no such bound
	ServerStabilizationTime Duration // how long a new server must be healthy before it has a vote

	// Consul's Enterprise edition gives these a meaning; they are kept.
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string

	CreateIndex uint64 // ignored when it is set
	ModifyIndex uint64 // ignored when it is set; for [Operator.SetAutopilotConfigCAS]
}

const autopilotConfigPath = "/v1/operator/autopilot/configuration"

// AutopilotConfig reads how the cluster looks after its servers.
func (o Operator) AutopilotConfig(ctx context.Context, opts ...ReadOption) (*AutopilotConfig, error) {
	var config AutopilotConfig
	if _, err := o.c.fetch(ctx, newRequest(http.MethodGet, autopilotConfigPath).reads(opts), &config); err != nil {
		return nil, fmt.Errorf("read autopilot configuration: %w", err)
	}
	return &config, nil
}

// SetAutopilotConfig replaces the whole configuration of autopilot, whatever it is.
func (o Operator) SetAutopilotConfig(ctx context.Context, config AutopilotConfig, opts ...CallOption) error {
	_, err := o.setAutopilotConfig(ctx, config, newRequest(http.MethodPut, autopilotConfigPath).calls(opts))
	return err
}

// SetAutopilotConfigCAS replaces the configuration of autopilot if its ModifyIndex is
// that of config. It returns false, and nothing is changed, when it is another.
func (o Operator) SetAutopilotConfigCAS(ctx context.Context, config AutopilotConfig, opts ...CallOption) (bool, error) {
	r := newRequest(http.MethodPut, autopilotConfigPath).calls(opts).setUint("cas", config.ModifyIndex)
	return o.setAutopilotConfig(ctx, config, r)
}

func (o Operator) setAutopilotConfig(ctx context.Context, config AutopilotConfig, r *request) (applied bool, err error) {
	body, err := json.Marshal(config)
	if err == nil {
		r.body, r.size = bytes.NewReader(body), int64(len(body))
		_, err = o.c.fetch(ctx, r, &applied)
	}
	if err != nil {
		return false, fmt.Errorf("write autopilot configuration: %w", err)
	}
	return applied, nil
}

// An AutopilotHealth says whether the cluster could lose a server.
type AutopilotHealth struct {
	Healthy          bool
	FailureTolerance int // servers that may fail without loss of the majority
	Servers          []ServerHealth
}

// A ServerHealth is how a server is.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string // alive, leaving, left, failed or none
	Version     string
	Leader      bool
	LastContact Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time // since when Healthy is as it is
}

// A Duration is a time.Duration that is written as a text such as 20ms in JSON.
type Duration time.Duration

// String is that of time.Duration.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes a text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a text, or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*time.Duration)(d))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = Duration(parsed)
	return err
}

// AutopilotHealth reads how the servers are; that some are not healthy is no error.
// With [Stale] any server answers from what it knows.
func (o Operator) AutopilotHealth(ctx context.Context, opts ...ReadOption) (*AutopilotHealth, error) {
	r := newRequest(http.MethodGet, "/v1/operator/autopilot/health").reads(opts)
	health, err := o.health(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("read health of the servers: %w", err)
	}
	return health, nil
}

// health reads an answer whose status 429 means that something is not healthy, or as
// everywhere that the client asks too much.
func (o Operator) health(ctx context.Context, r *request) (*AutopilotHealth, error) {
	res, err := o.c.call(ctx, r, http.StatusTooManyRequests)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK && !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		defer closeBody(res)
		return nil, statusError(res)
	}
	var health AutopilotHealth
	return &health, o.c.decode(res, &health)
}

// An AutopilotState is what autopilot knows of the servers.
type AutopilotState struct {
	Healthy                    bool
	FailureTolerance           int // servers that may fail without loss of the majority
	OptimisticFailureTolerance int // the same if autopilot has time to put others in their place
	Servers                    map[string]AutopilotServer
	Leader                     string   // id
	Voters                     []string // ids
	ReadReplicas               []string `json:",omitempty"` // ids
}

// An AutopilotServer is what autopilot knows of a server.
type AutopilotServer struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string // alive, failed or left
	Version     string
	LastContact Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time // since when Healthy is as it is
	ReadReplica bool      // it never has a vote
	Status      string    // leader, voter, non-voter, staging or none
	Meta        map[string]string
	NodeType    string // voter, or what else it shall be
}

// AutopilotState reads what autopilot knows of the servers.
func (o Operator) AutopilotState(ctx context.Context, opts ...ReadOption) (*AutopilotState, error) {
	var state AutopilotState
	r := newRequest(http.MethodGet, "/v1/operator/autopilot/state").reads(opts)
	if _, err := o.c.fetch(ctx, r, &state); err != nil {
		return nil, fmt.Errorf("read state of autopilot: %w", err)
	}
	return &state, nil
}
