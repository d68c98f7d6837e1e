package agent

import (
	"context"
	"path/filepath"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/audit"
	"github.com/holdfast-kv/holdfast/internal/run"
)

// openAudit opens the audit log, if there shall be one. A server that cannot does not
// start, whatever holds later: that is when somebody looks.
func (a *Agent) openAudit() error {
	cfg := a.config()
	if !cfg.Audit.Enabled {
		return nil
	}
	log, err := audit.Open(auditOptions(cfg, audit.Options{Log: a.logs.Named("audit"), Now: a.now}))
	if err != nil {
		return err
	}
	a.audit, a.auditing = log, run.New(context.Background())
	a.auditing.Go("audit", log.Run)
	return nil
}

// auditOptions adds to opts what the configuration says.
func auditOptions(cfg *config.Config, opts audit.Options) audit.Options {
	c := &cfg.Audit
	path := c.Path
	if path == "" {
		path = filepath.Join(cfg.DataDir, "audit", "audit.log")
	}
	opts.Sink, opts.Server, opts.Refuse, opts.Sync = c.Sink, cfg.NodeName, c.OnFailure == "refuse", c.Sync
	opts.File = audit.File{
		Path: path, RotateBytes: int64(c.RotateBytes), RotateDuration: c.RotateDuration, RotateMaxFiles: c.RotateMaxFiles,
	}
	return opts
}

// closeAudit writes what is left of the audit log.
func (a *Agent) closeAudit() error {
	if a.audit == nil {
		return nil
	}
	return a.auditing.Close()
}
