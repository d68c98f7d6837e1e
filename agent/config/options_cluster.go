package config

import (
	"time"
)

func clusterGroup() group {
	return group{
		title: "Cluster",
		options: []Option{
			{
				Key: "bootstrap", Common: true,
				derived: "on, if neither `bootstrap_expect`, `read_replica` nor a server to join is set",
				field:   func(c *Config) any { return &c.Bootstrap },
				Doc: "Lets a server without any state start a new cluster with itself as the only member. It never starts a new cluster " +
					"over existing data.",
			},
			{
				Key: "bootstrap_expect", Common: true,
				field: func(c *Config) any { return &c.BootstrapExpect },
				rule:  between(0, 99),
				Doc:   "How many servers must have met before they start a cluster together. 1 is the same as `bootstrap`; 0: not used.",
			},
			{
				Key: "retry_join", Common: true, debug: "RetryJoinLAN",
				field: func(c *Config) any { return &c.Join.Retry },
				Doc:   "Addresses of servers to join; they are tried until one answers.",
			},
			{
				Key: "retry_interval", debug: "RetryJoinIntervalLAN",
				field: func(c *Config) any { return &c.Join.Interval },
				rule:  atLeast(time.Second),
				Doc:   "The pause between two rounds of `retry_join`.",
			},
			{
				Key: "retry_max", debug: "RetryJoinMaxAttemptsLAN",
				field: func(c *Config) any { return &c.Join.MaxTries },
				rule:  atLeast(0),
				Doc:   "How many rounds of `retry_join` there are before the server gives up and ends. 0: no end.",
			},
			{
				Key: "start_join", Flag: "join", debug: "StartJoinAddrsLAN",
				field: func(c *Config) any { return &c.Join.Start },
				Doc:   "Addresses of servers to join, tried once at the start; the server ends if none of them answers.",
			},
			{
				Key: "rejoin_after_leave", Flag: "rejoin",
				field: func(c *Config) any { return &c.Join.Rejoin },
				Doc:   "Joins again after a start although the server had left before it stopped.",
			},
			{
				Key: "read_replica", Aliases: []string{"non_voting_server"}, FlagAliases: []string{"non-voting-server"},
				field: func(c *Config) any { return &c.ReadReplica },
				Doc:   "Takes part in the cluster without a vote: it answers reads and does not slow down writes.",
			},
			{
				Key:   "performance.leave_drain_time",
				field: func(c *Config) any { return &c.Performance.LeaveDrainTime },
				rule:  atLeast(0 * ms),
				Doc: "How long a server that leaves waits, at most, for the requests under way to end, before it gives up its place in the cluster. " +
					"Its parked queries are answered then.",
			},
			{
				Key: "serf_lan", Flag: "serf-lan-bind", inherit: "bind_addr", debug: "SerfBindAddrLAN",
				field: func(c *Config) any { return &c.Gossip.SerfLANBind },
				rule:  text("an IP address", checkIP),
				Doc:   "The address of the gossip, instead of `bind_addr`." + templateDoc,
			},
			{
				Key: "serf_lan_allowed_cidrs", debug: "SerfAllowedCIDRsLAN",
				field: func(c *Config) any { return &c.Gossip.SerfLANAllowed },
				Doc:   "The networks that gossip is taken from. Empty: every network.",
			},
			{
				Key: "encrypt", Secret: true, debug: "EncryptKey",
				field: func(c *Config) any { return &c.Gossip.EncryptKey },
				rule:  text("16, 24 or 32 bytes in base64", checkGossipKey),
				Doc:   "The key that gossip is encrypted with.",
			},
			{
				Key:   "encrypt_verify_incoming",
				field: func(c *Config) any { return &c.Gossip.EncryptVerifyIncoming },
				Doc:   "Refuses gossip that is not encrypted.",
			},
			{
				Key:   "encrypt_verify_outgoing",
				field: func(c *Config) any { return &c.Gossip.EncryptVerifyOutgoing },
				Doc:   "Encrypts the gossip that is sent.",
			},
			{
				Key:   "disable_keyring_file",
				field: func(c *Config) any { return &c.Gossip.DisableKeyringFile },
				Doc:   "Does not keep gossip keys in the data dir.",
			},
			{
				Key: "reconnect_timeout", debug: "ReconnectTimeoutLAN",
				field: func(c *Config) any { return &c.Gossip.ReconnectTimeout },
				rule:  atLeast(8 * time.Hour),
				Doc:   "How long a failed server stays in the list of members.",
			},
			{
				Key: "gossip_lan.gossip_interval", debug: "GossipLANGossipInterval",
				field: func(c *Config) any { return &c.Gossip.Interval },
				rule:  atLeast(1 * ms),
				Doc:   "The pause between two rounds of gossip.",
			},
			{
				Key: "gossip_lan.gossip_nodes", debug: "GossipLANGossipNodes",
				field: func(c *Config) any { return &c.Gossip.Nodes },
				rule:  between(1, 100),
				Doc:   "How many members a round of gossip is sent to.",
			},
			{
				Key: "gossip_lan.probe_interval", debug: "GossipLANProbeInterval",
				field: func(c *Config) any { return &c.Gossip.ProbeInterval },
				rule:  atLeast(1 * ms),
				Doc:   "The pause between two probes of whether a member lives.",
			},
			{
				Key: "gossip_lan.probe_timeout", debug: "GossipLANProbeTimeout",
				field: func(c *Config) any { return &c.Gossip.ProbeTimeout },
				rule:  atLeast(1 * ms),
				Doc:   "How long a member may take to answer a probe.",
			},
			{
				Key: "gossip_lan.retransmit_mult", debug: "GossipLANRetransmitMult",
				field: func(c *Config) any { return &c.Gossip.RetransmitMult },
				rule:  between(1, 100),
				Doc:   "Scales how often a message of the gossip is sent again.",
			},
			{
				Key: "gossip_lan.suspicion_mult", debug: "GossipLANSuspicionMult",
				field: func(c *Config) any { return &c.Gossip.SuspicionMult },
				rule:  between(1, 100),
				Doc:   "Scales how long a member is suspected before it counts as failed.",
			},
			{
				Key:   "autopilot.cleanup_dead_servers",
				field: func(c *Config) any { return &c.Autopilot.CleanupDeadServers },
				Doc:   "Removes a failed server once a new one has joined. This and the other settings of autopilot count for a new cluster only.",
			},
			{
				Key:   "autopilot.last_contact_threshold",
				field: func(c *Config) any { return &c.Autopilot.LastContactThreshold },
				rule:  atLeast(1 * ms),
				Doc:   "How long a server may have been without contact to the leader and still count as healthy.",
			},
			{
				Key:   "autopilot.max_trailing_logs",
				field: func(c *Config) any { return &c.Autopilot.MaxTrailingLogs },
				Doc:   "How many entries a server may be behind and still count as healthy.",
			},
			{
				Key:   "autopilot.min_quorum",
				field: func(c *Config) any { return &c.Autopilot.MinQuorum },
				Doc:   "How many servers are left alone by the removal of failed ones. 0: no such bound.",
			},
			{
				Key:   "autopilot.server_stabilization_time",
				field: func(c *Config) any { return &c.Autopilot.ServerStabilizationTime },
				Doc:   "How long a new server must have been healthy before it gets a vote.",
			},
		},
	}
}

func sessionGroup() group {
	const unused = "outputs of checks are never kept back"
	return group{
		title: "Sessions and checks",
		options: []Option{
			{
				Key: "session_ttl_min", Reloadable: true,
				field: func(c *Config) any { return &c.SessionTTLMin },
				rule:  between(1*ms, 24*time.Hour),
				Doc:   "The smallest time to live that a session may ask for.",
			},
			{
				Key: "session_ttl_grace", Reloadable: true,
				field: func(c *Config) any { return &c.SessionTTLGrace },
				rule:  between(-1*time.Second, 24*time.Hour),
				Doc: "How long beyond its time to live a session that nobody renews lives, if the request that created it does not say with " +
					"`Grace`. It ends between then and 10 % and 1 second later. Negative: as Consul's do, about twice its time to live after " +
					"the last renewal, which existing clients count on. Sessions that exist keep what they were created with.",
			},
			{
				Key: "check_update_interval", Unused: unused,
				field: func(c *Config) any { return &c.CheckUpdateInterval },
				rule:  atLeast(0 * ms),
				Doc:   "How long a change of a check's output, its status being the same, may be kept back.",
			},
		},
	}
}

func logGroup() group {
	return group{
		title: "Logs",
		options: []Option{
			{
				Key: "log_level", Common: true, Reloadable: true, fold: foldLogLevel,
				field: func(c *Config) any { return &c.Log.Level },
				rule:  oneOf("TRACE", "DEBUG", "INFO", "WARN", "ERROR"),
				Doc:   "The least important events that are logged. Small letters will do.",
			},
			{
				Key: "log_json", Common: true,
				field: func(c *Config) any { return &c.Log.JSON },
				Doc:   "Writes each event as one JSON object.",
			},
			{
				Key:   "log_file",
				field: func(c *Config) any { return &c.Log.File },
				Doc: "A file that the log is written to, besides standard output. A path that ends in a slash is a folder, where the file " +
					"is `holdfast.log`.",
			},
			{
				Key:   "log_rotate_bytes",
				field: func(c *Config) any { return &c.Log.RotateBytes },
				rule:  zeroOr[Bytes](atLeast(4 * KiB)),
				Doc:   "A log file that has grown to this size is closed and the next one begun. 0: never for its size.",
			},
			{
				Key:   "log_rotate_duration",
				field: func(c *Config) any { return &c.Log.RotateDuration },
				rule:  atLeast(time.Minute),
				Doc:   "A log file that is this old is closed and the next one begun.",
			},
			{
				Key:   "log_rotate_max_files",
				field: func(c *Config) any { return &c.Log.RotateMaxFiles },
				rule:  atLeast(-1),
				Doc:   "How many closed log files are kept. 0: all; -1: none.",
			},
		},
	}
}
