package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// configFolder makes a folder with one file.
func configFolder(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runInFolder runs a command line and returns what it wrote, DIR standing for dir.
func runInFolder(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	var out, bad bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &bad)
	return code, strings.ReplaceAll(out.String(), dir, "DIR"), strings.ReplaceAll(bad.String(), dir, "DIR")
}

func TestValidate(t *testing.T) {
	const (
		right = "data_dir = \"/d\"\nports { http = 8600 }\nconnect { enabled = true }"
		wrong = "data_dri = \"/d\"\nports { http = \"x\" }"
	)
	for _, tc := range []struct {
		rule   string
		file   string
		args   []string
		code   int
		stdout []string // that must be there
		stderr string
	}{
		{"says what would be used", right, []string{"DIR"}, exitDone, []string{
			"Configuration is valid!\n",
			"Warning: accepted and ignored, Holdfast has no use for: connect (DIR/a.hcl:3; ",
			"\nSetting ", "\ndata_dir ", " /d ", " file DIR/a.hcl:1\n", "\nports.http ", "\n1 file read. Every other setting has its default.\n",
		}, ""},
		{"is silent when asked to be", right, []string{"-quiet", "DIR"}, exitDone, nil, ""},
		{"shows every fault at once", wrong, []string{"DIR"}, exitFailed, nil, "Configuration is not valid: 2 faults\n" +
			"  DIR/a.hcl:1: data_dri: there is no such setting; did you mean \"data_dir\"?\n" +
			"  DIR/a.hcl:2: ports.http: want a whole number, have the text \"x\"\n"},
		{
			"also when silent", "x = 1\ndata_dir = \"/d\"",
			[]string{"-quiet", "DIR/a.hcl"},
			exitFailed, nil,
			"Configuration is not valid: 1 fault\n  DIR/a.hcl:1: x: there is no such setting\n",
		},
		{"takes several files, the later ones win", right, []string{"-quiet", "DIR", "DIR/a.hcl"}, exitDone, nil, ""},
		{"needs a file", right, nil, exitUsage, nil, "Error: the argument FILE is missing\n  Try: holdfast validate -h\n"},
		{
			"knows two formats", right,
			[]string{"-config-format", "toml", "DIR"},
			exitUsage, nil,
			"Error: -config-format: \"toml\" is not a format; hcl and json are\n  Try: holdfast validate -h\n",
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Setenv("HOLDFAST_DATA_DIR", "") // the environment has no part in it
			t.Setenv("HOLDFAST_PORTS_HTTP", "broken")
			t.Setenv(envFormat, "")
			code, stdout, stderr := runInFolder(t, configFolder(t, tc.file), append([]string{"validate"}, tc.args...)...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("standard output has no %q:\n%s", want, stdout)
				}
			}
			if tc.stdout == nil && stdout != "" {
				t.Errorf("standard output is not empty:\n%s", stdout)
			}
			if stderr != tc.stderr {
				t.Errorf("standard error:\n%s\nwant:\n%s", stderr, tc.stderr)
			}
		})
	}
}

func TestValidateAsData(t *testing.T) {
	code, stdout, stderr := runInFolder(t, configFolder(t, "x = 1\ndata_dir = \"/d\""), "validate", "-format", "json", "DIR")
	const want = `{
  "valid": false,
  "faults": [
    {
      "where": "DIR/a.hcl:1",
      "key": "x",
      "why": "there is no such setting"
    }
  ],
  "warnings": [],
  "files": [],
  "settings": []
}
`
	if code != exitFailed || stdout != want || stderr != "Configuration is not valid: 1 fault\n" {
		t.Errorf("exit code %d, standard output:\n%s\nstandard error:\n%s\nwant 1 and\n%s", code, stdout, stderr, want)
	}

	code, stdout, _ = runInFolder(t, configFolder(t, "data_dir = \"/d\""), "validate", "-format", "json", "DIR")
	var got verdict
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitDone || !got.Valid || got.Faults == nil || !slices.Equal(got.Files, []string{"DIR/a.hcl"}) || got.Settings[0].Source != "file DIR/a.hcl:1" {
		t.Errorf("exit code %d, verdict %+v", code, got)
	}
}
