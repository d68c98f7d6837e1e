package waldir

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft-wal/types"
)

// The format of a segment, which is raft-wal's (segment/format.go there).
const (
	headerBytes      = 32
	frameHeaderBytes = 8
	magic            = 0x58eb6b0d

	frameEntry  = 1
	frameIndex  = 2
	frameCommit = 3
)

// frame is one piece of a segment.
type frame struct {
	kind    byte
	at      int64  // offset of its header
	end     int64  // offset of the next frame
	payload []byte // of entries and indexes; valid until the next one is read
	crc     uint32 // of commits
}

// Reasons for a frame not to be one.
var (
	errZeros   = errors.New("zeros")           // or the end of the file: nothing was written here
	errGarbage = errors.New("not a frame")     // something was, but it is no frame
	errCut     = errors.New("cut short frame") // a frame that says it is longer than the file
)

// reader reads the frames of a segment one after the other.
type reader struct {
	r    *bufio.Reader
	off  int64
	size int64  // of the file
	crc  uint32 // of the bytes since the last commit frame, that frame excluded
	buf  []byte
}

const readAhead = 256 << 10

func newReader(f io.ReaderAt, off, size int64) *reader {
	return &reader{r: bufio.NewReaderSize(io.NewSectionReader(f, off, size-off), readAhead), off: off, size: size}
}

// skipTo moves forward to off.
func (r *reader) skipTo(off int64) error {
	if off < r.off || off > r.size {
		return errGarbage
	}
	for r.off < off {
		n, err := r.r.Discard(int(min(off-r.off, 1<<30)))
		r.off += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// next returns the frame at the reader's offset, or one of the reasons above, or
// what the disk said.
func (r *reader) next() (frame, error) {
	var head [frameHeaderBytes]byte
	if r.size-r.off < frameHeaderBytes {
		return frame{}, r.rest()
	}
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return frame{}, err
	}
	f, length, err := parseFrameHeader(head)
	if err != nil {
		return frame{}, err
	}
	f.at = r.off
	f.end = f.at + frameBytes(length)
	if f.end > r.size {
		// raft-wal does without the padding of the very last frame; but it
		// always ends a write with a commit, so there it is missing.
		return frame{}, errCut
	}
	if f.kind == frameCommit {
		f.crc = binary.LittleEndian.Uint32(head[4:])
	} else {
		r.crc = crc32.Update(r.crc, castagnoli, head[:])
	}
	if err := r.payload(&f, length); err != nil {
		return frame{}, err
	}
	r.off = f.end
	return f, nil
}

// payload reads the rest of f, whose content is length bytes long.
func (r *reader) payload(f *frame, length int64) error {
	n := int(f.end - f.at - frameHeaderBytes)
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	b := r.buf[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return err
	}
	r.crc = crc32.Update(r.crc, castagnoli, b)
	f.payload = b[:length]
	return nil
}

// rest tells a few zeros at the end of the file from something else there.
func (r *reader) rest() error {
	b := make([]byte, r.size-r.off)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return err
	}
	for _, c := range b {
		if c != 0 {
			return errGarbage
		}
	}
	return errZeros
}

func parseFrameHeader(head [frameHeaderBytes]byte) (f frame, length int64, err error) {
	switch f.kind = head[0]; f.kind {
	case 0:
		if binary.LittleEndian.Uint64(head[:]) == 0 {
			return f, 0, errZeros
		}
		return f, 0, errGarbage
	case frameEntry, frameIndex:
		return f, int64(binary.LittleEndian.Uint32(head[4:])), nil
	case frameCommit:
		return f, 0, nil
	}
	return f, 0, errGarbage
}

// frameBytes is the size of a frame with a payload of n bytes.
func frameBytes(n int64) int64 { return frameHeaderBytes + (n+7)&^7 }

func commitFrame(crc uint32) []byte {
	b := make([]byte, frameHeaderBytes)
	b[0] = frameCommit
	binary.LittleEndian.PutUint32(b[4:], crc)
	return b
}

// isHeaderOf reports whether b, the first bytes of a file, is the header of the
// segment s.
func isHeaderOf(b []byte, s types.SegmentInfo) bool {
	return len(b) == headerBytes &&
		binary.LittleEndian.Uint64(b) == magic &&
		binary.LittleEndian.Uint64(b[8:]) == s.BaseIndex &&
		binary.LittleEndian.Uint64(b[16:]) == s.ID &&
		binary.LittleEndian.Uint64(b[24:]) == s.Codec
}
