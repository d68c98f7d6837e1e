package agent

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// restoringSnapshots is a snapshot store through which the state of an archive that is
// restored goes to the state machine by itself. Raft writes the archive to a snapshot,
// reads that back and hands it on; the state was loaded while the archive was checked,
// so it need not be made of the snapshot once more.
type restoringSnapshots struct {
	raft.SnapshotStore

	mu     sync.Mutex
	id     string      // of the snapshot that was written from loaded; guarded by mu
	loaded *fsm.Loaded // nil: none; guarded by mu
}

// archive is what Raft is given to restore.
type archive struct {
	io.Reader
	loaded *fsm.Loaded // nil: it is not in memory
}

// Create is part of raft.SnapshotStore.
func (s *restoringSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &restoringSink{SnapshotSink: sink, store: s}, nil
}

// Open is part of raft.SnapshotStore. Content whose state is loaded is not read again,
// not even for its checksum: it was written a moment ago.
func (s *restoringSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	loaded := s.loadedFrom(id)
	if loaded == nil {
		return s.SnapshotStore.Open(id)
	}
	list, err := s.List()
	if err != nil {
		return nil, nil, err
	}
	for _, meta := range list {
		if meta.ID == id {
			return meta, &loadedContent{open: func() (io.ReadCloser, error) {
				_, content, err := s.SnapshotStore.Open(id)
				return content, err
			}, loaded: loaded}, nil
		}
	}
	return s.SnapshotStore.Open(id) // it says what is wrong
}

func (s *restoringSnapshots) loadedFrom(id string) *fsm.Loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != id {
		return nil
	}
	return s.loaded
}

// keep remembers the state that is in a snapshot; nil forgets it.
func (s *restoringSnapshots) keep(id string, loaded *fsm.Loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.loaded = id, loaded
}

// restoringSink is a snapshot that is being written.
type restoringSink struct {
	raft.SnapshotSink
	store  *restoringSnapshots
	loaded *fsm.Loaded // the state of all that was written
}

// archiveBuffer is how much of an archive is copied at a time.
const archiveBuffer = 256 << 10

// ReadFrom is part of io.ReaderFrom, by which Raft copies.
func (s *restoringSink) ReadFrom(r io.Reader) (int64, error) {
	if a, ok := r.(*archive); ok {
		s.loaded = a.loaded
	}
	return io.CopyBuffer(struct{ io.Writer }{s.SnapshotSink}, struct{ io.Reader }{r}, make([]byte, archiveBuffer))
}

// Close is part of raft.SnapshotSink.
func (s *restoringSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	if s.loaded != nil {
		s.store.keep(s.ID(), s.loaded)
	}
	return nil
}

// loadedContent is the content of a snapshot whose state is in memory. It is opened when
// it is read after all.
type loadedContent struct {
	open    func() (io.ReadCloser, error)
	content io.ReadCloser // nil: not open
	loaded  *fsm.Loaded
}

// Read is part of io.Reader.
func (c *loadedContent) Read(p []byte) (int, error) {
	if c.content == nil {
		content, err := c.open()
		if err != nil {
			return 0, err
		}
		c.content = content
	}
	return c.content.Read(p)
}

// Close is part of io.Closer.
func (c *loadedContent) Close() error {
	if c.content == nil {
		return nil
	}
	return c.content.Close()
}

// Loaded is part of fsm.LoadedReader.
func (c *loadedContent) Loaded() *fsm.Loaded { return c.loaded }

// MayLoad tells whether this server would restore an archive itself. It is said to one
// request at a time: each takes the memory of another state.
func (a *Agent) MayLoad() (done func(), ok bool) {
	if !a.leading.Load() || !a.loading.TryLock() {
		return nil, false
	}
	return a.loading.Unlock, true
}

// restoreTimeout bounds the wait for Raft to take a restore.
const restoreTimeout = 10 * time.Minute

// Restore replaces the state by the one in r and marks the place in the log, so
// that watchers with an index from before can be told.
func (a *Agent) Restore(ctx context.Context, meta httpapi.SnapshotMeta, size int64, r io.ReadSeeker, loaded *fsm.Loaded) error {
	held, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer cancel()
	if err := a.awaitLeader(held, a.writable); err != nil {
		return err
	}
	if address := a.otherLeader(); address != "" && !a.leading.Load() {
		return a.restoreThere(ctx, address, meta, size, r)
	}
	return a.restoreHere(ctx, meta, size, r, loaded)
}

func (a *Agent) restoreHere(ctx context.Context, meta httpapi.SnapshotMeta, size int64, r io.ReadSeeker, loaded *fsm.Loaded) error {
	if err := a.writable(); err != nil {
		return err
	}
	needs, err := fsm.SnapshotNeeds(r)
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = a.heldBack(needs) // the others are sent it, too
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	err = a.raft.Restore(&raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: meta.ID, Index: meta.Index, Term: meta.Term, Size: size,
	}, &archive{Reader: r, loaded: loaded}, restoreTimeout)
	a.restoring.keep("", nil)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	// The state is another one by now, whether or not the client is still there.
	ctx = context.WithoutCancel(ctx)
	if _, err := a.Propose(ctx, &fsm.Command{Restored: true}); err != nil {
		return fmt.Errorf("mark the restore in the log: %w", err)
	}
	// The archive may be from before this server was a node, and sessions need one.
	if _, err := a.keepSelf(ctx, a.Propose); err != nil {
		a.log.Warn("register this server in the restored catalog", "error", err) // watchSelf goes on trying
	}
	return nil
}
