package httpapi

import (
	"net/http"
	"strconv"
	"strings"
)

// setIndexAndTag sets X-Consul-Index and ETag of a read and returns the tag. The
// tag is weak, for the bytes depend on compression, and holds the restore point,
// since after a restore an index may come again for other content.
func setIndexAndTag(h http.Header, index, restored uint64) string {
	var b [64]byte
	t := append(b[:0], `W/"`...)
	if restored > 0 {
		t = strconv.AppendUint(t, restored, 36)
		t = append(t, '-')
	}
	at := len(t)
	t = strconv.AppendUint(t, max(index, 1), 10)
	end := len(t)
	tag := string(append(t, '"'))
	values := [2]string{tag[at:end], tag}
	h["X-Consul-Index"] = values[0:1:1]
	h["Etag"] = values[1:2:2]
	return tag
}

// matchesTag tells whether If-None-Match names the tag. Weak and strong forms
// compare alike here (RFC 9110, section 13.1.2).
func matchesTag(h http.Header, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for _, line := range h["If-None-Match"] {
		if line == "*" {
			return true
		}
		for part := range strings.SplitSeq(line, ",") {
			if strings.TrimPrefix(strings.TrimSpace(part), "W/") == tag {
				return true
			}
		}
	}
	return false
}
