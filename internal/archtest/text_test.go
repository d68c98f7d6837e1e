package archtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A stray is something that must not stand in a committed file.
type stray struct {
	what  *regexp.Regexp
	why   string
	files string // only in paths with this suffix; "" is everywhere
}

// strays are written with a break in each word, lest they find themselves.
var strays = []stray{
	{regexp.MustCompile(`(^|[^\w./-])/(?:wo[r]k|roo[t]|hom[e]/\w+|User[s]/\w+)/`), "a path of somebody's machine", ""},
	{regexp.MustCompile(`\.librar[y]/`), "a path of somebody's machine", ""},
	{regexp.MustCompile(`(?i)\b(?:chatgp[t]|claud[e]|anthropi[c]|copilo[t]|language mode[l])\b`), "who typed it is of no interest to the reader", ""},
	{regexp.MustCompile(`\b(?:FIXM[E]|XX[X])\b`), `say TOD` + `O(#issue) or do it`, ".go"},
	{regexp.MustCompile(`\bTOD[O]\b(?:[^(]|\([^#]|$)`), "it carries an issue number, as in TOD" + "O(#12), or does not land", ".go"},
	{regexp.MustCompile(`^(?:<{7}|>{7}) `), "a merge that was not finished", ""},
}

// Files that are other people's are theirs.
var notOurs = regexp.MustCompile(`^(?:LICENSE$|examples/petclinic/config/|(?:.*/)?go\.(?:mod|sum)$|(?:.*/)?package-lock\.json$)`)

func TestNoStrayText(t *testing.T) {
	root := theTree(t).Root
	names := committed(t, root)
	for _, name := range names {
		if notOurs.MatchString(name) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted in the working tree, not yet in the index
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range strayText(name, content) {
			t.Error(fault)
		}
	}
}

// committed lists the files under version control and those about to be.
func committed(t *testing.T, root string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skip("not a git work tree: which files are the project's cannot be told")
	}
	cmd := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	names := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	if len(names) == 0 {
		t.Fatal("no files found: the search for them is broken")
	}
	return names
}

// strayText lists what must not stand in the file, by line. Binary files have no lines.
func strayText(name string, content []byte) []string {
	if bytes.IndexByte(content, 0) >= 0 {
		return nil
	}
	var faults []string
	for i, line := range strings.Split(string(content), "\n") {
		for _, s := range strays {
			if strings.HasSuffix(name, s.files) && s.what.MatchString(line) {
				faults = append(faults, fmt.Sprintf("%s:%d: %q: %s", name, i+1, s.what.FindString(line), s.why))
			}
		}
	}
	return faults
}

func TestStrayTextFindsThem(t *testing.T) {
	for _, tc := range []struct {
		rule, name, text string
		want             []string
	}{
		{"a home folder", "a.md", "see /hom" + "e/joe/notes", []string{"a.md:1"}},
		{"a build folder", "a.go", "x\n// in /wor" + "k/shared/x", []string{"a.go:2"}},
		{"but not a route that looks like one", "a.go", `"/v1/kv/wor` + `k/"`, nil},
		{"an issue-less note", "a.go", "// TOD" + "O: later", []string{"a.go:1"}},
		{"a note with an issue is fine", "a.go", "// TOD" + "O(#12): later", nil},
		{"documents may speak of notes", "a.md", "a TOD" + "O carries an issue", nil},
		{"half a merge", "a.md", strings.Repeat("<", 7) + " HEAD", []string{"a.md:1"}},
		{"bytes are not text", "a.bin", "\x00/hom" + "e/joe/", nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			expect(t, strayText(tc.name, []byte(tc.text)), tc.want)
		})
	}
}

func TestNoConsulCode(t *testing.T) {
	// The server and its client are written from the contract alone; Consul's own
	// client is for the conformance tests, which are a module of their own.
	root := theTree(t).Root
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("github.com/hashicorp/consul")) {
			t.Errorf("%s names a module of Consul; only internal/conformance may", name)
		}
	}
}
