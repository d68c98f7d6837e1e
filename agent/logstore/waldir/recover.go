package waldir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// Options of Recover.
type Options struct {
	// Verify says whether payload, in raft-wal's encoding, is the whole entry with
	// this index. Its error completes a sentence that begins with the entry.
	Verify func(index uint64, payload []byte) error

	// From is the first entry that is needed: the one behind the snapshot that
	// the server starts from, or 1. What is damaged before it is no loss.
	From uint64

	// Acked is an entry known to have been acknowledged; all up to it must be
	// there. 0: none is known.
	Acked uint64

	// Cut says that Last is the last entry to keep (0: none), because the ones
	// behind it are known not to have been acknowledged.
	Cut  bool
	Last uint64

	// NoSync is for tests; see NewFS.
	NoSync bool
}

// Report says what Recover found and did.
type Report struct {
	First, Last uint64 // the entries there are; 0 and 0 if none

	// Mended is the segment that ended in something that was never finished,
	// which has been cut off; empty if all was in order.
	Mended string

	// Dropped is the last of the entries that were given up at the start of the
	// log because they were damaged, which a snapshot covers; 0 if none was.
	// DroppedWhy is what was wrong.
	Dropped    uint64
	DroppedWhy string
}

// Recover looks at the log in dir and makes it ready to be opened with raft-wal
// and the list it returns. An empty or missing dir gives an empty list, which
// raft-wal makes a new log of.
//
// A *DamageError means that entries are missing or not what was written; then
// nothing was changed. Any other error is the disk's.
func Recover(dir string, o Options) (*Segments, Report, error) {
	s := &Segments{path: filepath.Join(dir, listName), noSync: o.NoSync}
	names, err := segmentFiles(dir)
	if err != nil {
		return nil, Report{}, err
	}
	state, found, err := readList(s.path)
	switch {
	case err != nil:
		return nil, Report{}, err
	case !found && len(names) > 0:
		return nil, Report{}, damaged(s.path, "is gone: without this list of segments %s can't be used", names[len(names)-1])
	}
	s.state = state
	if len(state.Segments) == 0 {
		if o.Acked >= max(o.From, 1) {
			return nil, Report{}, damaged(dir, "holds no entries, but entry %d was acknowledged", o.Acked)
		}
		return s, Report{}, nil
	}
	r := recovery{dir: dir, o: o, list: s, names: names}
	report, err := r.run()
	return s, report, err
}

// segmentFiles lists the segments by name, whether they are on the list or not.
func segmentFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == segmentSuffix {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// recovery is one run of Recover over a log that has segments: first it only
// looks, then it mends.
type recovery struct {
	dir   string
	o     Options
	list  *Segments
	names []string

	drop int // how many segments at the start are given up
	tail *tail
	rep  Report
}

func (r *recovery) run() (Report, error) {
	for _, look := range []func() error{r.checkNames, r.checkSealed, r.checkTail, r.checkAcked} {
		if err := look(); err != nil {
			return Report{}, err
		}
	}
	if err := r.mend(); err != nil {
		return Report{}, err
	}
	return r.rep, nil
}

// checkNames makes sure that no file is younger than the list: it would be
// deleted as a left-over.
func (r *recovery) checkNames() error {
	listed := map[string]bool{}
	for _, s := range r.list.state.Segments {
		listed[segment.FileName(s)] = true
	}
	for _, name := range r.names {
		var info types.SegmentInfo
		n, err := fmt.Sscanf(name, "%020d-%016x"+segmentSuffix, &info.BaseIndex, &info.ID)
		if err != nil || n != 2 || segment.FileName(info) != name {
			return damaged(filepath.Join(r.dir, name), "does not have the name of a segment")
		}
		if !listed[name] && info.ID >= r.list.state.NextSegmentID {
			return damaged(r.list.path, "is older than segment %s", name)
		}
	}
	return nil
}

func (r *recovery) checkSealed() error {
	segments := r.list.state.Segments
	for i, s := range segments[:len(segments)-1] {
		err := checkSealed(filepath.Join(r.dir, segment.FileName(s)), s, r.o.From, r.o.Verify)
		var damage *DamageError
		switch {
		case errors.As(err, &damage) && s.MaxIndex < r.o.From:
			r.drop = i + 1
			r.rep.Dropped, r.rep.DroppedWhy = s.MaxIndex, damage.Error()
		case err != nil:
			return err
		}
	}
	return nil
}

func (r *recovery) checkTail() error {
	segments := r.list.state.Segments
	info := segments[len(segments)-1]
	path := filepath.Join(r.dir, segment.FileName(info))
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if r.o.Acked >= max(r.o.From, info.BaseIndex) {
			return damaged(path, "is gone, and with it entry %d, which was acknowledged", r.o.Acked)
		}
		return nil // the process ended before it was made; raft-wal makes it
	}
	if err != nil {
		return err
	}
	defer f.Close() // only read
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	r.tail, err = judgeTail(f, stat.Size(), path, info, r.o)
	return err
}

// judgeTail reads a last segment and tells what a crash explains from damage.
func judgeTail(f io.ReaderAt, size int64, path string, info types.SegmentInfo, o Options) (*tail, error) {
	last := uint64(math.MaxUint64)
	if o.Cut {
		last = o.Last
	}
	t, err := scanTail(f, size, path, info, o.From, last, o.Verify)
	if err != nil {
		return nil, err
	}
	if o.Acked >= max(o.From, t.next()) {
		return nil, t.lost(o.Acked)
	}
	if !t.rest || o.Cut {
		return t, nil
	}
	later, found, err := t.followedByWhole(f, o.Verify)
	if err != nil {
		return nil, err
	}
	if found && later >= o.From {
		return nil, t.lost(later)
	}
	return t, nil
}

// lost says that entry number must be there and is not, or does not matter
// because those before it are not.
func (t *tail) lost(number uint64) *DamageError {
	var bad *notWhole
	switch {
	case errors.As(t.why, &bad):
		return damaged(t.path, "is damaged at byte %d: entry %d %v", t.stop, t.next(), bad)
	case errors.Is(t.why, errZeros):
		return damaged(t.path, "ends at byte %d, before entry %d, but entry %d was written", t.stop, t.next(), number)
	}
	return damaged(t.path, "is damaged at byte %d, where entry %d should be", t.stop, t.next())
}

// checkAcked is for what the tail can't tell: that the list ends too early.
func (r *recovery) checkAcked() error {
	r.rep.First, r.rep.Last = r.bounds()
	if r.o.Acked >= r.o.From && r.rep.Last < r.o.Acked {
		return damaged(r.list.path, "ends with entry %d, but entry %d was acknowledged", r.rep.Last, r.o.Acked)
	}
	return nil
}

// bounds are the first and last entry that will be there.
func (r *recovery) bounds() (first, last uint64) {
	segments := r.list.state.Segments[r.drop:]
	end := segments[len(segments)-1].BaseIndex
	if r.tail != nil {
		end = r.tail.next()
	}
	first = segments[0].MinIndex
	if end <= first {
		return 0, 0
	}
	return first, end - 1
}

// mend brings the last segment and the list in order.
func (r *recovery) mend() error {
	state := r.list.state
	changed := false
	if r.drop > 0 {
		state.Segments = append([]types.SegmentInfo(nil), state.Segments[r.drop:]...)
		changed = true
	}
	if t := r.tail; t != nil && !t.clean() {
		r.rep.Mended = t.path
		if err := t.mend(r.o.NoSync); err != nil {
			return err
		}
	}
	if t := r.tail; t != nil && t.indexStart != 0 {
		state = sealTail(state, t)
		changed = true
	}
	if !changed {
		return nil
	}
	return r.list.CommitState(state)
}

// sealTail does what was left to do when a segment was full: the list says that
// it is, and has a next one, which raft-wal makes.
func sealTail(state types.PersistentState, t *tail) types.PersistentState {
	segments := append([]types.SegmentInfo(nil), state.Segments...)
	full := &segments[len(segments)-1]
	full.MaxIndex = t.next() - 1
	full.IndexStart = uint64(t.indexStart)
	full.SealTime = time.Now()
	return types.PersistentState{
		NextSegmentID: state.NextSegmentID + 1,
		Segments: append(segments, types.SegmentInfo{
			ID: state.NextSegmentID, BaseIndex: full.MaxIndex + 1, MinIndex: full.MaxIndex + 1,
			Codec: codec, CreateTime: full.SealTime, SizeLimit: full.SizeLimit,
		}),
	}
}

// entryIndex reads the index of an encoded entry: its first number.
func entryIndex(payload []byte) (index uint64, ok bool) {
	index, n := binary.Uvarint(payload)
	return index, n > 0
}
