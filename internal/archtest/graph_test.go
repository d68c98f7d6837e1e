package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"slices"
	"strings"
)

// graph says which functions of some packages can reach which others.
//
// It is coarse on purpose, and errs on the side of reaching: a function reaches
// whatever it names, called or not; whatever the initial value of a package variable
// it names names; and, through a method of an interface, every method of that name
// in the packages. Other modules are not entered.
type graph struct {
	fset   *token.FileSet
	info   *types.Info
	bodies map[types.Object]ast.Node // functions and package variables with a body of ours
	byName map[string][]types.Object // methods by name, for calls through interfaces
	owner  map[types.Object]*types.Package
}

// checkedPackage is a package to be type-checked from source.
type checkedPackage struct {
	path  string // full import path
	files []*ast.File
}

// newGraph type-checks pkgs, which must be in dependency order, and finds their
// functions. What they import from elsewhere is read from the tool chain's export
// data.
func newGraph(fset *token.FileSet, pkgs []checkedPackage) (*graph, error) {
	exports, err := exportFiles(pkgs)
	if err != nil {
		return nil, err
	}
	g := &graph{
		fset:   fset,
		info:   &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}},
		bodies: map[types.Object]ast.Node{},
		byName: map[string][]types.Object{},
		owner:  map[types.Object]*types.Package{},
	}
	imp := &mixedImporter{checked: map[string]*types.Package{}}
	imp.rest = importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		file, ok := exports[path]
		if !ok {
			return nil, fmt.Errorf("no export data for %q", path)
		}
		return os.Open(file)
	})
	for _, p := range pkgs {
		conf := types.Config{Importer: imp}
		checked, err := conf.Check(p.path, fset, p.files, g.info)
		if err != nil {
			return nil, err
		}
		imp.checked[p.path] = checked
		for _, f := range p.files {
			g.addFile(checked, f)
		}
	}
	return g, nil
}

// mixedImporter gives the packages checked from source and reads the others.
type mixedImporter struct {
	checked map[string]*types.Package
	rest    types.Importer
}

func (m *mixedImporter) Import(path string) (*types.Package, error) {
	if p, ok := m.checked[path]; ok {
		return p, nil
	}
	return m.rest.Import(path)
}

// exportFiles has the tool chain compile what pkgs import and says where the export
// data of each import path is.
func exportFiles(pkgs []checkedPackage) (map[string]string, error) {
	self := map[string]bool{}
	for _, p := range pkgs {
		self[p.path] = true
	}
	var wanted []string
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, spec := range f.Imports {
				if path := strings.Trim(spec.Path.Value, `"`); !self[path] && !slices.Contains(wanted, path) {
					wanted = append(wanted, path)
				}
			}
		}
	}
	files := map[string]string{}
	if len(wanted) == 0 {
		return files, nil
	}
	listed, err := goOutput("", append([]string{"list", "-deps", "-export", "-json=ImportPath,Export", "--"}, wanted...)...)
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(strings.NewReader(listed)); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return files, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode the list of export data: %w", err)
		}
		files[p.ImportPath] = p.Export
	}
}

// addFile enters a file's functions, methods and package variables.
func (g *graph) addFile(p *types.Package, f *ast.File) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			obj := g.info.Defs[d.Name]
			g.bodies[obj], g.owner[obj] = d, p
			if d.Recv != nil {
				g.byName[d.Name.Name] = append(g.byName[d.Name.Name], obj)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range v.Names {
						obj := g.info.Defs[name]
						g.bodies[obj], g.owner[obj] = v, p
					}
				}
			}
		}
	}
}

// find returns the functions with this name, methods included, in package path.
func (g *graph) find(path, name string) []types.Object {
	var found []types.Object
	for obj := range g.bodies {
		if _, isFunc := obj.(*types.Func); isFunc && obj.Name() == name && g.owner[obj].Path() == path {
			found = append(found, obj)
		}
	}
	return found
}

// reached is what can be reached from the roots, each with the one through which it
// was first met (nil for a root).
func (g *graph) reached(roots []types.Object) map[types.Object]types.Object {
	via := map[types.Object]types.Object{}
	queue := slices.Clone(roots)
	for _, r := range roots {
		via[r] = nil
	}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		ast.Inspect(g.bodies[from], func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			for _, to := range g.targets(id) {
				if _, seen := via[to]; !seen && to != from {
					via[to] = from
					queue = append(queue, to)
				}
			}
			return true
		})
	}
	return via
}

// targets are the bodies that an identifier may lead to.
func (g *graph) targets(id *ast.Ident) []types.Object {
	obj := g.info.Uses[id]
	if f, ok := obj.(*types.Func); ok {
		if recv := f.Signature().Recv(); recv != nil && types.IsInterface(recv.Type()) {
			return g.byName[f.Name()]
		}
		obj = f.Origin() // a generic function has one body, whatever it is used for
	}
	if obj == nil || g.bodies[obj] == nil {
		return nil
	}
	return []types.Object{obj}
}

// path tells how an object is reached: "fsm.ApplyBatch → kvs.Write".
func (g *graph) path(via map[types.Object]types.Object, obj types.Object) string {
	var names []string
	for ; obj != nil; obj = via[obj] {
		names = append(names, g.owner[obj].Name()+"."+obj.Name())
	}
	slices.Reverse(names)
	return strings.Join(names, " → ")
}
