package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
)

// acked remembers, beside the log, the last entry that was acknowledged. The log
// alone can't tell a write that never finished from one that was destroyed
// afterwards; this file can.
//
// It is written after each batch but not flushed: it survives the end of the
// process and lags by seconds at most when the power fails. So what it says is
// always a lower bound, and costs a microsecond. Only lowering it, before the end
// of the log is cut off, is flushed.
type acked struct {
	file   *os.File
	noSync bool
	room   [ackedBytes]byte // what is written, so that each time needs no memory
}

const (
	ackedName  = "acked"
	ackedBytes = 16 // index, its CRC-32C, a mark

	ackedMark = 0x31414648 // "HFA1"
)

// openAcked opens the file at path, made if it is not there, and returns what it
// says: 0 if that is nothing. A file that holds anything else is worth a warning
// but not more: what it would have added is gone.
func openAcked(path string, noSync bool) (a *acked, last uint64, sound bool, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, 0, false, err
	}
	b := make([]byte, ackedBytes+1)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, false, errors.Join(err, file.Close())
	}
	a = &acked{file: file, noSync: noSync}
	if n == 0 {
		return a, 0, true, nil
	}
	last, sound = parseAcked(b[:n])
	return a, last, sound, nil
}

func parseAcked(b []byte) (last uint64, ok bool) {
	if len(b) != ackedBytes || binary.LittleEndian.Uint32(b[12:]) != ackedMark ||
		binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// formatAcked appends to b what parseAcked reads.
func formatAcked(b []byte, last uint64) []byte {
	b = binary.LittleEndian.AppendUint64(b, last)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[len(b)-8:], castagnoli))
	return binary.LittleEndian.AppendUint32(b, ackedMark)
}

// raise says that last has been acknowledged.
func (a *acked) raise(last uint64) error {
	if a == nil {
		return nil
	}
	_, err := a.file.WriteAt(formatAcked(a.room[:0], last), 0)
	return err
}

// lower says that what is behind last is about to be removed, and returns when
// that is on disk.
func (a *acked) lower(last uint64) error {
	if a == nil {
		return nil
	}
	if err := a.raise(last); err != nil {
		return err
	}
	return a.sync()
}

func (a *acked) sync() error {
	if a.noSync {
		return nil
	}
	return a.file.Sync()
}

func (a *acked) close() error {
	if a == nil {
		return nil
	}
	err := errors.Join(a.sync(), a.file.Close())
	if err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("close %s: %w", a.file.Name(), err)
	}
	return nil
}
