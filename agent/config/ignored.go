package config

// ignoredGroup is a set of keys and flags that Consul has and Holdfast has no
// use for. They are accepted, with everything below them, so that an existing
// configuration starts a server; one warning lists those that were used.
type ignoredGroup struct {
	why   string // "there is no DNS server"
	keys  []string
	flags []ignoredFlag
	// silent holds for settings that ask for what Holdfast does anyway,
	// whatever their value: they are not worth a warning.
	silent bool
}

// ignoredFlag is a flag of Consul's that is accepted and has no effect.
type ignoredFlag struct {
	name string
	bare bool // takes no value, as -ui
}

func bare(names ...string) []ignoredFlag   { return flagsOf(true, names) }
func valued(names ...string) []ignoredFlag { return flagsOf(false, names) }

func flagsOf(bare bool, names []string) []ignoredFlag {
	out := make([]ignoredFlag, len(names))
	for i, n := range names {
		out[i] = ignoredFlag{name: n, bare: bare}
	}
	return out
}

func joined(lists ...[]ignoredFlag) []ignoredFlag {
	var out []ignoredFlag
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// ignored lists, by reason, what Holdfast knowingly ignores. A key covers all
// keys below it.
var ignored = []ignoredGroup{
	{
		why: "there is no DNS server",
		keys: []string{
			"addresses.dns", "alt_domain", "dns_config", "ports.dns", "recursor", "recursors",
			"acl.tokens.dns",
		},
		flags: valued("alt-domain", "dns-port", "recursor"),
	},
	{
		why: "there is no service mesh and no gRPC interface for proxies",
		keys: []string{
			"addresses.grpc", "addresses.grpc_tls", "auto_config", "auto_encrypt", "ca_config", "config_entries", "connect",
			"default_intention_policy", "enable_central_service_config", "experiments", "peering", "performance.grpc_keepalive_interval",
			"performance.grpc_keepalive_timeout", "ports.expose_max_port", "ports.expose_min_port", "ports.grpc", "ports.grpc_tls",
			"ports.proxy_max_port", "ports.proxy_min_port", "ports.sidecar_max_port", "ports.sidecar_min_port", "primary_gateways", "primary_gateways_interval",
			"tls.grpc", "tls.internal_rpc.use_auto_cert", "tls.https.use_auto_cert", "tls.defaults.use_auto_cert", "xds",
		},
		flags: valued("grpc-port", "grpc-tls-port", "primary-gateway"),
	},
	{
		why: "services and checks are not registered from files",
		keys: []string{
			"acl.tokens.config_file_service_registration", "check", "check_deregister_interval_min", "check_output_max_size",
			"check_reap_interval", "checks", "discard_check_output",
			"enable_agent_tls_for_checks", "enable_local_script_checks", "enable_script_checks", "service", "services",
		},
		flags: joined(bare("enable-local-script-checks", "enable-script-checks"), valued("check_output_max_size", "check-output-max-size")),
	},
	{
		why:   "the web UI has no settings",
		keys:  []string{"ui", "ui_config", "ui_content_path", "ui_dir"},
		flags: joined(bare("ui"), valued("ui-content-path", "ui-dir")),
	},
	{
		why: "there is one datacenter",
		keys: []string{
			"advertise_addr_wan", "advertise_addr_wan_ipv4", "advertise_addr_wan_ipv6", "advertise_reconnect_timeout", "gossip_wan",
			"ports.serf_wan", "reconnect_timeout_wan", "retry_interval_wan", "retry_join_wan", "retry_max_wan", "serf_wan",
			"serf_wan_allowed_cidrs", "server_rejoin_age_max", "start_join_wan", "translate_wan_addrs",
		},
		flags: valued("advertise-wan", "join-wan", "retry-interval-wan", "retry-join-wan", "retry-max-wan", "serf-wan-allowed-cidrs",
			"serf-wan-bind", "serf-wan-port"),
	},
	{
		why:  "an address of each family is not told apart; use advertise_addr",
		keys: []string{"advertise_addr_ipv4", "advertise_addr_ipv6"},
	},
	{
		why:  "handlers are run by `holdfast watch`",
		keys: []string{"watches"},
	},
	{
		why: "it belongs to an edition of Consul with namespaces, partitions, segments or licences",
		keys: []string{
			"acl.msp_disable_bootstrap", "acl.tokens.managed_service_provider", "autopilot.disable_upgrade_migration",
			"autopilot.redundancy_zone_tag", "autopilot.upgrade_version_tag", "cloud", "license_path", "locality", "partition",
			"reporting", "segment", "segments", "snapshot_agent",
		},
		flags: valued("segment", "partition"),
	},
	{
		why:   "the system's logger is not written to; systemd takes standard output",
		keys:  []string{"enable_syslog", "syslog_facility"},
		flags: bare("syslog"),
	},
	{
		why:  "metrics are always served at /metrics and /v1/agent/metrics, and nowhere else",
		keys: []string{"telemetry", "statsd_addr", "statsite_addr", "statsite_prefix", "dogstatsd_addr", "dogstatsd_tags"},
	},
	{
		why: "reads are not cached and streams need no switch",
		keys: []string{
			"cache", "discovery_max_stale", "http_config.use_cache", "rpc", "use_streaming_backend",
		},
	},
	{
		why:  "rates are limited by limits.request_limits",
		keys: []string{"limits.rpc_max_burst", "limits.rpc_rate", "limits.rpc_client_timeout", "rpc_client_timeout"},
	},
	{
		why:  "pre-votes are always on",
		keys: []string{"raft_prevote_disabled"},
	},
	{
		why:  "the name in a server's certificate is not chosen by the one who asks",
		keys: []string{"server_name"},
	},
	{
		why:   "files are read again at SIGHUP and PUT /v1/agent/reload only",
		keys:  []string{"auto_reload_config"},
		flags: bare("auto-reload-config"),
	},
	{
		why:    "it is how Holdfast behaves anyway",
		silent: true,
		keys: []string{
			"acl_enforce_version_8", "acl.disabled_ttl", "acl_disabled_ttl", "disable_anonymous_signature", "disable_coordinates",
			"disable_host_node_id", "disable_remote_exec", "disable_update_check", "protocol",
			"raft_logstore.verification", "raft_protocol", "sync_coordinate_interval_min", "sync_coordinate_rate_target", "tls_prefer_server_cipher_suites",
		},
		flags: joined(bare("disable-host-node-id"), valued("protocol", "raft-protocol")),
	},
}

// ignoredKeys tells for every ignored key the group it is in.
var ignoredKeys = func() map[string]*ignoredGroup {
	out := make(map[string]*ignoredGroup)
	for i := range ignored {
		for _, k := range ignored[i].keys {
			out[k] = &ignored[i]
		}
	}
	return out
}()
