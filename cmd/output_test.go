package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/holdfast-kv/holdfast/api"
)

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	entries := []*api.Entry{{Key: "true", Value: []byte("x"), Flags: 1<<64 - 1, ModifyIndex: 3}, {Key: "a: b\n\u2028<&>é"}}
	var b bytes.Buffer
	if err := writeYAML(&b, entries); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "- LockIndex: 0\n  Key: 'true'\n  Flags: 18446744073709551615\n  Value: eA==\n") {
		t.Errorf("YAML is\n%s", b.String())
	}
	var back []map[string]any
	if err := yaml.Load(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a: b\n\u2028<&>é", back[1]["Key"]); diff != "" {
		t.Error(diff)
	}
}

func TestYAMLOfNothing(t *testing.T) {
	for _, tc := range []struct {
		value any
		want  string
	}{{[]string{}, "[]\n"}, {nil, "null\n"}, {"x", "x\n"}} {
		var b bytes.Buffer
		if err := writeYAML(&b, tc.value); err != nil || b.String() != tc.want {
			t.Errorf("YAML of %v is %q, %v; want %q", tc.value, b.String(), err, tc.want)
		}
	}
}

func TestColumnsKeepTheirOrder(t *testing.T) {
	var b bytes.Buffer
	if err := columns(&b, style{}, [][]string{{"Key", "Size"}, {"a/long/key", "1"}, {"b", "22"}}); err != nil {
		t.Fatal(err)
	}
	want := "Key         Size\na/long/key  1\nb           22\n"
	if b.String() != want {
		t.Errorf("table\n%swant\n%s", b.String(), want)
	}
}

func TestCellsCannotBreakATable(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", `a "quoted" \ text`: `a "quoted" \ text`, "é": "é",
		"a\tb\n": `"a\tb\n"`, "\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`,
	} {
		if got := shown(text); got != want {
			t.Errorf("shown(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	if got := wrap("one two three four", 9); got != "one two\nthree\nfour" {
		t.Errorf("wrap = %q", got)
	}
}
