package limitserver

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

// Answer is the ready-made answer of a limit: what the server under test was
// seen to send for the request that is measured.
type Answer struct {
	Status int             `json:"status"`
	Fields []rawhttp.Field `json:"fields"`
	Body   []byte          `json:"body"`
}

// AnswerLike makes an Answer of one that was recorded from a server. The framing
// becomes a Content-Length: chunks are the choice of a server that did not know
// the length, and a ready-made answer knows it.
func AnswerLike(r rawhttp.Response) Answer {
	a := Answer{Status: r.Status, Body: r.Body}
	for _, f := range r.Fields() {
		switch strings.ToLower(f.Name) {
		case "content-length", "transfer-encoding", "trailer", "connection", "date":
		default:
			a.Fields = append(a.Fields, f)
		}
	}
	return a
}

// True is the answer to a write when none has been recorded.
func True() Answer {
	return Answer{
		Status: http.StatusOK,
		Fields: []rawhttp.Field{{Name: "Content-Type", Value: "application/json"}},
		Body:   []byte("true"),
	}
}

// indexField is the header that tells the index; its name is spelled as the wire has it.
const indexField = "X-Consul-Index"

// index is what the answer says its index is; 1 if it says nothing, since 0 waits for
// nothing.
func (a Answer) index() uint64 {
	for _, f := range a.Fields {
		if strings.EqualFold(f.Name, indexField) {
			if n, err := strconv.ParseUint(f.Value, 10, 64); err == nil && n > 0 {
				return n
			}
		}
	}
	return 1
}

// withIndex is the answer with another index.
func (a Answer) withIndex(index uint64) Answer {
	a.Fields = slices.DeleteFunc(slices.Clone(a.Fields), func(f rawhttp.Field) bool { return strings.EqualFold(f.Name, indexField) })
	a.Fields = append(a.Fields, rawhttp.Field{Name: indexField, Value: strconv.FormatUint(index, 10)})
	return a
}

// waitsAbove is the index above which a query waits; found is false if it asks for what
// is there now.
func waitsAbove(query string) (index uint64, found bool) {
	for part := range strings.SplitSeq(query, "&") {
		if digits, ok := strings.CutPrefix(part, "index="); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			return n, err == nil && n > 0
		}
	}
	return 0, false
}

// prepared is an Answer in the form that costs least to send.
type prepared struct {
	status int
	fields []preparedField
	body   []byte
}

type preparedField struct {
	name   string
	values []string
}

func prepare(a Answer) *prepared {
	p := &prepared{status: a.Status, body: a.Body}
	at := map[string]int{}
	for _, f := range a.Fields {
		i, seen := at[f.Name]
		if !seen {
			i = len(p.fields)
			at[f.Name] = i
			p.fields = append(p.fields, preparedField{name: f.Name})
		}
		p.fields[i].values = append(p.fields[i].values, f.Value)
	}
	if _, typed := at["Content-Type"]; !typed {
		// A nil value keeps net/http from guessing a type from the body.
		p.fields = append(p.fields, preparedField{name: "Content-Type"})
	}
	return p
}

// send writes the answer. Names are assigned as they were recorded, without
// Header.Set, which would spell them anew at a cost.
func (p *prepared) send(w http.ResponseWriter) {
	h := w.Header()
	for _, f := range p.fields {
		h[f.name] = f.values
	}
	if p.status != http.StatusOK {
		w.WriteHeader(p.status)
	}
	// A client that has gone is seen by the load generator, not here.
	_, _ = w.Write(p.body)
}
