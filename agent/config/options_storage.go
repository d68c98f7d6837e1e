package config

import (
	"time"
)

func historyGroup() group {
	return group{
		title: "History and disk",
		intro: "A version of a key is dropped in the background as soon as one of the three bounds is passed.",
		options: []Option{
			{
				Key: "history.retention", Reloadable: true,
				field: func(c *Config) any { return &c.History.Retention },
				rule:  atLeast(time.Minute),
				Doc:   "How long old versions of a key can be read back.",
			},
			{
				Key: "history.versions", Reloadable: true,
				field: func(c *Config) any { return &c.History.Versions },
				rule:  between(1, 1_000_000),
				Doc:   "How many versions of one key are kept, the current one included.",
			},
			{
				Key: "history.max_bytes", Reloadable: true,
				field: func(c *Config) any { return &c.History.MaxBytes },
				rule:  atLeast[Bytes](0),
				Doc:   "How much memory old versions may take altogether, with the room that the garbage collector needs for them; the oldest go first. While many keys are written at once the process may hold up to a third more. 0 keeps none.",
			},
			{
				Key: "history.min_delete_retention", Reloadable: true,
				field: func(c *Config) any { return &c.History.MinDeleteRetention },
				rule:  atLeast(time.Minute),
				Doc: "How long the record of a deletion is kept at least, whatever the other bounds say. It lets blocking queries that " +
					"come back after a pause see that something is gone; keep it longer than `max_query_time`.",
			},
			{
				Key: "disk.min_free", Reloadable: true,
				field: func(c *Config) any { return &c.Disk.MinFree },
				rule:  atLeast[Bytes](0),
				Doc: "With less space than this free on the disk of the data dir, writes are refused with a clear error and reads go on, " +
					"until there is space again. 0: never. The default is room for two segments of the log.",
			},
			{
				Key:   "disk.check_interval",
				field: func(c *Config) any { return &c.Disk.CheckInterval },
				rule:  between(10*ms, time.Minute),
				Doc:   "How often the free space is checked.",
			},
		},
	}
}

func scheduleGroup() group {
	return group{
		title: "Scheduled snapshots",
		intro: "Archives of the whole state, as `holdfast snapshot save` makes them. `holdfast snapshot agent` does the same from another machine.",
		options: []Option{
			{
				Key:   "snapshot_schedule.path",
				field: func(c *Config) any { return &c.Schedule.Path },
				Doc: "The folder in which the server keeps snapshots while it leads; it is made if it is not there. Empty: none are taken. " +
					"Give each server a folder of its own, best on another disk than the data dir.",
			},
			{
				Key:   "snapshot_schedule.interval",
				field: func(c *Config) any { return &c.Schedule.Interval },
				rule:  atLeast(time.Minute),
				Doc:   "How often a snapshot is taken. A restart does not change when the next one is due.",
			},
			{
				Key:   "snapshot_schedule.retain",
				field: func(c *Config) any { return &c.Schedule.Retain },
				rule:  between(0, 1_000_000),
				Doc:   "How many snapshots are kept; the oldest go when a newer one was written and checked. 0 keeps all.",
			},
		},
	}
}

func raftGroup() group {
	return group{
		title: "Raft",
		options: []Option{
			{
				Key:   "raft_logstore.backend",
				field: func(c *Config) any { return &c.Raft.Logstore.Backend }, debug: "RaftLogStoreBackend",
				rule: oneOf("wal", "boltdb"),
				Doc: "What keeps the log of a new data dir. `wal` has about twice the durable writes of `boltdb` and far less disk " +
					"traffic. A data dir that already has a log keeps its own kind; a configuration that names the other one is refused.",
			},
			{
				Key: "raft_logstore.disable_log_cache", debug: "RaftLogStoreDisableLogCache",
				field: func(c *Config) any { return &c.Raft.Logstore.DisableLogCache },
				Doc:   "Reads every entry back from disk instead of keeping the recent ones in memory.",
			},
			{
				Key: "raft_logstore.wal.segment_size_mb", scale: MiB, debug: "RaftLogStoreWALSegmentSize",
				field: func(c *Config) any { return &c.Raft.Logstore.WALSegmentSize },
				rule:  between(1*MiB, 1*GiB),
				Doc:   "The size of one file of the log, in MiB. The space is taken when the file is made.",
			},
			{
				Key: "raft_logstore.boltdb.no_freelist_sync", Aliases: []string{"raft_boltdb.NoFreelistSync"}, debug: "RaftLogStoreBoltDBNoFreelistSync",
				field: func(c *Config) any { return &c.Raft.Logstore.BoltDBNoFreelistSync },
				Doc:   "Does not write the list of free pages with each commit: faster writes, slower opening.",
			},
			{
				Key: "raft_snapshot_threshold", Reloadable: true,
				field: func(c *Config) any { return &c.Raft.SnapshotThreshold },
				rule:  atLeast[uint64](1),
				Doc:   "How many new entries in the log make a snapshot due.",
			},
			{
				Key: "raft_snapshot_interval", Reloadable: true,
				field: func(c *Config) any { return &c.Raft.SnapshotInterval },
				rule:  atLeast(5 * ms),
				Doc:   "How often the server checks whether a snapshot is due; a random time of up to as much again is added.",
			},
			{
				Key: "raft_trailing_logs", Reloadable: true,
				field: func(c *Config) any { return &c.Raft.TrailingLogs },
				rule:  atLeast[uint64](1),
				Doc:   "How many entries are kept behind a snapshot, so that a server that lags can catch up without one.",
			},
			{
				Key: "raft_snapshot_send_rate", Reloadable: true,
				field: func(c *Config) any { return &c.Raft.SnapshotSendRate },
				rule:  between(1*MiB, 64*GiB),
				Doc: "How many bytes a second the leader sends of a snapshot to a server that lags, so that writes go on meanwhile. What is " +
					"under way goes on as it began.",
			},
			{
				Key: "performance.raft_multiplier", debug: "RaftMultiplier",
				field: func(c *Config) any { return &c.Performance.RaftMultiplier },
				rule:  between(1, 10),
				Doc: "Scales the times after which a silent leader is replaced. 1 is the fastest; raise it on machines or networks that " +
					"pause.",
			},
		},
	}
}
