package httpapi

import (
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/holdfast-kv/holdfast/kvs"
)

// bufferBytes is the largest buffer that is kept for the next request.
const bufferBytes = 4 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= bufferBytes {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// appendEntry appends a key as reads show it; without its value if value is false.
//
// Source: contract, KV, section 1.
func appendEntry(b []byte, v *kvs.Version, value bool) []byte {
	b = append(b, `{"LockIndex":`...)
	b = strconv.AppendUint(b, v.LockIndex, 10)
	b = append(b, `,"Key":`...)
	b = appendString(b, v.Key)
	b = append(b, `,"Flags":`...)
	b = strconv.AppendUint(b, v.Flags, 10)
	b = append(b, `,"Value":`...)
	if value {
		b = appendBase64(b, v.Value)
	} else {
		b = append(b, "null"...)
	}
	if v.Session != "" {
		b = append(b, `,"Session":`...)
		b = appendString(b, v.Session)
	}
	b = append(b, `,"CreateIndex":`...)
	b = strconv.AppendUint(b, v.CreateIndex, 10)
	b = append(b, `,"ModifyIndex":`...)
	b = strconv.AppendUint(b, v.ModifyIndex, 10)
	return append(b, '}')
}

// appendString appends a JSON string as encoding/json writes it: <, >, &, U+2028
// and U+2029 escaped, bytes that are no UTF-8 replaced.
//
// Source: contract, README, section 6.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r != utf8.RuneError && r != '\u2028' && r != '\u2029' || r == utf8.RuneError && n > 1 {
				i += n
				continue
			}
			b = append(b, s[start:i]...)
			switch r {
			case '\u2028':
				b = append(b, `\u2028`...)
			case '\u2029':
				b = append(b, `\u2029`...)
			default:
				b = append(b, `\ufffd`...)
			}
			i += n
			start = i
			continue
		}
		if safe[c] {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscaped(b, c)
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// safe holds the ASCII bytes that stand for themselves in a JSON string.
var safe = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		switch {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&':
		default:
			t[c] = true
		}
	}
	return t
}()
