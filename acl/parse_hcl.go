package acl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// readHCL reads rules in HCL, version 1.
//
// The syntax tree is walked here instead of being decoded into structs: that keeps the
// lines, and a label that is missing can be told from one that is there.
func readHCL(text string, b *builder) (err error) {
	if err := checkDepth(text); err != nil {
		return err
	}
	// The tree panics when it is asked for a text with an escape that does not exist.
	// Input must not end the server, whatever else that library may trip over.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not HCL: %v", p)
		}
	}()
	file, err := parser.Parse([]byte(text))
	if err != nil {
		return err
	}
	root, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return errors.New("not a list of rules")
	}
	for _, item := range root.Items {
		if err := hclResource(item, b); err != nil {
			return err
		}
	}
	return nil
}

// checkDepth refuses what is nested too deeply before the parser, which calls itself
// for each level, gets to see it.
func checkDepth(text string) error {
	if strings.Count(text, "{")+strings.Count(text, "[") <= limit.PolicyDepth {
		return nil // most policies: not worth another look at each token
	}
	s := scanner.New([]byte(text))
	s.Error = func(token.Pos, string) {} // the parser says it
	depth := 0
	for {
		switch t := s.Scan(); t.Type {
		case token.EOF, token.ILLEGAL:
			return nil // the parser goes no further either
		case token.LBRACE, token.LBRACK:
			if depth++; depth > limit.PolicyDepth {
				return fmt.Errorf("line %d: nested more than %d levels deep", t.Pos.Line, limit.PolicyDepth)
			}
		case token.RBRACE, token.RBRACK:
			depth--
		}
	}
}

// hclResource reads one item of the top level.
func hclResource(item *ast.ObjectItem, b *builder) error {
	name, line := hclKey(item, 0)
	w, known := wordOf(name)
	switch {
	case !known:
		b.ignored(name, line)
		return nil
	case !w.labelled():
		level, plain := hclPlain(item.Val)
		if len(item.Keys) > 1 || !plain {
			return fmt.Errorf("line %d: %s takes a level and nothing else", line, name)
		}
		return b.unlabelled(w, level, line)
	case len(item.Keys) > 2:
		return fmt.Errorf("line %d: %s takes one label", line, name)
	case len(item.Keys) == 2:
		label, _ := hclKey(item, 1)
		return hclBlock(w, label, item, b)
	}
	// key = { "label" = { ... } }, the form that JSON has.
	objects, ok := hclObjects(item.Val)
	if !ok {
		return unlabelledBlock(w, line)
	}
	for _, object := range objects {
		if len(object.List.Items) == 0 {
			return unlabelledBlock(w, line)
		}
		for _, inner := range object.List.Items {
			label, at := hclKey(inner, 0)
			if len(inner.Keys) > 1 {
				return fmt.Errorf("line %d: %s takes one label", at, name)
			}
			if _, ok := hclObjects(inner.Val); !ok {
				return unlabelledBlock(w, line)
			}
			if err := hclBlock(w, label, inner, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// hclBlock reads the block, or the blocks, of one label.
func hclBlock(w word, label string, item *ast.ObjectItem, b *builder) error {
	_, line := hclKey(item, 0)
	objects, ok := hclObjects(item.Val)
	if !ok {
		return fmt.Errorf("line %d: %s %q takes a block", line, w.name, label)
	}
	for _, object := range objects {
		var props []property
		for _, inner := range object.List.Items {
			name, at := hclKey(inner, 0)
			p := property{name: name, line: at}
			if len(inner.Keys) == 1 {
				p.value, p.plain = hclPlain(inner.Val)
			}
			props = append(props, p)
		}
		if err := b.labelled(w, label, props, line); err != nil {
			return err
		}
	}
	return nil
}

// hclKey returns one of the names in front of a value, and its line.
func hclKey(item *ast.ObjectItem, i int) (string, int) {
	t := item.Keys[i].Token
	name, _ := t.Value().(string)
	return name, t.Pos.Line
}

// hclPlain returns a value that is no object or list, as it is written.
func hclPlain(n ast.Node) (string, bool) {
	literal, ok := n.(*ast.LiteralType)
	if !ok {
		return "", false
	}
	if s, ok := literal.Token.Value().(string); ok {
		return s, true
	}
	return strings.ToLower(literal.Token.Text), true
}

// hclObjects returns the object, or the list of objects, that a value is.
func hclObjects(n ast.Node) ([]*ast.ObjectType, bool) {
	switch n := n.(type) {
	case *ast.ObjectType:
		return []*ast.ObjectType{n}, true
	case *ast.ListType:
		var all []*ast.ObjectType
		for _, inner := range n.List {
			object, ok := inner.(*ast.ObjectType)
			if !ok {
				return nil, false
			}
			all = append(all, object)
		}
		return all, true
	}
	return nil, false
}
