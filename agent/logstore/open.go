package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

// Options of Open. The zero value works.
type Options struct {
	// Backend is WAL or BoltDB, for a log that is made; empty is WAL. A data dir
	// that has a log keeps its kind, which is an error only if BackendExplicit
	// says that somebody wrote the setting down.
	Backend         string
	BackendExplicit bool

	SegmentBytes     int  // size of a file of the write-ahead log; 0: 64 MiB
	BoltFreelistSync bool // bbolt also writes its list of free pages with each commit
	CacheBytes       int  // memory for recent entries; 0: 16 MiB; negative: none are kept

	Logger hclog.Logger // nil: nothing is logged
	NoSync bool         // nothing is flushed: for tests that do not pull the plug

	// Initialised is what datadir.Dir.Initialised says. Then an empty log without
	// a snapshot is a loss.
	Initialised bool

	// OnInitialised is datadir.Dir.MarkInitialised: it is called before the first
	// entry is acknowledged. nil: nothing is called.
	OnInitialised func() error

	// OnDamage is told, before the caller is, of an error after which raft will
	// panic: a needed entry or the term turned out to be damaged while running, or
	// the term can't be written. The agent logs it and ends the process. nil:
	// nothing is called.
	OnDamage func(error)

	wrapFS func(types.VFS) types.VFS // tests make the disk fail
}

const (
	defaultSegmentBytes = 64 << 20
	defaultCacheBytes   = 16 << 20

	// cacheEntries bounds the cache by number: half a MiB of bookkeeping, and more
	// than a follower lags that is not in need of a snapshot anyway.
	cacheEntries = 4096
)

func (o *Options) setDefaults() error {
	switch o.Backend {
	case "", WAL, BoltDB:
	default:
		return fmt.Errorf("raft_logstore backend %q: not one of %q, %q", o.Backend, WAL, BoltDB)
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.OnInitialised == nil {
		o.OnInitialised = func() error { return nil }
	}
	if o.OnDamage == nil {
		o.OnDamage = func(error) {}
	}
	return nil
}

// Open opens the raft folder dir, made if the data dir is new, and looks at all
// that is in it. It succeeds only if the server can start from it without losing
// what it acknowledged. Its error is a *CorruptError, a *BackendError, or what
// the disk said; each is one line for the operator.
func Open(dir string, o Options) (*Store, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	s := &Store{
		o: o, log: o.Logger, sums: true, marked: o.Initialised, began: time.Now(),
		cache: newCache(cacheEntries, o.CacheBytes),
	}
	opening := opening{Store: s, dir: dir}
	if err := opening.run(); err != nil {
		return nil, errors.Join(err, s.closeAll())
	}
	return s, nil
}

// Memory is a store that forgets everything when the process ends.
func Memory() *Store {
	mem := raft.NewInmemStore()
	s := &Store{
		backend: memory{mem}, path: "memory", stable: mem, snapshots: raft.NewInmemSnapshotStore(),
		log: hclog.NewNullLogger(), marked: true, began: time.Now(),
	}
	s.o = Options{}
	// The only error is about the name of a backend.
	_ = s.o.setDefaults()
	s.o.Backend = "memory"
	return s
}

// memory can't fail, so it is never repaired.
type memory struct{ *raft.InmemStore }

func (memory) repair(uint64, bool, uint64) error { return nil }
func (memory) Close() error                      { return nil }

// opening is one run of Open: find what there is, open it, and see that it fits
// together.
type opening struct {
	*Store
	dir     string
	exists  bool // the log
	snaps   *Snapshots
	ackedAt uint64
}

func (s *opening) run() error {
	steps := []func() error{
		s.openFolder, s.openSnapshots, s.openAcked, s.openLog, s.checkTogether, s.openStable, s.finish,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *opening) openFolder() error {
	_, err := os.Stat(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.o.Initialised:
		return corrupt(s.dir, doPutBack, "is gone, but this server has stored data in it before")
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(s.dir, folderMode); err != nil {
			return fmt.Errorf("make the raft folder: %w", err)
		}
		if err := datadir.SyncFolder(filepath.Dir(s.dir)); err != nil {
			return fmt.Errorf("make the raft folder: %w", err)
		}
	case err != nil:
		return fmt.Errorf("look at the raft folder: %w", err)
	}
	s.o.Backend, s.path, s.exists, err = chooseBackend(s.dir, &s.o)
	return err
}

func (s *opening) openSnapshots() error {
	snaps, err := OpenSnapshots(s.dir, s.log.Named("snapshot"))
	if err != nil {
		return err
	}
	s.snaps, s.snapshots = snaps, snaps
	s.covered.Store(snaps.newest.Index)
	snaps.stored = func(index uint64) {
		for {
			was := s.covered.Load()
			if index <= was || s.covered.CompareAndSwap(was, index) {
				return
			}
		}
	}
	return nil
}

func (s *opening) openAcked() error {
	a, last, sound, err := openAcked(filepath.Join(s.dir, ackedName), s.o.NoSync)
	if err != nil {
		return err
	}
	if !sound {
		s.log.Warn("the note of what was acknowledged is unreadable and begun anew", "file", a.file.Name())
	}
	s.acked, s.ackedAt = a, last
	s.closers = append(s.closers, a.close)
	return nil
}

// openLog looks at the log and opens it. Nothing has been made so far that a
// server which was here before would not have, so a missing log is reported.
func (s *opening) openLog() error {
	covered := s.covered.Load()
	if !s.exists && (s.o.Initialised || covered > 0 || s.ackedAt > 0 || len(s.snaps.damaged) > 0) {
		return corrupt(filepath.Join(s.dir, walName), doPutBack,
			"is gone, and there is no %s either, but this server has stored data before", boltName)
	}
	if s.o.Backend == BoltDB {
		l, err := openBoltLog(s.path, &s.o, covered)
		if err != nil {
			return err
		}
		s.backend = l
	} else if err := s.openWALLog(covered); err != nil {
		return err
	}
	s.closers = append(s.closers, s.backend.Close)
	first, err := s.backend.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first entry of %s: %w", s.path, err)
	}
	last, err := s.backend.LastIndex()
	if err != nil {
		return fmt.Errorf("read the last entry of %s: %w", s.path, err)
	}
	s.first.Store(first)
	s.last.Store(last)
	return nil
}

func (s *opening) openWALLog(covered uint64) error {
	l, rep, err := openWAL(s.path, &s.o, covered, s.ackedAt)
	if err != nil {
		return err
	}
	s.backend = l
	if rep.Mended != "" {
		s.log.Warn("removed a write at the end of the log that was not finished when the process ended",
			"file", rep.Mended, "last_index", rep.Last)
	}
	if rep.Dropped > 0 {
		s.log.Warn("gave up damaged entries of the log that a snapshot covers", "up_to", rep.Dropped, "damage", rep.DroppedWhy)
	}
	return nil
}

// checkTogether sees whether log, snapshots and the witnesses tell one story.
func (s *opening) checkTogether() error {
	first, last, covered := s.first.Load(), s.last.Load(), s.covered.Load()
	if d := s.snaps.damaged; len(d) > 0 && (last < d[0].index || first > covered+1) {
		// Without that snapshot there is a hole, or entries are missing at the end.
		return corrupt(d[0].file, doRestore, "%s, and the log, which has %s, does not make up for it", d[0].what, rangeText(first, last))
	}
	switch {
	case last == 0 && covered == 0 && (s.o.Initialised || s.ackedAt > 0):
		return corrupt(s.path, doRestore, "holds no entries, but this server has stored data before")
	case last != 0 && first > covered+1 && covered == 0:
		return corrupt(s.path, doRestore, "begins with entry %d, and there is no snapshot in %s that has those before it", first, s.snaps.dir)
	case last != 0 && first > covered+1:
		return corrupt(s.path, doRestore, "begins with entry %d, but the newest snapshot in %s ends with %d", first, s.snaps.dir, covered)
	case max(last, covered) < s.ackedAt:
		return corrupt(s.path, doRestore, "ends with entry %d, but entry %d was acknowledged", last, s.ackedAt)
	}
	for _, d := range s.snaps.damaged {
		s.log.Warn("starting without a damaged snapshot; the log has what was in it", "file", d.file, "damage", d.what, "index", d.index)
	}
	if last != 0 && last < covered {
		// The process ended between the restore of a snapshot and the removal of
		// the entries before it; the next entry would not follow them.
		s.log.Info("removing log entries that a restored snapshot replaces", "first", first, "last", last, "snapshot", covered)
		return s.deleteLocked(first, last)
	}
	return nil
}

func rangeText(first, last uint64) string {
	if last == 0 {
		return "no entries"
	}
	return fmt.Sprintf("entries %d to %d", first, last)
}

// openStable opens term and vote. They may be missing only in a server that has
// nothing else either: a vote that is forgotten could be given twice.
func (s *opening) openStable() error {
	path := filepath.Join(s.dir, stableName)
	exists, err := fileExists(path)
	if err != nil {
		return err
	}
	used := s.o.Initialised || s.last.Load() > 0 || s.covered.Load() > 0
	if !exists && used {
		return corrupt(path, doPutBack, "is gone, and with it the term and vote of this server")
	}
	st, err := openStable(path, &s.o)
	if err != nil {
		return err
	}
	s.stable = st
	s.closers = append(s.closers, st.Close)
	term, err := number(st, keyTerm)
	if err != nil {
		return err
	}
	vote, err := number(st, keyVoteTerm)
	if err != nil {
		return err
	}
	switch {
	case used && term == 0:
		return corrupt(path, doRestore, "holds no term, but this server has stored data before")
	case !used && term == 1 && vote == 0:
		// Bootstrapping writes the term and then the first entry. It ended in
		// between; with a term raft would refuse to try again.
		s.log.Info("tidying up a first start that was not finished")
		return st.SetUint64([]byte(keyTerm), 0)
	}
	return nil
}

// finish makes the marker for a server that stored its first entry but ended
// before saying so.
func (s *opening) finish() error {
	if s.marked || s.last.Load() == 0 && s.covered.Load() == 0 {
		return nil
	}
	if err := s.o.OnInitialised(); err != nil {
		return fmt.Errorf("note that there is data here: %w", err)
	}
	s.marked = true
	return nil
}
