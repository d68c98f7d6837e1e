package waldir

import (
	"io"
	"os"
)

// Disk space that was taken without being written is marked so by the file system, and each
// first write to a part of it changes that mark: then a flush of the data writes the map of the
// file's blocks too. So what comes next is filled with zeros, much of it at a time, and most flushes
// write data alone. On ext4 a flush of 45 KB takes 0.14 ms instead of 0.23 ms, one of 1.2 KB 0.10 ms
// instead of 0.13 ms. A file system that writes nothing in place would only have more to do.

// aheadBytes is how much is filled at a time. The flush that follows writes it: with more of it a
// few writes are slower, with less more of them are.
const aheadBytes = 512 << 10

var zeros [aheadBytes]byte

// segmentFile is what is filled: an *os.File.
type segmentFile interface {
	io.WriterAt
	Stat() (os.FileInfo, error)
}

// ahead is how far a segment was filled. It belongs to whoever writes to it.
type ahead struct {
	size   int64 // of the file, before which space was taken; 0: not known yet
	filled int64
}

// largeWrite is from how many bytes on a write gains nothing: it soon fills as much itself.
const largeWrite = aheadBytes / 2

// fill sees to it that there is something behind end, up to where a write goes. Nothing of the log
// is behind it. Where it is refused, the next flushes take longer, and that is all; a disk that
// fails only when it is flushed fails so much earlier than the log would have come to that place.
func (a *ahead) fill(file segmentFile, end int64) {
	if end <= a.filled {
		return
	}
	if a.size == 0 {
		info, err := file.Stat()
		if err != nil {
			return
		}
		a.size = info.Size()
	}
	a.filled = min(end+aheadBytes, a.size)
	if end < a.filled {
		_, _ = file.WriteAt(zeros[:a.filled-end], end)
	}
}
