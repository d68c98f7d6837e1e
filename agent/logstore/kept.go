package logstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

// Names that raft's own store gives to the files of a snapshot.
const (
	metaName  = "meta.json"
	stateName = "state.bin"
)

// keptPattern is the name of the folder of a Kept, beside that of the snapshots.
const keptPattern = "restore-*" + tempSuffix

// flushBytes is how much of a Kept is written before it is flushed, by another
// goroutine: so little is left to wait for at its end. A disk that is slower than the
// client is flushed again when it is done, and is not waited for.
const flushBytes = 8 << 20

// crcTable is that of the checksum by which raft's own store knows a state.
var crcTable = crc64.MakeTable(crc64.ECMA)

// A Kept is the state of a snapshot that is written before Raft begins the snapshot, as
// when a client sends it: Raft, which does nothing else meanwhile, need not copy it. It
// is used by one goroutine, and must be ended by Discard.
type Kept struct {
	snaps  *Snapshots // which may adopt it; nil: none may
	folder string
	file   *os.File
	crc    hash.Hash64 // of all that was written
	size   int64

	unflushed int
	flushes   atomic.Bool    // a flush is under way
	flushing  sync.WaitGroup // for it

	mu  sync.Mutex
	err error // why a flush failed, which the system says once; guarded by mu
}

// Keep begins the state of a snapshot. Only a durable one can become part of a snapshot;
// the other is merely kept in a file for a while, as in a store without a disk.
func (s *Store) Keep(durable bool) (*Kept, error) {
	dir := ""
	snaps, onDisk := s.snapshots.(*Snapshots)
	if onDisk {
		dir = filepath.Dir(snaps.dir)
	}
	if !durable {
		snaps = nil
	}
	folder, err := os.MkdirTemp(dir, keptPattern)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(folder, stateName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return &Kept{snaps: snaps, folder: folder, file: f, crc: crc64.New(crcTable)}, nil
}

// removeKept removes what was kept when the server was killed.
func removeKept(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if kept, _ := filepath.Match(keptPattern, e.Name()); kept { // the pattern is a good one
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// Write is part of io.Writer.
func (k *Kept) Write(p []byte) (int, error) {
	n, err := k.file.Write(p)
	k.size += int64(n)
	if k.snaps == nil || err != nil {
		return n, err
	}
	_, _ = k.crc.Write(p[:n]) // a hash cannot fail
	if k.unflushed += n; k.unflushed >= flushBytes && k.flushes.CompareAndSwap(false, true) {
		k.unflushed = 0
		k.flushing.Go(func() {
			_ = k.failed(k.file.Sync()) // Flush tells
			k.flushes.Store(false)
		})
	}
	return n, k.failed(nil)
}

// failed remembers why a flush failed, and returns why the first that did did.
func (k *Kept) failed(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
	}
	return k.err
}

// Size is how many bytes were written.
func (k *Kept) Size() int64 { return k.size }

// Reader reads what was written, from its beginning.
func (k *Kept) Reader() io.Reader { return io.NewSectionReader(k.file, 0, k.size) }

// Flush returns when all that was written is on disk, if it is a durable one.
func (k *Kept) Flush() error {
	if k.snaps == nil {
		return nil
	}
	k.flushing.Wait()
	if err := k.failed(k.file.Sync()); err != nil {
		return fmt.Errorf("write %s: %w", k.file.Name(), err)
	}
	return nil
}

// Discard removes what no snapshot has adopted.
func (k *Kept) Discard() error {
	k.flushing.Wait()
	err := k.file.Close()
	if errors.Is(err, os.ErrClosed) { // a snapshot has adopted it
		err = nil
	}
	return errors.Join(err, os.RemoveAll(k.folder))
}

// Adopter is a snapshot that is being written and that can take a Kept for its content.
type Adopter interface {
	raft.SnapshotSink

	// Adopt tells whether k, which was flushed, is going to be the content; if not the
	// content must be written. Close makes it so, and k cannot be read any more then.
	Adopt(k *Kept) bool
}

var _ Adopter = (*snapshotSink)(nil)

// Adopt is part of Adopter.
func (s *snapshotSink) Adopt(k *Kept) bool {
	if k.snaps != s.store {
		return false
	}
	s.kept = k
	return true
}

// install makes the folder of a Kept that of the snapshot, as raft's own sink would have
// left it. That sink is given up: all there is of it is the description.
func (s *snapshotSink) install(k *Kept) error {
	meta, err := readMeta(filepath.Join(s.store.dir, s.ID()+tempSuffix, metaName))
	if err = errors.Join(err, s.SnapshotSink.Cancel(), k.file.Close()); err != nil {
		return err
	}
	meta.Size = k.size
	text, err := json.Marshal(describedState{meta, k.crc.Sum(nil)})
	if err != nil {
		return err
	}
	metaFile := filepath.Join(k.folder, metaName)
	if err := datadir.WriteFile(metaFile, append(text, '\n')); err != nil {
		return err
	}
	sum, err := metaSum(metaFile)
	if err != nil {
		return err
	}
	if err := datadir.WriteFile(filepath.Join(k.folder, metaSumName), []byte(sum)); err != nil {
		return err
	}
	// Whole from here on. Raft takes an error for "there is no such snapshot" and goes on
	// with the state it has: so there must be none then.
	folder := filepath.Join(s.store.dir, s.ID())
	if err := os.Rename(k.folder, folder); err != nil {
		return err
	}
	if err := datadir.SyncFolder(s.store.dir); err != nil {
		return errors.Join(err, os.RemoveAll(folder), datadir.SyncFolder(s.store.dir))
	}
	return nil
}
