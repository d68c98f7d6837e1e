package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/audit"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// Auditor takes down who did what. *audit.Log is one.
type Auditor interface {
	// Refuses tells whether nothing may be done without a line on the device.
	Refuses() bool

	// Ready returns an error when that is so and the device does not work.
	Ready() error

	// Note leaves a line to be written soon.
	Note(*audit.Event)

	// Commit returns when a line is on the device, or with an error.
	Commit(context.Context, *audit.Event) error
}

// audited is what a request has done that its line must tell.
type audited struct {
	kind   string // of the line; "" for none
	ops    []audit.Op
	intent bool // a line says already that it was about to be tried
	index  uint64
	result string
	denied string // what was lacking
}

// errNoAudit refuses what has no line.
var errNoAudit = &statusError{
	http.StatusServiceUnavailable,
	`The audit log cannot be written, and this server is told to do nothing without it (audit.on_failure = "refuse")`,
}

// auditBefore finds out whether the request gets a line. Where nothing may be done
// without one, it writes that the request is about to be tried, unless that is written
// when it is known what it does: where it is put through the log.
func (c *call) auditBefore() error {
	c.audit.kind = c.auditKind()
	if c.audit.kind == "" {
		return nil
	}
	c.requestID() // goes out with the answer
	if err := c.s.opts.Audit.Ready(); err != nil {
		return errNoAudit
	}
	if c.goesThroughLog() {
		return nil
	}
	return c.auditIntent()
}

// auditKind is the kind of line that the request gets if it is not denied.
func (c *call) auditKind() string {
	path := c.endpoint.path
	under := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(path, p) {
				return true
			}
		}
		return false
	}
	reads := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
	switch {
	case reads && path == kvPrefix:
		tree := c.q.has(pRecurse) || c.q.has(pKeys)
		if !c.auditsRead(c.arg, tree) {
			return ""
		}
		op := kvs.Op{Verb: kvs.Get, Key: c.arg}
		if tree {
			op.Verb = kvs.GetTree
		}
		c.audit.ops = []audit.Op{keyOp(&op)}
		return audit.Read
	case reads && (path == "/v1/snapshot" || path == "/v1/acl/tokens" || path == "/v1/acl/token/"):
		return audit.Admin // whose answers have everything, or secrets
	case reads:
		return ""
	case under("/v1/acl/explain", "/v1/holdfast/acl/explain", "/v1/acl/who-can", "/v1/internal/acl/authorize", "/v1/acl/templated-policy/preview/"):
		return "" // questions
	case under("/v1/session/renew/"):
		return "" // says that a client lives, and changes nothing else
	case under("/v1/acl/login", "/v1/acl/logout"):
		return audit.Login
	case under("/v1/agent/service/", "/v1/agent/check/"):
		return audit.Write
	case under("/v1/acl/", "/v1/holdfast/acl/", "/v1/operator/", "/v1/agent/", "/v1/snapshot"):
		return audit.Admin
	}
	return audit.Write
}

// goesThroughLog tells whether what the request does is put through the log by
// propose, or by changeACLFreely. Of an endpoint that is not named here the intent is
// written before anything is known of what it does.
func (c *call) goesThroughLog() bool {
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return false
	}
	for _, p := range []string{
		kvPrefix, "/v1/txn", "/v1/session/", "/v1/lock/", "/v1/election/", "/v1/group/", "/v1/catalog/", "/v1/event/",
		"/v1/operator/autopilot/configuration", "/v1/acl/", "/v1/holdfast/acl/",
	} {
		if strings.HasPrefix(c.endpoint.path, p) {
			return true
		}
	}
	return false
}

// auditsRead tells whether reads of a key, or of all below a prefix, get a line.
func (c *call) auditsRead(key string, tree bool) bool {
	for _, p := range c.s.settings.Load().AuditReads {
		if strings.HasPrefix(key, p) || tree && strings.HasPrefix(p, key) {
			return true
		}
	}
	return false
}

// auditReads is told of the operations of a transaction that only reads: it gets a
// line when one of its keys does.
func (c *call) auditReads(ops []audit.Op) error {
	c.audit.kind = ""
	for _, op := range ops {
		if op.On == "key" && c.auditsRead(op.Name, false) || op.On == "prefix" && c.auditsRead(op.Name, true) {
			c.audit.kind, c.audit.ops = audit.Read, ops
			return c.auditIntent()
		}
	}
	return nil
}

// auditCommand is told of a command before it is put through the log. The error
// answers: there is no line, and so it must not be.
func (c *call) auditCommand(cmd *fsm.Command) error {
	if c.s.opts.Audit == nil {
		return nil
	}
	c.addAudited(cmd)
	return c.auditIntent()
}

// addAudited adds what a command does to what the line tells.
func (c *call) addAudited(cmd *fsm.Command) {
	if c.s.opts.Audit != nil && len(c.audit.ops) < limit.AuditOps {
		c.audit.ops = append(c.audit.ops, opsOf(cmd)...)
	}
}

// auditIntent writes that the request is about to be tried, where nothing may be done
// without.
func (c *call) auditIntent() error {
	if !c.s.opts.Audit.Refuses() {
		return nil
	}
	e := c.auditEvent(audit.Intent)
	c.audit.intent = true
	switch err := c.s.opts.Audit.Commit(c.r.Context(), e); {
	case err == nil:
		return nil
	case c.r.Context().Err() != nil:
		return errClientGone
	default:
		return errNoAudit
	}
}

// auditOutcome is told what became of a command.
func (c *call) auditOutcome(res fsm.Result, err error) {
	if c.s.opts.Audit == nil {
		return
	}
	c.audit.index = res.Index
	switch {
	case errors.Is(err, ErrUnknownOutcome):
		c.audit.result = "unknown"
	case err != nil || res.Invalid != "" || res.Denied != "":
		c.audit.result = "failed"
	case !res.Applied:
		c.audit.result = "not applied"
	default:
		c.audit.result = "applied"
	}
	if res.Key != "" && len(c.audit.ops) > 0 { // a sequential write knows its key now
		last := &c.audit.ops[len(c.audit.ops)-1]
		value := last.Value
		*last = audit.NewOp(last.Verb, "key", res.Key)
		last.Value = value
	}
}

// auditAfter writes the line of a request that has been answered. err is what it has
// ended with.
func (c *call) auditAfter(err error) {
	if err != nil && statusOf(err) == http.StatusForbidden && c.audit.denied == "" {
		c.audit.denied = err.Error()
	}
	kind := c.audit.kind
	switch {
	case c.audit.denied != "":
		kind = audit.Denied
	case kind == "":
		return
	}
	e := c.auditEvent(kind)
	e.Index, e.Result, e.Denied = c.audit.index, c.audit.result, c.audit.denied
	if e.Status = c.status; e.Status == 0 {
		e.Status = http.StatusOK
	}
	c.s.opts.Audit.Note(e)
}

// auditEvent is what is known of the request and of who makes it.
func (c *call) auditEvent(kind string) *audit.Event {
	e := &audit.Event{
		Kind: kind, Time: time.Now(), Request: c.requestID(), Address: c.address(),
		Method: cutText(c.r.Method, limit.AuditMethodBytes), Path: cutText(c.withoutSecrets(c.r.URL.EscapedPath()), limit.AuditNameBytes),
		Reason: strings.ToValidUTF8(cutText(headerOf(c.r.Header, "X-Holdfast-Reason"), limit.ReasonBytes), "\uFFFD"),
		Ops:    c.audit.ops,
	}
	e.Accessor, e.Auth = c.auditWho()
	if shown, ok := presentedBy(c.r); ok {
		e.Subject = cutText(shown.Chain[0].Subject.String(), limit.AuditNameBytes)
	}
	return e
}

// withoutSecrets is a path as it may be written down. Where it should name a token by its
// public id, or what this server uses one for, and somebody has put in the secret, that is
// left out.
func (c *call) withoutSecrets(path string) string {
	named := func(prefix string) bool { return strings.HasPrefix(path, prefix) }
	if !c.guarded() || !named("/v1/acl/") && !named("/v1/holdfast/acl/") && !named("/v1/agent/token/") {
		return path
	}
	v := c.s.node.Store().View().ACL()
	parts := strings.SplitN(path, "/", mostParts)
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			p = plain
		}
		if p != "" && v.Key() != nil && v.TokenByHash(acl.HashSecret(v.Key(), p)) != nil {
			parts[i] = hidden
		}
	}
	if last := len(parts) - 1; last == mostParts-1 && strings.Contains(parts[last], "/") {
		parts[last] = hidden // no endpoint has such a path; nobody looks at all that may be in it
	}
	return strings.Join(parts, "/")
}

// mostParts is more than any path has that takes a name or an id.
const mostParts = 10

// auditWho tells who asks and how that was found out.
func (c *call) auditWho() (accessor, auth string) {
	if !c.guarded() {
		return "", "off"
	}
	if c.rights.who == nil {
		// Whoever answers looks it up in the state that it answers from, not in this.
		defer func() { c.rights.who = nil }()
	}
	who, err := c.identity()
	switch {
	case err != nil:
		return "", "unknown token"
	case who == nil:
		return "", ""
	case who.Checked != nil && who.Checked.Trusted:
		auth = "recovery"
	case who.Checked != nil && who.Checked.Links != nil:
		auth = "certificate"
	case who.Accessor == acl.AnonymousAccessor:
		auth = "anonymous"
	case who.Token != nil && who.Token.Method != "":
		auth = "login:" + who.Token.Method
	case sentToken(&c.q, c.r.Header) == "":
		auth = "agent" // the token that this server uses for those that send none
	default:
		auth = "token"
	}
	return who.Accessor, auth
}

var kvVerbs = [...]string{
	kvs.Set: "set", kvs.CAS: "cas", kvs.Lock: "lock", kvs.Unlock: "unlock",
	kvs.Delete: "delete", kvs.DeleteCAS: "delete-cas", kvs.DeleteTree: "delete-tree",
	kvs.Get: "get", kvs.GetOrEmpty: "get-or-empty", kvs.GetTree: "get-tree",
	kvs.CheckIndex: "check-index", kvs.CheckSession: "check-session", kvs.CheckNotExists: "check-not-exists", kvs.CheckFence: "check-fence",
}

var catalogVerbs = [...]string{catalog.Get: "get", catalog.Set: "set", catalog.CAS: "cas", catalog.Delete: "delete", catalog.DeleteCAS: "delete-cas"}

// opsOf says what a command does.
func opsOf(cmd *fsm.Command) []audit.Op {
	one := func(verb, on, name string) []audit.Op { return []audit.Op{audit.NewOp(verb, on, name)} }
	switch {
	case cmd.Write != nil:
		return []audit.Op{keyOp(cmd.Write)}
	case cmd.Txn != nil:
		return keyOps(cmd.Txn)
	case cmd.Mixed != nil:
		return mixedOps(cmd.Mixed)
	case cmd.Session != nil:
		return one("create", "session", cmd.Session.ID)
	case cmd.EndSession != nil:
		var ops []audit.Op
		for _, id := range cmd.EndSession.IDs {
			ops = append(ops, audit.NewOp("destroy", "session", id))
		}
		return ops
	case cmd.Register != nil:
		return registrationOps(cmd.Register)
	case cmd.Deregister != nil:
		d := cmd.Deregister
		switch {
		case d.ServiceID != "":
			return one("delete", "service", d.Node+"/"+d.ServiceID)
		case d.CheckID != "":
			return one("delete", "check", d.Node+"/"+d.CheckID)
		}
		return one("delete", "node", d.Node)
	case cmd.Event != nil:
		op := audit.NewOp("fire", "event", cmd.Event.Name)
		op.Value = audit.ValueOf(cmd.Event.Payload)
		return []audit.Op{op}
	case cmd.Autopilot != nil:
		return one("set", "autopilot", "configuration")
	case cmd.Contend != nil:
		op := audit.NewOp(map[fsm.Action]string{fsm.Enter: "enter", fsm.Leave: "leave", fsm.Forsake: "forsake"}[cmd.Contend.Action], "queue", cmd.Contend.Queue)
		if len(cmd.Contend.Value) > 0 {
			op.Value = audit.ValueOf(cmd.Contend.Value)
		}
		return []audit.Op{op}
	case cmd.ACL != nil:
		return tableOps(cmd.ACL)
	}
	return nil
}

func keyOps(list []kvs.Op) []audit.Op {
	ops := make([]audit.Op, 0, len(list))
	for i := range list {
		ops = append(ops, keyOp(&list[i]))
	}
	return ops
}

func keyOp(op *kvs.Op) audit.Op {
	on := "key"
	if op.Verb == kvs.DeleteTree || op.Verb == kvs.GetTree {
		on = "prefix"
	}
	name := ""
	if int(op.Verb) < len(kvVerbs) {
		name = kvVerbs[op.Verb]
	}
	out := audit.NewOp(name, on, op.Key)
	out.Index = op.Index
	switch op.Verb {
	case kvs.Set, kvs.CAS, kvs.Lock, kvs.Unlock:
		out.Value = audit.ValueOf(op.Value)
	}
	return out
}

func mixedOps(list []fsm.MixedOp) []audit.Op {
	ops := make([]audit.Op, 0, len(list))
	for _, op := range list {
		if op.KV != nil {
			ops = append(ops, keyOp(op.KV))
			continue
		}
		verb := ""
		if int(op.Catalog.Verb) < len(catalogVerbs) {
			verb = catalogVerbs[op.Catalog.Verb]
		}
		switch c := op.Catalog; {
		case c.Node != nil:
			ops = append(ops, audit.NewOp(verb, "node", c.Node.Name))
		case c.Service != nil:
			ops = append(ops, audit.NewOp(verb, "service", c.Service.Node+"/"+c.Service.ID))
		case c.Check != nil:
			ops = append(ops, audit.NewOp(verb, "check", c.Check.Node+"/"+c.Check.ID))
		}
	}
	return ops
}

func registrationOps(r *catalog.Registration) []audit.Op {
	ops := []audit.Op{audit.NewOp("register", "node", r.Node.Name)}
	if r.Service != nil {
		ops = append(ops, audit.NewOp("register", "service", r.Node.Name+"/"+r.Service.ID))
	}
	for i := range r.Checks {
		ops = append(ops, audit.NewOp("register", "check", r.Node.Name+"/"+r.Checks[i].ID))
	}
	return ops
}

// tableOps says what a change of the ACL tables does. Tokens are named by their public
// id; rules are policy text, which is neither a secret nor a value, but as long as one:
// the hash has to do.
func tableOps(change *acl.Change) []audit.Op {
	one := func(verb, on, name string) []audit.Op { return []audit.Op{audit.NewOp(verb, on, name)} }
	switch {
	case change.Bootstrap != nil:
		return one("bootstrap", "token", change.Bootstrap.Token.Accessor)
	case change.SetToken != nil:
		verb := "update"
		if change.SetToken.Create {
			verb = "create"
		}
		return one(verb, "token", change.SetToken.Token.Accessor)
	case change.DeleteTokens != nil:
		var ops []audit.Op
		for _, id := range change.DeleteTokens.Accessors {
			ops = append(ops, audit.NewOp("delete", "token", id))
		}
		return ops
	case change.Rotate != nil:
		return one("rotate", "token", change.Rotate.Accessor)
	case change.SetPolicy != nil:
		op := audit.NewOp("set", "policy", change.SetPolicy.ID+" "+change.SetPolicy.Name)
		op.Value = audit.ValueOf([]byte(change.SetPolicy.Rules))
		return []audit.Op{op}
	case change.DeletePolicy != "":
		return one("delete", "policy", change.DeletePolicy)
	case change.SetRole != nil:
		return one("set", "role", change.SetRole.ID+" "+change.SetRole.Name)
	case change.DeleteRole != "":
		return one("delete", "role", change.DeleteRole)
	case change.SetMethod != nil:
		return one("set", "auth-method", change.SetMethod.Name)
	case change.DeleteMethod != "":
		return one("delete", "auth-method", change.DeleteMethod)
	case change.SetBinding != nil:
		return one("set", "binding-rule", change.SetBinding.ID)
	case change.DelBinding != "":
		return one("delete", "binding-rule", change.DelBinding)
	}
	return nil
}
