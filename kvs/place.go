package kvs

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/internal/staging"
)

// Where the recipes of the server keep their state. A segment of a name never begins
// with a dot, so what belongs to the lock "a" cannot be taken for a lock "a/b".
//
//	_holdfast/lock/<name>/.queue/<number>      a place in the queue of a lock
//	_holdfast/election/<name>/.queue/<number>  a candidate
//	_holdfast/election/<name>/.leader          the leader, with the value of its place
//	_holdfast/group/<name>/.members/<member>   a member
const (
	recipePrefix   = "_holdfast/"
	LockPrefix     = recipePrefix + "lock/"
	ElectionPrefix = recipePrefix + "election/"
	GroupPrefix    = recipePrefix + "group/"

	placeDir  = "/.queue/"
	leaderDot = "/.leader"
	memberDir = "/.members/"
)

// placeDigits is the width of the number of a place: that of the largest index.
const placeDigits = 20

// OwnSession is the bit in the flags of a place, or of a member, that says that its
// session was made for it and ends when it is given back. Whoever writes the key can set
// it; what the session is called says whether it is true, see [SessionName].
const OwnSession = 1 << 32

// The tables of the places of all queues, in their order, and of how many each queue
// has. They can be made again from the rows of the keys.
const (
	tablePlaces  = "kv-places"
	tableLengths = "kv-queues"
)

// Place is somebody's place in a queue. As a key it belongs to its session, with
// which it ends, and is locked by it as long as it holds.
type Place struct {
	Queue   string // key of the lock or election, such as _holdfast/lock/jobs/nightly
	Number  uint64 // index at which the place was taken; grows along the queue
	Session string
	Slots   uint64 // how many may hold; 0: any number beside each other, none beside others
	Held    bool
	Own     bool // its session was made for it
}

// Key is the key of the place.
func (p *Place) Key() string { return PlaceKey(p.Queue, p.Number) }

// RowID is part of staging.Row.
func (p *Place) RowID() string { return placeRow(p.Queue, p.Number) }

func placeRow(queue string, number uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(placesOf(queue)), number))
}

// placesOf begins the id of every place of a queue. No name has a zero byte.
func placesOf(queue string) string { return queue + "\x00" }

// length is how many places a queue has; there is no row for none.
type length struct {
	queue  string
	places int
}

// RowID is part of staging.Row.
func (l *length) RowID() string { return l.queue }

func (l *length) plus(n int) *length { return &length{l.queue, l.places + n} }

// place notes a place that there is, and unplace one that there is no more; nil for
// none.
func (tx *Tx) place(p *Place) {
	if p != nil {
		tx.places.Put(p)
		tx.lengths.Put(tx.length(p.Queue).plus(1))
		tx.disturb(p.Queue)
	}
}

func (tx *Tx) unplace(p *Place) {
	if p == nil {
		return
	}
	tx.places.Delete(p.RowID())
	if l := tx.length(p.Queue).plus(-1); l.places > 0 {
		tx.lengths.Put(l)
	} else {
		tx.lengths.Delete(p.Queue)
	}
	tx.disturb(p.Queue)
}

func (tx *Tx) length(queue string) *length {
	if l := tx.lengths.Get(queue); l != nil {
		return l
	}
	return &length{queue: queue}
}

func (v View) length(queue string) *length {
	if l := staging.Get[*length](v.txn, tableLengths, queue); l != nil {
		return l
	}
	return &length{queue: queue}
}

// QueueLength is how many places a queue has.
func (v View) QueueLength(queue string) int { return v.length(queue).places }

// PlaceKey is the key of a place.
func PlaceKey(queue string, number uint64) string {
	return queue + placeDir + fmt.Sprintf("%0*d", placeDigits, number)
}

// LeaderKey is the key that holds who leads an election.
func LeaderKey(election string) string { return election + leaderDot }

// MembersPrefix begins the keys of the members of a group.
func MembersPrefix(group string) string { return GroupPrefix + group + memberDir }

// SessionName is what a session is called that is made for a lock, an election or a member
// of a group; key is that of the lock or election, or the member's. "" for other keys.
func SessionName(key string) string {
	if name, ok := strings.CutPrefix(key, LockPrefix); ok {
		return "lock " + name
	}
	if name, ok := strings.CutPrefix(key, ElectionPrefix); ok {
		return "election " + name
	}
	name, _ := strings.CutPrefix(key, GroupPrefix)
	if i := strings.LastIndex(name, memberDir); i >= 0 && len(name) < len(key) {
		return "member " + name[:i] + "/" + name[i+len(memberDir):]
	}
	return ""
}

// ValidName tells whether a lock, an election, a group or a member can have that
// name: segments between slashes, none of them empty or beginning with a dot, of
// printable characters.
func ValidName(name string) bool {
	if name == "" || len(name) > limit.RecipeNameBytes || !utf8.ValidString(name) {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment[0] == '.' {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// isQueue tells whether key is that of a lock or an election.
func isQueue(key string) bool {
	if name, ok := strings.CutPrefix(key, LockPrefix); ok {
		return ValidName(name)
	}
	name, ok := strings.CutPrefix(key, ElectionPrefix)
	return ok && ValidName(name)
}

// splitPlace takes the key of a place apart.
func splitPlace(key string) (queue string, number uint64, ok bool) {
	if !strings.HasPrefix(key, recipePrefix) {
		return "", 0, false
	}
	i := len(key) - placeDigits
	if i < 0 {
		return "", 0, false
	}
	queue, ok = strings.CutSuffix(key[:i], placeDir)
	if !ok || !isQueue(queue) {
		return "", 0, false
	}
	number, err := strconv.ParseUint(key[i:], 10, 64)
	return queue, number, err == nil && key == PlaceKey(queue, number)
}

// placeOf returns the place that a row is; nil when it is none. Who writes below the
// prefix by hand makes no place unless the key ends with a session.
func placeOf(it *Item) *Place {
	owner := it.extra().Owner
	if owner == "" || !it.Live() {
		return nil
	}
	queue, number, ok := splitPlace(it.Key)
	if !ok {
		return nil
	}
	return &Place{
		Queue: queue, Number: number, Session: owner,
		Slots: it.Cur.Flags &^ OwnSession, Own: it.Cur.Flags&OwnSession != 0,
		Held: it.Cur.Session == owner,
	}
}

// Places calls visit for every place of a queue, in order, until it returns false.
func (v View) Places(queue string, visit func(*Place) bool) {
	staging.Walk(v.txn, tablePlaces, placesOf(queue), visit)
}

// Place returns the place with that number; nil when there is none any more.
func (v View) Place(queue string, number uint64) *Place {
	return staging.Get[*Place](v.txn, tablePlaces, placeRow(queue, number))
}

// QueueDelay returns until when a queue does not go on because somebody's session
// ended while it held, in Unix nanoseconds; 0 when it does.
func (v View) QueueDelay(queue string) int64 {
	var until int64
	staging.Walk(v.txn, tableDelays, queue+placeDir, func(d *Delay) bool {
		until = max(until, d.Until)
		return true
	})
	return until
}

// Since returns when the current holder acquired a key and when this incarnation of
// it was written first, as far as the history of the key tells; otherwise when it
// was last written. In Unix nanoseconds.
func (v View) Since(key string) (acquired, created int64) {
	it := v.Item(key)
	if it == nil {
		return 0, 0
	}
	at := func(index uint64) int64 {
		if old, err := v.GetAt(key, index); err == nil && old != nil {
			return old.Time
		}
		return it.Cur.Time
	}
	return at(it.extra().Fence), at(it.Cur.CreateIndex)
}
