package fsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"unique"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// A snapshot is the magic, one byte for the form, and then a stream of records,
// compressed as a whole in the zstd form. A record is its kind (one byte), the
// length of its message (varint) and the message. The last one is followed by
// the xxhash64 of all records before it, as eight bytes.
//
// The plain form is for archives, which are compressed as a whole and must know
// the length of the state before they send it.
const (
	snapshotMagic  = "HOLDFAST"
	formPlain      = 1
	formZstd       = 2
	snapshotFormat = 1 // in the header; raised when an older version must not read it
)

// Kinds of records.
const (
	recordHeader  = 1
	recordOrigin  = 2
	recordItem    = 3
	recordTrailer = 4
	recordDelay   = 5
	recordCounter = 6
	recordNode    = 7
	recordService = 8
	recordCheck   = 9
	recordSession = 10
	recordEvent   = 11

	recordACLMeta    = 12
	recordACLToken   = 13
	recordACLPolicy  = 14
	recordACLRole    = 15
	recordACLMethod  = 16
	recordACLBinding = 17
)

// recordBytes bounds one record, so that a damaged length cannot exhaust memory:
// a key with all versions of a trimmed history.
const recordBytes = 1 << 30

// ErrSnapshotDamaged says that a snapshot is cut off or altered.
var ErrSnapshotDamaged = errors.New("snapshot is damaged")

// Snapshot is an unchanging state on its way to a file.
type Snapshot struct {
	view *View
}

// Snapshot returns the present state, to be written.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{view: s.View()} }

// Index is the index of the last command in the snapshot.
func (s *Snapshot) Index() uint64 { return s.view.Applied() }

// Persist writes the compressed form for Raft.
func (s *Snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.persist(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot %s: %w", sink.ID(), err), sink.Cancel())
	}
	return sink.Close()
}

func (s *Snapshot) persist(w io.Writer) error {
	if _, err := io.WriteString(w, snapshotMagic+string(rune(formZstd))); err != nil {
		return err
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return errors.Join(s.writeRecords(z), z.Close())
}

// Release is part of raft.FSMSnapshot; there is nothing to give back.
func (s *Snapshot) Release() {}

// WriteTo writes the plain form.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	if _, err := io.WriteString(c, snapshotMagic+string(rune(formPlain))); err != nil {
		return c.n, err
	}
	return c.n, s.writeRecords(c)
}

// Size is how many bytes WriteTo will write. Values are not looked at for it.
func (s *Snapshot) Size() int64 {
	out := newRecordWriter(nil)
	if err := s.write(out); err != nil { // measuring cannot fail, but for a record too large to be written
		return 0
	}
	return int64(len(snapshotMagic)) + 1 + out.size + int64(len(out.trailer()))
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (s *Snapshot) writeRecords(w io.Writer) error {
	out := newRecordWriter(w)
	if err := s.write(out); err != nil {
		return err
	}
	if _, err := out.w.Write(out.trailer()); err != nil {
		return err
	}
	return out.w.Flush()
}

func (s *Snapshot) write(out *recordWriter) error {
	st, meta := s.view.state, s.view.Meta()
	if err := out.message(recordHeader, &fsmpb.SnapshotHeader{
		Format: snapshotFormat, Index: st.Index, LastTime: st.LastTime, RestoredIndex: st.Restored,
		Kv: &fsmpb.KVMeta{
			Index: meta.Index, PrunedThrough: meta.PrunedThrough, PrunedTime: meta.PrunedTime, Floor: meta.Floor,
		},
		Indexes: &fsmpb.Indexes{
			Sessions: st.Sessions, Nodes: st.Nodes, Services: st.Services, Checks: st.Checks, Events: st.Events,
		},
		Autopilot: autopilotToProto(st.Autopilot),
		Used:      st.Used,
		Chain:     &fsmpb.Chain{Rules: chainRules, Since: st.Chain.Since, Sum: st.Chain.Sum},
	}); err != nil {
		return err
	}
	trailer := &fsmpb.SnapshotTrailer{}
	origins := map[unique.Handle[kvs.Origin]]uint32{unique.Make(kvs.Origin{}): 0}
	var buf []byte
	err := s.view.Export(func(it *kvs.Item) error {
		trailer.Items++
		trailer.Versions += uint64(len(it.Older) + 1)
		if err := out.origins(origins, it); err != nil {
			return err
		}
		if out.w == nil {
			return out.count(sizeItem(it, origins))
		}
		buf = appendItem(buf[:0], it, origins)
		return out.record(recordItem, buf)
	})
	if err != nil {
		return err
	}
	if err := s.writeTables(out); err != nil {
		return err
	}
	return out.message(recordTrailer, trailer)
}

// recordWriter writes records, or only counts their bytes if w is nil.
type recordWriter struct {
	w    *bufio.Writer
	sum  hash.Hash64
	buf  []byte
	size int64 // bytes of the records so far
	most int   // bytes of one record
}

func newRecordWriter(w io.Writer) *recordWriter {
	out := &recordWriter{sum: xxhash.New(), most: recordBytes}
	if w != nil {
		out.w = bufio.NewWriterSize(w, 256<<10)
	}
	return out
}

// trailer is what follows the last record.
func (o *recordWriter) trailer() []byte { return binary.BigEndian.AppendUint64(nil, o.sum.Sum64()) }

func (o *recordWriter) message(kind byte, m proto.Message) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	return o.record(kind, data)
}

// count adds a record with a message of n bytes without writing it.
func (o *recordWriter) count(n int) error {
	o.size += int64(1 + protowire.SizeVarint(uint64(n)) + n)
	return nil
}

func (o *recordWriter) record(kind byte, data []byte) error {
	if len(data) > o.most { // better no snapshot than one that cannot be read
		return fmt.Errorf("a record of kind %d would have %d bytes, more than %d; keep less history", kind, len(data), o.most)
	}
	if o.w == nil {
		return o.count(len(data))
	}
	o.buf = binary.AppendUvarint(append(o.buf[:0], kind), uint64(len(data)))
	for _, part := range [][]byte{o.buf, data} {
		if _, err := o.sum.Write(part); err != nil {
			return err
		}
		if _, err := o.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// origins writes the origins of an item that were not written before, and gives
// them their numbers.
func (o *recordWriter) origins(known map[unique.Handle[kvs.Origin]]uint32, it *kvs.Item) error {
	add := func(v *kvs.Version) error {
		if _, ok := known[v.By]; ok {
			return nil
		}
		known[v.By] = uint32(len(known))
		by := v.By.Value()
		return o.message(recordOrigin, &fsmpb.Origin{Accessor: by.Accessor, Address: by.Address, Reason: by.Reason})
	}
	for _, v := range it.Older {
		if err := add(v); err != nil {
			return err
		}
	}
	return add(it.Cur)
}

// appendItem is the protobuf form of an item, written by hand since a snapshot
// holds hundreds of thousands; TestAppendItem holds it against the generated one.
func appendItem(b []byte, it *kvs.Item, origins map[unique.Handle[kvs.Origin]]uint32) []byte {
	b = appendBytes(b, 1, it.Key)
	b = appendUint(b, 2, it.Floor)
	for _, v := range it.Older {
		b = appendVersion(b, v, origins[v.By])
	}
	b = appendVersion(b, it.Cur, origins[it.Cur.By])
	if e := it.Extra; e != nil {
		b = appendBytes(b, 4, e.Owner)
		b = appendUint(b, 5, uint64(e.ExpireAt))
		b = appendUint(b, 6, uint64(e.TTL))
		b = appendUint(b, 7, e.Fence)
	}
	return b
}

// sizeItem is the length of what appendItem appends.
func sizeItem(it *kvs.Item, origins map[unique.Handle[kvs.Origin]]uint32) int {
	n := sizeBytes(1, len(it.Key)) + sizeUint(2, it.Floor)
	for _, v := range it.Older {
		n += sizeMessage(sizeVersion(v, origins[v.By]))
	}
	n += sizeMessage(sizeVersion(it.Cur, origins[it.Cur.By]))
	if e := it.Extra; e != nil {
		n += sizeBytes(4, len(e.Owner)) + sizeUint(5, uint64(e.ExpireAt)) + sizeUint(6, uint64(e.TTL)) + sizeUint(7, e.Fence)
	}
	return n
}

func sizeMessage(n int) int { return protowire.SizeTag(3) + protowire.SizeBytes(n) }

func sizeVersion(v *kvs.Version, origin uint32) int {
	return sizeBytes(1, len(v.Value)) + sizeFixed(2, v.Flags) + sizeBytes(3, len(v.Session)) + sizeUint(4, v.LockIndex) +
		sizeUint(5, v.CreateIndex) + sizeUint(6, v.ModifyIndex) + sizeUint(7, uint64(v.Time)) +
		sizeUint(8, uint64(v.Kind)) + sizeUint(9, uint64(origin))
}

func appendVersion(b []byte, v *kvs.Version, origin uint32) []byte {
	n := sizeVersion(v, origin)
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(n))
	b = appendBytes(b, 1, v.Value)
	b = appendFixed(b, 2, v.Flags)
	b = appendBytes(b, 3, v.Session)
	b = appendUint(b, 4, v.LockIndex)
	b = appendUint(b, 5, v.CreateIndex)
	b = appendUint(b, 6, v.ModifyIndex)
	b = appendUint(b, 7, uint64(v.Time))
	b = appendUint(b, 8, uint64(v.Kind))
	return appendUint(b, 9, uint64(origin))
}

// readSnapshot reads either form into a new database. It returns an error that is
// ErrSnapshotDamaged when the bytes are not what was written.
func readSnapshot(r io.Reader) (*memdb.MemDB, state, error) {
	db := emptyDB()
	txn := db.Txn(true)
	st, err := load(r, txn)
	if err != nil {
		txn.Abort()
		return nil, st, err
	}
	txn.Commit()
	return db, st, nil
}

// Loaded is the state of a snapshot, in memory and not in use.
type Loaded struct {
	db    *memdb.MemDB
	state state
}

// LoadSnapshot reads a snapshot to its end, for FSM.Restore to take into use. The error
// says why it could not be restored.
func LoadSnapshot(r io.Reader) (*Loaded, error) {
	db, st, err := readSnapshot(r)
	if err != nil {
		return nil, err
	}
	return &Loaded{db: db, state: st}, nil
}

// LoadedReader is the content of a snapshot whose state is in memory already. Loaded is
// nil when it is not.
type LoadedReader interface {
	io.ReadCloser
	Loaded() *Loaded
}

// loadedOf is the state that comes with the content of a snapshot, which Raft may have
// wrapped; nil if none does.
func loadedOf(r io.ReadCloser) *Loaded {
	if w, ok := r.(raft.ReadCloserWrapper); ok {
		r = w.WrappedReadCloser()
	}
	if l, ok := r.(LoadedReader); ok {
		return l.Loaded()
	}
	return nil
}

// CheckSnapshot reads a snapshot to its end and says whether it could be restored.
func CheckSnapshot(r io.Reader) error {
	_, err := load(r, nil)
	return err
}

// SnapshotNeeds returns the EntryVersion that a server must have to hold the state of a
// snapshot. It reads no more than the beginning.
func SnapshotNeeds(r io.Reader) (uint32, error) {
	records, closeRecords, err := openRecords(r)
	if err != nil {
		return 0, err
	}
	defer closeRecords()
	in := &recordReader{r: bufio.NewReader(records), sum: xxhash.New()}
	var header fsmpb.SnapshotHeader
	if err := in.expect(recordHeader, &header); err != nil {
		return 0, err
	}
	return max(header.GetUsed(), firstVersion), nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSnapshotDamaged, fmt.Errorf(format, args...))
}

// load reads a snapshot into txn; with nil it only checks it.
func load(r io.Reader, txn *memdb.Txn) (state, error) {
	records, closeRecords, err := openRecords(r)
	if err != nil {
		return state{}, err
	}
	defer closeRecords()
	in := &recordReader{r: bufio.NewReaderSize(records, 256<<10), sum: xxhash.New()}
	var header fsmpb.SnapshotHeader
	if err := in.expect(recordHeader, &header); err != nil {
		return state{}, err
	}
	if header.GetFormat() != snapshotFormat {
		return state{}, fmt.Errorf("snapshot has format %d, this version of holdfast reads %d; use the version that wrote it", header.GetFormat(), snapshotFormat)
	}
	kv := header.GetKv()
	tables := &tableReader{txn: txn}
	im := kvs.NewImport(txn, kvs.Meta{
		Index: kv.GetIndex(), PrunedThrough: kv.GetPrunedThrough(), PrunedTime: kv.GetPrunedTime(), Floor: kv.GetFloor(),
	})
	if err := in.body(im, tables); err != nil {
		return state{}, err
	}
	im.Finish()
	st := state{
		Index: header.GetIndex(), LastTime: header.GetLastTime(), Restored: header.GetRestoredIndex(),
		Sessions: header.GetIndexes().GetSessions(), Nodes: header.GetIndexes().GetNodes(),
		Services: header.GetIndexes().GetServices(), Checks: header.GetIndexes().GetChecks(),
		Events: header.GetIndexes().GetEvents(), Chain: chainFromSnapshot(&header), Used: header.GetUsed(),
	}
	if header.GetAutopilot() != nil {
		st.Autopilot = autopilotFromProto(header.GetAutopilot())
	}
	return st, nil
}

// openRecords reads the magic and returns the stream behind it.
func openRecords(r io.Reader) (records io.Reader, closeRecords func(), err error) {
	var head [len(snapshotMagic) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, damaged("read its beginning: %w", err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, nil, damaged("it does not begin as a snapshot of holdfast")
	}
	switch head[len(snapshotMagic)] {
	case formPlain:
		return r, func() {}, nil
	case formZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, nil, damaged("open compressed records: %w", err)
		}
		return z, z.Close, nil
	}
	return nil, nil, fmt.Errorf("snapshot has form %d, which this version of holdfast does not read", head[len(snapshotMagic)])
}

type recordReader struct {
	r    *bufio.Reader
	sum  hash.Hash64
	head [1 + binary.MaxVarintLen64]byte // of the last record
	buf  []byte
}

// next returns the kind and the message of the next record; the message is valid
// until the next call.
func (in *recordReader) next() (byte, []byte, error) {
	kind, err := in.r.ReadByte()
	if err != nil {
		return 0, nil, damaged("it is cut off: %w", noEOF(err))
	}
	n, err := binary.ReadUvarint(in.r)
	if err != nil {
		return 0, nil, damaged("it is cut off: %w", noEOF(err))
	}
	if n > recordBytes {
		return 0, nil, damaged("a record says it has %d bytes", n)
	}
	if err := in.fill(int(n)); err != nil {
		return 0, nil, err
	}
	in.head[0] = kind
	_, _ = in.sum.Write(in.head[:1+binary.PutUvarint(in.head[1:], n)]) // a hash cannot fail
	_, _ = in.sum.Write(in.buf)
	return kind, in.buf, nil
}

// fill reads n bytes, growing with what really comes rather than with what a
// damaged length promises.
func (in *recordReader) fill(n int) error {
	in.buf = in.buf[:0]
	for len(in.buf) < n {
		step := min(n-len(in.buf), 1<<20)
		at := len(in.buf)
		in.buf = append(in.buf, make([]byte, step)...)
		if _, err := io.ReadFull(in.r, in.buf[at:]); err != nil {
			return damaged("it is cut off: %w", noEOF(err))
		}
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (in *recordReader) expect(kind byte, m proto.Message) error {
	got, data, err := in.next()
	if err != nil {
		return err
	}
	if got != kind {
		return damaged("record of kind %d where %d should be", got, kind)
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return damaged("record of kind %d: %w", kind, err)
	}
	return nil
}

// body reads origins and items up to and with the trailer.
func (in *recordReader) body(im *kvs.Import, tables *tableReader) error {
	origins := []unique.Handle[kvs.Origin]{unique.Make(kvs.Origin{})}
	var seen fsmpb.SnapshotTrailer
	for {
		kind, data, err := in.next()
		if err != nil {
			return err
		}
		switch kind {
		case recordOrigin:
			var o fsmpb.Origin
			if err := proto.Unmarshal(data, &o); err != nil {
				return damaged("origin: %w", err)
			}
			origins = append(origins, unique.Make(kvs.Origin{Accessor: o.GetAccessor(), Address: o.GetAddress(), Reason: o.GetReason()}))
		case recordItem:
			it, err := readItem(data, origins)
			if err != nil {
				return damaged("item %d: %w", seen.Items+1, err)
			}
			if err := im.Add(it); err != nil {
				return damaged("%w", err)
			}
			seen.Items++
			seen.Versions += uint64(len(it.Older) + 1)
		case recordTrailer:
			return in.end(data, &seen)
		case recordDelay, recordCounter, recordNode, recordService, recordCheck, recordSession, recordEvent,
			recordACLMeta, recordACLToken, recordACLPolicy, recordACLRole, recordACLMethod, recordACLBinding:
			if err := tables.add(im, kind, data); err != nil {
				return damaged("record of kind %d: %w", kind, err)
			}
		default:
			return fmt.Errorf("snapshot holds records of kind %d, which this version of holdfast does not know", kind)
		}
	}
}

func (in *recordReader) end(data []byte, seen *fsmpb.SnapshotTrailer) error {
	var want fsmpb.SnapshotTrailer
	if err := proto.Unmarshal(data, &want); err != nil {
		return damaged("trailer: %w", err)
	}
	if want.GetItems() != seen.GetItems() || want.GetVersions() != seen.GetVersions() {
		return damaged("it holds %d keys with %d versions, and should hold %d with %d",
			seen.GetItems(), seen.GetVersions(), want.GetItems(), want.GetVersions())
	}
	var sum [8]byte
	if _, err := io.ReadFull(in.r, sum[:]); err != nil {
		return damaged("it is cut off: %w", noEOF(err))
	}
	if binary.BigEndian.Uint64(sum[:]) != in.sum.Sum64() {
		return damaged("its checksum does not match")
	}
	// Reading on to the end is what makes the decompressor verify its own checksum.
	switch _, err := in.r.ReadByte(); {
	case err == nil:
		return damaged("it goes on behind its end")
	case err != io.EOF:
		return damaged("read its end: %w", err)
	}
	return nil
}
