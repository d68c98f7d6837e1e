package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// mayGo are the packages in which a go statement may stand: the process, whose
// goroutines internal/run names and waits for, the commands, which end with their
// goroutines, and what only tests and measurements use. Tests may too.
var mayGo = []string{
	"agent", "agent/...", "internal/run", "cmd", "cmd/...",
	"internal/bench", "internal/bench/...", "internal/testcluster",
}

func TestBareGoStatements(t *testing.T) {
	tr := theTree(t)
	for _, p := range tr.Pkgs {
		if slices.ContainsFunc(mayGo, func(m string) bool { return covers(m, p.Path) }) {
			continue
		}
		for _, f := range p.Files {
			for _, fault := range goStatements(tr.Fset, f) {
				t.Error(strings.TrimPrefix(fault, tr.Root+"/"))
			}
		}
	}
}

// goStatements lists the go statements of a file.
func goStatements(fset *token.FileSet, f *ast.File) []string {
	var faults []string
	ast.Inspect(f, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			faults = append(faults, fmt.Sprintf("%s: a bare go statement; long-lived goroutines start in agent, through internal/run", fset.Position(g.Pos())))
		}
		return true
	})
	return faults
}

func TestTestsDoNotSleep(t *testing.T) {
	tr := theTree(t)
	for _, p := range tr.Pkgs {
		for _, f := range p.Tests {
			for _, fault := range sleeps(tr.Fset, f) {
				t.Error(strings.TrimPrefix(fault, tr.Root+"/"))
			}
		}
	}
}

// sleeps lists the calls of time.Sleep in a test file, unless the file uses fake time
// (testing/synctest), in which sleeping is how time passes.
func sleeps(fset *token.FileSet, f *ast.File) []string {
	for _, imp := range f.Imports {
		if imp.Path.Value == `"testing/synctest"` {
			return nil
		}
	}
	var faults []string
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				faults = append(faults, fmt.Sprintf("%s: a test waits for a condition, not for a time", fset.Position(n.Pos())))
			}
		}
		return true
	})
	return faults
}

func TestGoStatementsFindsThem(t *testing.T) {
	fset := token.NewFileSet()
	f := parseOne(t, fset, "a.go", "package a\nfunc f() { go f(); func() { go f() }() }")
	expect(t, goStatements(fset, f), []string{"a.go:2", "a.go:2"})
	f = parseOne(t, fset, "b.go", "package a\nfunc f() { defer f() }")
	expect(t, goStatements(fset, f), nil)
}

func TestSleepsFindsThem(t *testing.T) {
	fset := token.NewFileSet()
	f := parseOne(t, fset, "a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }")
	expect(t, sleeps(fset, f), []string{"a_test.go:3"})
	f = parseOne(t, fset, "b_test.go", "package a\nimport (\"time\"; \"testing/synctest\")\nfunc f() { synctest.Test(nil, nil); time.Sleep(1) }")
	expect(t, sleeps(fset, f), nil)
}
