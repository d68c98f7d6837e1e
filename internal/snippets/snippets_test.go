package snippets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// documents are the files with commands that are run, seen from the root, and what the
// server is told that they are run against.
var documents = map[string]map[string]any{
	"README.md":                    nil,
	"website/guides/acls.md":       {"acl": map[string]any{"enabled": true, "default_policy": "deny"}},
	"website/reference/recipes.md": nil,
	"website/reference/tls.md":     nil,
}

// address is the server's in the documents.
const address = "127.0.0.1:8500"

func TestDocumentsTellTheTruth(t *testing.T) {
	for name, config := range documents {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", name))
			if err != nil {
				t.Fatal(err)
			}
			steps := parse(string(text))
			if len(steps) == 0 {
				t.Fatal("no commands found: the search for them is broken")
			}
			for _, fault := range run(t, testcluster.Start(t, testcluster.Options{Dev: true, Config: config}), steps) {
				t.Error(fault)
			}
		})
	}
}

// step is one command of a document and what it is said to print.
type step struct {
	command string
	output  string
}

// parse finds the commands of the console blocks.
func parse(document string) []step {
	var steps []step
	inside := false
	for line := range strings.Lines(document) {
		line = strings.TrimSuffix(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		more, goesOn := strings.CutPrefix(line, "> ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case isCommand:
			steps = append(steps, step{command: command})
		case goesOn && len(steps) > 0 && steps[len(steps)-1].output == "":
			steps[len(steps)-1].command += "\n" + more
		case len(steps) > 0:
			steps[len(steps)-1].output += line + "\n"
		}
	}
	return steps
}

// mark separates what one command prints from what the next does.
const mark = "==8<=="

// run gives the commands to one shell and compares what they print. Whether a command
// ends well is for its output to say; a shell that ends early is a fault.
func run(t *testing.T, s *testcluster.Server, steps []step) (faults []string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(testcluster.Binary(t), filepath.Join(bin, "holdfast")); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, st := range steps {
		fmt.Fprintf(&script, "%s\necho; echo '%s'\n", strings.ReplaceAll(st.command, address, s.Addr()), mark)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOLDFAST_HTTP_ADDR="+s.Addr(), "NO_COLOR=1")
	shell.Dir = t.TempDir()
	printed, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, printed)
	}
	outputs := strings.Split(string(printed), mark+"\n")
	if len(outputs) != len(steps)+1 { // nothing is behind the last mark
		t.Fatalf("%d commands gave %d outputs:\n%s", len(steps), len(outputs)-1, printed)
	}
	for i, st := range steps {
		if !matches(st.output, outputs[i]) {
			faults = append(faults, fmt.Sprintf("$ %s\nprints:\n%s\nis said to print:\n%s", st.command, outputs[i], st.output))
		}
	}
	return faults
}

// matches compares an output with what a document says, "…" standing for anything on
// its line. Spaces at the end of lines and empty lines at the end do not count.
func matches(said, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(clean(said)), "…", ".*")
	pattern = regexp.MustCompile(`\.\* +`).ReplaceAllString(pattern, ".* +") // columns move with what is in them
	return regexp.MustCompile("^" + pattern + "$").MatchString(clean(printed))
}

func clean(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestParse(t *testing.T) {
	got := parse("text\n```sh\n$ not this\n```\n```console\n$ a b\none\ntwo\n$ c\n> d\n> e\nf\n> g\n```\n$ nor this\n")
	want := []step{{"a b", "one\ntwo\n"}, {"c\nd\ne", "f\n> g\n"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		said, printed string
		want          bool
	}{
		{"hello\n", "hello\n", true},
		{"hello\n", "hello", true},
		{"hello\n", "hello\n\n", true},
		{"hello\n", "hallo\n", false},
		{"", "something\n", false},
		{"a.c\n", "abc\n", false},
		{"5  …   set\n4  …   set\n", "5  2026-11-24  set\n4  2026  set\n", true},
		{"5  …   set\n", "5  2026-11-24  delete\n", false},
		{"a\n…\n", "a\nb\nc\n", false},
	} {
		if got := matches(tc.said, tc.printed); got != tc.want {
			t.Errorf("matches(%q, %q) = %v, want %v", tc.said, tc.printed, got, tc.want)
		}
	}
}

func TestRunFindsALie(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{Dev: true})
	faults := run(t, s, []step{
		{"holdfast kv put a 1", "Success! Data written to: a\n"},
		{"holdfast kv get a", "2\n"},
		{"curl -s http://" + address + "/v1/kv/a?raw", "1\n"},
	})
	if len(faults) != 1 || !strings.Contains(faults[0], "kv get a") {
		t.Errorf("faults: %q, want one about the second command", faults)
	}
}
