package waldir

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/hashicorp/raft-wal/types"
)

// tail is what is found in the last segment of a log, the one that is written to.
type tail struct {
	path string
	info types.SegmentInfo
	size int64

	// entries is how many whole ones there are from the start, and end the offset
	// behind the last of them.
	entries uint64
	end     int64

	// committed is how many of them a sound commit frame confirms, and
	// committedEnd the offset behind that frame.
	committed    uint64
	committedEnd int64

	// batch is where the CRC of a commit frame begins that confirms the entries
	// up to end: behind the last commit frame before them, sound or not.
	batch int64

	// indexStart is where the index of a complete, sealed segment is; else 0.
	indexStart int64

	// stop is where reading ended and why says for what reason. rest is false if
	// there are only zeros from committedEnd on.
	stop int64
	why  error
	rest bool
}

// next is the index of the entry that would follow the whole ones.
func (t *tail) next() uint64 { return t.info.BaseIndex + t.entries }

// clean reports whether the segment ends with a sound commit and zeros: nothing
// was being written when the process ended.
func (t *tail) clean() bool { return t.entries == t.committed && !t.rest }

var errLater = errors.New("is to be dropped")

// scanTail reads a last segment. Entries below from are taken as they are, as a
// snapshot has them; those above last are not taken at all.
func scanTail(f io.ReaderAt, size int64, path string, info types.SegmentInfo, from, last uint64, check verify) (*tail, error) {
	t := &tail{path: path, info: info, size: size, end: headerBytes}
	r := newReader(f, 0, size)
	head := make([]byte, min(size, headerBytes))
	if _, err := io.ReadFull(r.r, head); err != nil {
		return nil, err
	}
	r.off = int64(len(head))
	r.crc = crc32.Checksum(head, castagnoli)

	s := tailScan{tail: t, r: r, from: from, last: last, check: check}
	for {
		t.stop = r.off
		if err := s.step(); err != nil {
			if !isReason(err) {
				return nil, err
			}
			t.why = err
			break
		}
	}
	if t.entries > 0 && !isHeaderOf(head, info) {
		return nil, damaged(path, "does not begin with the header of this segment, but holds entries")
	}
	var err error
	t.rest, err = hasContent(f, t.committedEnd, size)
	return t, err
}

// tailScan is the state of the loop in scanTail.
type tailScan struct {
	*tail
	r     *reader
	from  uint64
	last  uint64
	check verify

	index  int64 // where the content of an index frame in this batch begins, or 0
	broken int64 // behind a commit frame with a wrong CRC that no whole entry follows yet, or 0
}

// notWhole is the reason when an entry's frame is there but not its content.
type notWhole struct{ err error }

func (e *notWhole) Error() string { return e.err.Error() }

func isReason(err error) bool {
	var bad *notWhole
	return errors.Is(err, errZeros) || errors.Is(err, errGarbage) || errors.Is(err, errCut) ||
		errors.Is(err, errLater) || errors.As(err, &bad)
}

func (s *tailScan) step() error {
	f, err := s.r.next()
	if err != nil {
		return err
	}
	switch f.kind {
	case frameEntry:
		return s.entry(f)
	case frameIndex:
		if uint64(len(f.payload)) != 4*s.entries {
			return errGarbage
		}
		s.index = f.at + frameHeaderBytes
	case frameCommit:
		s.commit(f)
	}
	return nil
}

func (s *tailScan) entry(f frame) error {
	n := s.next()
	if n > s.last {
		return errLater
	}
	if s.indexStart != 0 {
		return errGarbage // nothing is written behind the index
	}
	if n >= s.from {
		if err := s.check(n, f.payload); err != nil {
			return &notWhole{err}
		}
	}
	if s.broken != 0 {
		s.batch, s.broken = s.broken, 0
	}
	s.entries++
	s.end, s.index = f.end, 0
	return nil
}

func (s *tailScan) commit(f frame) {
	sound := f.crc == s.r.crc
	s.r.crc = 0
	if !sound {
		// Behind the last entries it is torn; in the middle it is only a commit
		// frame that lost a bit, and raft-wal never reads it.
		s.broken = f.end
		return
	}
	s.committed, s.committedEnd, s.batch, s.broken = s.entries, f.end, f.end, 0
	s.indexStart = s.index
}

// hasContent reports whether a byte other than 0 is at or behind off.
func hasContent(f io.ReaderAt, off, size int64) (bool, error) {
	b := make([]byte, max(0, min(readAhead, size-off)))
	zeros := make([]byte, len(b))
	for off < size {
		n, err := f.ReadAt(b[:min(int64(len(b)), size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if n == 0 {
			return false, nil
		}
		if !bytes.Equal(b[:n], zeros[:n]) {
			return true, nil
		}
		off += int64(n)
	}
	return false, nil
}

// followedByWhole looks for a whole batch behind the place where reading
// stopped. Batches are written one after the other, each flushed before the
// next, so what lies before a whole one was not torn: it was damaged later.
func (t *tail) followedByWhole(f io.ReaderAt, check verify) (index uint64, found bool, err error) {
	for off := (t.stop + 7) &^ 7; off < t.size; {
		at, ok, err := nextEntryHeader(f, off, t.size)
		if err != nil || !ok {
			return 0, false, err
		}
		index, found, err := wholeBatch(newReader(f, at, t.size), t.next(), check)
		if err != nil || found {
			return index, found, err
		}
		off = at + 8
	}
	return 0, false, nil
}

// nextEntryHeader finds the first aligned offset from off on at which the header
// of an entry may be.
func nextEntryHeader(f io.ReaderAt, off, size int64) (at int64, found bool, err error) {
	b := make([]byte, max(0, min(readAhead, size-off)))
	for off < size {
		n, err := f.ReadAt(b[:min(int64(len(b)), size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, false, err
		}
		for i := 0; i+frameHeaderBytes <= n; i += 8 {
			if b[i] == frameEntry && b[i+1] == 0 && b[i+2] == 0 && b[i+3] == 0 {
				return off + int64(i), true, nil
			}
		}
		if n < frameHeaderBytes {
			break
		}
		off += int64(n) &^ 7
	}
	return 0, false, nil
}

// maxBatch bounds how far ahead of the expected entry one is believed to be.
const maxBatch = 1 << 24

// wholeBatch reports whether r stands before a batch whose entries are whole,
// come after next, and are confirmed by their commit.
func wholeBatch(r *reader, next uint64, check verify) (index uint64, found bool, err error) {
	for {
		f, err := r.next()
		switch {
		case err != nil && !isReason(err):
			return 0, false, err
		case err != nil || f.kind == frameIndex && index == 0:
			return 0, false, nil
		case f.kind == frameCommit:
			return index, index != 0 && f.crc == r.crc, nil
		case f.kind == frameIndex:
			continue
		}
		if index == 0 {
			n, ok := entryIndex(f.payload)
			if !ok || n < next || n > next+maxBatch {
				return 0, false, nil
			}
			index = n - 1
		}
		index++
		if check(index, f.payload) != nil {
			return 0, false, nil
		}
	}
}

// mend makes the segment end behind its whole entries with a sound commit.
func (t *tail) mend(noSync bool) error {
	f, err := os.OpenFile(t.path, os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	err = t.rewriteEnd(f)
	if err == nil {
		err = reserve(f, int64(t.info.SizeLimit))
	}
	if err == nil && !noSync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mend %s: %w", t.path, err)
	}
	return nil
}

func (t *tail) rewriteEnd(f *os.File) error {
	switch t.entries {
	case 0:
		return f.Truncate(0)
	case t.committed:
		return f.Truncate(t.committedEnd)
	}
	if err := f.Truncate(t.end); err != nil {
		return err
	}
	batch := crc32.New(castagnoli)
	if _, err := io.Copy(batch, io.NewSectionReader(f, t.batch, t.end-t.batch)); err != nil {
		return err
	}
	_, err := f.WriteAt(commitFrame(batch.Sum32()), t.end)
	return err
}
