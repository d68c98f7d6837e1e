package kvs

import (
	"fmt"
	"strings"
	"unique"

	"github.com/hashicorp/go-memdb"
)

// fixture is a database with the tables of this package and nothing else, and the
// position in an imagined log: the command that comes next has index+1.
type fixture struct {
	t     tb
	db    *memdb.MemDB
	index uint64
}

// tb is the part of testing.TB that a property of package rapid has too.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// second is what lies between the proposals of two commands of a fixture, so that
// the command at index i was proposed i seconds after the epoch.
const second = int64(1e9)

func newFixture(t tb) *fixture {
	t.Helper()
	return &fixture{t: t, db: newDB(t)}
}

func newDB(t tb) *memdb.MemDB {
	t.Helper()
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: Schema()})
	if err != nil {
		t.Fatal(err)
	}
	return db.Snapshot() // without watch channels, as the store runs it
}

func (f *fixture) view() View { return NewView(f.db.Txn(false)) }

// answer is what became of one command of a fixture.
type answer struct {
	index    uint64
	outcomes []Outcome
	accepted bool
	changed  []string // keys that Accept reported
}

// batch performs commands, each a list of operations that apply together or not at
// all, in one memdb transaction.
func (f *fixture) batch(commands ...[]Op) []answer {
	f.t.Helper()
	answers := make([]answer, len(commands))
	tx := Begin(f.view())
	for i, ops := range commands {
		f.index++
		answers[i] = command(tx, f.index, ops)
	}
	f.flush(tx)
	return answers
}

func command(tx *Tx, index uint64, ops []Op) answer {
	a := answer{index: index, accepted: true}
	tx.Command(index, int64(index)*second, unique.Make(Origin{Address: fmt.Sprintf("10.0.0.%d", index%3)}))
	for _, op := range ops {
		out := tx.Do(op, twoSessions)
		a.outcomes = append(a.outcomes, out)
		a.accepted = a.accepted && out.Applied
	}
	if a.accepted {
		for _, v := range tx.Accept() {
			a.changed = append(a.changed, v.Key)
		}
	} else {
		tx.Reject()
	}
	return a
}

func (f *fixture) flush(tx *Tx) {
	txn := f.db.Txn(true)
	tx.Flush(txn)
	txn.Commit()
}

// do performs one command in a batch of its own.
func (f *fixture) do(ops ...Op) answer {
	f.t.Helper()
	return f.batch(ops)[0]
}

// prune performs one prune command in a batch of its own.
func (f *fixture) prune(through uint64, trims []Trim, forgets []Forget) {
	f.t.Helper()
	tx := Begin(f.view())
	f.index++
	tx.Command(f.index, int64(f.index)*second, Nobody)
	tx.Prune(through, trims, forgets)
	if made := tx.Accept(); made != nil {
		f.t.Errorf("a prune reported changes: %v", made)
	}
	f.flush(tx)
}

// twoSessions knows the sessions s1 and s2, in any case, and spells them in lower case.
func twoSessions(id string) (string, bool) {
	id = strings.ToLower(id)
	return id, id == "s1" || id == "s2"
}

// Operations, as short as the tables that hold them need.

func set(key, value string) Op { return Op{Verb: Set, Key: key, Value: []byte(value)} }

func cas(key, value string, index uint64) Op {
	return Op{Verb: CAS, Key: key, Value: []byte(value), Index: index}
}

func lock(key, value, session string) Op {
	return Op{Verb: Lock, Key: key, Value: []byte(value), Session: session}
}

func unlock(key, value, session string) Op {
	return Op{Verb: Unlock, Key: key, Value: []byte(value), Session: session}
}
func del(key string) Op                   { return Op{Verb: Delete, Key: key} }
func delCAS(key string, index uint64) Op  { return Op{Verb: DeleteCAS, Key: key, Index: index} }
func delTree(prefix string) Op            { return Op{Verb: DeleteTree, Key: prefix} }
func get(key string) Op                   { return Op{Verb: Get, Key: key} }
func getOrEmpty(key string) Op            { return Op{Verb: GetOrEmpty, Key: key} }
func getTree(prefix string) Op            { return Op{Verb: GetTree, Key: prefix} }
func checkIndex(key string, n uint64) Op  { return Op{Verb: CheckIndex, Key: key, Index: n} }
func checkNotExists(key string) Op        { return Op{Verb: CheckNotExists, Key: key} }
func checkSession(key, session string) Op { return Op{Verb: CheckSession, Key: key, Session: session} }
func withFlags(op Op, flags uint64) Op    { op.Flags = flags; return op }
func one(op Op) []Op                      { return []Op{op} }
func together(ops ...Op) []Op             { return ops }
func commands(list ...[]Op) [][]Op        { return list }

// show writes a version as key=value@create/modify and whatever else is not zero.
func show(v *Version, value bool) string {
	if v == nil {
		return "-"
	}
	var b strings.Builder
	b.WriteString(v.Key)
	if v.Deleted() {
		fmt.Fprintf(&b, " %s", v.Kind)
	} else if value {
		fmt.Fprintf(&b, "=%s", v.Value)
	}
	fmt.Fprintf(&b, "@%d/%d", v.CreateIndex, v.ModifyIndex)
	if v.Flags != 0 {
		fmt.Fprintf(&b, " flags=%d", v.Flags)
	}
	if v.LockIndex != 0 {
		fmt.Fprintf(&b, " lock=%d", v.LockIndex)
	}
	if v.Session != "" {
		fmt.Fprintf(&b, " held=%s", v.Session)
	}
	return b.String()
}

// all writes every existing key.
func (f *fixture) all() string {
	var rows []string
	f.view().List("", func(v *Version) { rows = append(rows, show(v, true)) })
	return strings.Join(rows, "; ")
}

func shown(outcomes []Outcome) string {
	var rows []string
	for _, out := range outcomes {
		for _, s := range out.Shown {
			rows = append(rows, show(s.Entry, s.Value))
		}
	}
	return strings.Join(rows, "; ")
}

func refusals(outcomes []Outcome) string {
	var rows []string
	for i, out := range outcomes {
		if !out.Applied {
			rows = append(rows, fmt.Sprintf("%d: %s", i, out.Why))
		}
	}
	return strings.Join(rows, "; ")
}
