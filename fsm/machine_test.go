package fsm

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/kvs"
)

// tb is the part of testing.TB that a property of package rapid has too.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// machine is a state machine, its store, and the errors it stopped with.
type machine struct {
	t     tb
	store *Store
	fsm   *FSM
	stops []error
	index uint64 // of the last entry
}

func newMachine(t tb) *machine {
	m := &machine{t: t, store: NewStore()}
	m.fsm = New(m.store, hclog.NewNullLogger(), func(err error) { m.stops = append(m.stops, err) })
	return m
}

// entry is a log entry with a command that was proposed at the given second.
func entry(t tb, index uint64, second int64, c Command) *raft.Log {
	t.Helper()
	data, err := Encode(&c, second*1e9)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: data}
}

// batch applies commands in one batch; the command at index i is proposed at second i.
func (m *machine) batch(commands ...Command) []any {
	m.t.Helper()
	entries := make([]*raft.Log, len(commands))
	for i, c := range commands {
		m.index++
		entries[i] = entry(m.t, m.index, int64(m.index), c)
	}
	return m.fsm.ApplyBatch(entries)
}

// do applies one command and returns its result.
func (m *machine) do(c Command) Result {
	m.t.Helper()
	res, ok := m.batch(c)[0].(Result)
	if !ok {
		m.t.Fatalf("command %+v: no result", c)
	}
	return res
}

func write(op kvs.Op) Command      { return Command{Write: &op} }
func txn(ops ...kvs.Op) Command    { return Command{Txn: ops} }
func prune(p kvs.Plan) Command     { return Command{Prune: &p} }
func set(key, value string) kvs.Op { return kvs.Op{Verb: kvs.Set, Key: key, Value: []byte(value)} }
func get(key string) kvs.Op        { return kvs.Op{Verb: kvs.Get, Key: key} }
func del(key string) kvs.Op        { return kvs.Op{Verb: kvs.Delete, Key: key} }

// content writes every existing key of a view as key=value@index.
func content(v *View) string {
	var rows []string
	v.List("", func(c *kvs.Version) { rows = append(rows, fmt.Sprintf("%s=%s@%d", c.Key, c.Value, c.ModifyIndex)) })
	return strings.Join(rows, " ")
}

// plain is the state in the plain form of a snapshot: two states are the same when
// their bytes are.
func plain(t tb, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compressed is the state in the form Raft keeps.
func compressed(t tb, s *Store) []byte {
	t.Helper()
	sink := &memorySink{}
	if err := s.Snapshot().Persist(sink); err != nil {
		t.Fatal(err)
	}
	return sink.Bytes()
}

// memorySink is a raft.SnapshotSink that keeps what it is given.
type memorySink struct {
	bytes.Buffer
	failAfter int // bytes; 0: never
	closed    bool
	cancelled bool
}

func (s *memorySink) Write(p []byte) (int, error) {
	if s.failAfter > 0 && s.Len()+len(p) > s.failAfter {
		return 0, io.ErrShortWrite
	}
	return s.Buffer.Write(p)
}

func (s *memorySink) ID() string    { return "1-2-3" }
func (s *memorySink) Close() error  { s.closed = true; return nil }
func (s *memorySink) Cancel() error { s.cancelled = true; return nil }

// restore gives the bytes of a snapshot to the state machine.
func (m *machine) restore(snapshot []byte) error {
	return m.fsm.Restore(io.NopCloser(bytes.NewReader(snapshot)))
}
