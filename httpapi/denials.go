package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// denial is one refused request. It never holds a secret: of the URL it has the path
// alone, and whoever asked is named by the accessor.
type denial struct {
	at       time.Time
	id       string
	accessor string // "" when the token is unknown
	address  string // "" on a Unix socket
	method   string
	path     string
	text     string
	missing  *acl.PermissionError // nil when the token is unknown, or the log refused it
	rules    *acl.Authorizer      // by which it was refused, to say why when somebody asks
}

// denials are the last refused requests of this server.
type denials struct {
	mu   sync.Mutex
	ring []denial // guarded by mu
	next int      // where the oldest is once the ring is full; guarded by mu
}

func (d *denials) add(one denial) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ring) < limit.Denials {
		d.ring = append(d.ring, one)
		return
	}
	d.ring[d.next] = one
	d.next = (d.next + 1) % limit.Denials
}

// newest returns a copy, the newest first.
func (d *denials) newest() []denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := append(slices.Clone(d.ring[d.next:]), d.ring[:d.next]...)
	slices.Reverse(all)
	return all
}

// denied notes that the request was refused, and returns the note.
func (c *call) denied(err error) denial {
	one := denial{
		at: time.Now(), id: c.requestID(), method: c.r.Method, path: cutText(c.withoutSecrets(c.r.URL.Path), limit.DenialPathBytes),
		text: err.Error(), address: c.address(),
	}
	if who := c.rights.who; who != nil {
		one.accessor = who.Accessor
		if errors.As(err, &one.missing) {
			one.rules = who.Auth
		}
	}
	c.s.denials.add(one)
	c.s.refusals.denied(err)
	c.audit.denied = one.text
	return one
}

func cutText(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return strings.Clone(s) // not the whole request with it
}

// requestID is what a refused request can be found by: what the client has sent, or an
// own one. It goes out with the answer.
func (c *call) requestID() string {
	h := c.w.Header()
	if id := headerOf(h, "X-Request-Id"); id != "" {
		return id
	}
	id := headerOf(c.r.Header, "X-Request-Id")
	if !isRequestID(id) {
		id = rand.Text()
	}
	h["X-Request-Id"] = []string{id}
	return id
}

func isRequestID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return id != "" && len(id) <= limit.RequestIDBytes
}

// deniedShown is a refusal as JSON.
type deniedShown struct {
	Error     string
	Accessor  string `json:",omitempty"` // none when the token is unknown
	Resource  string `json:",omitempty"`
	Access    string `json:",omitempty"`
	Name      string `json:",omitempty"`
	DecidedBy string `json:",omitempty"` // rule or default_policy
	Rule      *ruleShown
	RequestID string
	Time      *time.Time `json:",omitempty"`
	Method    string     `json:",omitempty"`
	Path      string     `json:",omitempty"`
	Address   string     `json:",omitempty"`
}

// ruleShown is the rule that refused something, and where it comes from.
type ruleShown struct {
	Resource string // as it is written, such as key_prefix
	Match    string
	Label    string
	Level    string
	PolicyID string   `json:",omitempty"`
	Policy   string   `json:",omitempty"`
	Via      []string `json:",omitempty"`
}

func (d *denial) shown() deniedShown {
	out := deniedShown{Error: d.text, Accessor: d.accessor, RequestID: d.id}
	if d.missing == nil {
		return out
	}
	resource, access, ok := strings.Cut(d.missing.Permission(), ":")
	if ok {
		out.Resource, out.Access = resource, access
	}
	out.Name = d.missing.Name
	if d.rules == nil {
		return out
	}
	why := d.rules.Explain(d.missing.Resource, d.missing.Access, d.missing.Name)
	out.DecidedBy = why.DecidedBy
	if r := why.Rule; r != nil {
		out.Rule = &ruleShown{r.Resource, r.Match, r.Label, r.Level, r.PolicyID, r.Policy, r.Via}
	}
	return out
}

// wantsWhy tells whether a refusal shall be explained: with ?explain, or to who takes
// JSON and no text. The rules shown are those of the asker's own token.
func (c *call) wantsWhy() bool {
	return c.q.has(pExplain) || accepts(c.r.Header, "application/json", nil) &&
		!accepts(c.r.Header, "text/plain", nil) && !accepts(c.r.Header, "text/*", nil) && !accepts(c.r.Header, "*/*", nil)
}

// refuse answers somebody who may not do what was asked.
func (c *call) refuse(status int, err error) {
	c.recut()
	one := c.denied(err)
	if c.rights.who == nil && isUnknown(err) {
		if many := c.tooOften("Too many requests with unknown tokens come from your address, wait before you ask again"); many != nil {
			c.fail(many)
			return
		}
	}
	if !c.wantsWhy() {
		c.text(status, err.Error())
		return
	}
	shown := one.shown()
	body, failed := json.Marshal(shown)
	if failed != nil {
		c.text(status, err.Error())
		return
	}
	c.status = status
	c.json(body)
}

// aclDenials answers GET /v1/acl/denials: what this server has refused last, the newest
// first. ?accessor, ?resource and ?prefix, of the name, choose among them, ?limit bounds
// how many.
func (c *call) aclDenials() error {
	if !c.guarded() {
		return acl.ErrDisabled
	}
	most := uint64(limit.Denials)
	if c.q.has(pLimit) {
		var err error
		if most, err = c.number(pLimit); err != nil {
			return err
		}
	}
	accessor, _ := c.given("accessor")
	resource, _ := c.given("resource")
	prefix, _ := c.given("prefix")
	if err := c.needHere(acl.ResourceACL, acl.AccessRead, ""); err != nil {
		return err
	}
	out := []deniedShown{}
	for _, d := range c.s.denials.newest() {
		if uint64(len(out)) >= most {
			break
		}
		shown := d.shown()
		if accessor != "" && shown.Accessor != accessor || resource != "" && shown.Resource != resource ||
			!strings.HasPrefix(shown.Name, prefix) {
			continue
		}
		at := d.at.UTC()
		shown.Time, shown.Method, shown.Path, shown.Address = &at, d.method, d.path, d.address
		out = append(out, shown)
	}
	c.w.Header()["Cache-Control"] = noStore
	return c.encode(out)
}
