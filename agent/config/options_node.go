package config

import (
	"strings"
)

func nodeGroup() group {
	return group{
		title: "The server itself",
		options: []Option{
			{
				Key: "dev", noFile: true, Common: true, debug: "DevMode",
				field: func(c *Config) any { return &c.Dev },
				Doc: "Runs a server that needs nothing and leaves nothing behind: all state is in memory, `bind_addr` is `127.0.0.1` and " +
					"`bootstrap` is on, unless said otherwise. Answers and limits are those of any other server.",
			},
			{
				Key: "server", Common: true, debug: "ServerMode",
				field: func(c *Config) any { return &c.Server },
				Doc: "Runs as a server. There is no other kind of Holdfast process, so `false` is refused; the setting exists for " +
					"configurations written for Consul.",
			},
			{
				Key: "data_dir", Common: true,
				field: func(c *Config) any { return &c.DataDir },
				Doc: "The folder that holds everything that must survive a restart. It is made if it does not exist, with mode 0700. " +
					"Needed unless `-dev` is given.",
			},
			{
				Key: "node_name", Flag: "node", Common: true, derived: "the host name",
				field: func(c *Config) any { return &c.NodeName },
				rule:  text("1 to 128 bytes without spaces, slashes, quotes and control characters", checkNodeName),
				Doc:   "The name of this server, unique in its cluster.",
			},
			{
				Key: "node_id", fold: strings.ToLower, derived: "made at the first start and kept in the data dir",
				field: func(c *Config) any { return &c.NodeID },
				rule:  text("a UUID", checkUUID),
				Doc:   "The identity of this server for the cluster's whole life. Two servers must never have the same one.",
			},
			{
				Key:   "node_meta",
				field: func(c *Config) any { return &c.NodeMeta },
				rule: rule{"at most 64 pairs; keys of 1 to 128 letters, digits, - and _ that do not begin with consul-; " +
					"values of at most 512 bytes", checkNodeMeta},
				Doc: "Key/value pairs that are published with this server.",
			},
			{
				Key: "datacenter", Common: true, fold: strings.ToLower,
				field: func(c *Config) any { return &c.Datacenter },
				rule:  rule{"1 to 64 letters, digits, - and _", func(v any) error { return checkDatacenter(v.(string)) }},
				Doc:   "The datacenter that this server is in. Capitals become small letters.",
			},
			{
				Key: "primary_datacenter", Aliases: []string{"acl_datacenter"}, fold: strings.ToLower, inherit: "datacenter",
				field: func(c *Config) any { return &c.PrimaryDatacenter },
				rule:  text("1 to 64 letters, digits, - and _", checkDatacenter),
				Doc:   "The datacenter whose access rules count. With one datacenter there is nothing to set.",
			},
			{
				Key:   "pid_file",
				field: func(c *Config) any { return &c.PidFile },
				Doc:   "A file that holds the process id while the server runs.",
			},
			{
				Key:   "enable_debug",
				field: func(c *Config) any { return &c.EnableDebug },
				Doc:   "Serves Go's profiles below `/debug/pprof`.",
			},
			{
				Key: "leave.timeout", debug: "LeaveTimeout",
				field: func(c *Config) any { return &c.Leave.Timeout },
				rule:  atLeast(100 * ms),
				Doc: "The longest that a server takes to stop after SIGINT or SIGTERM: parked queries are answered, running requests end, " +
					"the log is closed. A second signal ends it at once.",
			},
			{
				Key: "leave_on_terminate", debug: "LeaveOnTerm",
				field: func(c *Config) any { return &c.Leave.OnTerminate },
				Doc:   "SIGTERM makes the server leave its cluster before it stops, instead of only stopping.",
			},
			{
				Key: "skip_leave_on_interrupt", debug: "SkipLeaveOnInt",
				field: func(c *Config) any { return &c.Leave.SkipOnInterrupt },
				Doc:   "SIGINT stops the server without leaving its cluster.",
			},
		},
	}
}
