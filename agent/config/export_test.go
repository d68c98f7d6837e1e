package config

// FieldOf returns the pointer to the setting of o in c.
func FieldOf(o *Option, c *Config) any { return o.field(c) }

// DefaultOf is the default of o as it is shown.
func DefaultOf(o *Option) string { return o.shown(Default()) }

// DebugName is the name of o in DebugConfig.
func DebugName(o *Option) string { return o.debugName() }

// IgnoredKeys returns every ignored key, repeated if it is listed twice.
func IgnoredKeys() []string {
	var out []string
	for _, g := range ignored {
		out = append(out, g.keys...)
	}
	return out
}

// Blocks returns the names of all blocks.
func Blocks() []string { return sortedKeys(blocks) }

// Names of what the tests of parsers need.
var (
	ParseHCL   = func(src []byte) error { _, err := parseHCL(src); return err }
	ParseJSON  = func(src []byte) error { _, err := parseJSON(src); return err }
	SplitAddrs = splitAddrs
	Nearest    = nearest
)
