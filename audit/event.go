package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Kinds of lines.
const (
	Intent = "intent" // a write, a login or an act of administration that is about to be tried
	Write  = "write"  // of keys, sessions, services, events
	Admin  = "admin"  // of the cluster, this server, or who may do what
	Login  = "login"  // or logout
	Read   = "read"   // below a prefix that asks for it
	Denied = "denied" // a request that was refused for lack of rights

	start   = "start"   // the server began to write
	file    = "file"    // so did a new file
	resumed = "resumed" // the device works again
	lost    = "lost"    // lines that could not be kept
)

// Event is what one line says. It never holds a secret, and of a value only the hash
// and the length.
type Event struct {
	Kind   string    `json:"event"`
	Time   time.Time `json:"time"`
	Server string    `json:"server,omitempty"` // the log fills it in

	Request  string `json:"request,omitempty"` // id of the request
	Accessor string `json:"accessor,omitempty"`
	Auth     string `json:"auth,omitempty"`    // how it was found out who asks
	Subject  string `json:"subject,omitempty"` // of the certificate
	Address  string `json:"address,omitempty"`
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"` // as it is escaped, without the query
	Reason   string `json:"reason,omitempty"`

	Ops  []Op `json:"ops,omitempty"`
	More bool `json:"more,omitempty"` // the next line has further operations of the request

	Index  uint64 `json:"index,omitempty"` // of the log entry
	Result string `json:"result,omitempty"`
	Status int    `json:"status,omitempty"` // of the answer
	Denied string `json:"denied,omitempty"` // the right that was lacking, in the words of the answer

	File  string `json:"file,omitempty"`  // of a file that begins: the one before
	Torn  int    `json:"torn,omitempty"`  // bytes of a line that was cut short just before this one
	Lost  uint64 `json:"lost,omitempty"`  // how many lines
	Error string `json:"error,omitempty"` // why
}

// Op is one operation of a request.
type Op struct {
	Verb  string `json:"op"`
	On    string `json:"on"` // key, prefix, session, token, policy, ...
	Name  string `json:"name"`
	Bytes []byte `json:"name_bytes,omitempty"` // base64: the name, when it is no UTF-8
	Sum   string `json:"name_sha256,omitempty"`
	Value *Value `json:"value,omitempty"`
	Index uint64 `json:"cas,omitempty"` // that it was compared with
}

// Value stands for the bytes of a value.
type Value struct {
	Sum   string `json:"sha256"`
	Bytes int    `json:"bytes"`
}

// NewOp names what an operation is about. A name that is very long is cut, and
// then known by its hash.
func NewOp(verb, on, name string) Op {
	op := Op{Verb: verb, On: on}
	if len(name) > limit.AuditNameBytes {
		op.Sum = sum([]byte(name))
		name = name[:limit.AuditNameBytes]
	}
	if !utf8.ValidString(name) {
		if op.Sum == "" {
			op.Bytes = []byte(name)
		}
		name = strings.ToValidUTF8(name, "\uFFFD")
	}
	op.Name = name
	return op
}

// ValueOf stands for the bytes of a value.
func ValueOf(value []byte) *Value { return &Value{Sum: sum(value), Bytes: len(value)} }

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// encode returns the event as JSON without the braces.
func (e *Event) encode() ([]byte, error) {
	e.Time = e.Time.UTC()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes())[1 : b.Len()-2], nil
}

// A hash is one end of a link.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

func parseHash(text string) (h hash, ok bool) {
	n, err := hex.Decode(h[:], []byte(text[:min(len(text), 2*len(h))]))
	return h, err == nil && n == len(h) && len(text) == 2*len(h)
}

// A chain is the end of what was written.
type chain struct {
	n    uint64 // of the last line; 0: none
	head hash   // of it
}

const hashField = `,"hash":"`

// seal makes a line of an event, with its line end, and goes on to it.
func (c *chain) seal(event []byte) []byte {
	line := make([]byte, 0, len(event)+2*2*sha256.Size+64)
	line = append(line, `{"n":`...)
	line = strconv.AppendUint(line, c.n+1, 10)
	line = append(line, ',')
	line = append(line, event...)
	line = append(line, `,"prev":"`...)
	line = append(line, c.head.String()...)
	line = append(line, '"')
	c.n, c.head = c.n+1, sha256.Sum256(line)
	line = append(line, hashField...)
	line = append(line, c.head.String()...)
	return append(line, "\"}\n"...)
}
