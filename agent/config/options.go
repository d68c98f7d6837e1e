package config

import (
	"strings"
)

// Option is one row of the table: one setting with all its names, its bounds
// and its meaning. The default is what [Default] puts into the field.
type Option struct {
	// Key is the name in a file; a dot stands for a block: ports.http is
	// ports { http = 8500 }.
	Key string
	// Aliases are further file keys with the same meaning, such as the ones
	// that Consul has renamed.
	Aliases []string
	// Flag is the command line flag without its dash; empty if there is none.
	// A row that does not say gets the key with dashes.
	Flag string
	// FlagAliases are further flags with the same meaning.
	FlagAliases []string
	// Env is the environment variable; empty if there is none.
	Env string

	// Doc says what the setting does, in Markdown; its first sentence stands
	// in the help of the command line.
	Doc string
	// Since is the version that had it first.
	Since string
	// Unused is empty for a setting that does something. Otherwise it says what
	// is missing: the value is read, checked and shown, but has no effect yet.
	Unused string
	// Reloadable is whether a reload may change it while the server runs.
	Reloadable bool
	// Secret keeps the value out of everything that is shown.
	Secret bool
	// Common is whether `holdfast agent -help` lists the flag.
	Common bool

	// field points at the setting in a Config. Its type decides how text and
	// file values are read; see values.go.
	field func(*Config) any
	// rule bounds the value; the zero rule allows everything.
	rule rule
	// fold brings the spellings of a string to the one that is stored.
	fold func(string) string
	// scale is what a plain number of a [Bytes] setting counts in; 0 means 1.
	scale Bytes
	// words marks a list that is written as one string, separated by spaces, and
	// that a stronger source replaces rather than extends.
	words bool
	// inherit is the key of the setting whose value is taken when no source
	// sets this one.
	inherit string
	// derived tells the reader of the page what Load fills in when the
	// setting is empty.
	derived string
	// debug is the name in [Config.DebugConfig], where Consul's differs from
	// what debugName would make of the key.
	debug string
	// noFile and noFlag leave out one of the ways to set it.
	noFile, noFlag bool
}

// group is one section of the table and of the page.
type group struct {
	title   string
	intro   string
	options []Option
}

// firstRelease is the version that everything without another Since came with.
const firstRelease = "0.1.0"

// envPrefix begins the name of every environment variable of ours.
const envPrefix = "HOLDFAST_"

// groups is the table. The order is the order of the page.
var groups = completed(
	nodeGroup(),
	addressGroup(),
	httpGroup(),
	limitGroup(),
	historyGroup(),
	scheduleGroup(),
	raftGroup(),
	clusterGroup(),
	sessionGroup(),
	logGroup(),
	aclGroup(),
	auditGroup(),
	tlsGroup(),
)

// Indexes over the table, made once.
var (
	options = flatten(groups)
	byKey   = indexKeys(options)   // keys and aliases
	blocks  = indexBlocks(options) // what may be followed by { }: "ports", "tls.https"
)

// completed fills in the names that rows leave to the rule.
func completed(groups ...group) []group {
	for _, g := range groups {
		for i := range g.options {
			o := &g.options[i]
			if o.Since == "" {
				o.Since = firstRelease
			}
			o.Env = envPrefix + strings.ToUpper(strings.ReplaceAll(o.Key, ".", "_"))
			switch {
			case o.noFlag:
				o.Flag = ""
			case o.Flag == "":
				o.Flag = dashed(o.Key)
			}
		}
	}
	return groups
}

// dashed is the flag that belongs to a file key.
func dashed(key string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(key)
}

func flatten(groups []group) []*Option {
	var out []*Option
	for _, g := range groups {
		for i := range g.options {
			out = append(out, &g.options[i])
		}
	}
	return out
}

func indexKeys(options []*Option) map[string]*Option {
	out := make(map[string]*Option)
	for _, o := range options {
		if o.noFile {
			continue
		}
		out[o.Key] = o
		for _, a := range o.Aliases {
			out[a] = o
		}
	}
	return out
}

// indexBlocks returns every proper prefix of a key, of ours or ignored.
func indexBlocks(options []*Option) map[string]bool {
	out := make(map[string]bool)
	add := func(key string) {
		for i := range key {
			if key[i] == '.' {
				out[key[:i]] = true
			}
		}
	}
	for _, o := range options {
		add(o.Key)
		for _, a := range o.Aliases {
			add(a)
		}
	}
	for _, g := range ignored {
		for _, k := range g.keys {
			add(k)
		}
	}
	return out
}

// Options returns the table in the order of the page. The rows are shared: read
// them, never change them.
func Options() []*Option {
	return options
}

// Lookup returns the row of a file key or an alias of one, nil if there is none.
func Lookup(key string) *Option {
	return byKey[key]
}
