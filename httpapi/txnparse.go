package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// parseTxn reads the body of a transaction: a JSON array of operations. It is
// written by hand since a general decoder takes half the time of a large
// transaction; FuzzParseTxn holds it against encoding/json.
//
// Field names match without regard to case, unknown ones are an error, and a
// repeated one counts as it stands last. It returns at most the first most
// elements, and how many there are.
//
// Source: contract, transactions, section 1; README, section 6.
func parseTxn(body []byte, most int) (elements []txnElement, n int, err error) {
	p := &txnParser{b: body}
	p.space()
	if p.i == len(p.b) {
		return nil, 0, errors.New("EOF")
	}
	if p.null() {
		return nil, 0, p.end()
	}
	if !p.byte('[') {
		return nil, 0, p.errorf("want a list of operations")
	}
	elements = make([]txnElement, 0, min(len(body)/64, 64))
	for first := true; !p.byte(']'); first = false {
		if !first && !p.byte(',') {
			return nil, 0, p.errorf("want , or ] after an operation")
		}
		e, err := p.element()
		if err != nil {
			return nil, 0, err
		}
		if n++; n <= most {
			elements = append(elements, e)
		}
	}
	return elements, n, p.end()
}

// txnParser is a position in a JSON text. Space is skipped after each token.
type txnParser struct {
	b []byte
	i int
}

func (p *txnParser) errorf(format string, args ...any) error {
	if p.i >= len(p.b) {
		return errors.New("unexpected end of JSON input")
	}
	return fmt.Errorf("%s at byte %d", fmt.Sprintf(format, args...), p.i)
}

func (p *txnParser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// byte skips c if it comes next.
func (p *txnParser) byte(c byte) bool {
	if p.i >= len(p.b) || p.b[p.i] != c {
		return false
	}
	p.i++
	p.space()
	return true
}

func (p *txnParser) word(w string) bool {
	if len(p.b)-p.i < len(w) || string(p.b[p.i:p.i+len(w)]) != w {
		return false
	}
	p.i += len(w)
	p.space()
	return true
}

func (p *txnParser) null() bool { return p.word("null") }

// end refuses anything after the list.
func (p *txnParser) end() error {
	if p.i < len(p.b) {
		return p.errorf("unexpected text after the list of operations")
	}
	return nil
}

// object calls member for each member of an object, positioned at its value.
func (p *txnParser) object(member func(name []byte) error) error {
	if !p.byte('{') {
		return p.errorf("want an object")
	}
	for first := true; !p.byte('}'); first = false {
		if !first && !p.byte(',') {
			return p.errorf("want , or } after a member")
		}
		name, err := p.text()
		if err != nil {
			return err
		}
		if !p.byte(':') {
			return p.errorf("want : after a member name")
		}
		if err := member(name); err != nil {
			return err
		}
	}
	return nil
}

// element reads one element of the list: an object with the operation under KV, or
// under one of txnKinds; of the latter only the form is looked at.
func (p *txnParser) element() (e txnElement, err error) {
	if p.i < len(p.b) && p.b[p.i] == 'n' {
		return e, p.errorf("an operation must be an object, not null,")
	}
	var rows [len(txnKinds)][]byte
	err = p.object(func(name []byte) error {
		switch {
		case fold(name, "KV"):
			if p.null() {
				e = txnElement{}
				return nil
			}
			e.present = true
			return p.operation(&e)
		}
		for i, kind := range txnKinds {
			if !fold(name, kind) {
				continue
			}
			rows[i] = nil
			if p.null() {
				return nil
			}
			from := p.i
			err := p.skip(0)
			rows[i] = bytes.TrimRight(p.b[from:p.i], " \t\r\n")
			return err
		}
		return unknownField(name)
	})
	for i, row := range rows {
		if row != nil && !e.present {
			return txnElement{present: true, kind: txnKinds[i], row: bytes.Clone(row)}, err
		}
	}
	return e, err
}

// txnKinds are the kinds of operations on the catalog. Of several in one element the
// first in this order counts, after one on a key.
var txnKinds = [...]string{"Node", "Service", "Check"}

func unknownField(name []byte) error {
	return fmt.Errorf("json: unknown field %q", name)
}

func (p *txnParser) operation(e *txnElement) error {
	return p.object(func(name []byte) error {
		var err error
		switch {
		case fold(name, "Verb"):
			err = p.string(&e.verb)
		case fold(name, "Key"):
			err = p.string(&e.op.Key)
		case fold(name, "Value"):
			e.op.Value, err = p.base64()
		case fold(name, "Flags"):
			err = p.number(&e.op.Flags)
		case fold(name, "Index"):
			err = p.number(&e.op.Index)
		case fold(name, "Session"):
			err = p.string(&e.op.Session)
		case fold(name, "Namespace"), fold(name, "Partition"): // accepted and ignored
			var ignored string
			err = p.string(&ignored)
		default:
			err = unknownField(name)
		}
		return err
	})
}

// fold tells whether a member name is want, without regard to case.
func fold(name []byte, want string) bool {
	return len(name) == len(want) && (string(name) == want || strings.EqualFold(string(name), want))
}

// string reads a string into s; null leaves it as it is.
func (p *txnParser) string(s *string) error {
	if p.null() {
		return nil
	}
	text, err := p.text()
	if err == nil {
		*s = string(text)
	}
	return err
}

// number reads an unsigned number into n; null leaves it as it is.
func (p *txnParser) number(n *uint64) error {
	if p.null() {
		return nil
	}
	start := p.i
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		p.i++
	}
	digits := p.b[start:p.i]
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' ||
		p.i < len(p.b) && strings.IndexByte(".eE+-", p.b[p.i]) >= 0 {
		return p.errorf("want a whole number that is not negative")
	}
	v, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return fmt.Errorf("json: cannot unmarshal number %s into a 64-bit number", digits)
	}
	*n = v
	p.space()
	return nil
}

// base64 reads a value: a string in standard base64, or null.
func (p *txnParser) base64() ([]byte, error) {
	if p.null() {
		return nil, nil
	}
	text, err := p.text()
	if err != nil || len(text) == 0 {
		return nil, err
	}
	return decodeBase64(text)
}

// text reads a string. The result may lie in the body or not; it must be copied.
func (p *txnParser) text() ([]byte, error) {
	if p.i >= len(p.b) || p.b[p.i] != '"' {
		return nil, p.errorf("want a string")
	}
	p.i++
	start := p.i
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			text := p.b[start:p.i]
			p.i++
			p.space()
			return text, nil
		case c == '\\' || c >= utf8.RuneSelf:
			return p.escaped(start)
		case c < ' ':
			return nil, p.errorf("a string holds a control character")
		}
		p.i++
	}
	return nil, p.errorf("a string does not end")
}

// escaped reads the rest of a string that begins at start and has an escape or a
// character outside of ASCII at the present position.
func (p *txnParser) escaped(start int) ([]byte, error) {
	out := append([]byte(nil), p.b[start:p.i]...)
	for p.i < len(p.b) {
		c := p.b[p.i]
		switch {
		case c == '"':
			p.i++
			p.space()
			return out, nil
		case c == '\\':
			var err error
			if out, err = p.escape(out); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, p.errorf("a string holds a control character")
		case c < utf8.RuneSelf:
			out = append(out, c)
			p.i++
		default: // bytes that are no UTF-8 become U+FFFD, as in encoding/json
			r, n := utf8.DecodeRune(p.b[p.i:])
			out = utf8.AppendRune(out, r)
			p.i += n
		}
	}
	return nil, p.errorf("a string does not end")
}

func (p *txnParser) escape(out []byte) ([]byte, error) {
	if p.i+1 >= len(p.b) {
		p.i = len(p.b)
		return nil, p.errorf("a string does not end")
	}
	c := p.b[p.i+1]
	if c != 'u' {
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i < 0 {
			return nil, p.errorf("invalid escape in a string")
		}
		p.i += 2
		return append(out, "\"\\/\b\f\n\r\t"[i]), nil
	}
	r, ok := p.hex()
	if !ok {
		return nil, p.errorf("invalid escape in a string")
	}
	if utf16.IsSurrogate(r) {
		at := p.i
		if p.i+1 < len(p.b) && p.b[p.i] == '\\' && p.b[p.i+1] == 'u' {
			if low, ok := p.hex(); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return utf8.AppendRune(out, pair), nil
				}
			}
		}
		p.i = at // a lone surrogate; what follows stands for itself
		r = utf8.RuneError
	}
	return utf8.AppendRune(out, r), nil
}

// hex reads \uXXXX at the present position.
func (p *txnParser) hex() (rune, bool) {
	if p.i+6 > len(p.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.b[p.i+2:p.i+6]), 16, 16)
	if err != nil {
		return 0, false
	}
	p.i += 6
	return rune(n), true
}

// skipDepth bounds the nesting of values that are skipped.
const skipDepth = 64

// skip reads over any value.
func (p *txnParser) skip(depth int) error {
	if depth > skipDepth {
		return p.errorf("nested too deeply")
	}
	if p.i >= len(p.b) {
		return p.errorf("want a value")
	}
	switch c := p.b[p.i]; {
	case c == '"':
		_, err := p.text()
		return err
	case c == '{':
		return p.object(func([]byte) error { return p.skip(depth + 1) })
	case c == '[':
		p.byte('[')
		for first := true; !p.byte(']'); first = false {
			if !first && !p.byte(',') {
				return p.errorf("want , or ] in a list")
			}
			if err := p.skip(depth + 1); err != nil {
				return err
			}
		}
		return nil
	case p.word("true"), p.word("false"), p.null():
		return nil
	case c == '-' || c >= '0' && c <= '9':
		start := p.i
		for p.i < len(p.b) && strings.IndexByte("+-.eE0123456789", p.b[p.i]) >= 0 {
			p.i++
		}
		if !json.Valid(p.b[start:p.i]) {
			p.i = start
			return p.errorf("want a number")
		}
		p.space()
		return nil
	}
	return p.errorf("want a value")
}
