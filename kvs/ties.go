package kvs

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// The tables of what keys are tied to. Those of held and due keys can be made again
// from the rows of the keys and the lock-delays; the others are state of their own.
const (
	tableHeld     = "kv-held"
	tableDue      = "kv-due"
	tableDelays   = "kv-delays"
	tableCounters = "kv-counters"
)

// held leads from a session to a key that it holds as a lock or owns.
type held struct {
	session string
	key     string
	owned   bool // with the session the key ends, whatever the behavior of the session
}

// RowID is part of staging.Row.
func (h *held) RowID() string {
	kind := "l"
	if h.owned {
		kind = "o"
	}
	return heldPrefix(h.session) + kind + h.key
}

func heldPrefix(session string) string { return session + "\x00" }

// due leads from a time to a key that expires then, or to a place whose lock-delay is
// over then.
type due struct {
	at  int64 // Unix nanoseconds
	key string
}

// RowID is part of staging.Row.
func (d *due) RowID() string { return dueTime(d.at) + d.key }

func dueTime(at int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(at))) }

// Delay says until when a key must not be locked, since a session has ended while
// holding it.
type Delay struct {
	Key   string
	Until int64  // Unix nanoseconds, of proposal times
	Slots uint64 // of a place in a queue, as there
}

// due is the row that leads to the delay of a place from the time it is over, when
// its queue goes on; nil for one of a lock, for which nobody stands in line.
func (d *Delay) due() *due {
	if _, _, ok := splitPlace(d.Key); !ok {
		return nil
	}
	return &due{at: d.Until, key: d.Key}
}

// RowID is part of staging.Row.
func (d *Delay) RowID() string { return d.Key }

// Counter is the last number given to a sequential key in a directory.
type Counter struct {
	Dir  string
	Last uint64
}

// RowID is part of staging.Row.
func (c *Counter) RowID() string { return c.Dir }

// heldBy returns the rows that lead to a key from sessions.
func heldBy(it *Item) []*held {
	if it == nil || !it.Live() {
		return nil
	}
	var rows []*held
	if it.Cur.Session != "" {
		rows = append(rows, &held{session: it.Cur.Session, key: it.Key})
	}
	if owner := it.extra().Owner; owner != "" {
		rows = append(rows, &held{session: owner, key: it.Key, owned: true})
	}
	return rows
}

// dueOf returns the row that leads to a key from the time it expires, or nil.
func dueOf(it *Item) *due {
	if it == nil || !it.Live() || it.extra().ExpireAt == 0 {
		return nil
	}
	return &due{at: it.Extra.ExpireAt, key: it.Key}
}

// relink keeps the tables of held and due keys in step with a row.
func (tx *Tx) relink(old, next *Item) {
	if tied(old) {
		for _, row := range heldBy(old) {
			tx.held.Delete(row.RowID())
		}
		if row := dueOf(old); row != nil {
			tx.due.Delete(row.RowID())
		}
		tx.unplace(placeOf(old))
	}
	if tied(next) {
		for _, row := range heldBy(next) {
			tx.held.Put(row)
		}
		if row := dueOf(next); row != nil {
			tx.due.Put(row)
		}
		tx.place(placeOf(next))
	}
}

func tied(it *Item) bool {
	return it != nil && it.Live() && (it.Cur.Session != "" || it.Extra != nil)
}

// EndSession does to the keys of a session what its end means: locks are released
// or, if del is set, deleted; keys it owns are deleted. Each lock may not be
// acquired for the time of delay from now on.
//
// Source: contract, sessions, sections 6 and 7.
func (tx *Tx) EndSession(session string, del bool, delay time.Duration) {
	var locks, owned []string
	tx.held.Walk(heldPrefix(session), func(h *held) bool {
		if h.owned {
			owned = append(owned, h.key)
		} else {
			locks = append(locks, h.key)
		}
		return true
	})
	for _, key := range locks {
		it := tx.item(key)
		cur := it.Cur
		slots := uint64(0)
		if p := placeOf(it); p != nil {
			slots = p.Slots
		}
		if del {
			tx.Delete(key)
		} else {
			tx.put(it, &Version{
				Key: key, Value: cur.Value, Flags: cur.Flags, LockIndex: cur.LockIndex,
				CreateIndex: cur.CreateIndex, Kind: KindUnlock,
			})
		}
		if delay > 0 {
			d := &Delay{Key: key, Until: tx.time + int64(delay), Slots: slots}
			tx.delays.Put(d)
			if row := d.due(); row != nil {
				tx.due.Put(row)
			}
		}
	}
	for _, key := range owned {
		tx.Delete(key)
	}
}

// Delayed tells whether a key must not be locked yet.
func (tx *Tx) Delayed(key string) bool {
	d := tx.delays.Get(key)
	return d != nil && tx.time < d.Until
}

// DropDelays forgets the lock-delays that are over, at most limit of them. Those of
// places end on time, see ExpireDue.
func (tx *Tx) DropDelays(limit int) {
	var over []string
	tx.delays.Walk("", func(d *Delay) bool {
		if d.Until <= tx.time && d.due() == nil {
			over = append(over, d.Key)
		}
		return len(over) < limit
	})
	for _, key := range over {
		tx.delays.Delete(key)
	}
}

// tie changes what a key is tied to, which is no change of the key.
func (tx *Tx) tie(key string, change func(*Extra)) {
	it := tx.item(key)
	if it == nil || !it.Live() {
		return
	}
	e := it.extra()
	change(&e)
	if e == it.extra() {
		return
	}
	row := *it
	row.Extra = e.Packed()
	tx.relink(it, &row)
	tx.stage(key, &row)
}

// Own makes a key end with a session that the caller knows to exist.
func (tx *Tx) Own(key, session string) { tx.tie(key, func(e *Extra) { e.Owner = session }) }

// Disown deletes a key if it ends with that session, and tells whether it does.
func (tx *Tx) Disown(key, session string) bool {
	it := tx.item(key)
	if it == nil || !it.Live() || it.extra().Owner != session {
		return false
	}
	tx.Delete(key)
	return true
}

// ExpireIn makes a key end after the given time from now, unless it is touched.
func (tx *Tx) ExpireIn(key string, ttl time.Duration) {
	tx.tie(key, func(e *Extra) { e.TTL, e.ExpireAt = ttl, tx.time+int64(ttl) })
}

// Touch begins the time of a key anew and tells whether it exists.
func (tx *Tx) Touch(key string) bool {
	it := tx.item(key)
	if it == nil || !it.Live() {
		return false
	}
	if it.Extra == nil { // as most: nothing to begin anew
		return true
	}
	tx.tie(key, func(e *Extra) {
		if e.TTL > 0 {
			e.ExpireAt = tx.time + int64(e.TTL)
		}
	})
	return true
}

// Persist takes a key from its session and its time, so that it stays until it is
// deleted. It tells whether the key exists.
func (tx *Tx) Persist(key string) bool {
	tx.tie(key, func(e *Extra) { e.Owner, e.TTL, e.ExpireAt = "", 0, 0 })
	return tx.live(key) != nil
}

// ExpireDue ends a key, or the lock-delay of a place, if it still is to end at the
// given time and that is over. It tells whether it has.
func (tx *Tx) ExpireDue(key string, at int64) bool {
	it := tx.item(key)
	if it == nil || !it.Live() || it.extra().ExpireAt != at || at > tx.time {
		return tx.endDelay(key, at)
	}
	tx.Expire(key)
	return true
}

// Next returns the next number of a directory, from 1, without a gap.
func (tx *Tx) Next(dir string) uint64 {
	c := Counter{Dir: dir}
	if old := tx.counters.Get(dir); old != nil {
		c.Last = old.Last
	}
	c.Last++
	tx.counters.Put(&c)
	return c.Last
}

// SequentialKey is the name of the n-th key of a directory, with at least width
// digits.
func SequentialKey(dir string, n uint64, width int) string {
	return dir + fmt.Sprintf("%0*d", width, n)
}

// FenceError says that a newer holder of a lock exists.
type FenceError struct {
	Key    string // the lock
	Asked  uint64 // the fencing number of the request
	Newest uint64 // that of the newest holder, as far as it is remembered; 0: of a place, see CheckFence
}

func (e *FenceError) Error() string {
	if e.Newest == 0 {
		return fmt.Sprintf("fence %d of %q is out of date: who was given it does not hold any more", e.Asked, e.Key)
	}
	return fmt.Sprintf("fence %d of lock %q is out of date: it was acquired again at %d", e.Asked, e.Key, e.Newest)
}

// CheckFence returns a *FenceError when the lock was acquired again after the holder
// with number n acquired it; for a lock with a queue, as soon as that holder does not
// hold any more.
func (tx *Tx) CheckFence(key string, n uint64) error {
	if strings.HasPrefix(key, recipePrefix) && isQueue(key) {
		return tx.fenceOfQueue(key, n)
	}
	it := tx.item(key)
	newest := it.extra().Fence
	if it == nil {
		newest = tx.meta.Floor // it may have been held and forgotten up to here
	}
	if newest > n {
		return &FenceError{Key: key, Asked: n, Newest: newest}
	}
	return nil
}

// FenceOf is the fencing number of the holder of a lock as the command sees it.
func (tx *Tx) FenceOf(key string) uint64 { return tx.item(key).extra().Fence }

// Fence is the number of the holder of a lock; 0 when there never was one.
func (v View) Fence(key string) uint64 { return v.Item(key).extra().Fence }

// Delay returns until when a key must not be locked, in Unix nanoseconds; 0 when it
// may be.
func (v View) Delay(key string) int64 {
	if d := staging.Get[*Delay](v.txn, tableDelays, key); d != nil {
		return d.Until
	}
	return 0
}

// Expiring is a key whose time may be over.
type Expiring struct {
	Key string
	At  int64 // Unix nanoseconds
}

// Due returns the keys that expire at or before the given time, earliest first, at
// most limit of them, and the time of the next one after these; 0 when there is
// none.
func (v View) Due(now int64, limit int) (keys []Expiring, next int64) {
	staging.Walk(v.txn, tableDue, "", func(d *due) bool {
		if d.at > now || len(keys) == limit {
			next = d.at
			return false
		}
		keys = append(keys, Expiring{d.key, d.at})
		return true
	})
	return keys, next
}

// HeldBy returns the keys that a session holds as locks and those it owns.
func (v View) HeldBy(session string) (locks, owned []string) {
	staging.Walk(v.txn, tableHeld, heldPrefix(strings.ToLower(session)), func(h *held) bool {
		if h.owned {
			owned = append(owned, h.key)
		} else {
			locks = append(locks, h.key)
		}
		return true
	})
	return locks, owned
}
