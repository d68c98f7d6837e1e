package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"
)

// stateRoots are where the replicated log enters the state machine, by function name
// in package fsm.
var stateRoots = []string{"ApplyBatch", "Apply"}

// orderly is written above or behind a loop over a map whose order cannot show in
// the state, followed by the reason.
const orderly = "archtest:any-order"

// TestApplyIsDeterministic keeps the rule of the style guide's section 8: the log
// decides, not the clock. Two nodes that apply the same log must have the same state.
func TestApplyIsDeterministic(t *testing.T) {
	tr := theTree(t)
	pkgs := closure(tr.Pkgs, "fsm", nil)
	if len(pkgs) == 0 {
		t.Fatal("there is no package fsm: the search for it is broken")
	}
	g, err := newGraph(tr.Fset, pkgs)
	if err != nil {
		t.Fatal(err)
	}
	var roots []types.Object
	for _, name := range stateRoots {
		roots = append(roots, g.find(modulePath+"/fsm", name)...)
	}
	if len(roots) == 0 {
		t.Fatalf("package fsm has none of the functions %v: the search for them is broken", stateRoots)
	}
	via := g.reached(roots)
	if len(via) < 30 { // apply is far larger than that
		t.Errorf("only %d functions reached: the search for them is broken", len(via))
	}
	for _, fault := range indeterminate(g, via, comments(tr)) {
		t.Error(strings.ReplaceAll(fault, tr.Root+"/", ""))
	}
}

// closure appends to seen the package path and all packages of ours that it imports,
// each after those that it imports itself.
func closure(all []*pkg, path string, seen []checkedPackage) []checkedPackage {
	full := modulePath + "/" + path
	i := slices.IndexFunc(all, func(p *pkg) bool { return p.Path == path })
	if i < 0 || slices.ContainsFunc(seen, func(p checkedPackage) bool { return p.path == full }) {
		return seen
	}
	for _, imported := range all[i].Imports {
		if ours(imported) {
			seen = closure(all, relative(imported), seen)
		}
	}
	return append(seen, checkedPackage{full, slices.Collect(maps.Values(all[i].Files))})
}

// comments are the lines on which the word orderly stands, as "file:line".
func comments(tr *tree) map[string]bool {
	marked := map[string]bool{}
	for _, p := range tr.Pkgs {
		for _, f := range p.Files {
			markOrderly(tr.Fset, f, marked)
		}
	}
	return marked
}

func markOrderly(fset *token.FileSet, f *ast.File, marked map[string]bool) {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if _, reason, ok := strings.Cut(c.Text, orderly+" "); ok && strings.TrimSpace(reason) != "" {
				end := fset.Position(group.End())
				marked[fmt.Sprintf("%s:%d", end.Filename, end.Line)] = true
			}
		}
	}
}

// indeterminate lists what may make two nodes differ in the functions of via.
func indeterminate(g *graph, via map[types.Object]types.Object, marked map[string]bool) []string {
	var faults []string
	for obj := range via {
		report := func(n ast.Node, what string) {
			faults = append(faults, fmt.Sprintf("%s: %s (reached by %s)", g.fset.Position(n.Pos()), what, g.path(via, obj)))
		}
		ast.Inspect(g.bodies[obj], func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				report(n, "starts a goroutine")
			case *ast.Ident:
				if what := forbidden(g.info.Uses[n]); what != "" {
					report(n, what)
				}
			case *ast.RangeStmt:
				if isMap(g.info.Types[n.X].Type) && !isMarked(g.fset, n, marked) && !isSorted(g.bodies[obj], n) {
					report(n, "depends on the order of a map; sort the keys, or say //"+orderly+" and why")
				}
			case ast.Expr:
				if isFloat(g.info.Types[n].Type) {
					report(n, "computes with floating point")
					return false // its parts are floats too
				}
			}
			return true
		})
	}
	sort.Strings(faults)
	return slices.Compact(faults)
}

// forbidden says what is wrong with using obj in apply, or nothing.
func forbidden(obj types.Object) string {
	if obj == nil || obj.Pkg() == nil {
		return ""
	}
	if v, ok := obj.(*types.Var); ok && !v.IsField() && isFloat(v.Type()) {
		return "computes with floating point"
	}
	if _, isType := obj.(*types.TypeName); isType {
		return ""
	}
	path := obj.Pkg().Path()
	switch path {
	case "time":
		switch obj.Name() {
		case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Local", "LoadLocation":
			return "reads the clock: time." + obj.Name()
		}
	case "math/rand", "math/rand/v2", "crypto/rand", "hash/maphash":
		return "is random: " + path + "." + obj.Name()
	case "os", "os/exec", "os/user", "net", "net/http", "syscall":
		return "asks the machine: " + path + "." + obj.Name()
	case "runtime":
		return "asks the machine: runtime." + obj.Name()
	case "maps":
		switch obj.Name() {
		case "Keys", "Values", "All":
			return "depends on the order of a map: maps." + obj.Name()
		}
	case "github.com/hashicorp/go-uuid", "github.com/google/uuid":
		return "is random: " + path + "." + obj.Name()
	}
	return ""
}

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

func isFloat(t types.Type) bool {
	if t == nil {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0
}

// isSorted reports whether a loop does nothing but collect things in one slice that
// the function body sorts after it.
func isSorted(body ast.Node, loop *ast.RangeStmt) bool {
	slice := collected(loop.Body.List)
	if slice == "" {
		return false
	}
	sorted := false
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Pos() < loop.End() || len(call.Args) == 0 {
			return true
		}
		sel, isSel := call.Fun.(*ast.SelectorExpr)
		arg, isIdent := call.Args[0].(*ast.Ident)
		if isSel && isIdent && arg.Name == slice {
			if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sort" || x.Name == "slices" && strings.HasPrefix(sel.Sel.Name, "Sort")) {
				sorted = true
			}
		}
		return true
	})
	return sorted
}

// collected is the name of the slice to which the only statement, perhaps within an
// if without else, appends; "" if the statements do anything else.
func collected(stmts []ast.Stmt) string {
	if len(stmts) != 1 {
		return ""
	}
	switch stmt := stmts[0].(type) {
	case *ast.IfStmt:
		if stmt.Else == nil && stmt.Init == nil {
			return collected(stmt.Body.List)
		}
	case *ast.AssignStmt:
		if len(stmt.Lhs) != 1 || len(stmt.Rhs) != 1 {
			return ""
		}
		slice, isIdent := stmt.Lhs[0].(*ast.Ident)
		call, isCall := stmt.Rhs[0].(*ast.CallExpr)
		if isIdent && isCall && len(call.Args) > 0 {
			fun, isAppend := call.Fun.(*ast.Ident)
			first, same := call.Args[0].(*ast.Ident)
			if isAppend && fun.Name == "append" && same && first.Name == slice.Name {
				return slice.Name
			}
		}
	}
	return ""
}

// isMarked reports whether a comment with the word orderly ends on the statement's
// line or on the one above it.
func isMarked(fset *token.FileSet, n ast.Node, marked map[string]bool) bool {
	pos := fset.Position(n.Pos())
	return marked[fmt.Sprintf("%s:%d", pos.Filename, pos.Line)] || marked[fmt.Sprintf("%s:%d", pos.Filename, pos.Line-1)]
}

func TestIndeterminateFindsThem(t *testing.T) {
	const head = "package fsm\n" + `import ("time"; "math/rand/v2"; "os"; "maps"; "slices")
var _ = []any{time.Second, rand.N[int], os.Args, maps.Clone[map[int]int], slices.Sort[[]int]}
type store interface { Put() }
type tree struct{}
`
	for _, tc := range []struct {
		rule, source string
		want         []string
	}{
		{"the clock", "func ApplyBatch() { _ = time.Now() }", []string{"time.Now"}},
		{"the clock behind a call", "func ApplyBatch() { a() }; func a() { b() }; func b() { _ = time.Now() }", []string{"fsm.ApplyBatch → fsm.a → fsm.b"}},
		{"the clock behind an interface", "func ApplyBatch(s store) { s.Put() }; func (tree) Put() { _ = time.Now() }", []string{"time.Now"}},
		{"the clock as a value", "func ApplyBatch() { f := now; f() }; func now() { _ = time.Now() }", []string{"time.Now"}},
		{"the clock in a variable", "var now = time.Now; func ApplyBatch() { now() }", []string{"time.Now"}},
		{"the clock in a generic function", "func ApplyBatch() { g(1) }; func g[T any](T) { _ = time.Now() }", []string{"time.Now"}},
		{"chance", "func ApplyBatch() { _ = rand.IntN(3) }", []string{"math/rand/v2.IntN"}},
		{"the environment", `func ApplyBatch() { _ = os.Getenv("X") }`, []string{"os.Getenv"}},
		{"a goroutine", "func ApplyBatch() { go func() {}() }", []string{"goroutine"}},
		{"a float", "func ApplyBatch(n int) { _ = int(float64(n)) }", []string{"floating point"}},
		{"a map's order", "func ApplyBatch(m map[int]int) { for range m {} }", []string{"order of a map"}},
		{"a map's order in an iterator", "func ApplyBatch(m map[int]int) { for range maps.Keys(m) {} }", []string{"maps.Keys"}},
		{"a map's order that does not matter", "func ApplyBatch(m map[int]int) {\n//" + orderly + " only counted\nfor range m {} }", nil},
		{"a map's keys, sorted", "func ApplyBatch(m map[int]int) { var ks []int; for k := range m { if k > 0 { ks = append(ks, k) } }; slices.Sort(ks) }", nil},
		{"a map's keys, sorted too early", "func ApplyBatch(m map[int]int) { var ks []int; slices.Sort(ks); for k := range m { ks = append(ks, k) } }", []string{"order of a map"}},
		{"a map's keys, sorted too late", "func ApplyBatch(m map[int]int) { var ks []int; for k := range m { ks = append(ks, k); println(k) }; slices.Sort(ks) }", []string{"order of a map"}},
		{"which must be explained", "func ApplyBatch(m map[int]int) {\n//" + orderly + "\nfor range m {} }", []string{"order of a map"}},
		{"durations are no clock", "func ApplyBatch(d time.Duration) { _ = d + time.Second }", nil},
		{"what is not reached is free", "func ApplyBatch() {}; func a() { _ = time.Now() }", nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			fset := token.NewFileSet()
			f := parseOne(t, fset, "fsm.go", head+tc.source)
			g, err := newGraph(fset, []checkedPackage{{"fsm", []*ast.File{f}}})
			if err != nil {
				t.Fatal(err)
			}
			roots := g.find("fsm", "ApplyBatch")
			if len(roots) != 1 {
				t.Fatalf("%d roots, want 1", len(roots))
			}
			marked := map[string]bool{}
			markOrderly(fset, f, marked)
			expect(t, indeterminate(g, g.reached(roots), marked), tc.want)
		})
	}
}
