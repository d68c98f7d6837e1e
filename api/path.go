package api

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapeKey writes key as the rest of a URL path, so that the server and
// whatever stands before it address exactly these bytes: no slash is doubled,
// none leads, and no segment is "." or "..", which would be cleaned away by a
// redirect. Any byte but letters, digits, '-', '_', '~', '.' and a slash between
// segments is percent-encoded.
//
// Source: contract, KV, "Keys in URLs".
func escapeKey(key string) string {
	var b strings.Builder
	b.Grow(len(key) + len(key)/4)
	for start := 0; start <= len(key); {
		end := len(key)
		if i := strings.IndexByte(key[start:], '/'); i >= 0 {
			end = start + i
		}
		escapeSegment(&b, key[start:end])
		if end == len(key) {
			break
		}
		// A slash may stand as it is only behind a segment that is not empty.
		if end == start {
			b.WriteString("%2F")
		} else {
			b.WriteByte('/')
		}
		start = end + 1
	}
	return b.String()
}

// escapeSegment writes what stands between two slashes.
func escapeSegment(b *strings.Builder, segment string) {
	if segment == "." || segment == ".." {
		b.WriteString(strings.ReplaceAll(segment, ".", "%2E"))
		return
	}
	const hex = "0123456789ABCDEF"
	for i := range len(segment) {
		c := segment[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}

// fitsPath says whether a path can carry key. A server refuses a path with a
// character that is not printable, escaped or not; bytes that are not UTF-8 pass,
// since they count as U+FFFD there.
//
// Source: contract, README, section 2, step 2.
func fitsPath(key string) bool {
	for _, r := range key {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// fitsJSON says whether a transaction can carry key: JSON has no way to write a
// byte that is not UTF-8.
func fitsJSON(key string) bool { return utf8.ValidString(key) }

// checkKey refuses keys that no call of the server takes.
func checkKey(key string) error {
	if key == "" {
		return &KeyError{Key: key, Why: "a key must have at least one byte"}
	}
	if !fitsPath(key) && !fitsJSON(key) {
		return &KeyError{Key: key, Why: "it has a character that is not printable and bytes that are not UTF-8, so neither a path nor a transaction can carry it"}
	}
	return nil
}

// onlyPath refuses a key that must go through a transaction, for calls that a
// transaction cannot do.
func onlyPath(key, what string) error {
	if fitsPath(key) {
		return nil
	}
	return &KeyError{Key: key, Why: "it has a character that is not printable, and " + what + " cannot be asked of such a key"}
}
