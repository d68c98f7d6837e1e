package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

// parseHCL reads a file in the first version of HCL, which takes ports { … }
// and ports = { … } alike.
func parseHCL(src []byte) (root *node, err error) {
	// The library panics on some broken input, a number that does not fit for
	// one; what it says then is as good as an error.
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, &syntaxError{1, fmt.Errorf("cannot be read as HCL: %v", p)}
		}
	}()
	if err := checkDepth(src); err != nil {
		return nil, err
	}
	// Repeated keys are left to the loader, which names both lines.
	file, err := parser.ParseDontErrorOnDuplicateKeys(src)
	if err != nil {
		return nil, hclFault(err)
	}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, &syntaxError{1, errors.New("the file must be a list of settings")}
	}
	return objectNode(list, 1)
}

// hclFault takes the line out of the library's error, if it has one.
func hclFault(err error) error {
	var at *parser.PosError
	if errors.As(err, &at) {
		return &syntaxError{max(at.Pos.Line, 1), at.Err}
	}
	return &syntaxError{1, err}
}

// objectNode makes an object of a list of items. An item with several keys,
// service "web" { … }, is an object in an object.
func objectNode(list *ast.ObjectList, line int) (*node, error) {
	n := &node{kind: kindObject, line: line}
	for _, item := range list.Items {
		if len(item.Keys) == 0 {
			return nil, &syntaxError{item.Pos().Line, errors.New("there is a value without a key")}
		}
		value, err := hclNode(item.Val)
		if err != nil {
			return nil, err
		}
		for i := len(item.Keys) - 1; i > 0; i-- {
			name, err := keyName(item.Keys[i])
			if err != nil {
				return nil, err
			}
			at := item.Keys[i].Pos().Line
			value = &node{kind: kindObject, line: at, fields: []field{{name: name, line: at, value: value}}}
		}
		name, err := keyName(item.Keys[0])
		if err != nil {
			return nil, err
		}
		n.fields = append(n.fields, field{name: name, line: item.Keys[0].Pos().Line, value: value})
	}
	return n, nil
}

func keyName(k *ast.ObjectKey) (string, error) {
	v, err := literal(k.Token)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(v), nil
}

// hclNode makes a node of a value. Recursion is bounded by checkDepth.
func hclNode(value ast.Node) (*node, error) {
	switch v := value.(type) {
	case *ast.ObjectType:
		return objectNode(v.List, v.Lbrace.Line)
	case *ast.ListType:
		n := &node{kind: kindList, line: v.Lbrack.Line}
		for _, item := range v.List {
			in, err := hclNode(item)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, in)
		}
		return n, nil
	case *ast.LiteralType:
		return literalNode(v.Token)
	}
	return nil, &syntaxError{value.Pos().Line, errors.New("there is a value of no known kind")}
}

func literalNode(t token.Token) (*node, error) {
	v, err := literal(t)
	if err != nil {
		return nil, err
	}
	n := &node{line: t.Pos.Line, text: fmt.Sprint(v)}
	switch t.Type {
	case token.BOOL:
		n.kind = kindBool
	case token.NUMBER:
		n.kind = kindNumber
	case token.FLOAT:
		n.kind, n.text = kindNumber, t.Text
	case token.HEREDOC:
		n.kind, n.text = kindText, strings.TrimSuffix(n.text, "\n")
	default:
		n.kind = kindText
	}
	return n, nil
}

// literal is Token.Value with the panics that it has for numbers out of range
// and broken quotes turned into errors with a line.
func literal(t token.Token) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			what := errors.New("a text is not quoted properly") // it may be a secret
			if t.Type == token.NUMBER || t.Type == token.FLOAT {
				what = fmt.Errorf("%s is no number that can be used", quoteShort(t.Text))
			}
			v, err = nil, &syntaxError{t.Pos.Line, what}
		}
	}()
	return t.Value(), nil
}
