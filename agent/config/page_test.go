package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/agent/config"
)

var update = flag.Bool("update", false, "write the reference page instead of comparing it")

func TestReferencePageIsFresh(t *testing.T) {
	want := config.Page()
	if *update {
		if err := os.MkdirAll(filepath.Dir(config.PageFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config.PageFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(config.PageFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table makes; go generate ./agent/config writes it", config.PageFile)
	}
}

func TestReferencePageHasEveryOption(t *testing.T) {
	page := config.Page()
	for _, o := range config.Options() {
		_, section, found := strings.Cut(page, "\n### `"+o.Key+"`\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if !found {
			t.Errorf("option %s has no section", o.Key)
			continue
		}
		for _, want := range []string{o.Doc, "`" + o.Env + "`", "Since " + o.Since} {
			if !strings.Contains(section, want) {
				t.Errorf("the section of %s has no %q", o.Key, want)
			}
		}
		if got := strings.Contains(section, "Not yet used by this version"); got != (o.Unused != "") {
			t.Errorf("the section of %s says that it is not yet used: %v", o.Key, got)
		}
		if got := strings.Contains(section, "a reload changes it"); got != o.Reloadable {
			t.Errorf("the section of %s says that a reload changes it: %v", o.Key, got)
		}
	}
}

// TestReferencePageExamplesWork reads every piece of HCL on the page.
func TestReferencePageExamplesWork(t *testing.T) {
	examples := strings.Split(config.Page(), "```hcl\n")[1:]
	if len(examples) == 0 {
		t.Fatal("the page has no example")
	}
	for _, e := range examples {
		text, _, _ := strings.Cut(e, "```")
		if _, err := (given{files: map[string]string{"a.hcl": text}}).load(t); err != nil {
			t.Errorf("the example\n%s\nhas faults:\n%v", text, err)
		}
	}
}
