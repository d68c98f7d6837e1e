package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// modulePath is the module that these rules are about.
const modulePath = "github.com/holdfast-kv/holdfast"

// pkg is one package of the module, as "go list" describes it, with its non-test
// files parsed.
type pkg struct {
	Path  string // relative to the module, such as "agent/config"; "" is the root
	Name  string
	Dir   string
	Files map[string]*ast.File // by base name; without tests
	Tests map[string]*ast.File // by base name; only tests

	Imports []string // import paths of the non-test files
}

// tree is the module's packages, loaded once for all tests. The ASTs are shared:
// read them only.
type tree struct {
	Root string
	Fset *token.FileSet
	Pkgs []*pkg
}

var loadTree = sync.OnceValues(func() (*tree, error) {
	root, err := goOutput("", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return nil, err
	}
	tr := &tree{Root: strings.TrimSpace(root), Fset: token.NewFileSet()}
	listed, err := goOutput(tr.Root, "list", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports", "./...")
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(strings.NewReader(listed)); ; {
		var p struct {
			ImportPath, Name, Dir                        string
			GoFiles, CgoFiles, TestGoFiles, XTestGoFiles []string
			Imports                                      []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return tr, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode the list of packages: %w", err)
		}
		loaded := &pkg{Path: relative(p.ImportPath), Name: p.Name, Dir: p.Dir, Imports: p.Imports}
		if loaded.Files, err = tr.parse(p.Dir, append(p.GoFiles, p.CgoFiles...)); err != nil {
			return nil, err
		}
		if loaded.Tests, err = tr.parse(p.Dir, append(p.TestGoFiles, p.XTestGoFiles...)); err != nil {
			return nil, err
		}
		tr.Pkgs = append(tr.Pkgs, loaded)
	}
})

// theTree returns the module, or ends the test.
func theTree(t *testing.T) *tree {
	t.Helper()
	tr, err := loadTree()
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Pkgs) == 0 {
		t.Fatal("no packages found: the search for them is broken")
	}
	return tr
}

func (tr *tree) parse(dir string, names []string) (map[string]*ast.File, error) {
	files := map[string]*ast.File{}
	for _, name := range names {
		f, err := parser.ParseFile(tr.Fset, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files[name] = f
	}
	return files, nil
}

// relative is an import path without the module's; other modules' paths stay whole.
func relative(importPath string) string {
	if importPath == modulePath {
		return ""
	}
	return strings.TrimPrefix(importPath, modulePath+"/")
}

// ours reports whether an import path is one of the module's.
func ours(importPath string) bool {
	return importPath == modulePath || strings.HasPrefix(importPath, modulePath+"/")
}

// goOutput runs the go command in dir and returns what it printed.
func goOutput(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// parseOne parses the source of one file of a fixture.
func parseOne(t *testing.T, fset *token.FileSet, name, source string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// expect compares the faults that a rule found in a fixture with those it must find:
// one fault per wanted text, in order, each containing it.
func expect(t *testing.T, faults, want []string) {
	t.Helper()
	if len(faults) != len(want) {
		t.Fatalf("%d faults, want %d:\n%s", len(faults), len(want), strings.Join(faults, "\n"))
	}
	for i := range want {
		if !strings.Contains(faults[i], want[i]) {
			t.Errorf("fault %q does not say %q", faults[i], want[i])
		}
	}
}
