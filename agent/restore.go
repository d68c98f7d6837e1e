package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/logstore"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/ahead"
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
	kept   *logstore.Kept // what Reader reads
	loaded *fsm.Loaded    // nil: it is not in memory
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
		if adopter, ok := s.SnapshotSink.(logstore.Adopter); ok && a.kept != nil && adopter.Adopt(a.kept) {
			return a.kept.Size(), nil
		}
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

// keptState is the state of an archive that was received. It is part of httpapi.Kept.
type keptState struct {
	*logstore.Kept
	a      *Agent
	loaded *fsm.Loaded // nil: it was only checked
	loads  bool        // it holds a.loading
}

// Keep is part of httpapi.Snapshots. The state is loaded while it is received where this
// server would restore it: of one at a time, for each takes the memory of another state.
func (a *Agent) Keep() (httpapi.Kept, error) { return a.keep() }

func (a *Agent) keep() (*keptState, error) {
	leading := a.leading.Load()
	kept, err := a.storage.Keep(leading)
	if err != nil {
		return nil, err
	}
	return &keptState{Kept: kept, a: a, loads: leading && a.loading.TryLock()}, nil
}

// Take is part of httpapi.Kept. Writing the file costs about as much as loading the
// state, so another goroutine does it.
func (k *keptState) Take(state io.Reader) (broken, err error) {
	file := ahead.NewWriter(&carefulWriter{w: k.Kept, writable: k.a.writable})
	defer func() {
		if closeErr := file.Close(); err == nil { // else it is the same, or less
			err = closeErr
		}
	}()
	kept := &keepingReader{r: state, w: file}
	if k.loads {
		k.loaded, broken = fsm.LoadSnapshot(kept)
	} else {
		broken = fsm.CheckSnapshot(kept)
	}
	n, err := io.Copy(io.Discard, kept)
	if broken == nil && n > 0 {
		broken = errors.New("something follows the state") // it was read to its end
	}
	return broken, err
}

// Discard is part of httpapi.Kept.
func (k *keptState) Discard() {
	if err := k.Kept.Discard(); err != nil {
		k.a.log.Warn("remove what was kept of an archive", "error", err)
	}
	if k.loads {
		k.a.loading.Unlock()
	}
}

// keepingReader writes what is read from it to w. The first error of either is that of
// all further reads.
type keepingReader struct {
	r   io.Reader
	w   io.Writer
	err error
}

func (k *keepingReader) Read(p []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.r.Read(p)
	if n > 0 {
		if _, werr := k.w.Write(p[:n]); werr != nil {
			k.err = werr
			return 0, werr
		}
	}
	k.err = err
	return n, err
}

// carefulWriter writes to a file as long as the disk has room for more than that.
type carefulWriter struct {
	w        io.Writer
	writable func() error
	since    int // bytes since it was asked
}

// careAfter is how much is written before it is asked again.
const careAfter = 8 << 20

func (c *carefulWriter) Write(p []byte) (int, error) {
	if c.since += len(p); c.since > careAfter {
		c.since = 0
		if err := c.writable(); err != nil {
			return 0, err
		}
	}
	return c.w.Write(p)
}

// restoreTimeout bounds the wait for Raft to take a restore.
const restoreTimeout = 10 * time.Minute

// Restore replaces the state by the one that was kept and marks the place in the log, so
// that watchers with an index from before can be told. given is the right of who asked for it.
func (a *Agent) Restore(ctx context.Context, meta httpapi.SnapshotMeta, kept httpapi.Kept, given *acl.Given) error {
	k, ok := kept.(*keptState)
	if !ok {
		return fmt.Errorf("restore snapshot: it is kept in a %T", kept)
	}
	held, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer cancel()
	if err := a.awaitLeader(held, a.writable); err != nil {
		return err
	}
	if address := a.otherLeader(); address != "" && !a.leading.Load() {
		return a.restoreThere(ctx, address, meta, k.Kept, given)
	}
	return a.restoreHere(ctx, meta, k, given)
}

func (a *Agent) restoreHere(ctx context.Context, meta httpapi.SnapshotMeta, k *keptState, given *acl.Given) error {
	if err := a.writable(); err != nil {
		return err
	}
	if err := a.stillGiven(ctx, given); err != nil {
		return err
	}
	needs, err := fsm.SnapshotNeeds(k.Reader())
	if err == nil {
		err = a.heldBack(needs) // the others are sent it, too
	}
	if err == nil {
		err = k.Flush() // before Raft, which does nothing else meanwhile, waits for it
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	err = a.raft.Restore(&raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: meta.ID, Index: meta.Index, Term: meta.Term, Size: k.Size(),
	}, &archive{Reader: k.Reader(), kept: k.Kept, loaded: k.loaded}, restoreTimeout)
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
