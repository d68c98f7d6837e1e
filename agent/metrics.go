package agent

import (
	"runtime"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-kv/holdfast/audit"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/hostinfo"
	"github.com/holdfast-kv/holdfast/internal/metrics"
	"github.com/holdfast-kv/holdfast/internal/version"
	"github.com/holdfast-kv/holdfast/session"
)

//go:generate go test . -run TestMetricsPage -update

// Metrics is what this server measures.
func (a *Agent) Metrics() httpapi.Metrics { return a.metrics }

// openMetrics makes the registry of all that the server measures.
func (a *Agent) openMetrics() (err error) {
	a.metrics, err = metrics.New(&collector{a: a}, metrics.Raft())
	return err
}

// collector reads the figures of a server when somebody asks for them. It keeps
// nothing itself.
type collector struct{ a *Agent }

// What the server measures. The parts of the names are those of the server: http, acl,
// store, history, raft, snapshot, tls, disk, log, config. The reference page is made
// from these.
var (
	buildInfo = metrics.Desc("build", "info", "The build that is running; always 1.", "version", "revision", "go_version")
	uptime    = metrics.Desc("process", "uptime_seconds", "How long the server has been running.")

	httpRequests = metrics.Desc("http", "requests_total", "Requests answered, by route and class of the status code.", "route", "code")
	httpDuration = metrics.Desc("http", "request_duration_seconds",
		"From the headers of a request to the end of its answer, without the time that a blocking query or a stream was parked for.", "route")
	httpConnections = metrics.Desc("http", "connections", "Open client connections.")
	httpParked      = metrics.Desc("http", "parked_queries", "Blocking queries that wait for a change.")
	httpWatched     = metrics.Desc("http", "watched_items", "Different keys and prefixes that blocking queries wait for.")
	httpStreams     = metrics.Desc("http", "streams", "Log and metrics streams that are open.")
	httpWakeups     = metrics.Desc("http", "wakeups_total", "Blocking queries whose wait ended or was broken, by how: changed (answered, what they ask about has changed), "+
		"unchanged (answered early with the same result: a false wake-up), parked (woken and not answered), timeout, gone (the client left).", "result")

	httpTooMany = metrics.Desc("http", "too_many_total", "Requests and connections answered 429 because there were too many of them, by the bound: "+
		"auth_failures (unknown tokens and failed logins of one address), connections (of one address), parked_queries_per_client, parked_queries_total, streams, "+
		"lock_queue (the places of one lock), who_can (one such question at a time).", "cause")

	aclDenials = metrics.Desc("acl", "denials_total", "Requests and operations of transactions denied, by the right that was lacking; "+
		"unknown_token: nobody has the token that was sent; other: a login that gives nothing, or a right that was gone when the write was applied.", "right")
	aclLogins = metrics.Desc("acl", "logins_total", "Logins, by what came of them: done, refused (the credential is no good, or gives nothing), "+
		"failed (anything else, such as a provider that does not answer).", "result")

	storeSessions = metrics.Desc("store", "sessions", "Sessions that exist.")

	storeKeys       = metrics.Desc("store", "keys", "Keys that exist.")
	storeBytes      = metrics.Desc("store", "bytes", "Memory that the keys that exist take with their values, by estimate.")
	storeTombstones = metrics.Desc("store", "tombstones", "Deleted keys that are remembered.")
	storeIndex      = metrics.Desc("store", "index", "Index of the last change of a key, as clients see it.")
	storeApplied    = metrics.Desc("store", "applied_index", "Index of the last command that reads see the effect of.")

	historyVersions = metrics.Desc("history", "versions", "Older versions of keys that are kept.")
	historyBytes    = metrics.Desc("history", "bytes", "Memory that the older versions take that are kept, by estimate.")
	historyMax      = metrics.Desc("history", "max_bytes", "Memory that older versions may take, by configuration.")
	historyPruned   = metrics.Desc("history", "pruned_through_index", "Index up to which older versions were dropped.")

	raftState       = metrics.Desc("raft", "state", "1 for the state that this server is in.", "state")
	raftTerm        = metrics.Desc("raft", "term", "The current term; it grows with each election.")
	raftCommit      = metrics.Desc("raft", "commit_index", "Index of the last entry known to be committed.")
	raftApplied     = metrics.Desc("raft", "applied_index", "Index of the last entry handed to the state machine.")
	raftLast        = metrics.Desc("raft", "last_log_index", "Index of the last entry in the log.")
	raftLeaderKnown = metrics.Desc("raft", "leader_known", "1 when this server knows a leader.")
	raftLogWrite    = metrics.Desc("raft", "log_write_seconds", "How long the log store took to write entries and flush them to the disk; nothing in memory.")
	raftFollowerLag = metrics.Desc("raft", "follower_lag_entries", "Entries of the leader's log that a follower is not known to have; 0 on a server that does not lead.", "peer")
	raftFollowerAge = metrics.Desc("raft", "follower_last_contact_seconds", "How long ago the leader heard from a follower; 0 on a server that does not lead.", "peer")
	raftContact     = metrics.Desc("raft", "last_contact_seconds", "How long ago this server heard from the leader; 0 on the leader.")

	snapshotAge   = metrics.Desc("snapshot", "age_seconds", "Age of this server's newest snapshot of its own; 0 without one and in memory.")
	snapshotIndex = metrics.Desc("snapshot", "index", "Index that this server's newest snapshot reaches; 0 without one and in memory.")
	snapshotSince = metrics.Desc("snapshot", "since_bytes", "Size of the log entries that were applied since the newest snapshot: what a restart reads again.")

	scheduleTaken = metrics.Desc("snapshot", "scheduled_total", "Snapshots that the server took by its schedule, by what came of them.", "result")
	scheduleAt    = metrics.Desc("snapshot", "scheduled_last_success_timestamp_seconds", "When the last of them was taken, as Unix time; 0 before there is one.")
	scheduleBytes = metrics.Desc("snapshot", "scheduled_last_bytes", "Size of the last of them.")

	tlsExpiry = metrics.Desc("tls", "certificate_expiry_timestamp_seconds",
		"When the certificate, or one of its chain, expires, as Unix time, by what it is used for; 0 without one.", "use")

	diskFree     = metrics.Desc("disk", "free_bytes", "Room on the disk of the data dir; 0 without one.")
	diskMinFree  = metrics.Desc("disk", "min_free_bytes", "Room below which the server takes no writes, by configuration; 0 without a data dir.")
	diskReadOnly = metrics.Desc("disk", "read_only", "1 while the server takes no writes because of its disk.")

	logStreams = metrics.Desc("log", "streams", "Clients that follow the log.")
	logDropped = metrics.Desc("log", "dropped_lines_total", "Lines that clients were too slow to follow.")

	auditLines   = metrics.Desc("audit", "lines_total", "Lines written to the audit log.")
	auditLost    = metrics.Desc("audit", "lost_lines_total", "Lines that are not in the audit log, because it could not be written for too long.")
	auditErrors  = metrics.Desc("audit", "write_errors_total", "Attempts to write the audit log that failed.")
	auditFailing = metrics.Desc("audit", "failing", "1 while the audit log cannot be written.")

	configReloads    = metrics.Desc("config", "reloads_total", "Reloads of the configuration, by what came of them.", "result")
	configLastFailed = metrics.Desc("config", "last_reload_failed", "1 when the last reload was refused.")
)

var descriptions = []*prometheus.Desc{
	buildInfo, uptime,
	httpRequests, httpDuration, httpConnections, httpParked, httpWatched, httpStreams, httpWakeups, httpTooMany,
	aclDenials, aclLogins,
	storeSessions, storeKeys, storeBytes, storeTombstones, storeIndex, storeApplied,
	historyVersions, historyBytes, historyMax, historyPruned,
	raftState, raftTerm, raftCommit, raftApplied, raftLast, raftLeaderKnown, raftContact,
	raftLogWrite, raftFollowerLag, raftFollowerAge,
	snapshotAge, snapshotIndex, snapshotSince,
	scheduleTaken, scheduleAt, scheduleBytes,
	tlsExpiry,
	diskFree, diskMinFree, diskReadOnly,
	logStreams, logDropped,
	auditLines, auditLost, auditErrors, auditFailing,
	configReloads, configLastFailed,
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	e := emitter(ch)
	a := c.a
	e.gauge(buildInfo, 1, version.Version, version.Commit, runtime.Version())
	e.gauge(uptime, a.now().Sub(a.started).Seconds())
	e.http(a)
	e.store(a)
	e.raft(a)
	e.snapshots(a)
	e.certificates(a)
	e.disk(a)
	e.gauge(logStreams, float64(a.logs.tails.Load()))
	e.counter(logDropped, a.logs.dropped.Load())
	e.audit(a)
	e.counter(configReloads, a.reloads.done.Load(), "done")
	e.counter(configReloads, a.reloads.failed.Load(), "failed")
	e.gauge(configLastFailed, flag(a.reloads.lastFailed.Load()))
}

func (e emitter) audit(a *Agent) {
	var f audit.Figures // nothing without an audit log
	if a.audit != nil {
		f = a.audit.Figures()
	}
	e.counter(auditLines, f.Lines)
	e.counter(auditLost, f.Lost)
	e.counter(auditErrors, f.Failures)
	e.gauge(auditFailing, flag(f.Failing))
}

// emitter hands figures to who asked for them.
type emitter chan<- prometheus.Metric

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// statusClasses are the values of the label code, by the first digit.
var statusClasses = map[int]string{2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

func (e emitter) http(a *Agent) {
	bounds := httpapi.LatencyBounds()
	for _, r := range a.api.RequestMetrics() {
		for digit, class := range statusClasses {
			e.counter(httpRequests, r.Codes[digit].Load(), r.Path, class)
		}
		var n uint64
		buckets := make(map[float64]uint64, len(bounds))
		for i := range r.Buckets {
			n += r.Buckets[i].Load()
			if i < len(bounds) {
				buckets[bounds[i].Seconds()] = n
			}
		}
		sum := time.Duration(r.Nanos.Load()).Seconds()
		e <- prometheus.MustNewConstHistogram(httpDuration, n, sum, buckets, r.Path)
	}
	e.gauge(httpConnections, float64(a.conns.open()))
	e.gauge(httpParked, float64(a.api.Parked()))
	e.gauge(httpWatched, float64(a.store.Hub().Len()))
	e.gauge(httpStreams, float64(a.api.Streams()))
	w := a.api.Wakeups()
	e.counter(httpWakeups, w.Changed.Load(), "changed")
	e.counter(httpWakeups, w.Unchanged.Load(), "unchanged")
	e.counter(httpWakeups, w.Parked.Load(), "parked")
	e.counter(httpWakeups, w.Timeouts.Load(), "timeout")
	e.counter(httpWakeups, w.Gone.Load(), "gone")
	e.counter(httpTooMany, a.conns.refused.Load(), "connections")
	refused := a.api.Refusals()
	refused.EachTooMany(func(cause string, n uint64) { e.counter(httpTooMany, n, cause) })
	refused.EachDenial(func(right string, n uint64) { e.counter(aclDenials, n, right) })
	refused.EachLogin(func(result string, n uint64) { e.counter(aclLogins, n, result) })
}

func (e emitter) store(a *Agent) {
	view := a.store.View()
	keys := view.Meta()
	sessions := 0
	all, _ := view.Sessions()
	all.List(func(*session.Session) bool {
		sessions++
		return true
	})
	e.gauge(storeSessions, float64(sessions))
	e.gauge(storeKeys, float64(keys.Live))
	e.gauge(storeBytes, float64(keys.LiveBytes))
	e.gauge(storeTombstones, float64(keys.Tombstones))
	e.gauge(storeIndex, float64(view.Index()))
	e.gauge(storeApplied, float64(a.store.Applied()))
	e.gauge(historyVersions, float64(keys.Superseded))
	e.gauge(historyBytes, float64(keys.HistoryBytes))
	e.gauge(historyMax, float64(a.config().History.MaxBytes))
	e.gauge(historyPruned, float64(keys.PrunedThrough))
}

func (e emitter) raft(a *Agent) {
	state, contact := a.raft.State(), a.Contact()
	for _, s := range []raft.RaftState{raft.Follower, raft.Candidate, raft.Leader, raft.Shutdown} {
		e.gauge(raftState, flag(s == state), s.String())
	}
	e.gauge(raftTerm, float64(a.raft.CurrentTerm()))
	e.gauge(raftCommit, float64(a.raft.CommitIndex()))
	e.gauge(raftApplied, float64(a.raft.AppliedIndex()))
	e.gauge(raftLast, float64(a.raft.LastIndex()))
	e.gauge(raftLeaderKnown, flag(contact.KnownLeader))
	e.gauge(raftContact, contact.LastContact.Seconds())
	e <- a.logWrites.Metric()
	for _, f := range a.followerStates() {
		e.gauge(raftFollowerLag, float64(f.LagEntries), string(f.ID))
		e.gauge(raftFollowerAge, max(f.LastContact, 0).Seconds(), string(f.ID))
	}
}

func (e emitter) snapshots(a *Agent) {
	index, at := a.storage.LastSnapshot()
	var age time.Duration
	if !at.IsZero() {
		age = max(0, a.now().Sub(at))
	}
	e.gauge(snapshotAge, age.Seconds())
	e.gauge(snapshotIndex, float64(index))
	e.gauge(snapshotSince, float64(a.machine.SinceSnapshot()))
	e.counter(scheduleTaken, a.scheduled.taken.Load(), "done")
	e.counter(scheduleTaken, a.scheduled.failed.Load(), "failed")
	e.gauge(scheduleAt, float64(a.scheduled.at.Load()))
	e.gauge(scheduleBytes, float64(a.scheduled.bytes.Load()))
}

func (e emitter) certificates(a *Agent) {
	https, rpc := a.certs.Expiry()
	for _, c := range [...]struct {
		use string
		end time.Time
	}{{"https", https}, {"rpc", rpc}} {
		var unix float64 // 0 without one, so that an alert on what is near skips it
		if !c.end.IsZero() {
			unix = float64(c.end.Unix())
		}
		e.gauge(tlsExpiry, unix, c.use)
	}
}

func (e emitter) disk(a *Agent) {
	var free, least uint64 // both 0 without a disk, so that no alert compares them
	if a.dir != nil {
		free, least = hostinfo.FreeBytes(a.dir.Path()), uint64(a.config().Disk.MinFree)
	}
	e.gauge(diskFree, float64(free))
	e.gauge(diskMinFree, float64(least))
	e.gauge(diskReadOnly, flag(a.writable() != nil))
}

// open is how many connections are open.
func (l *connLimit) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, of := range l.by {
		n += of
	}
	return n
}
