package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// Flags collects what the command line says. Values are only written down while
// the command line is parsed: [Load] reads them, so that their faults are
// reported together with those of the files. The zero value is ready.
type Flags struct {
	given []givenFlag
	paths []string // of -config-file and -config-dir, in the order given
	hcl   []string // of -hcl

	// format is how files are read whose name does not say: "hcl", "json" or "".
	format string
}

// givenFlag is one flag of the command line.
type givenFlag struct {
	name    string
	value   string
	option  *Option       // nil if ignored
	ignored *ignoredGroup // nil if not
}

// Register adds every flag of the table to fs, those of Consul's that have no
// effect, and the flags that name files. Flags that are not common are hidden:
// they work, and they are on the reference page.
func (f *Flags) Register(fs *pflag.FlagSet) {
	add := func(name, usage string, hidden, bare bool, v *flagValue) {
		flag := fs.VarPF(v, name, "", usage)
		flag.Hidden = hidden
		if bare {
			flag.NoOptDefVal = "true"
		}
	}
	def := Default()
	for _, o := range options {
		if o.Flag == "" {
			continue
		}
		for i, name := range append([]string{o.Flag}, o.FlagAliases...) {
			add(name, o.usage(), !o.Common || i > 0, o.Type() == "boolean", &flagValue{
				kind: o.Type(), def: o.format(def),
				set: func(s string) { f.given = append(f.given, givenFlag{name: name, value: s, option: o}) },
			})
		}
	}
	for i := range ignored {
		for _, ig := range ignored[i].flags {
			kind := "text"
			if ig.bare {
				kind = "boolean"
			}
			add(ig.name, "Accepted and ignored: "+ignored[i].why+".", true, ig.bare, &flagValue{
				kind: kind,
				set:  func(s string) { f.given = append(f.given, givenFlag{name: ig.name, value: s, ignored: &ignored[i]}) },
			})
		}
	}
	addPath := func(s string) { f.paths = append(f.paths, s) }
	add("config-file", "Reads settings from a file in HCL or JSON. May be repeated; later files win.", false, false,
		&flagValue{kind: "file", set: addPath})
	add("config-dir", "Reads the files of a folder that end in .hcl or .json, in the order of their names. May be repeated.", false, false,
		&flagValue{kind: "folder", set: addPath})
	add("config-format", "How to read files whose name ends in neither .hcl nor .json: hcl or json.", true, false,
		&flagValue{kind: "text", set: func(s string) { f.format = s }})
	add("hcl", "A piece of configuration in HCL, read after all files. May be repeated.", true, false,
		&flagValue{kind: "HCL", set: func(s string) { f.hcl = append(f.hcl, s) }})
}

// usage is the first sentence of the description without its Markdown.
func (o *Option) usage() string {
	s, _, _ := strings.Cut(o.Doc, ". ")
	return strings.ReplaceAll(strings.TrimSuffix(s, ".")+".", "`", "")
}

// flagValue is a flag as pflag wants it. It takes every text; Load judges.
type flagValue struct {
	kind string
	def  string
	set  func(string)
}

// String returns the default, which is all that pflag shows.
func (v *flagValue) String() string { return v.def }

// Type returns what help shows in the place of the value.
func (v *flagValue) Type() string {
	if v.kind == "boolean" {
		return "bool" // the name by which pflag knows that no value is needed
	}
	return v.kind
}

// Set writes s down. It never fails.
func (v *flagValue) Set(s string) error {
	v.set(s)
	return nil
}
