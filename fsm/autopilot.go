package fsm

import (
	"time"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
)

// Autopilot is how the cluster looks after its servers.
//
// Source: contract, status and operator, section 3, for the fields.
type Autopilot struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint64
	ServerStabilizationTime time.Duration
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string

	CreateIndex, ModifyIndex uint64
}

// SetAutopilot replaces the configuration of autopilot.
type SetAutopilot struct {
	Config  Autopilot
	Compare bool   // only if it was last changed at Index
	Index   uint64 // 0: only if there is none
}

// Autopilot is the configuration of autopilot; nil when none was set yet.
func (v *View) Autopilot() *Autopilot { return v.state.Autopilot }

func (b *batch) setAutopilot(m *fsmpb.AutopilotSet, res *Result) {
	old, next := b.state.Autopilot, autopilotFromProto(m.GetConfig())
	at := uint64(0)
	if old != nil {
		at = old.ModifyIndex
	}
	if m.GetCompare() && m.GetIndex() != at {
		res.Applied = false
		return
	}
	next.CreateIndex, next.ModifyIndex = res.Index, res.Index
	if old != nil {
		next.CreateIndex = old.CreateIndex
	}
	b.state.Autopilot = next
}

func (s *SetAutopilot) toProto() *fsmpb.AutopilotSet {
	return &fsmpb.AutopilotSet{Config: autopilotToProto(&s.Config), Compare: s.Compare, Index: s.Index}
}

func autopilotToProto(c *Autopilot) *fsmpb.Autopilot {
	if c == nil {
		return nil
	}
	return &fsmpb.Autopilot{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: int64(c.LastContactThreshold),
		MaxTrailingLogs: c.MaxTrailingLogs, MinQuorum: c.MinQuorum, ServerStabilizationTime: int64(c.ServerStabilizationTime),
		RedundancyZoneTag: []byte(c.RedundancyZoneTag), DisableUpgradeMigration: c.DisableUpgradeMigration,
		UpgradeVersionTag: []byte(c.UpgradeVersionTag), CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}
}

func autopilotFromProto(m *fsmpb.Autopilot) *Autopilot {
	return &Autopilot{
		CleanupDeadServers: m.GetCleanupDeadServers(), LastContactThreshold: time.Duration(m.GetLastContactThreshold()),
		MaxTrailingLogs: m.GetMaxTrailingLogs(), MinQuorum: m.GetMinQuorum(), ServerStabilizationTime: time.Duration(m.GetServerStabilizationTime()),
		RedundancyZoneTag: string(m.GetRedundancyZoneTag()), DisableUpgradeMigration: m.GetDisableUpgradeMigration(),
		UpgradeVersionTag: string(m.GetUpgradeVersionTag()), CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
	}
}
