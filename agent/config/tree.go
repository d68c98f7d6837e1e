package config

import (
	"errors"
	"fmt"
	"strconv"
)

// A configuration file of either dialect becomes a tree of nodes, each with the
// line it stands on.
type node struct {
	kind   kind
	line   int
	text   string  // of a text; of a number as written; "true" or "false"
	items  []*node // of a list
	fields []field // of an object, in the order of the file; names may repeat
}

// field is one member of an object.
type field struct {
	name  string
	line  int
	value *node
}

// kind is what a node is.
type kind int

const (
	kindNull kind = iota
	kindText
	kindNumber
	kindBool
	kindList
	kindObject
)

// describe names what was found, for "want X, have …".
func (n *node) describe() string {
	switch n.kind {
	case kindText:
		return "the text " + quoteShort(n.text)
	case kindNumber:
		return "the number " + n.text
	case kindBool:
		return n.text
	case kindList:
		return "a list"
	case kindObject:
		return "a block"
	}
	return "nothing"
}

// objects returns the objects that n stands for: itself or, since HCL makes a
// list of blocks of the same name, the elements of a list of objects.
func (n *node) objects() ([]*node, bool) {
	switch n.kind {
	case kindObject:
		return []*node{n}, true
	case kindList:
		for _, item := range n.items {
			if item.kind != kindObject {
				return nil, false
			}
		}
		return n.items, true
	}
	return nil, false
}

// asksForNothing is whether the value of an ignored key is what Holdfast does
// without it: off, nothing, or a block of nothing else.
func (n *node) asksForNothing() bool {
	switch n.kind {
	case kindNull:
		return true
	case kindText:
		return n.text == ""
	case kindBool:
		return n.text == "false"
	case kindNumber:
		return n.text == "-1" || n.text == "0"
	}
	for _, item := range n.items {
		if !item.asksForNothing() {
			return false
		}
	}
	for _, f := range n.fields {
		if !f.value.asksForNothing() {
			return false
		}
	}
	return true
}

// Bounds on a file. The depth matters most: both parsers recurse.
const (
	maxFileBytes = 4 << 20
	maxDepth     = 100
)

// errDepth is what makes checkDepth's error.
var errDepth = errors.New("brackets are nested more than " + strconv.Itoa(maxDepth) + " deep")

// checkDepth refuses what could exhaust the stack of a recursive parser. It
// counts brackets without looking at quotes, so that nothing in a string or a
// comment can hide one from it; no sensible file has a hundred of them open.
func checkDepth(src []byte) error {
	depth, line := 0, 1
	for _, c := range src {
		switch c {
		case '\n':
			line++
		case '{', '[':
			if depth++; depth > maxDepth {
				return &syntaxError{line, errDepth}
			}
		case '}', ']':
			depth = max(depth-1, 0)
		}
	}
	return nil
}

// syntaxError is a file that cannot be read as what it claims to be.
type syntaxError struct {
	line int // 0 if unknown
	err  error
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *syntaxError) Unwrap() error { return e.err }

// quoteShort quotes s, cut where a message would drown in it.
func quoteShort(s string) string {
	const longest = 60
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "…"
	}
	return strconv.Quote(s)
}
