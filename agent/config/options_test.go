package config_test

import (
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// leaves returns the addresses of all settings below v, each with its path.
func leaves(v reflect.Value, path string) map[uintptr]string {
	out := make(map[uintptr]string)
	for i := range v.NumField() {
		f, name := v.Field(i), path+v.Type().Field(i).Name
		if f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[netip.Prefix]() {
			for at, n := range leaves(f, name+".") {
				out[at] = n
			}
			continue
		}
		out[f.Addr().Pointer()] = name
	}
	return out
}

func TestEveryFieldIsInTheTableOnce(t *testing.T) {
	c := config.Default()
	fields := leaves(reflect.ValueOf(c).Elem(), "")
	for _, o := range config.Options() {
		at := reflect.ValueOf(config.FieldOf(o, c)).Pointer()
		if fields[at] == "" {
			t.Errorf("option %s: its field is no field of Config, or another option has it too", o.Key)
		}
		delete(fields, at)
	}
	for _, name := range fields {
		t.Errorf("Config.%s is not in the table", name)
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := make(map[string]string)
	take := func(kind, name, by string) {
		if name == "" {
			return
		}
		if first, taken := seen[kind+name]; taken {
			t.Errorf("%s %s belongs to %s and to %s", kind, name, first, by)
		}
		seen[kind+name] = by
	}
	for _, o := range config.Options() {
		take("key ", o.Key, o.Key)
		take("env ", o.Env, o.Key)
		take("flag ", o.Flag, o.Key)
		take("debug ", config.DebugName(o), o.Key)
		for _, a := range o.Aliases {
			take("key ", a, o.Key)
		}
		for _, f := range o.FlagAliases {
			take("flag ", f, o.Key)
		}
	}
	for _, k := range config.IgnoredKeys() {
		take("key ", k, "the ignored keys")
	}
	for _, k := range config.Blocks() {
		take("key ", k, "the blocks")
	}
}

func TestRowsAreWhole(t *testing.T) {
	key := regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)
	version := regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	for _, o := range config.Options() {
		if !key.MatchString(o.Key) {
			t.Errorf("%s: a key has small letters, digits, _ and dots", o.Key)
		}
		if !strings.HasSuffix(o.Doc, ".") || strings.Contains(o.Doc, "  ") {
			t.Errorf("%s: the description is %q: want sentences", o.Key, o.Doc)
		}
		if !version.MatchString(o.Since) {
			t.Errorf("%s: since %q is no version", o.Key, o.Since)
		}
		if o.Secret && o.Flag != "" && o.Flag != "encrypt" { // Consul's own
			t.Errorf("%s: a secret may not have a flag", o.Key)
		}
		if o.Unused != "" && o.Reloadable {
			t.Errorf("%s: what has no effect cannot be changed by a reload", o.Key)
		}
		if config.Lookup(o.Key) != o && o.Key != "dev" {
			t.Errorf("Lookup(%q) does not find its row", o.Key)
		}
	}
}

func TestDefaultsAreValidButForTheDataDir(t *testing.T) {
	c := config.Default()
	c.NodeName = "n"
	err := c.Validate()
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "data_dir: ") {
		t.Errorf("Validate of the defaults = %v, want one fault, that data_dir is missing", err)
	}
	c.DataDir = "/d"
	if err := c.Validate(); err != nil {
		t.Errorf("Validate with a data dir = %v, want nil", err)
	}
}

// TestReloadableIsWhatTheTableSays changes every setting on its own and looks
// whether Reloadable shows it.
func TestReloadableIsWhatTheTableSays(t *testing.T) {
	for _, o := range config.Options() {
		c := config.Default()
		before := c.Reloadable()
		change(t, reflect.ValueOf(config.FieldOf(o, c)).Elem())
		if differs := !reflect.DeepEqual(before, c.Reloadable()); differs != o.Reloadable {
			t.Errorf("option %s: reloadable is %v, but a change shows in Config.Reloadable: %v", o.Key, o.Reloadable, differs)
		}
	}
}

// change gives v another value.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"x": "y"}))
	default:
		t.Fatalf("no way to change a %s", v.Type())
	}
}

func TestFlagsOfConsulAreThere(t *testing.T) {
	fs := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	new(config.Flags).Register(fs)
	for name := range strings.FieldsSeq(`advertise advertise-wan allow-write-http-from alt-domain auto-reload-config bind bootstrap
		bootstrap-expect check_output_max_size client config-dir config-file config-format data-dir datacenter default-query-time dev
		disable-host-node-id disable-keyring-file dns-port domain enable-local-script-checks enable-script-checks encrypt grpc-port
		grpc-tls-port hcl http-port https-port join join-wan log-file log-json log-level log-rotate-bytes log-rotate-duration
		log-rotate-max-files max-query-time node node-id node-meta non-voting-server pid-file primary-gateway protocol raft-protocol
		read-replica recursor rejoin retry-interval retry-interval-wan retry-join retry-join-wan retry-max retry-max-wan segment
		serf-lan-allowed-cidrs serf-lan-bind serf-lan-port serf-wan-allowed-cidrs serf-wan-bind serf-wan-port server server-port syslog
		ui ui-content-path ui-dir`) {
		if fs.Lookup(name) == nil {
			t.Errorf("there is no flag -%s", name)
		}
	}
}

func TestHelpShowsTheCommonFlagsOnly(t *testing.T) {
	fs := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	new(config.Flags).Register(fs)
	help := fs.FlagUsages()
	for _, want := range []string{"--data-dir", "--dev ", "--http-port whole number", "(default 8500)", "--config-dir folder"} {
		if !strings.Contains(help, want) {
			t.Errorf("the help has no %q", want)
		}
	}
	for _, not := range []string{"--history-versions", "--dns-port", "`"} {
		if strings.Contains(help, not) {
			t.Errorf("the help has %q", not)
		}
	}
}
