package logstore

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// Store is an open log with its term, vote and snapshots. It is raft's LogStore.
// All methods may be called from any goroutine.
type Store struct {
	o         Options
	log       hclog.Logger
	backend   backend
	path      string // of the log, for messages
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	sums      bool // entries carry a checksum: not in memory
	cache     *cache
	closers   []func() error // the youngest last

	// first and last are the entries there are; 0 and 0 if none. They count what
	// was acknowledged, whatever a failed write has left in the backend. Written
	// under writing.
	first, last atomic.Uint64

	// covered is the last entry that is in a snapshot.
	covered atomic.Uint64

	snapshotAt atomic.Int64 // when the newest snapshot was made, Unix milliseconds; 0: there is none

	writing sync.Mutex // held by whoever writes to the log; guards what follows
	sealer  sealer
	acked   *acked
	ackFail bool // the last try to note an acknowledgement failed
	broken  bool // a write failed and the backend has not been repaired yet
	cut     bool // repair may remove what is behind last

	closed atomic.Bool // written under writing
	marked atomic.Bool // it is noted that there is data here; written under writing

	began  time.Time    // when the store was opened: busy counts from here
	busy   atomic.Int64 // when the write under way began, in ns; 0: none is
	failed atomic.Pointer[error]
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
)

// Stable is where raft keeps term and vote.
func (s *Store) Stable() raft.StableStore { return s.stable }

// Snapshots are raft's snapshots.
func (s *Store) Snapshots() raft.SnapshotStore { return s.snapshots }

// LastSnapshot is the index of the newest snapshot and when it was made; 0 and the zero
// time when there is none, and in memory.
func (s *Store) LastSnapshot() (index uint64, at time.Time) {
	millis := s.snapshotAt.Load()
	if millis == 0 {
		return 0, time.Time{}
	}
	return s.covered.Load(), time.UnixMilli(millis)
}

// IsMonotonic says that entries are consecutive. It is true of both backends, so
// that raft empties the log after the restore of a snapshot instead of leaving a
// gap that could not be told from a loss.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex is the index of the first entry; 0 if there is none.
func (s *Store) FirstIndex() (uint64, error) { return s.first.Load(), nil }

// LastIndex is the index of the last entry; 0 if there is none.
func (s *Store) LastIndex() (uint64, error) { return s.last.Load(), nil }

// GetLog fills l with the entry. Its Data is shared with other readers: nobody
// may change it.
//
// The error is raft.ErrLogNotFound, itself, if there is no such entry, or if it
// is damaged but a snapshot covers it: raft then sends the snapshot. A damaged
// entry that is needed is a *CorruptError, and Options.OnDamage has been told.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	if s.cache.get(index, l) {
		return nil
	}
	if last := s.last.Load(); index > last || index < s.first.Load() {
		return raft.ErrLogNotFound
	}
	err := s.backend.GetLog(index, l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return raft.ErrLogNotFound
	}
	if err == nil && s.sums {
		err = unseal(l, index)
	}
	if err == nil {
		return nil
	}
	*l = raft.Log{}
	if s.closed.Load() {
		return ErrClosed // raft's statistics may ask after its end
	}
	if index <= s.covered.Load() {
		s.log.Warn("damaged entry in the log; a snapshot has it", "path", s.path, "index", index, "error", err)
		return raft.ErrLogNotFound
	}
	err = corrupt(s.path, doRestore, "is damaged: entry %d %v", index, err)
	s.o.OnDamage(err)
	return err
}

// StoreLog is StoreLogs for one.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends logs, which follow the last entry, and returns when they are
// on disk. Either all are stored or, with a *WriteError, none is acknowledged.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	defer s.begin()()
	began := time.Now()
	err := s.append(logs)
	s.o.OnWrite(time.Since(began))
	if err != nil && !errors.Is(err, ErrClosed) {
		absent := errors.Is(err, errNotWritten)
		if !absent {
			s.broken, s.cut = true, true
			// At once, so that what is answered now need not be taken back.
			absent = s.repairLocked() == nil
		}
		err = &WriteError{What: fmt.Sprintf("store entries %d to %d", logs[0].Index, logs[len(logs)-1].Index), Absent: absent, Err: err}
	}
	s.ended(err)
	return err
}

// errNotWritten marks an error that came before anything was written.
var errNotWritten = errors.New("not written")

// append does the work of StoreLogs.
func (s *Store) append(logs []*raft.Log) error {
	if err := s.readyLocked(); err != nil {
		return err
	}
	if err := s.makeRoom(logs); err != nil {
		return err
	}
	sealed := logs
	if s.sums {
		sealed = s.sealer.seal(logs)
		defer s.sealer.release()
	}
	err := s.backend.StoreLogs(sealed)
	if errors.Is(err, wal.ErrSealed) {
		// The segment was full, and there was no room for the next one in the
		// background; nothing of this batch was written. There may be room now.
		s.broken, s.cut = true, true
		if err = s.repairLocked(); err == nil {
			err = s.backend.StoreLogs(sealed)
		}
	}
	if err != nil {
		return err
	}
	if err := s.mark(); err != nil {
		return err
	}
	last := logs[len(logs)-1].Index
	if s.last.Load() == 0 {
		s.first.Store(logs[0].Index)
	}
	s.cache.add(logs) // before last: a reader that sees last finds the entry
	s.last.Store(last)
	s.noteAcked(last)
	return nil
}

// mark notes, once, that there is data here.
func (s *Store) mark() error {
	if s.marked.Load() {
		return nil
	}
	if err := s.o.OnInitialised(); err != nil {
		return fmt.Errorf("note that there is data here now: %w", err)
	}
	s.marked.Store(true)
	return nil
}

// readyLocked makes sure that the backend may be written to.
func (s *Store) readyLocked() error {
	if s.closed.Load() {
		return ErrClosed
	}
	if !s.broken {
		return nil
	}
	if err := s.repairLocked(); err != nil {
		return fmt.Errorf("%w: the log is not usable since an earlier write failed: %w", errNotWritten, err)
	}
	s.log.Info("the log is usable again", "path", s.path)
	return nil
}

// repairLocked brings the backend back to what was acknowledged.
func (s *Store) repairLocked() error {
	if err := s.backend.repair(s.covered.Load(), s.cut, s.last.Load()); err != nil {
		return err
	}
	first, err := s.backend.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.backend.LastIndex()
	if err != nil {
		return err
	}
	if s.cut && last != s.last.Load() {
		return corrupt(s.path, doRestore, "ends with entry %d, but entry %d was acknowledged", last, s.last.Load())
	}
	s.first.Store(first)
	s.last.Store(last)
	s.broken, s.cut = false, false
	return nil
}

// makeRoom makes sure that logs follow the last entry. If there is a gap that a
// snapshot covers, the old entries go: raft removes them after a restore but
// carries on if that fails.
func (s *Store) makeRoom(logs []*raft.Log) error {
	next := logs[0].Index
	for i, l := range logs {
		if l.Index != next+uint64(i) {
			return fmt.Errorf("%w: entry %d does not follow %d", errNotWritten, l.Index, next+uint64(i)-1)
		}
	}
	last := s.last.Load()
	switch {
	case last == 0 || next == last+1:
		return nil
	case next > last && next <= s.covered.Load()+1:
		if err := s.deleteLocked(s.first.Load(), last); err != nil {
			return fmt.Errorf("%w: remove what a snapshot replaces: %w", errNotWritten, err)
		}
		return nil
	}
	return fmt.Errorf("%w: entry %d does not follow the last one, %d", errNotWritten, next, last)
}

// noteAcked keeps the witness up to date. If it lags that is safe.
func (s *Store) noteAcked(last uint64) {
	err := s.acked.raise(last)
	if err != nil && !s.ackFail {
		s.log.Warn("can't note what was acknowledged", "error", err)
	}
	s.ackFail = err != nil
}

// DeleteRange removes the entries from minIndex to maxIndex, which are at the
// start or at the end of the log. What of the range is not there does not matter.
// The error is a *WriteError; then it is uncertain which of them are gone.
func (s *Store) DeleteRange(minIndex, maxIndex uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	defer s.begin()()
	err := s.readyLocked()
	if err == nil {
		err = s.deleteLocked(minIndex, maxIndex)
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		err = &WriteError{What: fmt.Sprintf("remove entries %d to %d", minIndex, maxIndex), Err: err}
	}
	s.ended(err)
	return err
}

func (s *Store) deleteLocked(minIndex, maxIndex uint64) error {
	first, last := s.first.Load(), s.last.Load()
	minIndex, maxIndex = max(minIndex, first), min(maxIndex, last)
	if last == 0 || minIndex > maxIndex {
		return nil
	}
	atStart, atEnd := minIndex == first, maxIndex == last
	if !atStart && !atEnd {
		return fmt.Errorf("%w: only the start or the end of the log can be removed", errNotWritten)
	}
	if atEnd {
		kept := minIndex - 1
		if atStart {
			kept = 0
		}
		if err := s.acked.lower(kept); err != nil {
			return fmt.Errorf("%w: note that entries are no longer acknowledged: %w", errNotWritten, err)
		}
	}
	s.cache.remove(minIndex, maxIndex)
	if err := s.backend.DeleteRange(minIndex, maxIndex); err != nil {
		s.broken, s.cut = true, false
		_ = s.repairLocked() // if it fails, the next write says so
		return err
	}
	switch {
	case atStart && atEnd:
		s.last.Store(0)
		s.first.Store(0)
	case atStart:
		s.first.Store(maxIndex + 1)
	default:
		s.last.Store(minIndex - 1)
	}
	return nil
}

// begin notes that a write is under way, and returns what notes its end.
func (s *Store) begin() func() {
	s.busy.Store(max(1, int64(time.Since(s.began))))
	return func() { s.busy.Store(0) }
}

func (s *Store) ended(err error) {
	if err == nil {
		s.failed.Store(nil)
		return
	}
	s.failed.Store(&err)
}

// Err is nil, or why the last write to the log failed. It becomes nil by the next
// one that succeeds.
func (s *Store) Err() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Stalled is how long the write to the log that is under way has been taking; 0 if
// there is none. A disk that hangs does not answer with an error: this is how to
// tell.
func (s *Store) Stalled() time.Duration {
	began := s.busy.Load()
	if began == 0 {
		return 0
	}
	return time.Since(s.began) - time.Duration(began)
}

// Close waits for the write under way and closes all files. raft must have been
// shut down before: it panics when it can't write a term.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	return s.closeAll()
}

func (s *Store) closeAll() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

// State is what was found when the store was opened, and is there now.
type State struct {
	Initialised bool   // a Raft entry was stored in this data dir at some time
	Term        uint64 // the last term this server knew
	FirstIndex  uint64 // of the log; 0: it is empty
	LastIndex   uint64
	Covered     uint64 // the last entry in a snapshot; 0: there is none
}

// Fresh reports that nothing was ever stored here. Only then may a cluster be
// bootstrapped. It takes four witnesses to say so, of which one is outside of the
// raft folder.
func (s State) Fresh() bool {
	return !s.Initialised && s.Term == 0 && s.LastIndex == 0 && s.Covered == 0
}

// State describes what there is.
func (s *Store) State() (State, error) {
	term, err := number(s.stable, keyTerm)
	if err != nil {
		return State{}, fmt.Errorf("read the term: %w", err)
	}
	return State{
		Initialised: s.marked.Load(), Term: term,
		FirstIndex: s.first.Load(), LastIndex: s.last.Load(), Covered: s.covered.Load(),
	}, nil
}

// Backend is the kind of log: WAL, BoltDB or "memory".
func (s *Store) Backend() string { return s.o.Backend }
