package config

import (
	"fmt"
	"strings"
)

// PageFile is where the reference page is kept, seen from the folder of this
// package. A test fails when the file is not what [Page] makes, and writes it
// when it is run with -update.
//
//go:generate go test . -run TestReferencePage -update
const PageFile = "../../website/reference/configuration.md"

// Page returns the reference page of the documentation, in Markdown.
func Page() string {
	var b strings.Builder
	b.WriteString(pageIntro)
	def := Default()
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n", g.title)
		if g.intro != "" {
			fmt.Fprintf(&b, "\n%s\n", g.intro)
		}
		for i := range g.options {
			g.options[i].describe(&b, def)
		}
	}
	b.WriteString(pageIgnored)
	for _, g := range ignored {
		var names []string
		for _, k := range g.keys {
			names = append(names, "`"+k+"`")
		}
		for _, f := range g.flags {
			names = append(names, "`-"+f.name+"`")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names, ", "), g.why)
	}
	return b.String()
}

// describe writes the section of one option.
func (o *Option) describe(b *strings.Builder, def *Config) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n", o.Key, o.Doc)
	if o.Unused != "" {
		fmt.Fprintf(b, "**Not yet used by this version** (%s): it is read, checked and shown, and changes nothing.\n\n", o.Unused)
	}
	kind := o.Type()
	switch {
	case o.scale == MiB:
		kind += ", a plain number counting MiB"
	case o.Secret:
		kind += ", secret"
	}
	if o.rule.says != "" {
		kind += ": " + o.rule.says
	}
	fmt.Fprintf(b, "- Type: %s\n- Default: %s\n", kind, o.defaultText(def))
	var names []string
	if o.Flag != "" {
		names = append(names, "flag `-"+o.Flag+"`")
	}
	for _, f := range o.FlagAliases {
		names = append(names, "`-"+f+"`")
	}
	if o.noFile {
		names = append(names, "environment `"+o.Env+"`; it cannot be set in a file")
	} else {
		names = append(names, "environment `"+o.Env+"`")
	}
	fmt.Fprintf(b, "- Also: %s\n", strings.Join(names, ", "))
	if len(o.Aliases) > 0 {
		fmt.Fprintf(b, "- Other keys: `%s`\n", strings.Join(o.Aliases, "`, `"))
	}
	change := "a change needs a restart"
	if o.Reloadable {
		change = "a reload changes it"
	}
	fmt.Fprintf(b, "- Since %s; %s\n", o.Since, change)
}

// defaultText is the default as the page has it.
func (o *Option) defaultText(def *Config) string {
	text := o.format(def)
	switch {
	case o.derived != "":
		return o.derived
	case o.inherit != "":
		return "that of `" + o.inherit + "`"
	case text == "":
		return "none"
	}
	return "`" + text + "`"
}

const pageIntro = `# Configuration

<!-- Generated from the option table in agent/config. Do not edit: run "go generate ./agent/config". -->

Every setting of ` + "`holdfast agent`" + `, with all of its names. Where Consul has the same setting, the key, the flag and the meaning are Consul's.

` + "```hcl" + `
# /etc/holdfast.d/server.hcl
node_name = "alpha"
data_dir  = "/var/lib/holdfast"

client_addr = "127.0.0.1 {{ GetPrivateIP }}"

ports {
  http = 8500
}

history {
  retention = "168h"
  versions  = 64
}
` + "```" + `

` + "`holdfast validate /etc/holdfast.d`" + ` says everything that is wrong with such files at once, or what would be used.
` + "`holdfast config show -explain`" + ` says of each setting what its value is, where that came from, and whether a reload can change it.

## Where settings come from

The strongest source wins, setting by setting:

1. **Flags.** One dash or two: ` + "`-http-port=8500`, `--http-port 8500`" + `.
2. **Environment.** ` + "`HOLDFAST_`" + ` and the key in capitals, with ` + "`_`" + ` for each dot: ` + "`ports.http`" + ` is ` + "`HOLDFAST_PORTS_HTTP`" + `. An empty variable counts as not set.
3. **Files**, in the order in which they are named by ` + "`-config-file` and `-config-dir`" + `; both may be repeated. Of a folder, the files that end in ` + "`.hcl` or `.json`" + ` are read
   in the order of their names, other files and folders inside are skipped. A later file wins over an earlier one. ` + "`HOLDFAST_CONFIG_FILE` and `HOLDFAST_CONFIG_DIR`" + `
   name files too, which are read before those of the flags; several are separated by commas. ` + "`-hcl 'ports { http = 8600 }'`" + ` is a piece of a file that is read after all files, and ` + "`-config-format hcl`" + ` or ` + "`json`" + ` takes files whose name does not say.
4. **Defaults.**

Lists and pairs are not replaced by a stronger source but grow, as in Consul; of pairs with the same name the stronger one counts.

A key that does not exist is an error, and so are two settings of the same key in one file. All errors of all sources are reported together, each with its place.

## Files

Files are written in HCL (its first version) or JSON. A dot in a key on this page stands for a block: ` + "`ports.http`" + ` is written ` + "`ports { http = 8500 }`, `ports = { http = 8500 }`" + ` or, in JSON, ` + "`{\"ports\": {\"http\": 8500}}`" + `.

| type | in a file | as a flag | in the environment |
|---|---|---|---|
| text | ` + "`\"alpha\"` | `alpha` | `alpha`" + ` |
| boolean | ` + "`true` | `-bootstrap`, `-bootstrap=false` | `true`" + ` |
| whole number | ` + "`8500` | `8500` | `8500`" + ` |
| duration | ` + "`\"1h30m\"`, `\"500ms\"` | `1h30m` | `1h30m`" + ` |
| size | ` + "`524288`, `\"512KiB\"`, `\"1GB\"` | `512KiB` | `512KiB`" + ` |
| list | ` + "`[\"a\", \"b\"]` | one element each time | `a,b` or `[\"a\",\"b\"]`" + ` |
| pairs | ` + "`{ rack = \"r1\" }` | `rack=r1` or `rack:r1`, one pair each time | `rack=r1,zone=z2` or `{\"rack\":\"r1\"}`" + ` |

A size of 1KiB is 1024 bytes, one of 1kB is 1000.

## Reload

SIGHUP and ` + "`PUT /v1/agent/reload`" + ` read all sources again. If anything is wrong the running configuration stays as it is, whole. Otherwise the settings that this page calls reloadable take their new values
together, and the log and the answer say what changed and what waits for a restart.
`

const pageIgnored = `
## Consul settings that are accepted and ignored

These keys, with everything below them, and flags do nothing. One warning at the start lists those that were used, except where a setting asks for what Holdfast does anyway.

| keys and flags | why |
|---|---|
`
