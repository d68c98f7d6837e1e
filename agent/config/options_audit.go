package config

import "time"

func auditGroup() group {
	return group{
		title: "Audit log",
		intro: "Who did what: a line for every write, login, refused request and act of administration. " +
			"See [the audit log](audit.md).",
		options: []Option{
			{
				Key:   "audit.enabled",
				field: func(c *Config) any { return &c.Audit.Enabled },
				Doc:   "Keeps an audit log.",
			},
			{
				Key:   "audit.sink",
				field: func(c *Config) any { return &c.Audit.Sink },
				rule:  oneOf("file", "stdout", "syslog"),
				Doc:   "Where the lines go: a `file`, the standard output (`stdout`) or the system's log (`syslog`).",
			},
			{
				Key:     "audit.path",
				field:   func(c *Config) any { return &c.Audit.Path },
				derived: "`audit/audit.log` in the data dir",
				Doc:     "The file, which its owner alone may read.",
			},
			{
				Key:   "audit.on_failure",
				field: func(c *Config) any { return &c.Audit.OnFailure },
				rule:  oneOf("refuse", "continue"),
				Doc: "What holds when the log cannot be written. `continue`: the server goes on and says so in its own log and its metrics; " +
					"lines wait as long as there is room. `refuse`: requests that would get a line are answered 503, and before each " +
					"of them a line is written that it is about to be tried.",
			},
			{
				Key:   "audit.sync",
				field: func(c *Config) any { return &c.Audit.Sync },
				Doc: "With `refuse`, has each line on the disk before the request goes on, so that it survives a loss of power. " +
					"Without it the operating system has the line, which survives the end of the process.",
			},
			{
				Key: "audit.read_prefixes", Reloadable: true,
				field: func(c *Config) any { return &c.Audit.ReadPrefixes },
				Doc:   "Prefixes of keys of which reads get a line too. An empty text is a prefix of every key.",
			},
			{
				Key:   "audit.rotate_bytes",
				field: func(c *Config) any { return &c.Audit.RotateBytes },
				rule:  zeroOr[Bytes](atLeast(4 * KiB)),
				Doc:   "A file that has grown to this size is put away under the time and the next one begun. 0: never for its size.",
			},
			{
				Key:   "audit.rotate_duration",
				field: func(c *Config) any { return &c.Audit.RotateDuration },
				rule:  zeroOr[time.Duration](atLeast(time.Minute)),
				Doc:   "A file that is this old is put away and the next one begun. 0: never for its age.",
			},
			{
				Key:   "audit.rotate_max_files",
				field: func(c *Config) any { return &c.Audit.RotateMaxFiles },
				rule:  atLeast(0),
				Doc:   "How many files that were put away are kept. 0: all.",
			},
		},
	}
}
