package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Sources are where a configuration comes from.
type Sources struct {
	// Flags is the parsed command line; nil for none.
	Flags *Flags
	// Env is the environment as os.Environ returns it; nil for none.
	Env []string
	// Paths are files and folders to read after those that Flags name.
	Paths []string
	// Format is the dialect, "hcl" or "json", of files whose name ends in
	// neither; empty: they are a fault. The flag -config-format wins.
	Format string
	// Inspect finds what is wrong with what lies outside of a configuration, such
	// as the files that it names. Its faults name keys; Load adds the places. Nil:
	// nothing is looked at.
	Inspect func(*Config) []Fault
	// Hostname returns the name that a server without node_name gets; nil is
	// os.Hostname.
	Hostname func() (string, error)
}

// Loaded is a configuration that may be used, and the story of how it came to
// be.
type Loaded struct {
	Config   *Config
	Settings []Setting // one for each option, in the order of the page
	Files    []string  // that were read, in the order they were read
	Warnings []string  // each one line, for the log
}

// Environment variables that name files; lists separated by commas.
const (
	envConfigFile = envPrefix + "CONFIG_FILE"
	envConfigDir  = envPrefix + "CONFIG_DIR"
)

// Load reads all sources, works out what depends on the host, and checks the
// result. The error is of type [Faults] and has everything that is wrong.
//
// Load is used again for a reload: it keeps nothing between calls.
func Load(src Sources) (*Loaded, error) {
	if src.Flags == nil {
		src.Flags = new(Flags)
	}
	if src.Hostname == nil {
		src.Hostname = os.Hostname
	}
	l := &loader{
		src: src, env: environment(src.Env), cfg: Default(),
		origins: make(map[*Option][]origin), follows: make(map[*Option]bool), bad: make(map[*Option]bool),
	}
	l.dev()
	l.files()
	l.environment()
	l.flags()
	l.resolve()
	l.validate()
	l.inspect()
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	return &Loaded{Config: l.cfg, Settings: l.settings(), Files: l.read, Warnings: l.warnings()}, nil
}

// hclFlag stands for the name of a file that came with a flag.
const hclFlag = "flag -hcl"

// loader is one run of Load.
type loader struct {
	src Sources
	env map[string]string
	cfg *Config

	origins map[*Option][]origin // who set it, the strongest last; none: default
	follows map[*Option]bool     // got its value from another option, whose fault is reported there
	bad     map[*Option]bool     // has a fault already: no further ones about it
	faults  Faults
	unread  bool     // some file could not be read: what is missing may be in it
	read    []string // names of files
	unknown []string // ignored keys that were used, with their places
	notes   []string // other warnings
}

// origin is who set an option.
type origin struct {
	kind string // "file", "flag", "env", or "" for what follows from elsewhere
	name string // the file, -flag or variable; for "" the whole explanation
	line int    // in the file
}

// where names the place in a fault.
func (o origin) where() string {
	switch o.kind {
	case "file":
		return fmt.Sprintf("%s:%d", o.name, o.line)
	case "flag":
		return "flag " + o.name
	case "env":
		return "environment variable " + o.name
	}
	return o.name
}

// source names the origin in a Setting.
func (o origin) source() string {
	switch {
	case o.kind == "":
		return o.name
	case o.kind == "file" && o.name == hclFlag:
		return o.where()
	case o.kind == "file":
		return "file " + o.where()
	}
	return o.kind + " " + o.name
}

// environment makes a map of NAME=value lines; a later one wins.
func environment(lines []string) map[string]string {
	out := make(map[string]string)
	for _, l := range lines {
		if name, value, ok := strings.Cut(l, "="); ok && strings.HasPrefix(name, envPrefix) {
			out[name] = value
		}
	}
	return out
}

// fault notes that something is wrong with option, which may be nil.
func (l *loader) fault(o *Option, at origin, key string, err error) {
	if o != nil {
		l.bad[o] = true
	}
	l.faults = append(l.faults, Fault{Where: at.where(), Key: key, Why: err.Error()})
}

// set puts one value into the configuration.
func (l *loader) set(o *Option, n *node, at origin, key string) {
	if err := o.set(l.cfg, n, at.kind != "file"); err != nil {
		l.fault(o, at, key, err)
		return
	}
	if !o.isList() {
		l.origins[o] = nil
	}
	l.origins[o] = append(l.origins[o], at)
}

// dev looks for -dev before anything else, since it changes defaults.
func (l *loader) dev() {
	o := optionOf("dev")
	value, ok := l.env[o.Env]
	for _, g := range l.src.Flags.given {
		if g.option == o {
			value, ok = g.value, true
		}
	}
	if n := o.nodeOfText(value, false); !ok || n.kind != kindBool || n.text != "true" {
		return // a broken value becomes a fault when its source is read
	}
	applyDev(l.cfg)
	implied := origin{name: "-dev"}
	l.origins[optionOf("bind_addr")] = []origin{implied}
	l.origins[optionOf("bootstrap")] = []origin{implied}
}

// applyDev sets what -dev implies, over defaults.
func applyDev(c *Config) {
	c.Dev = true
	c.BindAddr = "127.0.0.1"
	c.Bootstrap = true
}

// optionOf returns the row with this key; the table has it.
func optionOf(key string) *Option {
	for _, o := range options {
		if o.Key == key {
			return o
		}
	}
	panic("config: the table has no option " + key)
}

// files reads what flags and environment name, then Sources.Paths.
func (l *loader) files() {
	var paths []string
	for _, name := range []string{envConfigFile, envConfigDir} {
		paths = append(paths, parts(l.env[name], true)...)
	}
	paths = append(paths, l.src.Flags.paths...)
	paths = append(paths, l.src.Paths...)
	format := l.src.Format
	if l.src.Flags.format != "" {
		format = l.src.Flags.format
	}
	if format != "" && format != "hcl" && format != "json" {
		l.faults = append(l.faults, Fault{Where: "flag -config-format", Why: `want "hcl" or "json", have ` + quoteShort(format)})
		format = ""
	}
	var sources []source
	for _, p := range paths {
		found, faults := readPath(p, format)
		sources = append(sources, found...)
		l.faults = append(l.faults, faults...)
		l.unread = l.unread || len(faults) > 0
	}
	if len(sources) > maxFiles {
		l.faults = append(l.faults, Fault{Why: fmt.Sprintf("%d files are too many: at most %d are read", len(sources), maxFiles)})
		l.unread = true
		return
	}
	for _, s := range sources {
		l.read = append(l.read, s.name)
	}
	for _, h := range l.src.Flags.hcl {
		sources = append(sources, source{name: hclFlag, format: "hcl", text: []byte(h)})
	}
	for _, s := range sources {
		l.file(s)
	}
}

// file reads one file into the configuration.
func (l *loader) file(s source) {
	root, err := s.parse()
	if err != nil {
		line := 0
		var syntax *syntaxError
		if errors.As(err, &syntax) {
			line, err = syntax.line, syntax.err
		}
		l.fault(nil, origin{kind: "file", name: s.name, line: max(line, 1)}, "", err)
		l.unread = true
		return
	}
	w := &walk{loader: l, file: s.name, seen: make(map[*Option]int)}
	w.object(root, "")
}

// walk goes through one file.
type walk struct {
	*loader
	file string
	seen map[*Option]int // line of each option that the file has set
}

// object takes the settings of an object; prefix is "" or ends in a dot.
func (w *walk) object(n *node, prefix string) {
	for _, f := range n.fields {
		key := prefix + f.name
		at := origin{kind: "file", name: w.file, line: f.line}
		switch {
		case f.value.kind == kindNull: // as if it were not there
		case strings.Contains(f.name, "."):
			w.dotted(f, key, at)
		case byKey[key] != nil:
			w.option(byKey[key], f.value, key, at)
		case ignoredKeys[key] != nil:
			if !ignoredKeys[key].silent && !f.value.asksForNothing() {
				w.unknown = append(w.unknown, key+" ("+at.where()+"; "+ignoredKeys[key].why+")")
			}
		case blocks[key]:
			objects, ok := f.value.objects()
			if !ok {
				w.fault(nil, at, key, fmt.Errorf("want a block, have %s", f.value.describe()))
			}
			for _, o := range objects {
				w.object(o, key+".")
			}
		default:
			w.unknownKey(key, at)
		}
	}
}

// option takes one setting.
func (w *walk) option(o *Option, n *node, key string, at origin) {
	if first, twice := w.seen[o]; twice && o.Type() != "pairs" {
		w.fault(o, at, key, fmt.Errorf("set twice in this file, first in line %d", first))
		return
	}
	w.seen[o] = at.line
	w.set(o, n, at, key)
}

// unknownKey says that there is no such key, and which one may have been meant.
func (w *walk) unknownKey(key string, at origin) {
	why := "there is no such setting"
	if near := nearest(key); near != "" {
		why += fmt.Sprintf("; did you mean %q?", near)
		if o := byKey[near]; o != nil {
			w.bad[o] = true // no complaint that it is missing
		}
	}
	w.fault(nil, at, key, errors.New(why))
}

// dotted is for a key that has the dots in which this package writes blocks.
func (w *walk) dotted(f field, key string, at origin) {
	if byKey[key] == nil {
		w.unknownKey(key, at)
		return
	}
	block, last := key[:strings.LastIndexByte(key, '.')], key[strings.LastIndexByte(key, '.')+1:]
	w.fault(byKey[key], at, key, fmt.Errorf("write it as a block: %s { %s = … }", strings.ReplaceAll(block, ".", " { "), last))
}

// environment takes settings from variables.
func (l *loader) environment() {
	known := make(map[string]bool, len(options))
	for _, o := range options {
		known[o.Env] = true
		if value, ok := l.env[o.Env]; ok && value != "" {
			l.set(o, o.nodeOfText(value, true), origin{kind: "env", name: o.Env}, "")
		}
	}
	for _, name := range sortedKeys(l.env) {
		if known[name] || name == envConfigFile || name == envConfigDir {
			continue
		}
		if near := nearestEnv(name); near != "" {
			l.notes = append(l.notes, fmt.Sprintf("environment variable %s is no setting and was ignored; did you mean %s?", name, near))
		}
	}
}

// flags takes settings from the command line.
func (l *loader) flags() {
	for _, g := range l.src.Flags.given {
		at := origin{kind: "flag", name: "-" + g.name}
		if g.ignored != nil {
			if !g.ignored.silent && g.value != "false" && g.value != "-1" {
				l.unknown = append(l.unknown, at.name+" ("+g.ignored.why+")")
			}
			continue
		}
		l.set(g.option, g.option.nodeOfText(g.value, false), at, "")
	}
}

// validate checks the whole and says of each fault where the value came from.
func (l *loader) validate() {
	for _, f := range l.cfg.check() {
		if l.bad[f.option] || slices.ContainsFunc(f.others, func(o *Option) bool { return l.bad[o] }) {
			continue
		}
		if l.follows[f.option] && !slices.ContainsFunc(f.others, func(o *Option) bool { return !l.follows[o] }) {
			continue // it is the fault of those that it follows
		}
		if f.missing && l.unread {
			continue
		}
		l.report(f)
	}
}

// report makes faults of a finding, one for each line of its error.
func (l *loader) report(f finding) {
	at, key := origin{}, f.option.Key
	for _, o := range append([]*Option{f.option}, f.others...) {
		if from := l.origins[o]; len(from) > 0 {
			at = from[len(from)-1]
			break
		}
	}
	if at.kind == "flag" || at.kind == "env" {
		key = ""
		if f.others != nil {
			key = f.option.Key
		}
	}
	for line := range strings.SplitSeq(f.err.Error(), "\n") {
		l.faults = append(l.faults, Fault{Where: at.where(), Key: key, Why: line})
	}
}

// inspect looks outside. What is wrong with a value that several settings share
// through inheritance is one fault, of the setting that was written down.
func (l *loader) inspect() {
	if l.src.Inspect == nil || l.unread {
		return
	}
	found := make(map[*Option]bool) // by the rules
	for _, f := range l.cfg.check() {
		found[f.option] = true
		for _, o := range f.others {
			found[o] = true
		}
	}
	told := make(map[Fault]bool)
	for _, f := range l.src.Inspect(l.cfg) {
		o := optionOf(f.Key)
		for o.inherit != "" && l.follows[o] {
			o = optionOf(o.inherit)
		}
		one := Fault{Key: o.Key, Why: f.Why}
		if l.bad[o] || found[o] || told[one] {
			continue
		}
		told[one] = true
		l.report(finding{option: o, err: errors.New(f.Why)})
	}
}

// warnings returns everything that someone should know.
func (l *loader) warnings() []string {
	out := slices.Clone(l.notes)
	if len(l.unknown) > 0 {
		out = append(out, "accepted and ignored, Holdfast has no use for: "+strings.Join(l.unknown, ", "))
	}
	def := Default()
	var idle []string
	for _, o := range options {
		if from := l.origins[o]; o.Unused != "" && len(from) > 0 && from[0].kind != "" && o.format(l.cfg) != o.format(def) {
			idle = append(idle, fmt.Sprintf("%s (%s; %s)", o.Key, from[len(from)-1].where(), o.Unused))
		}
	}
	if len(idle) > 0 {
		out = append(out, "understood, but without effect in this version: "+strings.Join(idle, ", "))
	}
	return out
}
