package config

import (
	"net/netip"
	"time"
)

// Reloadable is exactly what SIGHUP and PUT /v1/agent/reload may change while
// the server runs. Everything else in a [Config] holds until a restart.
type Reloadable struct {
	LogLevel string

	HTTPMaxConnsPerClient int
	KVMaxValueSize        Bytes
	TxnMaxReqLen          Bytes
	TxnMaxOps             int
	ParkedPerClient       int
	ParkedTotal           int
	AuthFailuresPerClient int
	AuthFailuresTime      time.Duration

	ResponseHeaders map[string]string
	BlockEndpoints  []string
	AllowWriteFrom  []netip.Prefix

	DefaultQueryTime time.Duration
	MaxQueryTime     time.Duration

	SessionTTLMin   time.Duration
	SessionTTLGrace time.Duration

	History     History
	DiskMinFree Bytes

	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	TrailingLogs      uint64
	SnapshotSendRate  Bytes

	DefaultToken               string
	RecoveryToken              string
	TokenInQuery               bool
	AuditReadPrefixes          []string
	HideExistence              bool
	DisableRootRecursiveDelete bool
	AllowNonprintablePaths     bool
}

// Reloadable returns the part of c that a reload may change. Maps and slices
// are shared with c: read them, never change them.
func (c *Config) Reloadable() Reloadable {
	return Reloadable{
		LogLevel: c.Log.Level,

		HTTPMaxConnsPerClient: c.Limits.HTTPMaxConnsPerClient,
		KVMaxValueSize:        c.Limits.KVMaxValueSize,
		TxnMaxReqLen:          c.Limits.TxnMaxReqLen,
		TxnMaxOps:             c.Limits.TxnMaxOps,
		ParkedPerClient:       c.Limits.ParkedPerClient,
		ParkedTotal:           c.Limits.ParkedTotal,
		AuthFailuresPerClient: c.Limits.AuthFailuresPerClient,
		AuthFailuresTime:      c.Limits.AuthFailuresTime,

		ResponseHeaders: c.HTTP.ResponseHeaders,
		BlockEndpoints:  c.HTTP.BlockEndpoints,
		AllowWriteFrom:  c.HTTP.AllowWriteFrom,

		DefaultQueryTime: c.DefaultQueryTime,
		MaxQueryTime:     c.MaxQueryTime,

		SessionTTLMin:   c.SessionTTLMin,
		SessionTTLGrace: c.SessionTTLGrace,

		History:     c.History,
		DiskMinFree: c.Disk.MinFree,

		SnapshotThreshold: c.Raft.SnapshotThreshold,
		SnapshotInterval:  c.Raft.SnapshotInterval,
		TrailingLogs:      c.Raft.TrailingLogs,
		SnapshotSendRate:  c.Raft.SnapshotSendRate,

		DefaultToken:               c.ACL.Tokens.Default,
		RecoveryToken:              c.ACL.Tokens.AgentRecovery,
		TokenInQuery:               c.ACL.TokenInQuery,
		AuditReadPrefixes:          c.Audit.ReadPrefixes,
		HideExistence:              c.ACL.HideExistence,
		DisableRootRecursiveDelete: c.DisableRootRecursiveDelete,
		AllowNonprintablePaths:     c.AllowNonprintablePaths,
	}
}
