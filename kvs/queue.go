package kvs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Contender is a session that wants to hold a lock, or to lead.
type Contender struct {
	Queue   string // key of the lock or election
	Session string // which the caller knows to live, as the state spells it
	Slots   uint64 // how many may hold beside each other; 0: as many as ask to share
	Value   []byte // of the place: anything the holder wants others to know
	Own     bool   // the session was made for this

	// Patience is how long a place that does not hold is kept without being asked
	// for again. 0: take no place unless it holds at once.
	Patience time.Duration
}

// Refusal is why a contender has no place.
type Refusal uint8

// The refusals. The numbers travel between servers.
const (
	Admitted  Refusal = 0
	NotFree   Refusal = 1 // and there is no patience
	Disagrees Refusal = 2 // with others, or with its own place
	QueueFull Refusal = 3
)

// Standing is where a contender stands.
type Standing struct {
	Number   uint64 // of its place; the fencing number of one that holds
	Held     bool
	Own      bool  // its session was made for it
	ExpireAt int64 // when the place ends unless it is asked for again, Unix nanoseconds; 0: it holds
}

// Enter gives a contender a place at the end of a queue, unless it has one, and tells
// where it stands. A place that holds is noted as known to its holder and does not
// expire any more. With a refusal comes a sentence; the caller then rejects the
// command.
func (tx *Tx) Enter(c Contender) (Standing, Refusal, string) {
	p := tx.placeWith(c.Queue, c.Session)
	if p == nil {
		if refusal, why := tx.admit(&c); refusal != Admitted {
			return Standing{}, refusal, why
		}
		p = tx.join(&c)
	} else if p.Slots != c.Slots {
		return Standing{}, Disagrees, fmt.Sprintf("session %s has a place here already, %s, and asks for one %s: give it back first",
			c.Session, terms(p.Slots), terms(c.Slots))
	} else if len(c.Value) > 0 {
		tx.revalue(p.Key(), c.Value)
	}
	tx.settle()
	key := p.Key()
	s := Standing{Number: p.Number, Held: placeOf(tx.item(key)).Held, Own: p.Own}
	switch {
	case s.Held:
		tx.tie(key, func(e *Extra) { e.TTL, e.ExpireAt = 0, 0 })
	case c.Patience <= 0:
		return Standing{}, NotFree, "it is not free"
	default:
		tx.ExpireIn(key, c.Patience)
		s.ExpireAt = tx.time + int64(c.Patience)
	}
	return s, Admitted, ""
}

// terms says in words how a place wants to hold.
func terms(slots uint64) string {
	switch slots {
	case 0:
		return "to share"
	case 1:
		return "to exclude everybody"
	}
	return fmt.Sprintf("for one of %d slots", slots)
}

// admit tells whether a queue takes one more.
func (tx *Tx) admit(c *Contender) (Refusal, string) {
	var first *Place
	tx.places.Walk(placesOf(c.Queue), func(p *Place) bool {
		first = p
		return false
	})
	if first == nil {
		return Admitted, ""
	}
	// Who shares agrees with who excludes everybody: they are the two sides of one
	// kind of lock.
	if have, want := max(first.Slots, 1), max(c.Slots, 1); have != want {
		return Disagrees, fmt.Sprintf("all who contend must name the same number of slots: it is %d now, not %d", have, want)
	}
	if n := tx.length(c.Queue).places; n >= limit.QueuePlaces {
		return QueueFull, fmt.Sprintf("%d places are taken, which is all there are", n)
	}
	return Admitted, ""
}

// join writes the place of a contender. Its number is the index of the command: one
// command takes at most one place in a queue.
func (tx *Tx) join(c *Contender) *Place {
	p := &Place{Queue: c.Queue, Number: tx.index, Session: c.Session, Slots: c.Slots, Own: c.Own}
	next := &Version{Key: p.Key(), Value: c.Value, Flags: c.Slots, CreateIndex: tx.index, Kind: KindSet}
	if c.Own {
		next.Flags |= OwnSession
	}
	tx.put(tx.item(next.Key), next)
	tx.Own(next.Key, c.Session)
	return p
}

// revalue changes the value of a place.
func (tx *Tx) revalue(key string, value []byte) {
	it := tx.item(key)
	if bytes.Equal(it.Cur.Value, value) {
		return
	}
	next := *it.Cur
	next.Value, next.Kind = value, KindSet
	tx.put(it, &next)
}

// placeWith returns the place of a session in a queue, or nil.
func (tx *Tx) placeWith(queue, session string) (p *Place) {
	tx.held.Walk(heldPrefix(session)+"o"+queue+placeDir, func(h *held) bool {
		p = placeOf(tx.item(h.key))
		return p == nil
	})
	return p
}

// Leave gives the place of a session back, whether or not it holds, and returns what
// it was; nil when there is none.
func (tx *Tx) Leave(queue, session string) *Place {
	p := tx.placeWith(queue, session)
	if p != nil {
		tx.Delete(p.Key())
		tx.settle() // before the session may end too, so that it holds nothing any more
	}
	return p
}

// Forsake shortens the time for which a place is kept, since its client has left: not
// if it was asked for again meanwhile, so that it expires at another time than at.
func (tx *Tx) Forsake(queue, session string, at int64) bool {
	p := tx.placeWith(queue, session)
	if p == nil || tx.item(p.Key()).extra().ExpireAt != at {
		return false
	}
	tx.tie(p.Key(), func(e *Extra) { e.ExpireAt = min(at, tx.time+int64(limit.PlaceGrace)) })
	return true
}

// disturb notes that a queue is not as it was.
func (tx *Tx) disturb(queue string) {
	if tx.disturbed == nil {
		tx.disturbed = map[string]bool{}
	}
	tx.disturbed[queue] = true
}

// settle lets those hold whose turn it is, in every queue that the command has
// changed, whatever the change was: somebody came or left, a session or the time of a
// place ended, a lock-delay is over, somebody has deleted keys.
func (tx *Tx) settle() {
	if len(tx.disturbed) == 0 {
		return
	}
	queues := make([]string, 0, len(tx.disturbed))
	for queue := range tx.disturbed {
		queues = append(queues, queue)
	}
	slices.Sort(queues)
	for _, queue := range queues {
		tx.grant(queue)
	}
	clear(tx.disturbed) // also of what grant itself has changed
}

// occupancy counts those who hold, and those who held when their session ended and
// may go on for the time of their lock-delay.
type occupancy struct{ sharing, excluding uint64 }

func (o *occupancy) add(slots uint64) {
	if slots == 0 {
		o.sharing++
	} else {
		o.excluding++
	}
}

// admits tells whether one more may hold.
func (o *occupancy) admits(slots uint64) bool {
	if slots == 0 {
		return o.excluding == 0
	}
	return o.sharing == 0 && o.excluding < slots
}

// grant goes along a queue and lets each hold that can, up to the first that can not:
// nobody is passed. Its cost grows with those who hold, not with those who wait.
func (tx *Tx) grant(queue string) {
	var o occupancy
	tx.delays.Walk(queue+placeDir, func(d *Delay) bool {
		if tx.time < d.Until {
			o.add(d.Slots)
		}
		return true
	})
	var next []*Place
	var first *Place
	tx.places.Walk(placesOf(queue), func(p *Place) bool {
		if !p.Held {
			if !o.admits(p.Slots) {
				return false
			}
			next = append(next, p)
		}
		if first == nil {
			first = p
		}
		o.add(p.Slots)
		return true
	})
	for _, p := range next {
		it := tx.item(p.Key())
		tx.put(it, &Version{
			Key: it.Key, Value: it.Cur.Value, Flags: it.Cur.Flags, Session: p.Session,
			LockIndex: it.Cur.LockIndex + 1, CreateIndex: it.Cur.CreateIndex, Kind: KindLock,
		})
	}
	if strings.HasPrefix(queue, ElectionPrefix) {
		tx.proclaim(LeaderKey(queue), first)
	}
}

// proclaim makes the key of the leader say who leads: it has the value and the session
// of that place, and its number as flags. Without a leader there is no key.
func (tx *Tx) proclaim(key string, leader *Place) {
	if leader == nil {
		tx.Delete(key)
		return
	}
	it := tx.item(key)
	next := &Version{
		Key: key, Value: tx.item(leader.Key()).Cur.Value, Flags: leader.Number, Session: leader.Session,
		LockIndex: 1, CreateIndex: tx.index, Kind: KindLock,
	}
	if it != nil && it.Live() {
		cur := it.Cur
		if cur.Session == next.Session && cur.Flags == next.Flags && bytes.Equal(cur.Value, next.Value) {
			return
		}
		next.CreateIndex, next.LockIndex = cur.CreateIndex, cur.LockIndex
		if cur.Flags != next.Flags {
			next.LockIndex++
		}
	}
	tx.put(it, next)
}

// endDelay ends the lock-delay that a place has left behind, if it is over at the
// given time, and tells whether it has.
func (tx *Tx) endDelay(key string, at int64) bool {
	queue, _, ok := splitPlace(key)
	d := tx.delays.Get(key)
	if !ok || d == nil || d.Until != at || at > tx.time {
		return false
	}
	tx.delays.Delete(key)
	tx.due.Delete((&due{at: at, key: key}).RowID())
	tx.disturb(queue)
	return true
}

// fenceOfQueue judges the fencing number of a place: it is out of date as soon as the
// place does not hold any more. A *FenceError says so.
func (tx *Tx) fenceOfQueue(queue string, n uint64) error {
	if p := tx.places.Get(placeRow(queue, n)); p == nil || !p.Held {
		return &FenceError{Key: queue, Asked: n}
	}
	return nil
}
