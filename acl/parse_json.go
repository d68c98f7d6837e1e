package acl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// readJSON reads rules in JSON.
//
// It goes through the tokens itself: a decoder into maps keeps one of two equal names
// and says nothing.
func readJSON(text string, b *builder) error {
	d := &jsonReader{text: text, dec: json.NewDecoder(strings.NewReader(text))}
	d.dec.UseNumber()
	root, err := d.value(0)
	if err != nil {
		return d.explain(err)
	}
	if _, err := d.dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d: there is something behind the last brace", d.line())
	}
	for _, m := range root.members { // read has seen the brace
		if err := jsonResource(m, b); err != nil {
			return err
		}
	}
	return nil
}

// A jsonValue is an object, a list or something plain.
type jsonValue struct {
	line    int
	plain   bool
	text    string // when it is plain; "" for null
	object  bool
	members []jsonMember
	list    []jsonValue // when it is neither
}

type jsonMember struct {
	name  string
	line  int
	value jsonValue
}

// objects returns the object, or the list of objects, that a value is.
func (v jsonValue) objects() ([]jsonValue, bool) {
	if v.object {
		return []jsonValue{v}, true
	}
	for _, inner := range v.list {
		if !inner.object {
			return nil, false
		}
	}
	return v.list, !v.plain
}

// jsonReader reads values and knows the line.
type jsonReader struct {
	text string
	dec  *json.Decoder

	counted int64 // bytes whose line ends are in lines
	lines   int
}

func (d *jsonReader) line() int {
	at := min(d.dec.InputOffset(), int64(len(d.text)))
	d.lines += strings.Count(d.text[d.counted:at], "\n")
	d.counted = at
	return d.lines + 1
}

// explain puts words to what the decoder says.
func (d *jsonReader) explain(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON text ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %w", d.line(), err)
	}
	return err
}

func (d *jsonReader) value(depth int) (jsonValue, error) {
	if depth > limit.PolicyDepth {
		return jsonValue{}, fmt.Errorf("line %d: nested more than %d levels deep", d.line(), limit.PolicyDepth)
	}
	t, err := d.dec.Token()
	if err != nil {
		return jsonValue{}, err
	}
	v := jsonValue{line: d.line()}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			v.object = true
			err = d.members(&v, depth)
		} else {
			err = d.elements(&v, depth)
		}
	case string:
		v.plain, v.text = true, t
	case nil:
		v.plain = true
	default: // a number, true or false
		v.plain, v.text = true, fmt.Sprint(t)
	}
	return v, err
}

func (d *jsonReader) members(v *jsonValue, depth int) error {
	for d.dec.More() {
		t, err := d.dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // the decoder lets nothing else through
		m := jsonMember{name: name, line: d.line()}
		if m.value, err = d.value(depth + 1); err != nil {
			return err
		}
		v.members = append(v.members, m)
	}
	_, err := d.dec.Token() // the brace
	return err
}

func (d *jsonReader) elements(v *jsonValue, depth int) error {
	for d.dec.More() {
		inner, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		v.list = append(v.list, inner)
	}
	_, err := d.dec.Token() // the bracket
	return err
}

// jsonResource reads one member of the top level.
func jsonResource(m jsonMember, b *builder) error {
	w, known := wordOf(m.name)
	switch {
	case !known:
		b.ignored(m.name, m.line)
		return nil
	case !w.labelled():
		if !m.value.plain {
			return fmt.Errorf("line %d: %s takes a level and nothing else", m.line, m.name)
		}
		return b.unlabelled(w, m.value.text, m.line)
	}
	objects, ok := m.value.objects()
	if !ok {
		return unlabelledBlock(w, m.line)
	}
	for _, object := range objects {
		for _, label := range object.members {
			blocks, ok := label.value.objects()
			if !ok {
				return unlabelledBlock(w, label.line)
			}
			for _, block := range blocks {
				var props []property
				for _, p := range block.members {
					props = append(props, property{name: p.name, value: p.value.text, plain: p.value.plain, line: p.line})
				}
				if err := b.labelled(w, label.name, props, label.line); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
