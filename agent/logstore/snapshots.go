package logstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

const (
	snapshotsName = "snapshots" // raft's own name for the folder
	tempSuffix    = ".tmp"      // and for a snapshot that is being written

	// retain is how many snapshots are kept: one more than needed, for the case
	// that the newest turns out to be damaged.
	retain = 2

	// listAll is more snapshots than there ever are.
	listAll = 1 << 20

	// maxMetaBytes bounds what is read of a snapshot's description.
	maxMetaBytes = 16 << 20
)

// Snapshots are raft's snapshots in files. What raft's own store would leave to
// chance is settled here: a damaged snapshot is not offered, and one that could
// not be finished leaves nothing behind.
type Snapshots struct {
	dir    string // the folder that holds a folder for each
	keeper *raft.FileSnapshotStore
	lister *raft.FileSnapshotStore

	newest  raft.SnapshotMeta // the newest usable one when opened; Index 0: none
	damaged []damagedSnapshot // the ones younger than it, youngest first
	hidden  map[string]bool   // their ids
	stored  func(index uint64)
	log     hclog.Logger

	mu      sync.Mutex
	writing map[string]bool // names of the folders being written; guarded by mu
}

var _ raft.SnapshotStore = (*Snapshots)(nil)

// damagedSnapshot is one that can't be used.
type damagedSnapshot struct {
	index uint64
	file  string
	what  string
}

// OpenSnapshots opens the snapshots in the folder dir/snapshots, made if it is not
// there, removes what was never finished, and finds the newest one that is whole.
//
// Damage is no error here: whether an older snapshot, or none, is enough depends
// on the log, and Open decides it.
func OpenSnapshots(dir string, log hclog.Logger) (*Snapshots, error) {
	path := filepath.Join(dir, snapshotsName)
	if err := os.Mkdir(path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	s := &Snapshots{dir: path, hidden: map[string]bool{}, stored: func(uint64) {}, log: log, writing: map[string]bool{}}
	err := errors.Join(s.removeUnfinished(), removeKept(dir))
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if s.keeper, err = raft.NewFileSnapshotStoreWithLogger(dir, retain, log); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if s.lister, err = raft.NewFileSnapshotStoreWithLogger(dir, listAll, log); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	// Looking for a usable one must not log: the outcome is one line.
	quiet, err := raft.NewFileSnapshotStoreWithLogger(dir, listAll, hclog.NewNullLogger())
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	return s, s.survey(quiet)
}

// removeUnfinished deletes what was begun and is not being written any more.
func (s *Snapshots) removeUnfinished() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasSuffix(e.Name(), tempSuffix) || s.writing[e.Name()] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// survey finds the newest usable snapshot and the damaged ones before it.
func (s *Snapshots) survey(store *raft.FileSnapshotStore) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	var found []snapshotName
	for _, e := range entries {
		if name, ok := parseSnapshotName(e.Name()); ok && e.IsDir() {
			found = append(found, name)
		}
	}
	slices.SortFunc(found, func(a, b snapshotName) int { return b.compare(a) })
	for _, name := range found {
		meta, bad := s.inspect(store, name)
		if bad == nil {
			s.newest = meta
			return nil
		}
		s.damaged = append(s.damaged, *bad)
		s.hidden[name.id] = true
	}
	return nil
}

// inspect reads all of a snapshot; bad says what is wrong with it.
func (s *Snapshots) inspect(store *raft.FileSnapshotStore, name snapshotName) (meta raft.SnapshotMeta, bad *damagedSnapshot) {
	metaFile := filepath.Join(s.dir, name.id, metaName)
	stateFile := filepath.Join(s.dir, name.id, stateName)
	damage := func(file, what string) (raft.SnapshotMeta, *damagedSnapshot) {
		return meta, &damagedSnapshot{index: name.index, file: file, what: what}
	}
	meta, err := readMeta(metaFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damage(metaFile, "is gone")
	case err != nil, meta.ID != name.id, meta.Index != name.index, meta.Term != name.term:
		return damage(metaFile, "does not describe this snapshot")
	case !sameSum(metaFile):
		return damage(metaFile, errChecksum.Error())
	}
	_, content, err := store.Open(name.id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damage(stateFile, "is gone")
	case err != nil:
		return damage(stateFile, errChecksum.Error())
	}
	if err := content.Close(); err != nil {
		return damage(stateFile, err.Error())
	}
	return meta, nil
}

// Raft's own store has a checksum of the state, but none of meta.json, which holds the
// configuration of the cluster: a bit that flips there would leave a server that
// belongs to none. The sum stands in a file beside it.
const metaSumName = "meta.sum"

func metaSum(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%08x\n", crc32.Checksum(data, castagnoli)), nil
}

// sameSum tells whether meta.json is as it was written. A snapshot that has no sum,
// since the server ended before it was written, passes.
func sameSum(metaFile string) bool {
	want, err := os.ReadFile(filepath.Join(filepath.Dir(metaFile), metaSumName))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	got, sumErr := metaSum(metaFile)
	return err == nil && sumErr == nil && string(want) == got
}

// describedState is the description of a snapshot, as raft's own store writes it.
type describedState struct {
	raft.SnapshotMeta
	CRC []byte // crc64 of the state
}

// readMeta reads the description of a snapshot. One without a sum must at least make
// sense: a bit that flips in the name of a field makes one of it that nobody knows.
func readMeta(path string) (meta raft.SnapshotMeta, err error) {
	f, err := os.Open(path)
	if err != nil {
		return meta, err
	}
	defer f.Close() // only read
	var whole describedState
	in := json.NewDecoder(io.LimitReader(f, maxMetaBytes))
	in.DisallowUnknownFields()
	err = in.Decode(&whole)
	return whole.SnapshotMeta, err
}

// snapshotName is the name of a snapshot's folder: term, index and time.
type snapshotName struct {
	id          string
	term, index uint64
	millis      int64 // Unix time at which it was begun
}

func parseSnapshotName(id string) (n snapshotName, ok bool) {
	parts := strings.Split(id, "-")
	if len(parts) != 3 {
		return n, false
	}
	var nums [3]uint64
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 64)
		if err != nil {
			return n, false
		}
		nums[i] = v
	}
	return snapshotName{id: id, term: nums[0], index: nums[1], millis: int64(nums[2])}, true
}

// compare orders snapshots as raft does.
func (n snapshotName) compare(m snapshotName) int {
	switch {
	case n.term != m.term:
		return cmpUint(n.term, m.term)
	case n.index != m.index:
		return cmpUint(n.index, m.index)
	}
	return strings.Compare(n.id, m.id)
}

func cmpUint(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// List returns the snapshots that can be used, newest first.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.lister.List()
	if err != nil {
		return nil, fmt.Errorf("list snapshots in %s: %w", s.dir, err)
	}
	usable := all[:0]
	for _, meta := range all {
		if !s.hidden[meta.ID] {
			usable = append(usable, meta)
		}
	}
	return usable[:min(len(usable), retain)], nil
}

// Open gives the content of a snapshot, after checking its checksum.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, content, err := s.lister.Open(id)
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", filepath.Join(s.dir, id), err)
	}
	return meta, content, nil
}

// Create begins a new snapshot. If it is not finished nothing of it stays.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sink, err := s.keeper.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin a snapshot: %w", err), s.removeUnfinished())
	}
	s.writing[sink.ID()+tempSuffix] = true
	return &snapshotSink{SnapshotSink: sink, store: s, index: index}, nil
}

// snapshotSink removes what raft's own leaves when the disk is full.
type snapshotSink struct {
	raft.SnapshotSink
	store *Snapshots
	index uint64
	kept  *Kept // its content; nil: it is what was written
}

func (s *snapshotSink) Close() error {
	finish := s.SnapshotSink.Close
	if s.kept != nil {
		finish = func() error { return s.install(s.kept) }
	}
	if err := finish(); err != nil {
		return errors.Join(fmt.Errorf("finish the snapshot: %w", err), s.end())
	}
	s.store.stored(s.index)
	if s.kept != nil { // it is there, whatever comes
		if err := errors.Join(s.store.keeper.ReapSnapshots(), s.end()); err != nil {
			s.store.log.Warn("older snapshots stay", "error", err)
		}
		return nil
	}
	return errors.Join(s.writeSum(), s.end())
}

func (s *snapshotSink) writeSum() error {
	folder := filepath.Join(s.store.dir, s.ID())
	sum, err := metaSum(filepath.Join(folder, metaName))
	if err == nil {
		err = datadir.WriteFile(filepath.Join(folder, metaSumName), []byte(sum))
	}
	if err != nil {
		return fmt.Errorf("write the checksum of snapshot %s: %w", s.ID(), err)
	}
	return nil
}

func (s *snapshotSink) Cancel() error {
	// Its error is that the rest could not be written, which no longer matters.
	_ = s.SnapshotSink.Cancel()
	return s.end()
}

// end removes the folder it was written in, if that is still there.
func (s *snapshotSink) end() error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	name := s.ID() + tempSuffix
	delete(s.store.writing, name)
	return os.RemoveAll(filepath.Join(s.store.dir, name))
}
