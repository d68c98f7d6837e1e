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

	// OnWrite is told how long it took to write entries and flush them. It must not
	// block. nil: nothing is called.
	OnWrite func(took time.Duration)

	wrapFS   func(types.VFS) types.VFS // tests make the disk fail
	readOnly bool                      // of a bbolt file
}

const (
	defaultSegmentBytes = 64 << 20
	defaultCacheBytes   = 16 << 20

	// cacheEntries bounds the cache by number: 1.5 MiB of bookkeeping, and all that
	// is usually behind a snapshot, which a start reads again and again.
	cacheEntries = 16 << 10
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
	if o.OnWrite == nil {
		o.OnWrite = func(time.Duration) {}
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
		o: o, log: o.Logger, sums: true, began: time.Now(),
		cache: newCache(cacheEntries, o.CacheBytes),
	}
	s.marked.Store(o.Initialised)
	opening := opening{Store: s, dir: dir}
	if err := opening.run(); err != nil {
		if datadir.IsFull(err) {
			err = fmt.Errorf("open %s: %w: free some space, then start again", dir, err)
		}
		return nil, errors.Join(err, s.closeAll())
	}
	return s, nil
}

// Memory is a store that forgets everything when the process ends.
func Memory() *Store {
	mem := raft.NewInmemStore()
	s := &Store{
		backend: memory{mem}, path: "memory", stable: mem, snapshots: raft.NewInmemSnapshotStore(),
		log: hclog.NewNullLogger(), began: time.Now(),
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

// opening is one run of Open. First it looks at all there is and sees whether it
// fits together; only then is anything opened for writing.
type opening struct {
	*Store
	dir    string
	exists bool // the log

	snaps *Snapshots
	acked uint64 // what the witness says
	look  logLook

	hasStable  bool
	term, vote uint64
}

// logLook is what looking at a log yields: the entries there are, and how to open
// it.
type logLook struct {
	first, last uint64
	open        func() (backend, error)
}

func (s *opening) run() error {
	steps := []func() error{
		s.openFolder, s.openSnapshots, s.openAcked, s.lookAtStable, s.lookAtLog, s.checkTogether,
		s.openLog, s.openStable, s.finish,
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
	if name, ok := parseSnapshotName(snaps.newest.ID); ok {
		s.snapshotAt.Store(name.millis)
	}
	snaps.stored = func(index uint64) {
		s.snapshotAt.Store(time.Now().UnixMilli())
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
		return fmt.Errorf("open the note of what was acknowledged: %w", err)
	}
	s.Store.acked, s.acked = a, last
	s.closers = append(s.closers, a.close)
	if !sound {
		s.log.Warn("the note of what was acknowledged is unreadable and begun anew", "file", a.file.Name())
	}
	return nil
}

func (s *opening) lookAtStable() (err error) {
	path := filepath.Join(s.dir, stableName)
	if s.hasStable, err = fileExists(path); err != nil || !s.hasStable {
		return err
	}
	s.term, s.vote, err = checkStable(path)
	return err
}

// lookAtLog reads the whole log. A server that has stored something has one: it
// is made by the first start, before anything else can be stored.
func (s *opening) lookAtLog() (err error) {
	covered := s.covered.Load()
	if !s.exists && (s.o.Initialised || covered > 0 || s.acked > 0 || len(s.snaps.damaged) > 0) {
		return corrupt(filepath.Join(s.dir, walName), doPutBack,
			"is gone, and there is no %s either, but this server has stored data before", boltName)
	}
	if s.o.Backend == BoltDB {
		s.look, err = lookAtBolt(s.path, &s.o, s.cache, covered)
	} else {
		s.look, err = lookAtWAL(s.path, &s.o, s.cache, covered, s.acked)
	}
	return err
}

// checkTogether sees whether log, snapshots, term and witnesses tell one story.
func (s *opening) checkTogether() error {
	first, last, covered := s.look.first, s.look.last, s.covered.Load()
	if d := s.snaps.damaged; len(d) > 0 && (last < d[0].index || first > covered+1) {
		// Without that snapshot there is a hole, or entries are missing at the end.
		return corrupt(d[0].file, doRestore, "%s, and the log, which has %s, does not make up for it", d[0].what, rangeText(first, last))
	}
	stablePath := filepath.Join(s.dir, stableName)
	switch {
	case last == 0 && covered == 0 && s.o.Initialised:
		return corrupt(s.path, doRestore, "has no entries, but this server has stored data before")
	case last != 0 && first > covered+1 && covered == 0:
		return corrupt(s.path, doRestore, "begins with entry %d, and there is no snapshot in %s that has those before it", first, s.snaps.dir)
	case last != 0 && first > covered+1:
		return corrupt(s.path, doRestore, "begins with entry %d, but the newest snapshot in %s ends with %d", first, s.snaps.dir, covered)
	case max(last, covered) < s.acked:
		return corrupt(s.path, doRestore, "has %s, but entry %d was acknowledged", rangeText(first, last), s.acked)
	case s.used() && !s.hasStable:
		return corrupt(stablePath, doPutBack, "is gone, and with it the term and vote of this server")
	case s.used() && s.term == 0:
		return corrupt(stablePath, doRestore, "holds no term, but this server has stored data before")
	}
	for _, d := range s.snaps.damaged {
		s.log.Warn("starting without a damaged snapshot; the log has what was in it", "file", d.file, "damage", d.what, "index", d.index)
	}
	return nil
}

// used reports whether a Raft entry was ever stored here.
func (s *opening) used() bool {
	return s.o.Initialised || s.look.last > 0 || s.covered.Load() > 0
}

func rangeText(first, last uint64) string {
	if last == 0 {
		return "no entries"
	}
	return fmt.Sprintf("entries %d to %d", first, last)
}

func (s *opening) openLog() error {
	b, err := s.look.open()
	if err != nil {
		return err
	}
	s.backend = b
	s.closers = append(s.closers, b.Close)
	s.first.Store(s.look.first)
	s.last.Store(s.look.last)
	if first, last, covered := s.look.first, s.look.last, s.covered.Load(); last != 0 && last < covered {
		// The process ended between the restore of a snapshot and the removal of
		// the entries before it; the next entry would not follow them.
		s.log.Info("removing log entries that a restored snapshot replaces", "first", first, "last", last, "snapshot", covered)
		return s.deleteLocked(first, last)
	}
	return nil
}

func (s *opening) openStable() error {
	st, err := openStable(filepath.Join(s.dir, stableName), &s.o)
	if err != nil {
		return err
	}
	s.stable = st
	s.closers = append(s.closers, st.Close)
	if s.used() || s.term != 1 || s.vote != 0 {
		return nil
	}
	// Bootstrapping writes the term and then the first entry. It ended in
	// between; with a term raft would refuse to try again.
	s.log.Info("tidying up a first start that was not finished")
	return st.SetUint64([]byte(keyTerm), 0)
}

// finish makes the marker for a server that stored its first entry but ended
// before saying so.
func (s *opening) finish() error {
	if !s.used() {
		return nil
	}
	return s.mark()
}
