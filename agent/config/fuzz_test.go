package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// seed adds the configurations of the tests and some that are broken.
func seed(f *testing.F, ending string) {
	files, err := filepath.Glob("testdata/harness/*" + ending)
	if err != nil || len(files) == 0 {
		f.Fatalf("no files that end in %s: %v", ending, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range []string{
		"", "{", "}", "a", "a =", "a = [", `a = "`, `a = "\q"`, `a = "${"`, "a = <<X", "a = <<X\n", "a = <<-X\n  b\n  X\n", "a = 0x", "a = 1e999", "a = 09",
		"\x00", "\xff\xfe", "\uFEFFa = 1", "a \"b\" \"c\" { }", "a = { b = [ { c = 1 } ] }", "/*", "//", "a = 99999999999999999999", "ports { http = 1e400 }",
		`{"a":1,"a":2}`, `{"ports":[{"http":1},2]}`, `[null]`, `null`, `{"ports":null}`, `{"node_meta":{"":""}}`, `{"client_addr":"{{"}`, `{"ports":{"http":1e1000000000}}`,
		"ports = \"x\"\nports { }", "= 1", "{}{}", `"" = 1`, `a."b" = 1`, `client_addr = "{{ GetPrivateIP }} {{"`, "\r\n\r", "raft_logstore { wal { segment_size_mb = 9223372036854775807 } }",
	} {
		f.Add(text)
	}
}

// FuzzHCL and FuzzJSON read a file of anything: no panic, and an error that
// names the file in each of its lines.
func FuzzHCL(f *testing.F)  { fuzzFile(f, ".hcl") }
func FuzzJSON(f *testing.F) { fuzzFile(f, ".json") }

func fuzzFile(f *testing.F, ending string) {
	seed(f, ending)
	name := filepath.Join(f.TempDir(), "a"+ending) // of this worker, which runs one input at a time
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(config.Sources{Paths: []string{name}, Hostname: func() (string, error) { return "h", nil }})
		if err == nil {
			return
		}
		var faults config.Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("Load fails with %T, want Faults", err)
		}
		for _, fault := range faults {
			if fault.Why == "" || strings.Contains(fault.Error(), "\n") {
				t.Errorf("fault %q is no line", fault.Error())
			}
			if fault.Where == "" && fault.Key == "" {
				t.Errorf("fault %q names neither place nor setting", fault.Error())
			}
		}
	})
}

// FuzzSplitAddrs parts a text at spaces: no letter is lost, no panic.
func FuzzSplitAddrs(f *testing.F) {
	for _, s := range []string{"", "a b", "{{ a }} b", "{{", "}}", "}} {{ a", "a{{ b }}c d", "{{ a }}{{ b }} c", "a\xc2 \xa0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := config.SplitAddrs(s)
		var got string // word by word: the ends of two that are no UTF-8 may make a space together
		for _, w := range words {
			got += spaceless(w)
		}
		if want := spaceless(s); got != want {
			t.Errorf("splitAddrs(%q) = %q: has lost something", s, words)
		}
	})
}

func spaceless(s string) string { return strings.Join(strings.Fields(s), "") }
