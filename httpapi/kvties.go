package httpapi

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// Bounds of what a write may say beside its value.
const (
	leastKeyTTL = time.Second
	mostKeyTTL  = 10 * 365 * 24 * time.Hour
	mostWidth   = 20 // digits of the largest number
)

// ties reads our own parameters of a write: what the key ends with (?ephemeral,
// ?ttl, ?touch, ?persist), what the write depends on (?fence) and how the key is
// named (?sequential, ?width).
func (c *call) ties(op *kvs.Op) (t fsm.Ties, err error) {
	if c.q.set&tieParams == 0 {
		return t, nil
	}
	if c.q.has(pFence) {
		if t.FenceKey, t.Fence, err = parseFence(c.q.get(pFence)); err != nil {
			return t, err
		}
	}
	if op.Verb == kvs.Delete || op.Verb == kvs.DeleteCAS || op.Verb == kvs.DeleteTree {
		return t, nil
	}
	t.Touch, t.Persist, t.Sequential = c.q.has(pTouch), c.q.has(pPersist), c.q.has(pSequential)
	t.Owner = c.q.get(pEphemeral)
	if c.q.has(pEphemeral) && t.Owner == "" {
		return t, badRequest("?ephemeral wants the id of a session")
	}
	if c.q.has(pTTL) {
		if t.TTL, err = time.ParseDuration(c.q.get(pTTL)); err != nil || t.TTL < leastKeyTTL || t.TTL > mostKeyTTL {
			return t, badRequest(fmt.Sprintf("Invalid ttl %q, want a duration of at least 1s such as 30s", c.q.get(pTTL)))
		}
	}
	if c.q.has(pWidth) {
		n, err := c.number(pWidth)
		if err != nil {
			return t, err
		}
		t.Width = int(min(n, mostWidth))
	} else if t.Sequential {
		t.Width = 10
	}
	switch {
	case (t.Touch || t.Persist) && (t.Owner != "" || t.TTL > 0 || t.Sequential || op.Verb != kvs.Set || t.Touch && t.Persist):
		return t, badRequest("?touch and ?persist change no value and go with no other parameter of a write")
	case t.Sequential && op.Verb != kvs.Set:
		return t, badRequest("?sequential makes a new key and goes with neither cas, acquire nor release")
	case t.Sequential && op.Key != "" && !strings.HasSuffix(op.Key, "/"):
		return t, badRequest("?sequential wants a directory: a key that ends with /")
	}
	return t, nil
}

const tieParams = 1<<pEphemeral | 1<<pTTL | 1<<pTouch | 1<<pPersist | 1<<pFence | 1<<pSequential | 1<<pWidth

// parseFence reads <lock key>:<number>. The key may have colons, the number not.
func parseFence(s string) (key string, n uint64, err error) {
	i := strings.LastIndexByte(s, ':')
	if i > 0 {
		if n, err = strconv.ParseUint(s[i+1:], 10, 64); err == nil {
			return s[:i], n, nil
		}
	}
	return "", 0, badRequest(fmt.Sprintf("Invalid fence %q, want <lock key>:<number> as the acquire answered it", s))
}

// lockExplained says why an acquire was refused.
type lockExplained struct {
	Acquired      bool
	Key           string
	Holder        *lockHolder `json:",omitempty"`
	LockDelayLeft string      `json:",omitempty"`
}

// lockHolder is who holds a lock.
type lockHolder struct {
	Session string
	Name    string
	Node    string
	Since   time.Time // of the acquire, as far as the history of the key tells
	Held    string    // since then
	Fence   uint64
}

// explainLock says from the present state why a key cannot be acquired. By the time
// it is read the reason may be over.
func (c *call) explainLock(key string) lockExplained {
	view := c.s.node.Store().View()
	out := lockExplained{Key: key}
	now := max(view.LastTime(), time.Now().UnixNano())
	if until := view.Delay(key); until > now {
		out.LockDelayLeft = time.Duration(until - now).Round(time.Millisecond).String()
	}
	cur, _ := view.Get(key)
	if cur == nil || cur.Session == "" {
		return out
	}
	holder := &lockHolder{Session: cur.Session, Fence: view.Fence(key)}
	sessions, _ := view.Sessions()
	if s := sessions.Get(cur.Session); s != nil && c.keeps(acl.ResourceSession, s.Node) {
		holder.Name, holder.Node = s.Name, s.Node
	}
	if at, err := view.GetAt(key, holder.Fence); err == nil && at != nil {
		holder.Since = time.Unix(0, at.Time).UTC()
		holder.Held = time.Duration(now - at.Time).Round(time.Millisecond).String()
	}
	out.Holder = holder
	return out
}
