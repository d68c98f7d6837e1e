package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/session"
)

// Tokens are the secrets that this server was given for its own use, by slot.
type Tokens interface {
	// Token returns the secret in a slot; "" when it is empty or there is none.
	Token(slot string) string

	// SetToken puts a secret into a slot, or with "" takes it out.
	SetToken(slot, secret string) error
}

// rights is what a request is allowed to do: who asks, found out once, and what it was
// found to need, so that it can be found out again after a wait.
//
// The order is always the same: first the state that answers is taken, then the rights
// are looked up. So a right that was taken away before something was written is never
// there for what was written.
type rights struct {
	who        *acl.Identity // nil: not looked up yet
	explicit   bool          // a token or a certificate was sent, or the token of this server stepped in
	borrowed   bool          // the token of this server stepped in
	selective  bool          // it was asked what may be seen, for an answer that is cut down to that
	cut        bool          // something was left out of the answer
	refusedOps bool          // operations of a transaction were denied
	missing    right         // what was lacking for the last thing that was left out

	// needs are what was asked for and given; they are asked for again after a wait.
	needs    []right
	waited   parkable // the question that the request has waited with; nil for none
	needsBuf [2]right // where needs begins, so that most requests allocate nothing
}

// right is one question to an authorizer.
type right struct {
	resource acl.Resource
	access   acl.Access
	name     string
}

// guarded tells whether rights are checked at all.
func (c *call) guarded() bool { return c.s.opts.ACL != nil }

// mayAnswer returns why a server that checks no rights must not answer: its cluster does. It
// is asked when a request comes, and wherever rights would be looked up: a server that has
// just begun to run learns only by and by what its cluster has.
func (c *call) mayAnswer() error {
	if c.guarded() || c.s.opts.Unchecked == nil || c.endpoint.open {
		return nil
	}
	if err := c.s.opts.Unchecked(); err != nil {
		return serverError(err.Error()) // of this server, not of its client, who should ask another
	}
	return nil
}

// identity resolves who asks, once for each request; nil when rights are not checked. It
// is whose token was sent, else who the certificate of the connection names, else whose
// token this server has for such requests, else the anonymous token.
func (c *call) identity() (*acl.Identity, error) {
	switch {
	case !c.guarded():
		return nil, c.mayAnswer()
	case c.rights.who != nil:
		return c.rights.who, nil
	}
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	var who *acl.Identity
	if c.r.TLS != nil && sentToken(&c.q, c.r.Header) == "" {
		if who, err = c.byCertificate(); err != nil {
			return nil, err
		}
		c.rights.explicit = c.rights.explicit || who != nil
		c.rights.borrowed = c.rights.borrowed && who == nil
	}
	if who == nil {
		if who, err = c.s.opts.ACL.ResolveFor(c.lastAsked(), secret); err != nil {
			return nil, err
		}
	}
	c.rights.who = who
	return who, nil
}

// secret returns the secret that the request is made with; "" for none.
//
// Source: contract, ACL enforcement, section 2.
func (c *call) secret() (string, error) {
	if c.q.get(pToken) != "" && c.s.settings.Load().NoTokenInQuery {
		return "", errTokenInQuery
	}
	secret := sentToken(&c.q, c.r.Header)
	if secret == "" && c.s.opts.Tokens != nil {
		secret = c.s.opts.Tokens.Token(slotDefault)
		c.rights.borrowed = secret != ""
	}
	c.rights.explicit = secret != ""
	return secret, nil
}

var errTokenInQuery = badRequest("This server takes no token in the URL, where it ends up in logs (acl.token_in_query): " +
	"send it in the header X-Consul-Token or as Authorization: Bearer")

// sentToken returns the token that a request carries; "" for none. The first place that
// has one counts, whether it is a good one or not.
func sentToken(q *query, h http.Header) string {
	if token := q.get(pToken); token != "" {
		return token
	}
	if token := headerOf(h, "X-Consul-Token"); token != "" {
		return token
	}
	return bearer(headerOf(h, "Authorization"))
}

// bearer returns the token in an Authorization header; "" for none or another scheme.
func bearer(value string) string {
	const scheme = "bearer"
	value = strings.TrimSpace(value)
	if len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return ""
	}
	rest := value[len(scheme):]
	token := strings.TrimLeft(rest, " \t")
	if len(token) == len(rest) { // the scheme goes on
		return ""
	}
	if i := strings.IndexAny(token, " \t"); i >= 0 {
		token = token[:i]
	}
	return token
}

// need returns nil when whoever asks has the right, and what answers 403 otherwise.
func (c *call) need(r acl.Resource, a acl.Access, name string) error {
	switch {
	case !c.guarded():
		return c.mayAnswer()
	case c.returning:
		return nil
	}
	who, err := c.identity()
	if err != nil {
		return err
	}
	if !who.Auth.Allow(r, a, name) {
		return lacking(who, right{r, a, name})
	}
	if c.rights.needs == nil {
		c.rights.needs = c.rights.needsBuf[:0]
	}
	c.rights.needs = append(c.rights.needs, right{r, a, name})
	return nil
}

// behavior is a [fsm.Behaviors] of the sessions that this server knows.
func (c *call) behavior(id string) (session.Behavior, bool) {
	return c.s.node.Store().View().Behavior(id)
}

func lacking(who *acl.Identity, q right) error {
	return who.Auth.Refuse(who.Accessor, q.resource, q.access, q.name)
}

// may tells whether whoever asks has the right, for lists that are cut down: the caller
// leaves out what it denies and calls filtered.
func (c *call) may(r acl.Resource, a acl.Access, name string) bool {
	if !c.guarded() {
		return true
	}
	c.rights.selective = true
	who, err := c.identity()
	if err != nil || !who.Auth.Allow(r, a, name) {
		c.rights.missing = right{r, a, name}
		return false
	}
	return true
}

// filtered notes that something was left out of the answer.
//
// Source: contract, ACL enforcement, section 4: who sends no token is not told.
func (c *call) filtered() {
	c.rights.cut = true
	if c.rights.explicit {
		c.w.Header()["X-Consul-Results-Filtered-By-Acls"] = headerTrue
	}
}

// isRefusal tells whether an error says that somebody may not do something.
func isRefusal(err error) bool {
	if err == nil {
		return false
	}
	var permission *acl.PermissionError
	return errors.As(err, &permission) || isUnknown(err)
}

// isUnknown tells whether an error says that nobody has a token.
func isUnknown(err error) bool {
	return errors.Is(err, acl.ErrNotFound) || errors.Is(err, acl.ErrNotBootstrapped)
}

// DeniedError is a refusal that comes from where the log is applied, or from the leader.
type DeniedError struct {
	Text string // in the words of the wire
}

func (e *DeniedError) Error() string { return e.Text }

// decide makes the checks of a request whose answer does not come from the state of this
// server, such as a write. What is allowed here and no longer in the cluster is found
// out where the log is applied; what is refused here may be allowed by now, and is
// looked at again in fresh state. So is who asks with a certificate: what it is worth
// cannot be found out where the log is applied.
//
// Source: contract, ACL enforcement, section 7: writes are decided on the leader.
func (c *call) decide(check func() error) error {
	if !c.guarded() {
		return c.mayAnswer()
	}
	err := check()
	if who := c.rights.who; !isRefusal(err) && (err != nil || who == nil || who.Checked.Links == nil) {
		return err
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return err
	}
	c.forget()
	return check()
}

// needToWrite is need for a request that goes through the log.
func (c *call) needToWrite(r acl.Resource, a acl.Access, name string) error {
	return c.decide(func() error { return c.need(r, a, name) })
}

// needFresh is need for what a request does at once and not through the log: they are
// the rights of the cluster and not of what this server knows of it. Without a leader
// that is what there is. What only a leader can do is looked at again there; see granted.
func (c *call) needFresh(r acl.Resource, a acl.Access, name string) error {
	if err := c.freshRights(); err != nil {
		return err
	}
	return c.need(r, a, name)
}

func (c *call) freshRights() error {
	if !c.guarded() {
		return nil
	}
	return c.hearLatest()
}

// hearLatest makes this server know what the cluster knows, where it knows of a leader.
func (c *call) hearLatest() error {
	if !c.s.node.Contact().KnownLeader {
		return nil
	}
	c.forget()
	_, err := c.s.node.ReadIndex(c.r.Context(), Default)
	switch {
	case err == nil, errors.Is(err, ErrNoLeader):
		return nil
	case errors.Is(err, ErrNotReady) && !c.guarded():
		return nil // whether the leader checks rights it has heard; the tables it does not need
	}
	return err
}

// needOfAll is needFresh for what is done to all members and by no leader, who would look
// again: it is not done on what this server knew when it last heard of one, also where that
// was that nobody checks rights.
func (c *call) needOfAll(r acl.Resource, a acl.Access, name string) error {
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return err
	}
	c.forget()
	return c.need(r, a, name)
}

// granted is the first right that was asked for and given, for the leader, who looks at it
// again; nil when nobody has looked.
func (c *call) granted() *acl.Given {
	who := c.rights.who
	if who == nil || len(c.rights.needs) == 0 {
		return nil
	}
	q := c.rights.needs[0]
	return &acl.Given{Who: who.Checked, Resource: q.resource, Access: q.access, Name: q.name}
}

// needHere is need for reads of what this server alone knows, which must be possible
// without a leader. Only who would be refused is looked up in fresh state.
func (c *call) needHere(r acl.Resource, a acl.Access, name string) error {
	err := c.need(r, a, name)
	if !isRefusal(err) || !c.s.node.Contact().KnownLeader {
		return err
	}
	if _, failed := c.s.node.ReadIndex(c.r.Context(), Default); failed != nil {
		return err
	}
	c.forget()
	return c.need(r, a, name)
}

// known refuses a token that nobody issued, for lists, which are cut down and otherwise
// refused to nobody.
func (c *call) known() error {
	if c.returning {
		return nil
	}
	_, err := c.identity()
	return err
}

// knownHere is known for lists of what this server alone knows.
func (c *call) knownHere() error {
	err := c.known()
	if !isRefusal(err) || !c.s.node.Contact().KnownLeader {
		return err
	}
	if _, failed := c.s.node.ReadIndex(c.r.Context(), Default); failed != nil {
		return err
	}
	c.forget()
	return c.known()
}

// forget makes the next question look up who asks.
func (c *call) forget() { c.rights = rights{} }

// again finds out anew who asks and whether what was needed is still given. It must come
// after the state was taken that answers. It tells whether other rules hold now.
func (c *call) again() (changed bool, err error) {
	old := c.rights.who
	if old == nil {
		return false, nil
	}
	who, err := c.s.whoNow(old, c.rights.borrowed)
	if err != nil {
		return false, err
	}
	if who == old {
		return false, nil
	}
	c.rights.who = who
	if who.Auth == old.Auth {
		return false, nil
	}
	for _, q := range c.rights.needs {
		if !who.Auth.Allow(q.resource, q.access, q.name) {
			return true, lacking(who, q)
		}
	}
	return true, nil
}

// whoNow finds out anew who asks. borrowed tells that it is whoever this server's own
// token for such requests names, which may be another token by now.
func (s *Server) whoNow(old *acl.Identity, borrowed bool) (*acl.Identity, error) {
	if borrowed {
		return s.opts.ACL.Resolve(s.opts.Tokens.Token(slotDefault))
	}
	return s.opts.ACL.Again(old)
}

// still is again for an answer: after a wait it must not be cut down to nothing.
func (c *call) still() error {
	if c.returning { // before it has looked what it came back for
		return nil
	}
	if !c.guarded() {
		return c.mayAnswer()
	}
	_, err := c.stillMay(c.rights.waited)
	return err
}

// ended is when the token of a request ends; the zero time for never.
func (c *call) ended() time.Time { return endOf(c.rights.who) }

// endOf is when the token of somebody ends; the zero time for never.
func endOf(who *acl.Identity) time.Time {
	if who != nil && who.Checked != nil && who.Checked.Expires != 0 {
		return time.Unix(0, who.Checked.Expires)
	}
	return time.Time{}
}

// recut begins an answer anew that may be cut down.
func (c *call) recut() {
	if c.rights.cut {
		c.rights.cut = false
		delete(c.w.Header(), "X-Consul-Results-Filtered-By-Acls")
	}
}

// keeps tells whether a row of a list may be shown, and notes it when not.
func (c *call) keeps(r acl.Resource, name string) bool {
	if c.may(r, acl.AccessRead, name) {
		return true
	}
	c.filtered()
	return false
}
