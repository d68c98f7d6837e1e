package cmd

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/agent/config"
)

func TestConfigShow(t *testing.T) {
	t.Setenv("HOLDFAST_PORTS_SERVER", "8700")
	t.Setenv("HOLDFAST_ACL_TOKENS_AGENT", "topsecret")
	t.Setenv(envFormat, "")
	dir := configFolder(t, "history { versions = 3 }")
	spaces := regexp.MustCompile(`  +`)

	t.Run("shows every value", func(t *testing.T) {
		code, stdout, stderr := runInFolder(t, dir, "config", "show", "-dev", "-http-port", "8600", "-config-dir", "DIR")
		if code != exitDone {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		table := spaces.ReplaceAllString(stdout, "|")
		for _, want := range []string{"Setting|Value\n", "\ndev|true\n", "\nports.http|8600\n", "\nports.server|8700\n", "\nhistory.versions|3\n", "\nacl.tokens.agent|hidden\n"} {
			if !strings.Contains(table, want) {
				t.Errorf("no %q in\n%s", want, stdout)
			}
		}
		if lines := strings.Count(stdout, "\n"); lines != len(config.Options())+1 {
			t.Errorf("%d lines, want one for each of %d settings and the headline", lines, len(config.Options()))
		}
		if strings.Contains(stdout+stderr, "topsecret") {
			t.Errorf("a secret is shown:\n%s%s", stdout, stderr)
		}
	})

	t.Run("explains", func(t *testing.T) {
		_, stdout, _ := runInFolder(t, dir, "config", "show", "-explain", "-dev", "-http-port=8600", "-config-dir=DIR")
		table := spaces.ReplaceAllString(stdout, "|")
		if o := config.Lookup("retry_max"); o.Unused != "" && !strings.Contains(table, "\nretry_max|0|default|0|not used yet\n") {
			t.Errorf("%s has no effect, and nothing says so in\n%s", o.Key, stdout)
		}
		for _, want := range []string{
			"Setting|Value|Source|Default|Reloadable\n", "\nports.http|8600|flag -http-port|8500|no\n", "\nports.server|8700|env HOLDFAST_PORTS_SERVER|8300|no\n",
			"\nhistory.versions|3|file DIR/a.hcl:1|64|yes\n", "\nbind_addr|127.0.0.1|-dev|0.0.0.0|no\n", "\nnode_meta|-|default|-|no\n",
		} {
			if !strings.Contains(table, want) {
				t.Errorf("no %q in\n%s", want, stdout)
			}
		}
	})

	t.Run("is data in JSON", func(t *testing.T) {
		_, stdout, _ := runInFolder(t, dir, "config", "show", "-format=json", "-dev")
		var values map[string]string
		if err := json.Unmarshal([]byte(stdout), &values); err != nil || values["ports.http"] != "8500" || len(values) != len(config.Options()) {
			t.Errorf("%v: %v", err, values)
		}
		_, stdout, _ = runInFolder(t, dir, "config", "show", "-format=json", "-explain", "-dev")
		var settings []config.Setting
		if err := json.Unmarshal([]byte(stdout), &settings); err != nil || settings[0] != (config.Setting{Name: "dev", Value: "true", Source: "flag -dev", Default: "false"}) {
			t.Errorf("%v: %+v", err, settings)
		}
	})

	t.Run("shows every fault of every source", func(t *testing.T) {
		code, stdout, stderr := runInFolder(t, dir, "config", "show", "-http-port=x", "-hcl", "y = 1")
		const want = "Configuration is not valid: 3 faults\n  flag -hcl:1: y: there is no such setting\n" +
			"  flag -http-port: want a whole number, have the text \"x\"\n" +
			"  data_dir: is needed: name a folder for the data, or try Holdfast in memory with -dev\n"
		if code != exitFailed || stdout != "" || stderr != want {
			t.Errorf("exit code %d, standard output:\n%s\nstandard error:\n%s\nwant 1, nothing and\n%s", code, stdout, stderr, want)
		}
	})
}
