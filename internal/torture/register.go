package torture

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerPrefix is where the keys are whose histories are checked.
const registerPrefix = "torture/register/"

// registerPause is the longest pause of a client between two operations; it waits half
// of it on average.
const registerPause = 8 * time.Millisecond

// registerSet is clients, one per server, that work on one key at a time.
type registerSet struct {
	load *Load
	id   int

	mu   sync.Mutex
	ops  int                    // begun so far; which key is current follows; guarded by mu
	keys map[string]*keyHistory // guarded by mu
}

// keyHistory is what happened to one key.
type keyHistory struct {
	ops     []porcupine.Operation
	indexes map[value]uint64 // of each write that was seen; guarded by the set's mu, like ops
}

// registerClient is one client of a set: it works through one server.
type registerClient struct {
	set    *registerSet
	id     int // of all clients, for drawings
	client *client
	rand   *rand.Rand

	key   string
	seen  value  // what its last read of key said
	index uint64 // of that value
}

func (l *Load) startRegisters(id int, seeds *rand.Rand) {
	set := &registerSet{load: l, id: id, keys: map[string]*keyHistory{}}
	l.registers = append(l.registers, set)
	for i, c := range l.clients {
		rc := &registerClient{set: set, id: id*len(l.clients) + i, client: c, rand: source(seeds)}
		l.writes.Go(func() { rc.run(l.writing) })
	}
}

// next is the key to work on, and counts an operation on it.
func (s *registerSet) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s%d/%05d", registerPrefix, s.id, s.ops/s.load.config.KeyOps)
	s.ops++
	return key
}

func (c *registerClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		if key := c.set.next(); key != c.key {
			c.key, c.seen, c.index = key, 0, 0
		}
		wait := time.Duration(c.rand.Int64N(int64(registerPause)))
		if c.operate(ctx) != done {
			wait = afterError
		}
		rest(ctx, wait)
	}
}

// operate carries one operation out and records it.
func (c *registerClient) operate(ctx context.Context) outcome {
	in := c.choose()
	call := c.set.load.Elapsed()
	a := c.send(ctx, in)
	ret := c.set.load.Elapsed()
	if a.outcome == refused || (in.verb == read && a.outcome != done) {
		return a.outcome // it has not happened, and nothing was learned
	}
	out := output{known: a.outcome == done, ok: a.yes()}
	index := a.index
	if in.verb == read {
		if out.value, index = c.parse(a); out.value < 0 {
			return unknown
		}
		c.seen, c.index = out.value, index
	}
	if a.status == http.StatusConflict {
		c.set.load.faults.add("server %d, %s of %s: unexpected answer 409 %s", c.client.id, in.verb, c.key, a.body)
	}
	c.set.record(c.key, porcupine.Operation{ClientId: c.id, Input: in, Output: out, Call: int64(call), Return: int64(ret)}, index)
	return a.outcome
}

// choose draws an operation. A condition is on what the client has read last, which
// others may have overwritten.
func (c *registerClient) choose() input {
	fresh := value(c.set.load.values.Add(1))
	switch n := c.rand.IntN(100); {
	case n < 45:
		return input{verb: read}
	case n < 68:
		return input{verb: put, value: fresh}
	case n < 86:
		return input{verb: cas, value: fresh, expect: c.seen}
	case n < 92 || c.seen == 0:
		return input{verb: remove}
	default:
		return input{verb: casRemove, expect: c.seen}
	}
}

// send sends an operation to the server.
func (c *registerClient) send(ctx context.Context, in input) answer {
	path := "/v1/kv/" + c.key
	switch in.verb {
	case put:
		return c.client.do(ctx, http.MethodPut, path, strconv.Itoa(int(in.value)))
	case cas:
		return c.client.do(ctx, http.MethodPut, path+"?cas="+strconv.FormatUint(c.index, 10), strconv.Itoa(int(in.value)))
	case remove:
		return c.client.do(ctx, http.MethodDelete, path, "")
	case casRemove:
		return c.client.do(ctx, http.MethodDelete, path+"?cas="+strconv.FormatUint(c.index, 10), "")
	}
	if c.rand.IntN(2) == 0 {
		path += "?consistent"
	}
	return c.client.do(ctx, http.MethodGet, path, "")
}

// parse reads the answer of a read: which value it is, 0 for an absent key, and its
// index. An answer that cannot be read is noted, and the value -1.
func (c *registerClient) parse(a answer) (value, uint64) {
	list, err := a.entries()
	if err == nil && len(list) == 0 {
		return 0, 0
	}
	if err == nil {
		var n int
		if n, err = strconv.Atoi(string(list[0].Value)); err == nil {
			return value(n), list[0].ModifyIndex
		}
	}
	c.set.load.faults.add("server %d, read of %s: %v", c.client.id, c.key, err)
	return -1, 0
}

// record enters an operation, and the index at which a value was seen: by its write's
// answer, if that tells, or by a read.
func (s *registerSet) record(key string, op porcupine.Operation, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.keys[key]
	if h == nil {
		h = &keyHistory{indexes: map[value]uint64{}}
		s.keys[key] = h
	}
	if !op.Output.(output).known {
		op.Return = math.MaxInt64 // it may happen at any time
	}
	h.ops = append(h.ops, op)
	if v := wrote(op); v != 0 && index != 0 {
		if before := h.indexes[v]; before != 0 && before != index {
			s.load.faults.add("%s: value %d was written once and has been seen at index %d and at %d", key, v, before, index)
		}
		h.indexes[v] = index
	}
}

// wrote is the value whose index an operation's answer tells, 0 if it tells none.
func wrote(op porcupine.Operation) value {
	in, out := op.Input.(input), op.Output.(output)
	switch {
	case in.verb == read:
		return out.value
	case in.verb == put && out.known, in.verb == cas && out.known && out.ok:
		return in.value
	}
	return 0
}

// explainLimit is how long an order for one key is looked for. Keys with some tens of
// operations take milliseconds.
const explainLimit = 20 * time.Second

// checkRegisters looks for an order of each key's operations. The load has ended.
func (l *Load) checkRegisters(r *Result) {
	for _, set := range l.registers {
		for key, h := range set.keys {
			r.Keys++
			r.Operations += len(h.ops)
			for _, op := range h.ops {
				if op.Return == math.MaxInt64 {
					r.Unknown++
				}
			}
			found, info := porcupine.CheckOperationsVerbose(register, h.ops, explainLimit)
			switch found {
			case porcupine.Ok:
				continue
			case porcupine.Illegal:
				l.faults.add("%s: its %d operations are not linearizable%s", key, len(h.ops), l.draw(key, info))
			default:
				l.faults.add("%s: no order of its %d operations was found or excluded within %s", key, len(h.ops), explainLimit)
			}
		}
	}
}

// draw draws a history and says where.
func (l *Load) draw(key string, info porcupine.LinearizationInfo) string {
	if l.config.ReportDir == "" {
		return ""
	}
	path := filepath.Join(l.config.ReportDir, strings.ReplaceAll(key, "/", "-")+".html")
	if err := porcupine.VisualizePath(register, info, path); err != nil {
		return fmt.Sprintf(" (drawing: %v)", err)
	}
	return ", drawn in " + path
}
