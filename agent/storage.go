package agent

import (
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/agent/logstore"
)

// openDisk opens the log store in the data dir.
func (a *Agent) openDisk(dir *datadir.Dir, loaded *config.Loaded) (*logstore.Store, error) {
	set := loaded.Config.Raft.Logstore
	o := logstore.Options{
		Backend:          set.Backend,
		BackendExplicit:  written(loaded, "raft_logstore.backend"),
		SegmentBytes:     int(set.WALSegmentSize),
		BoltFreelistSync: !set.BoltDBNoFreelistSync,
		Logger:           a.logs.Named("storage"),
		Initialised:      dir.Initialised(),
		OnInitialised:    dir.MarkInitialised,
		OnDamage:         a.damaged,
		OnWrite:          func(took time.Duration) { a.logWrites.Observe(took.Seconds()) },
	}
	if set.DisableLogCache {
		o.CacheBytes = -1
	}
	return logstore.Open(dir.RaftDir(), o)
}

// written tells whether somebody has set an option, rather than left it to its
// default.
func written(loaded *config.Loaded, name string) bool {
	for _, s := range loaded.Settings {
		if s.Name == name {
			return s.Source != "default"
		}
	}
	return false
}
