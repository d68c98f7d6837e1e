package agent

import (
	"runtime"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/hostinfo"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// Self is everything about this server.
//
// Source: contract, agent, section 1.
func (a *Agent) Self() httpapi.Self {
	cfg := a.config()
	return httpapi.Self{
		Config: httpapi.SelfConfig{
			Datacenter: cfg.Datacenter, PrimaryDatacenter: cfg.PrimaryDatacenter, NodeName: cfg.NodeName, NodeID: a.nodeID,
			Revision: httpapi.Revision(), Server: cfg.Server, Version: version.Version, BuildDate: httpapi.BuildDate(),
			SessionTTLMin: int64(cfg.SessionTTLMin),
		},
		DebugConfig: cfg.DebugConfig(),
		Member:      a.member(),
		Stats:       a.stats(),
		Meta:        a.meta(),
	}
}

// localStats counts what clients have registered on this server's own node. There are
// no monitors: no check is of a kind that the server makes itself.
func (a *Agent) localStats() map[string]string {
	services, checks, ttls := 0, 0, 0
	view, node := a.store.View().Catalog(), a.config().NodeName
	view.Services(node, func(s *catalog.Service) bool {
		if s.ID != httpapi.SelfService {
			services++
		}
		return true
	})
	view.Checks(node, func(c *catalog.Check) bool {
		if c.ID != httpapi.SelfCheck {
			checks++
		}
		if c.TTL > 0 {
			ttls++
		}
		return true
	})
	return map[string]string{
		"check_monitors": "0", "check_ttls": strconv.Itoa(ttls), "checks": strconv.Itoa(checks), "services": strconv.Itoa(services),
	}
}

// stats are the figures that operators print, by section. All are text.
func (a *Agent) stats() map[string]map[string]string {
	cfg := a.config()
	leader := a.LeaderAddress()
	keys := a.store.View().Meta()
	number := func(n int) string { return strconv.Itoa(n) }
	return map[string]map[string]string{
		"agent": a.localStats(),
		"build": {
			"prerelease": "", "revision": httpapi.Revision(), "version": version.Version, "version_metadata": "",
		},
		"consul": {
			"acl": enabled(cfg.ACL.Enabled), "bootstrap": strconv.FormatBool(cfg.Bootstrap), "known_datacenters": "1",
			"leader": strconv.FormatBool(a.raft.State() == raft.Leader), "leader_addr": leader, "server": strconv.FormatBool(cfg.Server),
		},
		"holdfast": {
			"keys": number(keys.Live), "keys_bytes": strconv.FormatInt(keys.LiveBytes, 10), "tombstones": number(keys.Tombstones),
			"history_versions": number(keys.Superseded), "history_bytes": strconv.FormatInt(keys.HistoryBytes, 10),
			"history_max_bytes":   strconv.FormatInt(int64(cfg.History.MaxBytes), 10),
			"history_since_index": strconv.FormatUint(keys.PrunedThrough, 10), "applied_index": strconv.FormatUint(a.store.Applied(), 10),
			"parked_queries": number(a.api.Parked()), "read_only": strconv.FormatBool(a.writable() != nil),
			"uptime": a.now().Sub(a.started).Round(1e9).String(),
		},
		"raft": a.raft.Stats(),
		"runtime": {
			"arch": runtime.GOARCH, "cpu_count": number(runtime.NumCPU()), "goroutines": number(runtime.NumGoroutine()),
			"max_procs": number(runtime.GOMAXPROCS(0)), "os": runtime.GOOS, "version": runtime.Version(),
		},
		"serf_lan": {"members": "1", "failed": "0", "left": "0"},
	}
}

func enabled(on bool) string {
	if on {
		return "enabled"
	}
	return "disabled"
}

// Host looks at the machine, and at the disk that the data is on.
func (a *Agent) Host() any {
	path := "/"
	if a.dir != nil {
		path = a.dir.Path()
	}
	return hostinfo.Collect(path, a.now())
}
