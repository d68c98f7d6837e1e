package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unique"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// lived is a state with history, deletions, origins, pruning and a restore.
func lived(t tb) *machine {
	m := newMachine(t)
	m.do(Command{Origin: kvs.Origin{Address: "10.0.0.1", Reason: "first"}, Write: &kvs.Op{Verb: kvs.Set, Key: "a", Value: []byte("1"), Flags: 1<<64 - 1}})
	m.do(Command{Origin: kvs.Origin{Accessor: "acc"}, Txn: []kvs.Op{set("b", "1"), set("c\x00\xff", ""), set("a", "2")}})
	m.do(write(del("b")))
	m.do(Command{Restored: true})
	for i := range 4 {
		m.do(write(set("trimmed", fmt.Sprint(i))))
	}
	m.do(write(set("forgotten", "1")))
	m.do(write(del("forgotten")))
	m.do(prune(kvs.Plan{Through: 10, Trims: []kvs.Trim{{Key: "trimmed", Keep: 1}}, Forgets: []kvs.Forget{{Key: "forgotten", Index: 10}}}))
	m.do(write(set("long", strings.Repeat("x", 300))))
	m.do(write(set("a", "3")))
	m.do(write(set("trimmed", "")))
	return m
}

func TestAppendItem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		origins := map[unique.Handle[kvs.Origin]]uint32{unique.Make(kvs.Origin{}): 0}
		for i := range 300 {
			origins[unique.Make(kvs.Origin{Reason: fmt.Sprint(i)})] = uint32(len(origins))
		}
		number := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 127, 128, 1<<63 - 1, 1 << 63, 1<<64 - 1}), rapid.Uint64())
		text := rapid.OneOf(rapid.SampledFrom([]string{"", "x", "\x00\xff", strings.Repeat("y", 127), strings.Repeat("z", 128), strings.Repeat("z", 1<<14)}), rapid.StringN(0, 20, -1))
		it := &kvs.Item{Key: text.Draw(t, "key"), Floor: number.Draw(t, "floor")}
		msg := &fsmpb.Item{Key: []byte(it.Key), Floor: it.Floor}
		for range rapid.IntRange(1, 4).Draw(t, "versions") {
			by := kvs.Origin{}
			if n := rapid.IntRange(-1, 299).Draw(t, "origin"); n >= 0 {
				by.Reason = fmt.Sprint(n)
			}
			v := &kvs.Version{
				Key: it.Key, Value: []byte(text.Draw(t, "value")), Session: text.Draw(t, "session"), Flags: number.Draw(t, "flags"),
				LockIndex: number.Draw(t, "lock"), CreateIndex: number.Draw(t, "create"), ModifyIndex: number.Draw(t, "modify"),
				Time: int64(number.Draw(t, "time")), Kind: kvs.Kind(rapid.IntRange(0, 255).Draw(t, "kind")), By: unique.Make(by),
			}
			msg.Versions = append(msg.Versions, &fsmpb.Version{
				Value: v.Value, Flags: v.Flags, Session: []byte(v.Session), LockIndex: v.LockIndex, CreateIndex: v.CreateIndex,
				ModifyIndex: v.ModifyIndex, Time: v.Time, Kind: uint32(v.Kind), Origin: origins[v.By],
			})
			it.Older = append(it.Older, v)
		}
		last := len(it.Older) - 1
		it.Cur, it.Older = it.Older[last], it.Older[:last]
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}
		got := appendItem([]byte("before"), it, origins)
		if !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("by hand\n%x, generated\n%x", got[len("before"):], want)
		}
	})
}

func TestSnapshotComesBackAsItWas(t *testing.T) {
	m := lived(t)
	was := plain(t, m.store)
	small := compressed(t, m.store)
	for form, restore := range map[string]func(*machine) error{
		"plain":      func(to *machine) error { return to.restore(was) },
		"compressed": func(to *machine) error { return to.restore(small) },
		"loaded before": func(to *machine) error {
			l, err := LoadSnapshot(bytes.NewReader(small))
			if err != nil {
				return err
			}
			unread := loadedReader{io.NopCloser(iotest.ErrReader(errors.New("it is read"))), l}
			return to.fsm.Restore(wrapped{unread, unread})
		},
		"not loaded before": func(to *machine) error {
			return to.fsm.Restore(loadedReader{io.NopCloser(bytes.NewReader(was)), nil})
		},
	} {
		t.Run(form, func(t *testing.T) {
			for _, snapshot := range [][]byte{was, small} {
				if err := CheckSnapshot(bytes.NewReader(snapshot)); err != nil {
					t.Fatal(err)
				}
			}
			other := newMachine(t)
			other.do(write(set("old", "state")))
			if err := restore(other); err != nil {
				t.Fatal(err)
			}
			if got := plain(t, other.store); !bytes.Equal(got, was) {
				t.Error("saved again it has other bytes")
			}
			before, after := m.store.View(), other.store.View()
			if content(after) != content(before) || after.Meta() != before.Meta() || after.Applied() != before.Applied() || after.RestoredAt() != before.RestoredAt() {
				t.Errorf("restored\n%s %+v at %d, want\n%s %+v at %d", content(after), after.Meta(), after.Applied(), content(before), before.Meta(), before.Applied())
			}
			// It goes on in the same way.
			for i, s := range []*machine{other, m} {
				if i == 1 {
					s = lived(t)
				}
				s.index = 100
				s.batch(write(set("a", "4")), write(del("long")), prune(kvs.Plan{Through: 101, Trims: []kvs.Trim{{Key: "a", Keep: 2}}}))
				if i == 0 {
					was = plain(t, s.store)
				} else if !bytes.Equal(was, plain(t, s.store)) {
					t.Error("after more commands it is another state than without the restore")
				}
			}
			was = plain(t, m.store)
		})
	}
}

// loadedReader is the content of a snapshot whose state may be in memory.
type loadedReader struct {
	io.ReadCloser
	loaded *Loaded
}

func (l loadedReader) Loaded() *Loaded { return l.loaded }

// wrapped is a content as Raft hands it on.
type wrapped struct {
	io.ReadCloser
	inner io.ReadCloser
}

func (w wrapped) WrappedReadCloser() io.ReadCloser { return w.inner }

func TestSizeIsWhatWriteToWrites(t *testing.T) {
	for _, m := range []*machine{newMachine(t), lived(t)} {
		var b bytes.Buffer
		s := m.store.Snapshot()
		n, err := s.WriteTo(&b)
		if err != nil || n != int64(b.Len()) || s.Size() != n {
			t.Errorf("wrote %d bytes and said %d, size is %d (%v)", b.Len(), n, s.Size(), err)
		}
		if s.Index() != m.store.Applied() {
			t.Errorf("snapshot of index %d, want %d", s.Index(), m.store.Applied())
		}
	}
}

func TestSnapshotThatIsBeingWrittenDoesNotMove(t *testing.T) {
	m := lived(t)
	was := plain(t, m.store)
	s, err := m.fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	m.batch(write(kvs.Op{Verb: kvs.DeleteTree}), prune(kvs.Plan{Through: 1000}), write(set("new", "1")))
	sink := &memorySink{}
	if err := s.Persist(sink); err != nil {
		t.Fatal(err)
	}
	s.Release()
	other := newMachine(t)
	if err := other.restore(sink.Bytes()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain(t, other.store), was) {
		t.Error("it holds what came later")
	}
}

func TestPersistClosesOrCancels(t *testing.T) {
	m := lived(t)
	good := &memorySink{}
	if err := m.store.Snapshot().Persist(good); err != nil || !good.closed || good.cancelled {
		t.Errorf("%v, closed = %v, cancelled = %v; want it closed", err, good.closed, good.cancelled)
	}
	for _, room := range []int{1, 9, 20, good.Len() - 1} {
		bad := &memorySink{failAfter: room}
		err := m.store.Snapshot().Persist(bad)
		if !errors.Is(err, io.ErrShortWrite) || bad.closed || !bad.cancelled || !strings.Contains(err.Error(), bad.ID()) {
			t.Errorf("with room for %d bytes: %v, closed = %v, cancelled = %v; want it cancelled", room, err, bad.closed, bad.cancelled)
		}
	}
}

// guard is a state machine with a state of its own, which must stay.
type guard struct {
	*machine
	view *View
	was  []byte
}

func newGuard(t *testing.T) *guard {
	m := newMachine(t)
	m.do(write(set("old", "state")))
	g := &guard{machine: m, view: m.store.View(), was: plain(t, m.store)}
	t.Cleanup(func() {
		if !bytes.Equal(plain(t, m.store), g.was) {
			t.Error("the old state was touched")
		}
	})
	return g
}

// refuses gives the bytes of a snapshot that is not whole to the state machine.
func (g *guard) refuses(what string, snapshot []byte) {
	g.t.Helper()
	err := g.restore(snapshot)
	if err == nil || g.store.View() != g.view {
		g.t.Fatalf("%s: restored (%v)", what, err)
	}
}

func TestSnapshotThatIsCutOffIsRefused(t *testing.T) {
	m, g := lived(t), newGuard(t)
	for form, snapshot := range map[string][]byte{"plain": plain(t, m.store), "compressed": compressed(t, m.store)} {
		for n := range snapshot {
			g.refuses(fmt.Sprintf("%s, %d of %d bytes", form, n, len(snapshot)), snapshot[:n])
		}
		err := newMachine(t).restore(snapshot[:len(snapshot)/2])
		if !errors.Is(err, ErrSnapshotDamaged) || errors.Is(err, io.EOF) {
			t.Errorf("%s, cut in half: %v, want ErrSnapshotDamaged and no plain EOF", form, err)
		}
	}
}

func TestSnapshotWithMoreBehindItIsRefused(t *testing.T) {
	m, g := lived(t), newGuard(t)
	for form, snapshot := range map[string][]byte{"plain": plain(t, m.store), "compressed": compressed(t, m.store)} {
		g.refuses(form+" and a byte", append(snapshot, 0))
		g.refuses(form+" twice", append(snapshot, snapshot...))
	}
}

// TestSnapshotWithAFlippedBitIsRefused flips every bit of the plain form, and one or
// two of each byte of the compressed one. The header of a zstd frame has a bit that is
// unused and eight that say how much memory the decoder may need: what comes of those
// must be the same state.
func TestSnapshotWithAFlippedBitIsRefused(t *testing.T) {
	m, g := lived(t), newGuard(t)
	was := plain(t, m.store)
	for i := range was {
		for bit := range 8 {
			flipped := bytes.Clone(was)
			flipped[i] ^= 1 << bit
			g.refuses(fmt.Sprintf("bit %d of byte %d of %d", bit, i, len(was)), flipped)
		}
	}
	snapshot := compressed(t, m.store)
	flags := len(snapshotMagic) + 1 + 4 // behind the magic of zstd
	for i := range snapshot {
		for bit := i % 2; bit < 8; bit += 5 {
			flipped := bytes.Clone(snapshot)
			flipped[i] ^= 1 << bit
			if i == flags || i == flags+1 {
				other := newMachine(t)
				if other.restore(flipped) == nil && bytes.Equal(plain(t, other.store), was) {
					continue
				}
			}
			g.refuses(fmt.Sprintf("compressed, bit %d of byte %d of %d", bit, i, len(snapshot)), flipped)
		}
	}
}

// records builds a snapshot of the given records with a right checksum.
type records struct{ bytes.Buffer }

func (r *records) add(kind byte, data []byte) *records {
	r.Write(append(binary.AppendUvarint([]byte{kind}, uint64(len(data))), data...))
	return r
}

func (r *records) message(t tb, kind byte, m proto.Message) *records {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return r.add(kind, data)
}

func (r *records) sealed() []byte {
	out := append([]byte(snapshotMagic), formPlain)
	out = append(out, r.Bytes()...)
	return binary.BigEndian.AppendUint64(out, xxhash.Sum64(r.Bytes()))
}

func TestSnapshotOfWrongRecordsIsRefused(t *testing.T) {
	header := func(format uint32) *fsmpb.SnapshotHeader {
		return &fsmpb.SnapshotHeader{Format: format, Index: 9, Kv: &fsmpb.KVMeta{Index: 9}}
	}
	item := func(key string, kind, origin uint32, indexes ...uint64) *fsmpb.Item {
		it := &fsmpb.Item{Key: []byte(key)}
		for _, i := range indexes {
			it.Versions = append(it.Versions, &fsmpb.Version{ModifyIndex: i, CreateIndex: i, Kind: kind, Origin: origin})
		}
		return it
	}
	begin := func() *records { return (&records{}).message(t, recordHeader, header(snapshotFormat)) }
	trailer := func(items, versions uint64) *fsmpb.SnapshotTrailer {
		return &fsmpb.SnapshotTrailer{Items: items, Versions: versions}
	}
	fine := begin().message(t, recordOrigin, &fsmpb.Origin{Reason: "r"}).
		message(t, recordItem, item("a", 1, 1, 3, 4)).message(t, recordItem, item("b", 2, 0, 9)).message(t, recordTrailer, trailer(2, 3)).sealed()
	if err := newMachine(t).restore(fine); err != nil {
		t.Fatalf("what is right was refused: %v", err)
	}
	for _, tc := range []struct {
		rule     string
		snapshot []byte
		says     string
		damaged  bool
	}{
		{"no bytes", nil, "read its beginning", true},
		{"something else", []byte("not a snapshot at all"), "does not begin as a snapshot", true},
		{"a form from later", append([]byte(snapshotMagic), 9), "form 9, which this version of holdfast does not read", false},
		{"a format from later", (&records{}).message(t, recordHeader, header(snapshotFormat+1)).message(t, recordTrailer, trailer(0, 0)).sealed(), "use the version that wrote it", false},
		{"no header", (&records{}).message(t, recordTrailer, trailer(0, 0)).sealed(), "record of kind 4 where 1 should be", true},
		{"a kind from later", begin().add(99, []byte("x")).message(t, recordTrailer, trailer(0, 0)).sealed(), "records of kind 99", false},
		{"two headers", begin().message(t, recordHeader, header(snapshotFormat)).message(t, recordTrailer, trailer(0, 0)).sealed(), "records of kind 1", false},
		{"an item without a version", begin().message(t, recordItem, item("a", 1, 0)).message(t, recordTrailer, trailer(1, 0)).sealed(), "no version", true},
		{"a kind of change from later", begin().message(t, recordItem, item("a", 6, 0, 1)).message(t, recordTrailer, trailer(1, 1)).sealed(), "version of kind 6", true},
		{"a kind of change that wraps", begin().message(t, recordItem, item("a", 257, 0, 1)).message(t, recordTrailer, trailer(1, 1)).sealed(), "version of kind 257", true},
		{"an origin that was not written", begin().message(t, recordItem, item("a", 1, 1, 1)).message(t, recordTrailer, trailer(1, 1)).sealed(), "origin 1 is not in the table", true},
		{"keys out of order", begin().message(t, recordItem, item("b", 1, 0, 1)).message(t, recordItem, item("a", 1, 0, 2)).message(t, recordTrailer, trailer(2, 2)).sealed(), "comes after", true},
		{"versions out of order", begin().message(t, recordItem, item("b", 1, 0, 2, 1)).message(t, recordTrailer, trailer(1, 2)).sealed(), "out of order", true},
		{"a key newer than the state", begin().message(t, recordItem, item("b", 1, 0, 10)).message(t, recordTrailer, trailer(1, 1)).sealed(), "above that of the store", true},
		{"fewer keys than it says", begin().message(t, recordItem, item("a", 1, 0, 1)).message(t, recordTrailer, trailer(2, 1)).sealed(), "should hold 2 with 1", true},
		{"more versions than it says", begin().message(t, recordItem, item("a", 1, 0, 1, 2)).message(t, recordTrailer, trailer(1, 1)).sealed(), "should hold 1 with 1", true},
		{"no trailer", begin().message(t, recordItem, item("a", 1, 0, 1)).sealed(), "", true},
		{"an item that is no message", begin().add(recordItem, []byte{0xff}).message(t, recordTrailer, trailer(1, 1)).sealed(), "item 1", true},
		{"an origin that is no message", begin().add(recordOrigin, []byte{0xff}).message(t, recordTrailer, trailer(0, 0)).sealed(), "origin", true},
		{"another checksum", append(fine[:len(fine)-1:len(fine)-1], fine[len(fine)-1]^1), "checksum", true},
		{"a length without an end", begin().sealedWith([]byte{recordItem, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "", true},
		{"a length above the bound", begin().sealedWith(binary.AppendUvarint([]byte{recordItem}, recordBytes+1)), "a record says it has", true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			err := newMachine(t).restore(tc.snapshot)
			if err == nil || !strings.Contains(err.Error(), tc.says) || errors.Is(err, ErrSnapshotDamaged) != tc.damaged {
				t.Errorf("error %v, want %q and ErrSnapshotDamaged = %v", err, tc.says, tc.damaged)
			}
			newGuard(t).refuses(tc.rule, tc.snapshot)
			if CheckSnapshot(bytes.NewReader(tc.snapshot)) == nil {
				t.Errorf("restore says %v, the check nothing", err)
			}
		})
	}
}

// sealedWith adds bytes that are no record and returns the snapshot.
func (r *records) sealedWith(b []byte) []byte {
	r.Write(b)
	return r.sealed()
}

// TestRecordThatCouldNotBeReadIsNotWritten: once such a snapshot is the newest, Raft
// drops the log it stands for.
func TestRecordThatCouldNotBeReadIsNotWritten(t *testing.T) {
	var out bytes.Buffer
	w := &recordWriter{w: bufio.NewWriter(&out), sum: xxhash.New(), most: 100}
	if err := w.record(recordItem, make([]byte, 101)); err == nil {
		t.Error("a record was written that is longer than what is read")
	}
	if w.w.Buffered() != 0 || out.Len() != 0 {
		t.Error("its beginning was written")
	}
	if err := w.record(recordItem, make([]byte, 100)); err != nil {
		t.Errorf("a record as long as the bound: %v", err)
	}
}

// TestRestoreTakesMemoryForWhatComes: a length that is damaged must not cost what it
// promises.
func TestRestoreTakesMemoryForWhatComes(t *testing.T) {
	const bound = 16 << 20
	begin := (&records{}).message(t, recordHeader, &fsmpb.SnapshotHeader{Format: snapshotFormat})
	snapshot := begin.sealedWith(append(binary.AppendUvarint([]byte{recordItem}, recordBytes), make([]byte, 1000)...))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := CheckSnapshot(bytes.NewReader(snapshot)); !errors.Is(err, ErrSnapshotDamaged) {
		t.Errorf("error %v, want ErrSnapshotDamaged", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > bound {
		t.Errorf("a snapshot of %d bytes took %d bytes of memory, want at most %d", len(snapshot), n, bound)
	}
}

// TestCompressedSnapshotMayBeLarge: what the decoder bounds is its window, not the
// size of a state.
func TestCompressedSnapshotMayBeLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("reads some hundred MiB")
	}
	const size = 300 << 20
	r, w := io.Pipe()
	go func() {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err == nil {
			_, err = w.Write(append([]byte(snapshotMagic), formZstd))
		}
		block := make([]byte, 1<<20)
		for n := 0; n < size && err == nil; n += len(block) {
			_, err = z.Write(block)
		}
		w.CloseWithError(errors.Join(err, z.Close()))
	}()
	records, done, err := openRecords(r)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	n, err := io.Copy(io.Discard, records)
	if err != nil || n != size {
		t.Errorf("read %d bytes (%v), want %d", n, err, size)
	}
}

// FuzzRestore restores any bytes, as they are and as records with a right checksum.
// It never panics; what it accepts is a state that can be used, and that is the same
// after it was saved and restored again.
func FuzzRestore(f *testing.F) {
	m := lived(f)
	snapshot := plain(f, m.store)
	f.Add(snapshot)
	f.Add(compressed(f, m.store))
	f.Add(snapshot[len(snapshotMagic)+1 : len(snapshot)-8])
	f.Add(plain(f, NewStore()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &records{}
		r.Write(data)
		for _, snapshot := range [][]byte{data, r.sealed()} {
			m := newMachine(t)
			err := m.restore(snapshot)
			if checked := CheckSnapshot(bytes.NewReader(snapshot)); (checked == nil) != (err == nil) {
				t.Fatalf("restore says %v, the check says %v", err, checked)
			}
			if err != nil {
				continue
			}
			saved := plain(t, m.store)
			other := newMachine(t)
			if err := other.restore(saved); err != nil {
				t.Fatalf("what was restored and saved cannot be restored: %v", err)
			}
			if !bytes.Equal(plain(t, other.store), saved) {
				t.Fatal("what was restored and saved and restored is another state")
			}
			use(t, m)
		}
	})
}

// use asks and changes whatever a restored state has.
func use(t *testing.T, m *machine) {
	v := m.store.View()
	v.List("", func(c *kvs.Version) {
		if got, err := v.GetAt(c.Key, c.ModifyIndex); c.ModifyIndex >= v.Meta().PrunedThrough && (err != nil || got != c) {
			t.Fatalf("key %q at its own index is not what it is: %v", c.Key, err)
		}
	})
	_, _ = v.IndexAt(1) // any answer will do
	m.index = max(v.Applied(), v.Meta().Index)
	if m.index > 1<<62 {
		return // there is no index after it that a log could have
	}
	m.batch(write(set("k", "v")), write(kvs.Op{Verb: kvs.DeleteTree, Key: "a"}))
	plan, _ := m.store.View().PlanPrune(kvs.Retention{Before: 1 << 62, Protected: 1 << 62, Versions: 1, Records: 100}, 0)
	if !plan.Empty() {
		m.do(prune(plan))
	}
	if len(m.stops) > 0 {
		t.Fatalf("stopped: %v", m.stops)
	}
}
