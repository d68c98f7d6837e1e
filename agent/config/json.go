package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// parseJSON reads a file in JSON. A file of nothing but space is an empty
// configuration, as a file in HCL would be.
func parseJSON(src []byte) (*node, error) {
	if len(bytes.TrimSpace(src)) == 0 {
		return &node{kind: kindObject, line: 1}, nil
	}
	root, err := parseJSONValue(string(src))
	if err != nil {
		return nil, err
	}
	if root.kind != kindObject {
		return nil, &syntaxError{root.line, errors.New("the file must be one object: { … }")}
	}
	return root, nil
}

// parseJSONValue reads one value of any kind that is all of src.
func parseJSONValue(src string) (*node, error) {
	if err := checkDepth([]byte(src)); err != nil {
		return nil, err
	}
	r := &jsonReader{src: []byte(src), dec: json.NewDecoder(strings.NewReader(src)), line: 1}
	r.dec.UseNumber()
	n, err := r.value()
	if err != nil {
		return nil, r.fault(err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{r.here(), errors.New("there is more after the end of the value")}
	}
	return n, nil
}

// jsonReader makes nodes of the decoder's tokens and keeps count of lines.
type jsonReader struct {
	src  []byte
	dec  *json.Decoder
	seen int // offset up to which line is right
	line int
}

// here is the line of the token that was read last.
func (r *jsonReader) here() int {
	offset := min(int(r.dec.InputOffset()), len(r.src))
	if offset > r.seen {
		r.line += bytes.Count(r.src[r.seen:offset], []byte{'\n'})
		r.seen = offset
	}
	return r.line
}

// fault gives err the line it happened on.
func (r *jsonReader) fault(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		// The offset is that of the character or the one behind it, which
		// matters when the character is the end of a line.
		at := min(int(syntax.Offset), len(r.src))
		if strings.HasPrefix(syntax.Error(), `invalid character '\n'`) {
			at--
		}
		return &syntaxError{1 + bytes.Count(r.src[:max(at, 0)], []byte{'\n'}), err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &syntaxError{1 + bytes.Count(bytes.TrimSpace(r.src), []byte{'\n'}), errors.New("the file ends too early")}
	}
	return &syntaxError{r.here(), err}
}

// value reads one value. Recursion is bounded by checkDepth.
func (r *jsonReader) value() (*node, error) {
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{line: r.here()}
	switch t := token.(type) {
	case nil:
		n.kind = kindNull
	case string:
		n.kind, n.text = kindText, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBool, fmt.Sprint(t)
	case json.Delim:
		if t == '[' {
			n.kind = kindList
			return n, r.list(n)
		}
		n.kind = kindObject
		return n, r.object(n)
	}
	return n, nil
}

func (r *jsonReader) list(n *node) error {
	for r.dec.More() {
		item, err := r.value()
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := r.dec.Token() // the closing bracket
	return err
}

func (r *jsonReader) object(n *node) error {
	for r.dec.More() {
		name, err := r.dec.Token()
		if err != nil {
			return err
		}
		f := field{line: r.here()}
		f.name, _ = name.(string) // the decoder takes nothing else here
		if f.value, err = r.value(); err != nil {
			return err
		}
		n.fields = append(n.fields, f)
	}
	_, err := r.dec.Token() // the closing brace
	return err
}
