package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// What the commands of this model are about. One key is the prefix of another, and
// the directory of sequential keys holds others too.
var (
	tiedKeys     = []string{"a", "a/b", "c", "q/", "q/1", "q/02"}
	tiedDirs     = []string{"q/", ""}
	tiedSessions = []string{"5e55-a", "5e55-b", "5e55-c", "5e55-d"}
	tiedNodes    = []string{"North", "south"}
	tiedChecks   = []string{"disk", "net"}
)

// tiedKey is a key with all that it is tied to.
type tiedKey struct {
	value          string
	flags          uint64
	holder         string // the session that has the lock
	locks          uint64 // how often it was acquired in this incarnation
	create, modify uint64

	owner  string // the session with which it ends
	ttl    time.Duration
	expire int64 // 0: never
}

// tiedState is everything that sessions and keys do to each other, told as plainly as
// can be: every rule looks at all keys and all sessions.
type tiedState struct {
	keys     map[string]tiedKey
	fences   map[string]uint64 // of keys that were ever acquired, also of deleted ones
	delays   map[string]int64  // until when a key must not be acquired
	counters map[string]uint64
	sessions map[string]session.Session
	checks   map[string]map[string]string // status by node and check; a node without checks is there too

	index, time    int64  // of the command
	sessionsChange uint64 // index of the last change of sessions
}

func newTiedState() *tiedState {
	return &tiedState{
		keys: map[string]tiedKey{}, fences: map[string]uint64{}, delays: map[string]int64{}, counters: map[string]uint64{},
		sessions: map[string]session.Session{}, checks: map[string]map[string]string{},
	}
}

func (s *tiedState) clone() *tiedState {
	next := *s
	next.keys, next.fences, next.delays = maps.Clone(s.keys), maps.Clone(s.fences), maps.Clone(s.delays)
	next.counters, next.sessions, next.checks = maps.Clone(s.counters), maps.Clone(s.sessions), maps.Clone(s.checks)
	for node, checks := range next.checks {
		next.checks[node] = maps.Clone(checks)
	}
	return &next
}

// live returns how the state spells the id of a session, and whether that lives.
func (s *tiedState) live(id string) (string, bool) {
	_, ok := s.sessions[strings.ToLower(id)]
	if !ok {
		return id, false
	}
	return strings.ToLower(id), true
}

// put writes what a client sees of a key.
func (s *tiedState) put(key string, next tiedKey) {
	cur, exists := s.keys[key]
	next.owner, next.ttl, next.expire = cur.owner, cur.ttl, cur.expire
	next.create, next.modify = cur.create, cur.modify
	if !exists {
		next.create = uint64(s.index)
	}
	if !exists || cur != next {
		next.modify = uint64(s.index)
	}
	s.keys[key] = next
}

// lock gives a key to a session.
func (s *tiedState) lock(op kvs.Op, holder string) (ok bool) {
	cur, exists := s.keys[op.Key]
	if exists && cur.holder != "" && cur.holder != holder {
		return false
	}
	next := tiedKey{value: string(op.Value), flags: op.Flags, holder: holder, locks: cur.locks}
	if cur.holder != holder {
		next.locks++
		s.fences[op.Key] = uint64(s.index)
	}
	s.put(op.Key, next)
	return true
}

// unlock takes a key from the session that has it.
func (s *tiedState) unlock(key, value string, flags uint64) {
	s.put(key, tiedKey{value: value, flags: flags, locks: s.keys[key].locks})
}

// perform does one operation. invalid means that there is no such session.
func (s *tiedState) perform(op kvs.Op) (ok, invalid bool) {
	cur, exists := s.keys[op.Key]
	id, live := s.live(op.Session)
	switch op.Verb {
	case kvs.CAS:
		if exists != (op.Index != 0) || exists && cur.modify != op.Index {
			return false, false
		}
		fallthrough
	case kvs.Set:
		s.put(op.Key, tiedKey{value: string(op.Value), flags: op.Flags, holder: cur.holder, locks: cur.locks})
	case kvs.Lock:
		switch {
		case s.time < s.delays[op.Key]:
			return false, false
		case !live:
			return false, true
		}
		return s.lock(op, id), false
	case kvs.Unlock:
		if op.Session == "" {
			return false, true
		}
		if !exists || cur.holder != id {
			return false, false
		}
		s.unlock(op.Key, string(op.Value), op.Flags)
	case kvs.Delete:
		delete(s.keys, op.Key)
	case kvs.DeleteCAS:
		if exists && cur.modify != op.Index {
			return false, false
		}
		delete(s.keys, op.Key)
	case kvs.DeleteTree:
		maps.DeleteFunc(s.keys, func(key string, _ tiedKey) bool { return strings.HasPrefix(key, op.Key) })
	case kvs.CheckSession:
		return exists && cur.holder == id, false
	case kvs.CheckFence:
		return s.fences[op.Key] <= op.Index, false
	case kvs.CheckNotExists:
		return !exists, false
	}
	return true, false
}

// begin begins the time of a key anew.
func (s *tiedState) begin(key string) (exists bool) {
	k, exists := s.keys[key]
	if exists && k.ttl > 0 {
		k.expire = s.time + int64(k.ttl)
		s.keys[key] = k
	}
	return exists
}

// write does one operation with its ties.
func (s *tiedState) write(op kvs.Op, ties Ties) (res Result) {
	owner, owned := s.live(ties.Owner)
	switch {
	case ties.FenceKey != "" && s.fences[ties.FenceKey] > ties.Fence:
		return Result{Fenced: &kvs.FenceError{Key: ties.FenceKey, Asked: ties.Fence, Newest: s.fences[ties.FenceKey]}}
	case ties.Owner != "" && !owned:
		return Result{Invalid: "owner"}
	case ties.Touch:
		return Result{Applied: s.begin(op.Key)}
	case ties.Persist:
		k, exists := s.keys[op.Key]
		if exists {
			k.owner, k.ttl, k.expire = "", 0, 0
			s.keys[op.Key] = k
		}
		return Result{Applied: exists}
	case ties.Sequential:
		s.counters[op.Key]++
		op.Key = fmt.Sprintf("%s%0*d", op.Key, ties.Width, s.counters[op.Key])
		res.Key = op.Key
	}
	ok, invalid := s.perform(op)
	if invalid {
		res.Invalid = "session"
	}
	if res.Applied = ok; !ok {
		return res
	}
	s.begin(op.Key)
	if k, exists := s.keys[op.Key]; exists {
		if owned {
			k.owner = owner
		}
		if ties.TTL > 0 {
			k.ttl, k.expire = ties.TTL, s.time+int64(ties.TTL)
		}
		s.keys[op.Key] = k
	}
	if op.Verb == kvs.Lock {
		res.Fence = s.fences[op.Key]
	}
	return res
}

// txn does all operations or none, and returns which were refused.
func (s *tiedState) txn(ops []kvs.Op) (refused []int) {
	for i, op := range ops { // reported alone
		if op.Verb == kvs.Lock && s.time < s.delays[op.Key] {
			refused = append(refused, i)
		}
	}
	if refused != nil {
		return refused
	}
	for i, op := range ops {
		if ok, _ := s.perform(op); !ok {
			refused = append(refused, i)
		}
	}
	return refused
}

// create adds a session if there can be one.
func (s *tiedState) create(n session.Session) (ok bool) {
	checks, registered := s.checks[strings.ToLower(n.Node)]
	if _, exists := s.sessions[n.ID]; exists || !registered {
		return false
	}
	for _, c := range n.AllChecks() {
		if status, exists := checks[c]; !exists || status == catalog.Critical {
			return false
		}
	}
	n.CreateIndex = uint64(s.index)
	s.sessions[n.ID] = n
	s.sessionsChange = uint64(s.index)
	return true
}

// end ends sessions with all that this means, and returns how many.
func (s *tiedState) end(which func(session.Session) bool) (n int) {
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		gone := s.sessions[id]
		if !which(gone) {
			continue
		}
		n++
		delete(s.sessions, id)
		s.sessionsChange = uint64(s.index)
		for key, k := range s.keys {
			if k.holder == id {
				if delay := min(gone.LockDelay, time.Minute); delay > 0 {
					s.delays[key] = s.time + int64(delay)
				}
				s.unlock(key, k.value, k.flags)
			}
			if k.owner == id || k.holder == id && gone.Behavior == session.Delete {
				delete(s.keys, key)
			}
		}
	}
	return n
}

// endBound ends the sessions that a check of a node ends.
func (s *tiedState) endBound(node, check string) int {
	return s.end(func(x session.Session) bool {
		if !strings.EqualFold(x.Node, node) {
			return false
		}
		named := slices.Contains(x.Checks, check)
		if !x.Implied || x.Lifetime == 0 {
			named = named || slices.Contains(x.NodeChecks, check)
		}
		return named
	})
}

// expire ends keys whose time is over and is still as it was told.
func (s *tiedState) expire(keys []kvs.Expiring) (n int) {
	for _, e := range keys {
		if k, exists := s.keys[e.Key]; exists && k.expire == e.At && e.At <= s.time {
			delete(s.keys, e.Key)
			n++
		}
	}
	return n
}

// apply does a command; a refused one changes nothing.
func (s *tiedState) apply(index uint64, time int64, c Command) (next *tiedState, res Result, refused []int) {
	next = s.clone()
	next.index, next.time = int64(index), max(s.time, time)
	res.Applied = true
	switch {
	case c.Write != nil:
		res = next.write(*c.Write, c.Ties)
	case c.Txn != nil:
		refused = next.txn(c.Txn)
		res.Applied = refused == nil
	case c.Session != nil:
		if res.Applied = next.create(*c.Session); !res.Applied {
			res.Invalid = "session"
		}
	case c.EndSession != nil:
		for _, id := range c.EndSession.IDs {
			res.Ended += next.end(func(x session.Session) bool { return strings.EqualFold(x.ID, id) })
		}
	case c.Register != nil:
		node := strings.ToLower(c.Register.Node.Name)
		if next.checks[node] == nil {
			next.checks[node] = map[string]string{}
		}
		for _, check := range c.Register.Checks {
			next.checks[node][check.ID] = check.Status
			if check.Status == catalog.Critical {
				res.Ended += next.endBound(node, check.ID)
			}
		}
	case c.Deregister != nil:
		node := strings.ToLower(c.Deregister.Node)
		if check := c.Deregister.CheckID; check != "" {
			if _, exists := next.checks[node][check]; exists {
				delete(next.checks[node], check)
				res.Ended += next.endBound(node, check)
			}
			break
		}
		// Its checks are gone first, and the sessions that they end; then the others.
		for _, check := range slices.Sorted(maps.Keys(next.checks[node])) {
			res.Ended += next.endBound(node, check)
		}
		delete(next.checks, node)
		res.Ended += next.end(func(x session.Session) bool { return strings.EqualFold(x.Node, node) })
	case c.Expire != nil:
		res.Ended = next.expire(c.Expire)
	}
	if !res.Applied {
		kept := s.clone()
		kept.index, kept.time = next.index, next.time
		next = kept
	}
	return next, res, refused
}

// rows writes everything down, one row for each thing.
func (s *tiedState) rows() []string {
	var rows []string
	for key, k := range s.keys {
		rows = append(rows, fmt.Sprintf("key %q=%q flags %d, held by %q for the time %d, %d/%d, owner %q, ttl %s until %d",
			key, k.value, k.flags, k.holder, k.locks, k.create, k.modify, k.owner, k.ttl, k.expire))
	}
	for key, fence := range s.fences {
		rows = append(rows, fmt.Sprintf("fence of %q is %d", key, fence))
	}
	for key, until := range s.delays {
		if until > s.time { // others may be forgotten
			rows = append(rows, fmt.Sprintf("%q is delayed until %d", key, until))
		}
	}
	for dir, n := range s.counters {
		rows = append(rows, fmt.Sprintf("%q counts %d", dir, n))
	}
	for id, x := range s.sessions {
		rows = append(rows, fmt.Sprintf("session %s: %+v", id, x))
	}
	slices.Sort(rows)
	return rows
}

// tiedRows writes down the same of a view.
func tiedRows(v *View) []string {
	var rows []string
	v.List("", func(c *kvs.Version) {
		var e kvs.Extra
		if x := v.Item(c.Key).Extra; x != nil {
			e = *x
		}
		rows = append(rows, fmt.Sprintf("key %q=%q flags %d, held by %q for the time %d, %d/%d, owner %q, ttl %s until %d",
			c.Key, c.Value, c.Flags, c.Session, c.LockIndex, c.CreateIndex, c.ModifyIndex, e.Owner, e.TTL, e.ExpireAt))
	})
	_ = v.Export(func(it *kvs.Item) error { // no visit fails
		if fence := v.Fence(it.Key); fence > 0 {
			rows = append(rows, fmt.Sprintf("fence of %q is %d", it.Key, fence))
		}
		return nil
	})
	_ = v.ExportDelays(func(d *kvs.Delay) error {
		if d.Until > v.LastTime() {
			rows = append(rows, fmt.Sprintf("%q is delayed until %d", d.Key, d.Until))
		}
		return nil
	})
	_ = v.ExportCounters(func(c *kvs.Counter) error {
		rows = append(rows, fmt.Sprintf("%q counts %d", c.Dir, c.Last))
		return nil
	})
	sessions, _ := v.Sessions()
	sessions.List(func(x *session.Session) bool {
		rows = append(rows, fmt.Sprintf("session %s: %+v", x.ID, *x))
		return true
	})
	slices.Sort(rows)
	return rows
}

// check compares a view with the model, and the tables that lead to keys with the keys.
func (s *tiedState) check(t *rapid.T, v *View) {
	if got, want := tiedRows(v), s.rows(); !slices.Equal(got, want) {
		t.Fatalf("at %d the state is\n%s\nwant\n%s", s.index, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	sessions, changed := v.Sessions()
	if changed != s.sessionsChange {
		t.Fatalf("sessions last changed at %d, want %d", changed, s.sessionsChange)
	}
	v.List("", func(c *kvs.Version) { // what all of this is for, in words that need no model
		if c.Session != "" && sessions.Get(c.Session) == nil {
			t.Fatalf("key %q is held by session %s, which is dead", c.Key, c.Session)
		}
	})
	for _, id := range tiedSessions {
		var locks, owned []string
		for _, key := range slices.Sorted(maps.Keys(s.keys)) {
			if s.keys[key].holder == id {
				locks = append(locks, key)
			}
			if s.keys[key].owner == id {
				owned = append(owned, key)
			}
		}
		if gotLocks, gotOwned := v.HeldBy(id); !slices.Equal(gotLocks, locks) || !slices.Equal(gotOwned, owned) {
			t.Fatalf("session %s holds %q and owns %q, want %q and %q", id, gotLocks, gotOwned, locks, owned)
		}
	}
	for _, node := range tiedNodes {
		var got, want []string
		sessions.ListNode(node, func(x *session.Session) bool {
			got = append(got, x.ID)
			return true
		})
		for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
			if strings.EqualFold(s.sessions[id].Node, node) {
				want = append(want, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("sessions of %s are %q, want %q", node, got, want)
		}
	}
	due, _ := v.Due(s.time, 1000)
	var want []string
	for key, k := range s.keys {
		if k.expire != 0 && k.expire <= s.time {
			want = append(want, fmt.Sprint(key, k.expire))
		}
	}
	var got []string
	for _, e := range due {
		got = append(got, fmt.Sprint(e.Key, e.At))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("keys whose time is over are %q, want %q", got, want)
	}
}

// drawID draws the id of a session, mostly of one that lives, as a client might spell
// it.
func (s *tiedState) drawID(t *rapid.T) string {
	id := rapid.SampledFrom(tiedSessions).Draw(t, "session")
	if alive := slices.Sorted(maps.Keys(s.sessions)); len(alive) > 0 && rapid.IntRange(0, 3).Draw(t, "alive") > 0 {
		id = rapid.SampledFrom(alive).Draw(t, "session that lives")
	}
	if rapid.IntRange(0, 3).Draw(t, "spelled") == 0 {
		id = strings.ToUpper(id)
	}
	return id
}

// delayed returns the keys that have, or had, a lock-delay.
func (s *tiedState) delayed() []string { return slices.Sorted(maps.Keys(s.delays)) }

// drawTime draws when the next command is proposed, in seconds: soon, before the last
// one, or at the very end of a lock-delay or of a key's time.
func (s *tiedState) drawTime(t *rapid.T) int64 {
	var ends []int64
	for _, key := range s.delayed() {
		ends = append(ends, s.delays[key])
	}
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		ends = append(ends, s.keys[key].expire)
	}
	ends = slices.DeleteFunc(ends, func(at int64) bool { return at <= s.time })
	if len(ends) > 0 && rapid.IntRange(0, 4).Draw(t, "at an end") == 0 {
		return rapid.SampledFrom(ends).Draw(t, "end") / 1e9
	}
	return s.time/1e9 + rapid.SampledFrom([]int64{0, 0, 0, 1, 1, 3, -2, 20}).Draw(t, "seconds later")
}

// drawFence draws a fencing number, as often a right one as not.
func (s *tiedState) drawFence(t *rapid.T, key string) uint64 {
	return max(s.fences[key], 1) + rapid.SampledFrom([]uint64{0, 1}).Draw(t, "newer") - rapid.SampledFrom([]uint64{0, 1}).Draw(t, "older")
}

func (s *tiedState) drawOp(t *rapid.T, verbs ...kvs.Verb) kvs.Op {
	op := kvs.Op{
		Verb:  rapid.SampledFrom(verbs).Draw(t, "verb"),
		Key:   rapid.SampledFrom(tiedKeys).Draw(t, "key"),
		Value: []byte(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value")),
		Flags: rapid.SampledFrom([]uint64{0, 0, 1}).Draw(t, "flags"),
	}
	if delayed := s.delayed(); op.Verb == kvs.Lock && len(delayed) > 0 && rapid.Bool().Draw(t, "of a delayed key") {
		op.Key = rapid.SampledFrom(delayed).Draw(t, "delayed key")
	}
	switch op.Verb {
	case kvs.Lock, kvs.Unlock, kvs.CheckSession:
		op.Session = s.drawID(t)
		if holder := s.keys[op.Key].holder; holder != "" && rapid.Bool().Draw(t, "by the holder") {
			op.Session = holder
		}
		if rapid.IntRange(0, 15).Draw(t, "no session") == 0 {
			op.Session = ""
		}
	case kvs.CheckFence:
		op.Index = s.drawFence(t, op.Key)
	case kvs.CAS, kvs.DeleteCAS:
		op.Index = s.keys[op.Key].modify
		if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
			op.Index++
		}
	case kvs.DeleteTree:
		op.Key = rapid.SampledFrom([]string{"", "a", "q/"}).Draw(t, "prefix")
	}
	return op
}

func (s *tiedState) drawWrite(t *rapid.T) Command {
	op := s.drawOp(t, kvs.Lock, kvs.Lock, kvs.Lock, kvs.Unlock, kvs.Set, kvs.Set, kvs.CAS, kvs.Delete, kvs.DeleteCAS, kvs.DeleteTree)
	c := Command{Write: &op}
	if rapid.IntRange(0, 5).Draw(t, "fenced") == 0 {
		c.Ties.FenceKey = rapid.SampledFrom(tiedKeys).Draw(t, "fence key")
		c.Ties.Fence = s.drawFence(t, c.Ties.FenceKey)
	}
	if op.Verb > kvs.Unlock { // deletes have no other ties
		return c
	}
	switch rapid.IntRange(0, 9).Draw(t, "ties") {
	case 0, 1:
		c.Ties.Owner = s.drawID(t)
	case 2:
		c.Ties.TTL = time.Duration(rapid.IntRange(1, 30).Draw(t, "ttl")) * time.Second
	case 3:
		c.Ties.Owner = s.drawID(t)
		c.Ties.TTL = time.Duration(rapid.IntRange(1, 30).Draw(t, "ttl")) * time.Second
	case 4:
		op.Verb, c.Ties.Touch = kvs.Set, true
	case 5:
		op.Verb, c.Ties.Persist = kvs.Set, true
	case 6:
		op.Key = rapid.SampledFrom(tiedDirs).Draw(t, "dir")
		c.Ties.Sequential, c.Ties.Width = true, rapid.IntRange(1, 3).Draw(t, "width")
	}
	return c
}

func (s *tiedState) drawSession(t *rapid.T) Command {
	n := &session.Session{
		ID:        rapid.SampledFrom(tiedSessions).Draw(t, "session"),
		Node:      rapid.SampledFrom(append([]string{"NORTH"}, tiedNodes...)).Draw(t, "node"),
		LockDelay: time.Duration(rapid.SampledFrom([]int{0, 1, 5, 90}).Draw(t, "lock-delay")) * time.Second,
		Behavior:  rapid.SampledFrom([]session.Behavior{session.Release, session.Delete}).Draw(t, "behavior"),
		Grace:     -1,
	}
	if rapid.Bool().Draw(t, "has a ttl") {
		n.TTL, n.Lifetime = "10s", 10*time.Second
	}
	switch rapid.IntRange(0, 4).Draw(t, "checks") {
	case 0:
		n.NodeChecks, n.Implied = []string{"disk"}, true
	case 1:
		n.NodeChecks = []string{"disk"}
	case 2:
		n.NodeChecks, n.Checks = []string{"disk"}, []string{"net"}
	}
	return Command{Session: n}
}

func (s *tiedState) drawCatalog(t *rapid.T) Command {
	node := rapid.SampledFrom(tiedNodes).Draw(t, "node")
	check := rapid.SampledFrom(tiedChecks).Draw(t, "check")
	switch rapid.IntRange(0, 9).Draw(t, "change") {
	case 0, 1, 2:
		return Command{Deregister: &Deregistration{Node: node}}
	case 3, 4:
		return Command{Deregister: &Deregistration{Node: node, CheckID: check}}
	}
	status := rapid.SampledFrom([]string{catalog.Passing, catalog.Passing, catalog.Warning, catalog.Critical}).Draw(t, "status")
	return Command{Register: &catalog.Registration{
		Node:   catalog.Node{Name: node, Address: "192.0.2.1"},
		Checks: []catalog.Check{{ID: check, Name: check, Status: status}},
	}}
}

// drawExpire draws what a leader finds, now or a while ago.
func (s *tiedState) drawExpire(t *rapid.T) Command {
	keys := []kvs.Expiring{{Key: "none", At: 1}}
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if at := s.keys[key].expire; at != 0 {
			keys = append(keys, kvs.Expiring{Key: key, At: at - rapid.SampledFrom([]int64{0, 0, 0, 1e9}).Draw(t, "before it was touched")})
		}
	}
	return Command{Expire: keys}
}

func (s *tiedState) draw(t *rapid.T) Command {
	switch rapid.IntRange(0, 19).Draw(t, "kind") {
	default:
		return s.drawWrite(t)
	case 8, 9, 10, 11:
		ops := make([]kvs.Op, rapid.IntRange(1, 4).Draw(t, "ops"))
		for i := range ops {
			ops[i] = s.drawOp(t, kvs.Lock, kvs.Lock, kvs.Unlock, kvs.CheckSession, kvs.CheckFence, kvs.Set, kvs.Delete, kvs.CheckNotExists)
		}
		return Command{Txn: ops}
	case 12, 13:
		return s.drawSession(t)
	case 14, 15, 16:
		end := &EndSession{Expired: rapid.Bool().Draw(t, "expired")}
		for range rapid.IntRange(1, 3).Draw(t, "ends") {
			end.IDs = append(end.IDs, s.drawID(t))
		}
		return Command{EndSession: end}
	case 17:
		return s.drawCatalog(t)
	case 18:
		return s.drawExpire(t)
	case 19: // forgets lock-delays that are over, and nothing else
		return Command{Prune: &kvs.Plan{}}
	}
}

// TestModelOfTies applies a random log of sessions, locks and keys that end by
// themselves, and compares everything with the model. Two other servers get the same
// log: one in other batches, one that is saved and restored in between. At the end of
// each batch all have the same bytes.
func TestModelOfTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newTiedState()
		single, batched, restored := newMachine(t), newMachine(t), newMachine(t)
		var waiting []*raft.Log // applied by single only
		sync := func() {
			batched.fsm.ApplyBatch(waiting)
			restored.fsm.ApplyBatch(waiting)
			waiting = nil
			want := plain(t, single.store)
			for _, other := range []*machine{batched, restored} {
				if !bytes.Equal(plain(t, other.store), want) {
					t.Fatalf("the same log gives another state:\n%s\nwant\n%s", strings.Join(tiedRows(other.store.View()), "\n"), strings.Join(tiedRows(single.store.View()), "\n"))
				}
			}
			if rapid.Bool().Draw(t, "restore") {
				if err := restored.restore(want); err != nil {
					t.Fatal(err)
				}
				m.check(t, restored.store.View())
			}
		}
		var index uint64
		step := func(second int64, c Command) {
			index++
			e := entry(t, index, second, c)
			waiting = append(waiting, e)
			got, ok := single.fsm.Apply(e).(Result)
			if !ok {
				t.Fatalf("command %+v has no result: %v", c, single.stops)
			}
			next, want, refused := m.apply(index, second*1e9, c)
			m = next
			var errors []int
			for _, e := range got.Errors {
				errors = append(errors, e.OpIndex)
			}
			if got.Applied != want.Applied || (got.Invalid != "") != (want.Invalid != "") || got.Key != want.Key && got.Applied ||
				got.Fence != want.Fence || got.Ended != want.Ended || fmt.Sprint(got.Fenced) != fmt.Sprint(want.Fenced) || !slices.Equal(errors, refused) {
				t.Fatalf("command %+v gives\n%+v, want\n%+v, refused %v", describe(c), got, want, refused)
			}
			m.check(t, single.store.View())
		}
		for _, node := range tiedNodes {
			step(1, Command{Register: &catalog.Registration{
				Node:   catalog.Node{Name: node, Address: "192.0.2.1"},
				Checks: []catalog.Check{{ID: "disk", Name: "disk", Status: catalog.Passing}, {ID: "net", Name: "net", Status: catalog.Passing}},
			}})
		}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			step(m.drawTime(t), m.draw(t))
			if rapid.IntRange(0, 4).Draw(t, "end of batch") == 0 {
				sync()
			}
		}
		sync()
	})
}

// describe shows a command for a failure.
func describe(c Command) string {
	switch {
	case c.Write != nil:
		return fmt.Sprintf("%+v %+v", *c.Write, c.Ties)
	case c.Session != nil:
		return fmt.Sprintf("create %+v", *c.Session)
	case c.EndSession != nil:
		return fmt.Sprintf("end %+v", *c.EndSession)
	case c.Register != nil:
		return fmt.Sprintf("register %+v", *c.Register)
	case c.Deregister != nil:
		return fmt.Sprintf("deregister %+v", *c.Deregister)
	}
	return fmt.Sprintf("%+v", c)
}
