package rawhttp

import (
	"bytes"
	"fmt"
	"strings"
)

// maxShownBytes is how much of a body an error text may quote.
const maxShownBytes = 300

// Response is one parsed answer. Head and Body are filled only if the Parser
// was to keep them; they belong to whoever receives the Response.
type Response struct {
	Status int    // 100 to 999
	Index  uint64 // X-Consul-Index; 0 when absent or not a number
	Length int64  // bytes of the body, chunk framing not counted
	Close  bool   // the server will close the connection after this answer

	Head []byte // status line and header lines, without the empty line
	Body []byte
}

// Field is one header as it came over the wire, the spelling of its name
// included.
type Field struct {
	Name, Value string
}

// Fields lists the headers in the order they were sent; nil if the Parser did
// not keep the head.
func (r *Response) Fields() []Field {
	_, lines, found := bytes.Cut(r.Head, []byte("\r\n"))
	if !found {
		return nil
	}
	var out []Field
	for line := range strings.SplitSeq(string(lines), "\r\n") {
		name, value, found := strings.Cut(line, ":")
		if !found {
			continue
		}
		out = append(out, Field{Name: name, Value: strings.Trim(value, " \t")})
	}
	return out
}

// Problem describes an answer that was not the wanted one, with the beginning
// of its body if that was kept.
func (r *Response) Problem() error {
	body := bytes.TrimSpace(r.Body)
	if len(body) == 0 {
		return fmt.Errorf("answered with status %d", r.Status)
	}
	return fmt.Errorf("answered with status %d: %s", r.Status, body[:min(len(body), maxShownBytes)])
}
