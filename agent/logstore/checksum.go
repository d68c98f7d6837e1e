package logstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// An entry is stored with five bytes more in its Extensions: sumMark and the
// CRC-32C over all of the entry that raft and we depend on. AppendedAt is left
// out: it is for statistics only, and not every encoding keeps it to the bit.
const (
	sumMark  = 0xC5
	sumBytes = 5
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errChecksum   = errors.New("does not match its checksum")
	errNoChecksum = errors.New("has no checksum")
)

// checksum is over l's fields, with ext for its Extensions.
func checksum(l *raft.Log, ext []byte) uint32 {
	sum := addNumber(0, l.Index)
	sum = addNumber(sum, l.Term)
	sum = addNumber(sum, uint64(l.Type))
	sum = addNumber(sum, uint64(len(l.Data)))
	sum = crc32.Update(sum, castagnoli, l.Data)
	return crc32.Update(sum, castagnoli, ext)
}

// addNumber continues a CRC with the eight bytes of n, lowest first. It is what
// crc32.Update does, which for so few bytes would cost an allocation.
func addNumber(sum uint32, n uint64) uint32 {
	sum = ^sum
	for range 8 {
		sum = castagnoli[byte(sum)^byte(n)] ^ (sum >> 8)
		n >>= 8
	}
	return ^sum
}

// sealer makes the entries to store out of those that raft gave: shallow copies
// with a checksum. Its memory is used again for the next batch.
type sealer struct {
	logs     []raft.Log
	pointers []*raft.Log
	ext      []byte
}

// seal returns copies of logs that are valid until the next call of seal or
// release. The originals are not touched: raft still uses them.
func (s *sealer) seal(logs []*raft.Log) []*raft.Log {
	need := 0
	for _, l := range logs {
		need += len(l.Extensions) + sumBytes
	}
	if cap(s.ext) < need {
		s.ext = make([]byte, 0, need)
	}
	if cap(s.logs) < len(logs) {
		s.logs = make([]raft.Log, len(logs))
		s.pointers = make([]*raft.Log, len(logs))
	}
	s.logs, s.pointers, s.ext = s.logs[:len(logs)], s.pointers[:len(logs)], s.ext[:0]
	for i, l := range logs {
		begin := len(s.ext)
		s.ext = append(s.ext, l.Extensions...)
		s.ext = append(s.ext, sumMark)
		s.ext = binary.LittleEndian.AppendUint32(s.ext, checksum(l, l.Extensions))
		s.logs[i] = *l
		s.logs[i].Extensions = s.ext[begin:len(s.ext):len(s.ext)]
		s.pointers[i] = &s.logs[i]
	}
	return s.pointers
}

// release forgets the data of the last batch, and the memory itself if that batch
// was unusually large.
func (s *sealer) release() {
	const keep = 4096
	clear(s.logs)
	if cap(s.logs) > keep {
		*s = sealer{}
	}
}

// unseal checks that l is the entry number index as it was stored, and takes the
// checksum away from it.
func unseal(l *raft.Log, index uint64) error {
	n := len(l.Extensions) - sumBytes
	if n < 0 || l.Extensions[n] != sumMark {
		return errNoChecksum
	}
	ext := l.Extensions[:n]
	if l.Index != index || binary.LittleEndian.Uint32(l.Extensions[n+1:]) != checksum(l, ext) {
		return errChecksum
	}
	l.Extensions = ext
	if n == 0 {
		l.Extensions = nil
	}
	return nil
}

// verifyWAL returns what checks an entry in the encoding of the write-ahead log as
// unseal does. It copies an entry only to keep it in c, which may be nil: what is
// checked when a log is opened is read twice more soon after.
func verifyWAL(c *cache) func(index uint64, payload []byte) error {
	return func(index uint64, payload []byte) error {
		l, ok := decodeWAL(payload)
		if !ok {
			return errChecksum
		}
		if err := unseal(&l, index); err != nil {
			return err
		}
		c.addCopy(&l)
		return nil
	}
}

// decodeWAL reads raft-wal's encoding of an entry. The entry shares the memory of
// b.
func decodeWAL(b []byte) (l raft.Log, ok bool) {
	number := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if ok = ok && n > 0; ok {
			b = b[n:]
		}
		return v
	}
	data := func() (v []byte) {
		n := number()
		if ok = ok && n <= uint64(len(b)); ok {
			v, b = b[:n:n], b[n:]
		}
		return v
	}
	ok = true
	l.Index, l.Term = number(), number()
	kind := number()
	l.Type = raft.LogType(kind)
	l.Data, l.Extensions = data(), data()
	ok = ok && kind <= 255 && l.AppendedAt.UnmarshalBinary(b) == nil
	return l, ok
}
