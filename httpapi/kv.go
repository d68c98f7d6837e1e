package httpapi

import (
	"hash/maphash"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// kvGet answers GET /v1/kv/<key>.
//
// Source: contract, KV, section 3; blocking queries.
func (c *call) kvGet() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	asked, err := c.question()
	if err != nil {
		return err
	}
	c.asked = keyQuestion{asked, c}
	q := &c.asked.question
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	contact, err := c.fresh(o)
	if err != nil {
		return err
	}
	if c.q.has(pHistory) {
		return c.kvHistory(q, contact)
	}
	if o.index > 0 && q.revision == 0 {
		if err := c.needQuestion(q); err != nil {
			return err
		}
		if err := c.await(&c.asked, o); err != nil {
			return err
		}
		contact = c.s.node.Contact()
	}
	return c.answerQuestion(q, o, contact)
}

// question reads what is asked for from path and query.
func (c *call) question() (q question, err error) {
	q.key = c.arg
	switch {
	case c.q.has(pKeys):
		q.shape = names
		q.separator = c.q.get(pSeperator)
		if c.q.has(pSeparator) {
			q.separator = c.q.get(pSeparator)
		}
	case c.q.has(pRecurse):
		q.shape = entries
	case c.q.has(pRaw):
		q.shape = rawValue
	}
	if q.key == "" && !q.tree() {
		return q, errMissingKey
	}
	if q.tree() {
		q.after = c.q.get(pAfter)
		if c.q.has(pLimit) {
			n, err := c.number(pLimit)
			if err != nil {
				return q, err
			}
			q.limit = int(min(n, 1<<30))
		}
	}
	q.revision, err = c.revision()
	return q, err
}

// revision returns the index of the state that ?revision or ?at asks for; 0 when
// neither is given.
func (c *call) revision() (uint64, error) {
	if !c.q.has(pRevision) && !c.q.has(pAt) {
		return 0, nil
	}
	view := c.s.node.Store().View()
	switch {
	case c.q.has(pRevision) && c.q.has(pAt):
		return 0, badRequest("Specify ?revision or ?at, not both")
	case c.q.has(pRevision):
		n, err := c.number(pRevision)
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, badRequest("?revision must be an index above 0")
		case n > max(view.Applied(), storeIndex(view)):
			return 0, badRequest("?revision=" + strconv.FormatUint(n, 10) + " lies ahead of this server, which is at index " +
				strconv.FormatUint(view.Applied(), 10))
		}
		return n, nil
	default:
		at, err := time.Parse(time.RFC3339Nano, c.q.get(pAt))
		if err != nil {
			return 0, badRequest("Invalid time in ?at, want RFC 3339 such as 2006-01-02T15:04:05Z")
		}
		n, err := view.IndexAt(at.UnixNano())
		return max(n, 1), err
	}
}

// needQuestion checks the rights that a question needs, or again those that it was found
// to have. Lists are cut down; with acl.enable_key_list_policy they need one too.
//
// Source: contract, ACL enforcement, section 5.1.
func (c *call) needQuestion(q *question) error {
	switch {
	case !c.guarded():
		return c.mayAnswer()
	case c.rights.who != nil:
		return c.still()
	case !q.tree():
		return c.need(acl.ResourceKey, q.access(), q.key)
	case c.s.settings.Load().KeyList:
		return c.need(acl.ResourceKey, acl.AccessList, q.key)
	}
	return c.known()
}

// keyFilter returns what cuts down lists of keys; nil when rights are not checked.
func (c *call) keyFilter(access acl.Access) *keyFilter {
	if c.rights.who == nil {
		return nil
	}
	c.rights.selective = true
	return &keyFilter{auth: c.rights.who.Auth, access: access}
}

func (f *keyFilter) rules() *acl.Authorizer {
	if f == nil {
		return nil
	}
	return f.auth
}

// keyQuestion is a question about keys that waits, and of whom.
type keyQuestion struct {
	question
	c *call
}

// sight is part of partial.
func (q *keyQuestion) sight(v *fsm.View) sight {
	if !q.tree() {
		return sight{}
	}
	var h maphash.Hash
	h.SetSeed(answerSeed)
	seen := sight{empty: true}
	keep := q.c.keyFilter(q.access())
	v.List(q.key, func(cur *kvs.Version) {
		if keep.keeps(cur.Key) {
			_, _ = h.WriteString(cur.Key) // it never fails
			_ = h.WriteByte(0)            // nor does this
			seen.empty = false
		}
	})
	if seen.empty && keep != nil && keep.cut {
		q.c.rights.missing = right{acl.ResourceKey, keep.access, keep.missing}
	}
	seen.digest = h.Sum64()
	return seen
}

// answerQuestion answers from the state as it is now.
func (c *call) answerQuestion(q *question, o readOptions, contact Contact) error {
	view := c.s.node.Store().View()
	if err := c.needQuestion(q); err != nil {
		return err
	}
	if c.answeredAsOthers(q, o, contact, view) {
		c.status = http.StatusOK
		return nil
	}
	var keep bool
	var filter *keyFilter
	if q.tree() {
		filter = c.keyFilter(q.access())
	}
	auth := filter.rules()
	if q.cacheable() {
		var hit *cachedList
		if hit, keep = c.s.lists.find(q, auth, view); hit != nil {
			if !c.answerHead(q, o, contact, view, hit.reply) {
				c.writeCached(hit)
			}
			return nil
		}
	}
	buf := getBuffer()
	defer putBuffer(buf)
	body, r, err := q.answer(view, (*buf)[:0], filter)
	*buf = body
	if err != nil {
		return err
	}
	if q.cacheable() {
		c.s.lists.note(q, auth, view, r, body, keep)
	}
	switch {
	case c.answerHead(q, o, contact, view, r):
	case q.shape == rawValue:
		h := c.w.Header()
		h["X-Content-Type-Options"] = noSniff
		h["Content-Security-Policy"] = sandbox
		c.writeOne(q.shape, r.of, r.raw, typeRaw)
	case q.shape == oneEntry && !c.q.has(pPretty):
		c.writeOne(q.shape, r.of, body, typeJSON)
	default:
		c.json(body)
	}
	return nil
}

// answerHead sets the headers of an answer. It tells whether the answer is
// complete without a body: nothing was found, or the client has it already.
func (c *call) answerHead(q *question, o readOptions, contact Contact, view *fsm.View, r reply) bool {
	index := r.index
	if o.index > 0 && q.revision == 0 {
		index = answerIndex(q, r, view, o)
	}
	h := c.w.Header()
	setContact(h, contact)
	h["X-Consul-Query-Backend"] = backend
	if r.cut {
		c.filtered()
	}
	if !r.found {
		setIndex(h, index)
		h["Content-Length"] = headerZero
		c.status = http.StatusNotFound
		c.w.WriteHeader(http.StatusNotFound)
		return true
	}
	if r.more {
		h["X-Holdfast-Next"] = []string{url.QueryEscape(r.next)}
	}
	if r.cut {
		// The tag is that of the whole list. Who saw another part of it must not be
		// told that nothing is new.
		setIndex(h, index)
		return false
	}
	tag := setIndexAndTag(h, index, view.RestoredAt())
	if matchesTag(c.r.Header, tag) {
		c.status = http.StatusNotModified
		c.w.WriteHeader(http.StatusNotModified)
		return true
	}
	return false
}

// writeCached answers with a list that is ready.
func (c *call) writeCached(hit *cachedList) {
	if c.q.has(pPretty) || !takesGzip(c.r.Header) {
		c.json(hit.body)
		return
	}
	c.writeCompressed(c.s.lists.compressed(hit), typeJSON)
}

// kvVersion is one version of a key in the answer of ?history.
type kvVersion struct {
	Index       uint64
	Time        time.Time
	Op          string
	Accessor    string
	Address     string
	Reason      string
	Size        int
	Flags       uint64
	Session     string `json:",omitempty"`
	LockIndex   uint64
	CreateIndex uint64
	Value       []byte
}

// kvHistory answers ?history[=N]: the newest N versions of a key, newest first.
func (c *call) kvHistory(q *question, contact Contact) error {
	if q.tree() || q.key == "" {
		return badRequest("?history is for one key, not for a prefix")
	}
	n := uint64(limit.HistoryAnswer)
	if c.q.get(pHistory) != "" {
		var err error
		if n, err = c.number(pHistory); err != nil {
			return err
		}
	}
	view := c.s.node.Store().View()
	if err := c.need(acl.ResourceKey, acl.AccessHistory, q.key); err != nil {
		return err
	}
	versions := view.History(q.key, int(min(n, limit.HistoryAnswer)))
	h := c.w.Header()
	setQuery(h, q.index(view), contact)
	if versions == nil {
		h["Content-Length"] = headerZero
		c.status = http.StatusNotFound
		c.w.WriteHeader(http.StatusNotFound)
		return nil
	}
	out := make([]kvVersion, len(versions))
	for i, v := range versions {
		out[i] = shownVersion(v)
	}
	return c.encode(out)
}

func shownVersion(v *kvs.Version) kvVersion {
	by := v.By.Value()
	shown := kvVersion{
		Index: v.ModifyIndex, Time: time.Unix(0, v.Time).UTC(), Op: v.Kind.String(),
		Accessor: by.Accessor, Address: by.Address, Reason: by.Reason,
		Size: len(v.Value), Flags: v.Flags, Session: v.Session,
		LockIndex: v.LockIndex, CreateIndex: v.CreateIndex,
	}
	if len(v.Value) > 0 { // an empty value is null, as everywhere on the wire
		shown.Value = v.Value
	}
	return shown
}
