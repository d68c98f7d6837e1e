package waldir

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/hashicorp/raft-wal/types"
)

// verify says whether payload is the whole entry with this index.
type verify func(index uint64, payload []byte) error

// checkSealed reads the entries of a sealed segment from index from on, the way
// raft-wal will: through the index at its end. A *DamageError says what is wrong.
func checkSealed(path string, s types.SegmentInfo, from uint64, check verify) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(path, "is gone, and with it the entries %d to %d", s.MinIndex, s.MaxIndex)
	}
	if err != nil {
		return err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkSealedContent(f, info.Size(), path, s, from, check)
}

func checkSealedContent(f io.ReaderAt, size int64, path string, s types.SegmentInfo, from uint64, check verify) error {
	head := make([]byte, headerBytes)
	if n, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if !isHeaderOf(head[:n], s) {
		return damaged(path, "does not begin with the header of this segment (it is %d bytes long)", size)
	}
	from = max(from, s.MinIndex)
	if from > s.MaxIndex {
		return nil
	}
	index := make([]byte, 4*(s.MaxIndex-from+1))
	at := int64(s.IndexStart + 4*(from-s.BaseIndex))
	if at+int64(len(index)) > size {
		return damaged(path, "is cut short at byte %d, in the index of its entries", size)
	}
	if _, err := f.ReadAt(index, at); err != nil {
		return err
	}
	return checkIndexed(path, f, size, from, index, check)
}

// checkIndexed verifies the entries whose offsets are in index, the first of
// them being number from.
func checkIndexed(path string, f io.ReaderAt, size int64, from uint64, index []byte, check verify) error {
	r := newReader(f, 0, size)
	for i := 0; i < len(index); i += 4 {
		n := from + uint64(i/4)
		offset := int64(binary.LittleEndian.Uint32(index[i:]))
		err := r.skipTo(offset)
		var fr frame
		if err == nil {
			fr, err = r.next()
		}
		switch {
		case errors.Is(err, errZeros), errors.Is(err, errGarbage), errors.Is(err, errCut), errors.Is(err, io.EOF),
			err == nil && fr.kind != frameEntry:
			return damaged(path, "is damaged at byte %d, where entry %d should be", offset, n)
		case err != nil:
			return err
		}
		if err := check(n, fr.payload); err != nil {
			return damaged(path, "is damaged at byte %d: entry %d %v", offset, n, err)
		}
	}
	return nil
}
