package agent

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// reloads keeps reloads apart from each other and counts them.
type reloads struct {
	// mu is held over a whole reload, reading of files included: a second one
	// waits for the first. Nothing else takes it.
	mu sync.Mutex

	done, failed atomic.Uint64
	lastFailed   atomic.Bool
}

// Reload reads the configuration again and uses what may change while the server
// runs: all of it, or, if anything is wrong with the configuration, nothing. It
// logs what came of it.
func (a *Agent) Reload() error {
	_, err := a.ReloadConfig()
	return err
}

// ReloadConfig is Reload, with a line that says what has changed and what needs a
// restart.
func (a *Agent) ReloadConfig() (summary string, err error) {
	a.reloads.mu.Lock()
	defer a.reloads.mu.Unlock()
	a.tellReloading()
	defer a.tellReady() // with the old configuration, if the new one is wrong

	summary, err = a.reload()
	a.reloads.lastFailed.Store(err != nil)
	if err != nil {
		a.reloads.failed.Add(1)
		a.log.Error("configuration was not reloaded, the old one stays in use", "error", err)
		return "", err
	}
	a.reloads.done.Add(1)
	return summary, nil
}

func (a *Agent) reload() (string, error) {
	if err := a.logs.Reopen(); err != nil { // no reason to keep the old configuration
		a.log.Error("log file", "error", err)
	}
	if a.audit != nil {
		a.audit.Reopen()
	}
	if err := a.certs.Reload(); err != nil {
		return "", err
	}
	if a.opts.Reload == nil {
		return summarize(nil, nil), nil
	}
	loaded, err := a.opts.Reload()
	if err != nil {
		return "", err
	}
	for _, w := range loaded.Warnings {
		a.logs.Named("config").Warn(w)
	}
	running := a.loaded.Load()
	changed, needRestart := config.Diff(running.Config, loaded.Config)
	next := *loaded
	next.Config = withReloadable(running.Config, loaded.Config.Reloadable())
	next.Settings = mergeSettings(running.Settings, loaded.Settings)
	if err := a.reloadRaft(next.Config.Raft); err != nil { // the only step that can fail: first
		return "", err
	}
	a.loaded.Store(&next) // history, hold times and the like are read from here each time
	a.apply(next.Config)
	for _, c := range changed {
		a.log.Info("setting changed", "name", c.Name, "old", c.Old, "new", c.New)
	}
	for _, c := range needRestart {
		a.log.Warn("setting is changed after a restart only", "name", c.Name, "running", c.Old, "new", c.New)
	}
	a.log.Info("configuration reloaded", "changed", len(changed), "need_restart", len(needRestart))
	return summarize(changed, needRestart), nil
}

// reloadRaft hands Raft its settings, which it checks.
func (a *Agent) reloadRaft(cfg config.Raft) error {
	a.keeping.Lock()
	defer a.keeping.Unlock()
	conf := a.raft.ReloadableConfig()
	conf.SnapshotThreshold, conf.SnapshotInterval, conf.TrailingLogs = cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs
	if a.transfers > 0 { // keepLog sets it when they are done
		conf.TrailingLogs = keepAll
	}
	if err := a.raft.ReloadConfig(conf); err != nil {
		return fmt.Errorf("raft refuses its settings: %w", err)
	}
	return nil
}

// apply puts into force what is not read from the configuration each time.
func (a *Agent) apply(cfg *config.Config) {
	a.logs.SetLevel(hclog.LevelFromString(cfg.Log.Level))
	a.api.Configure(settingsOf(cfg))
	a.conns.setMost(cfg.Limits.HTTPMaxConnsPerClient)
	if a.tokens.configure(&cfg.ACL.Tokens) {
		a.api.TokensChanged()
	}
	if a.space != nil {
		a.space.SetMinFree(uint64(cfg.Disk.MinFree))
	}
}

// withReloadable returns a copy of cfg with what a reload may change from r.
func withReloadable(cfg *config.Config, r config.Reloadable) *config.Config {
	next := *cfg
	next.Log.Level = r.LogLevel

	next.Limits.HTTPMaxConnsPerClient = r.HTTPMaxConnsPerClient
	next.Limits.KVMaxValueSize = r.KVMaxValueSize
	next.Limits.TxnMaxReqLen = r.TxnMaxReqLen
	next.Limits.TxnMaxOps = r.TxnMaxOps
	next.Limits.ParkedPerClient = r.ParkedPerClient
	next.Limits.ParkedTotal = r.ParkedTotal
	next.Limits.AuthFailuresPerClient = r.AuthFailuresPerClient
	next.Limits.AuthFailuresTime = r.AuthFailuresTime

	next.HTTP.ResponseHeaders = r.ResponseHeaders
	next.HTTP.BlockEndpoints = r.BlockEndpoints
	next.HTTP.AllowWriteFrom = r.AllowWriteFrom

	next.DefaultQueryTime = r.DefaultQueryTime
	next.MaxQueryTime = r.MaxQueryTime

	next.SessionTTLMin = r.SessionTTLMin
	next.SessionTTLGrace = r.SessionTTLGrace

	next.History = r.History
	next.Disk.MinFree = r.DiskMinFree

	next.Raft.SnapshotThreshold = r.SnapshotThreshold
	next.Raft.SnapshotInterval = r.SnapshotInterval
	next.Raft.TrailingLogs = r.TrailingLogs
	next.Raft.SnapshotSendRate = r.SnapshotSendRate

	own := &next.ACL.Tokens
	own.Default, own.AgentRecovery = r.DefaultToken, r.RecoveryToken
	next.ACL.TokenInQuery = r.TokenInQuery
	next.Audit.ReadPrefixes = r.AuditReadPrefixes
	next.ACL.HideExistence = r.HideExistence
	next.DisableRootRecursiveDelete = r.DisableRootRecursiveDelete
	next.AllowNonprintablePaths = r.AllowNonprintablePaths
	return &next
}

// mergeSettings tells the story of the settings in use: the new one of those that a
// reload changes, the old one of the others.
func mergeSettings(running, loaded []config.Setting) []config.Setting {
	old := make(map[string]config.Setting, len(running))
	for _, s := range running {
		old[s.Name] = s
	}
	out := make([]config.Setting, len(loaded))
	for i, s := range loaded {
		if before, ok := old[s.Name]; ok && !s.Reloadable {
			s = before
		}
		out[i] = s
	}
	return out
}

// Bounds of the summary, which travels in a header.
const (
	summaryChanges = 20 // named of each kind
	summaryValue   = 60 // bytes shown of a value
)

// summarize says in one line of printable ASCII what a reload did.
func summarize(changed, needRestart []config.Change) string {
	var parts []string
	if len(changed) > 0 {
		parts = append(parts, "changed: "+listChanges(changed))
	}
	if len(needRestart) > 0 {
		parts = append(parts, "needs a restart: "+listChanges(needRestart))
	}
	if parts == nil {
		return "nothing changed"
	}
	return strings.Join(parts, "; ")
}

func listChanges(changes []config.Change) string {
	var words []string
	for i, c := range changes {
		if i == summaryChanges {
			words = append(words, fmt.Sprintf("and %d more", len(changes)-i))
			break
		}
		words = append(words, fmt.Sprintf("%s from %s to %s", c.Name, shortValue(c.Old), shortValue(c.New)))
	}
	return strings.Join(words, ", ")
}

func shortValue(v string) string {
	if len(v) > summaryValue {
		return strconv.QuoteToASCII(v[:summaryValue]) + "..."
	}
	return strconv.QuoteToASCII(v)
}
