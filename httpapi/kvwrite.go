package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// kvPut answers PUT /v1/kv/<key>.
//
// Source: contract, KV, section 4, which also gives the order of the checks.
func (c *call) kvPut() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	if c.arg == "" && !c.q.has(pSequential) {
		return errMissingKey
	}
	m := writings.Get().(*writing)
	defer m.release()
	op := &m.op
	op.Verb, op.Key = kvs.Set, c.arg
	if err := c.conflicts(pCAS, pAcquire, pRelease); err != nil {
		return err
	}
	var err error
	if c.q.has(pFlags) {
		if op.Flags, err = c.number(pFlags); err != nil {
			return err
		}
	}
	switch {
	case c.q.has(pCAS):
		op.Verb = kvs.CAS
		if op.Index, err = c.number(pCAS); err != nil {
			return err
		}
	case c.q.has(pAcquire):
		op.Verb, op.Session = kvs.Lock, c.q.get(pAcquire)
	case c.q.has(pRelease):
		op.Verb, op.Session = kvs.Unlock, c.q.get(pRelease)
	}
	if m.command.Ties, err = c.ties(op); err != nil {
		return err
	}
	if op.Value, err = c.bodyInto(m.value, c.s.settings.Load().ValueBytes, "kv_max_value_size"); err != nil {
		return err
	}
	return c.kvWrite(m)
}

// kvDelete answers DELETE /v1/kv/<key>.
//
// Source: contract, KV, section 5.
func (c *call) kvDelete() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	m := writings.Get().(*writing)
	defer m.release()
	op := &m.op
	op.Verb, op.Key = kvs.Delete, c.arg
	if c.arg == "" && !c.q.has(pRecurse) {
		return errMissingKey
	}
	if err := c.conflicts(pCAS, pRecurse); err != nil {
		return err
	}
	switch {
	case c.q.has(pRecurse):
		op.Verb = kvs.DeleteTree
		if c.arg == "" && c.s.settings.Load().KeepRoot {
			return &statusError{
				http.StatusForbidden,
				"Deleting every key at once is switched off on this server (disable_root_recursive_delete)",
			}
		}
	case c.q.has(pCAS):
		op.Verb = kvs.DeleteCAS
		var err error
		if op.Index, err = c.number(pCAS); err != nil {
			return err
		}
	}
	var err error
	if m.command.Ties, err = c.ties(op); err != nil {
		return err
	}
	return c.kvWrite(m)
}

// writing is the memory of one write of a key, which is used again: what goes into the
// log, or to the leader, is a copy.
type writing struct {
	command fsm.Command
	op      kvs.Op
	value   []byte // room for a value
}

var writings = sync.Pool{New: func() any { return new(writing) }}

// mostValueRoom is how much room is kept for the next value; larger ones are seldom.
const mostValueRoom = 64 << 10

// release gives the memory back.
func (m *writing) release() {
	if room := m.op.Value; cap(room) > cap(m.value) && cap(room) <= mostValueRoom {
		m.value = room[:0]
	}
	m.command, m.op = fsm.Command{}, kvs.Op{}
	writings.Put(m)
}

// kvWrite proposes one operation and answers true or false, with the index from
// which on its effect can be read. A sequential write is answered with its key.
func (c *call) kvWrite(m *writing) error {
	op := &m.op
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.decide(func() error { return fsm.NeedWrite(op, &m.command.Ties, c.behavior, c.need) }); err != nil {
		return err
	}
	m.command.Write = op
	res, err := c.propose(&m.command)
	switch {
	case err != nil:
		return err
	case res.Fenced != nil:
		return &statusError{http.StatusConflict, res.Fenced.Error()}
	case res.Invalid != "":
		return serverError("raft apply failed: " + res.Invalid)
	}
	h := c.w.Header()
	setIndex(h, res.Index)
	if res.Fence > 0 {
		h["X-Holdfast-Fence"] = []string{strconv.FormatUint(res.Fence, 10)}
	}
	switch {
	case res.Applied && res.Key != "":
		return c.encode(res.Key)
	case !res.Applied && op.Verb == kvs.Lock && c.q.has(pExplain):
		return c.encode(c.explainLock(op.Key))
	}
	c.bool(res.Applied)
	return nil
}

// propose puts a command through the log, with who asked and why.
func (c *call) propose(cmd *fsm.Command) (fsm.Result, error) {
	if err := c.checkDatacenter(); err != nil {
		return fsm.Result{}, err
	}
	reason := headerOf(c.r.Header, "X-Holdfast-Reason")
	switch {
	case len(reason) > limit.ReasonBytes:
		return fsm.Result{}, badRequest("X-Holdfast-Reason is longer than 1024 bytes")
	case !utf8.ValidString(reason):
		return fsm.Result{}, badRequest("X-Holdfast-Reason is not valid UTF-8")
	}
	cmd.Origin = kvs.Origin{Reason: reason, Address: c.address()}
	who, err := c.identity()
	if err != nil {
		return fsm.Result{}, err
	}
	if who != nil {
		cmd.Origin.Accessor, cmd.Checked = who.Accessor, who.Checked
		cmd.Ending = cmd.MayEnd(c.behavior)
	}
	if err := c.auditCommand(cmd); err != nil {
		return fsm.Result{}, err
	}
	res, err := c.s.node.Propose(c.r.Context(), cmd)
	c.auditOutcome(res, err)
	if err == nil && res.Denied != "" {
		err = &DeniedError{res.Denied}
	}
	return res, err
}

// conflicts refuses a request in which more than one of the given parameters is
// present. The text lists all parameters, sorted by name.
func (c *call) conflicts(params ...param) error {
	n := 0
	for _, p := range params {
		if c.q.has(p) {
			n++
		}
	}
	if n < 2 {
		return nil
	}
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil { // it was parsed before
		return badRequest(err.Error())
	}
	if values.Has("token") {
		values.Set("token", "hidden")
	}
	return badRequest("Conflicting flags: " + values.Encode() + "\n")
}
