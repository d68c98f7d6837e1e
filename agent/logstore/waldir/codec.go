package waldir

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/types"
)

// Codec writes entries with the bytes of raft-wal's own encoding, in one piece. raft-wal's writes them
// field by field into a buffer that it does not know the size of: that is allocated up to three times,
// for an entry of 1 KiB with 3.4 KiB instead of 1.2.
//
// raft-wal takes an encoding from outside only under a number from outside, and yet, as of v0.4.2,
// marks each new segment with its own encoding's. So it sees that number and the disk does not: the
// list of segments ([Segments]) and the files ([Filer]) translate.
type Codec struct{ wal.BinaryCodec }

// codecSeen is the number that raft-wal sees.
const codecSeen = wal.FirstExternalCodecID

// ID is part of wal.Codec.
func (*Codec) ID() uint64 { return codecSeen }

// Encode is part of wal.Codec.
func (c *Codec) Encode(l *raft.Log, w io.Writer) error {
	buf, ok := w.(*bytes.Buffer) // as long as raft-wal does so
	if !ok {
		return c.BinaryCodec.Encode(l, w)
	}
	buf.Grow(5*binary.MaxVarintLen64 + len(l.Data) + len(l.Extensions) + timeBytes)
	b := buf.AvailableBuffer()
	b = binary.AppendUvarint(b, l.Index)
	b = binary.AppendUvarint(b, l.Term)
	b = binary.AppendUvarint(b, uint64(l.Type))
	b = append(binary.AppendUvarint(b, uint64(len(l.Data))), l.Data...)
	b = append(binary.AppendUvarint(b, uint64(len(l.Extensions))), l.Extensions...)
	b, err := l.AppendedAt.AppendBinary(b)
	if err != nil {
		return err
	}
	_, err = buf.Write(b)
	return err
}

// timeBytes is how long a time is at most in binary form.
const timeBytes = 16

// asSeen is what raft-wal sees of segments as they are on disk.
func asSeen(list []types.SegmentInfo) []types.SegmentInfo { return numbered(list, codecSeen) }

// asStored is what is on disk of segments as raft-wal sees them.
func asStored(list []types.SegmentInfo) []types.SegmentInfo { return numbered(list, codec) }

// numbered is a copy of the list with a number for the encoding.
func numbered(list []types.SegmentInfo, id uint64) []types.SegmentInfo {
	same := make([]types.SegmentInfo, len(list))
	for i, s := range list {
		s.Codec = id
		same[i] = s
	}
	return same
}

// Filer makes and opens segments, whose headers say what is on disk.
type Filer struct{ types.SegmentFiler }

// Create is part of types.SegmentFiler.
func (f Filer) Create(s types.SegmentInfo) (types.SegmentWriter, error) {
	s.Codec = codec
	return f.SegmentFiler.Create(s)
}

// RecoverTail is part of types.SegmentFiler.
func (f Filer) RecoverTail(s types.SegmentInfo) (types.SegmentWriter, error) {
	s.Codec = codec
	return f.SegmentFiler.RecoverTail(s)
}

// Open is part of types.SegmentFiler.
func (f Filer) Open(s types.SegmentInfo) (types.SegmentReader, error) {
	s.Codec = codec
	return f.SegmentFiler.Open(s)
}
