package waldir

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

const (
	listName    = "segments"
	listVersion = 1

	// codec is the id of raft-wal's own encoding of an entry, the only one on disk; see Codec.
	codec = 1

	// maxListBytes bounds what is read: some hundred bytes for each segment, and
	// a log is cut long before it has ten thousand.
	maxListBytes = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Segments is the list of the files that make up a log. raft-wal keeps it
// through the interface that it declares for that.
type Segments struct {
	path   string
	noSync bool
	state  types.PersistentState
}

var _ types.MetaStore = (*Segments)(nil)

// listFile is the content of the file. Checksum is the CRC-32C of State as it
// stands there.
type listFile struct {
	Version  int             `json:"version"`
	Checksum uint32          `json:"crc32c"`
	State    json.RawMessage `json:"state"`
}

// Load returns the list as Recover left it, as raft-wal sees it.
func (s *Segments) Load(string) (types.PersistentState, error) {
	seen := s.state
	seen.Segments = asSeen(seen.Segments)
	return seen, nil
}

// CommitState replaces the list durably.
func (s *Segments) CommitState(state types.PersistentState) error {
	state.Segments = asStored(state.Segments)
	b, err := encodeList(state)
	if err != nil {
		return err
	}
	if s.noSync {
		temp := s.path + ".tmp"
		if err = os.WriteFile(temp, b, fileMode); err == nil {
			err = os.Rename(temp, s.path)
		}
	} else {
		err = datadir.WriteFile(s.path, b)
	}
	if err != nil {
		return fmt.Errorf("list of segments: %w", err)
	}
	s.state = state
	return nil
}

var errNoStable = errors.New("the stable store is not kept in the write-ahead log")

// GetStable is never called: term and vote have a store of their own.
func (s *Segments) GetStable([]byte) ([]byte, error) { return nil, errNoStable }

// SetStable is never called; see GetStable.
func (s *Segments) SetStable(_, _ []byte) error { return errNoStable }

// Close has nothing to close.
func (s *Segments) Close() error { return nil }

func encodeList(state types.PersistentState) ([]byte, error) {
	raw, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("encode the list of segments: %w", err)
	}
	b, err := json.Marshal(listFile{Version: listVersion, Checksum: crc32.Checksum(raw, castagnoli), State: raw})
	if err != nil {
		return nil, fmt.Errorf("encode the list of segments: %w", err)
	}
	return append(b, '\n'), nil
}

// parseList reads the content of a list file. The error completes a sentence
// that begins with the file's name.
func parseList(b []byte) (types.PersistentState, error) {
	var file listFile
	var state types.PersistentState
	if err := json.Unmarshal(b, &file); err != nil {
		return state, errors.New("is not a list of segments")
	}
	switch {
	case file.Version != listVersion:
		return state, fmt.Errorf("has version %d, this program knows %d", file.Version, listVersion)
	case crc32.Checksum(file.State, castagnoli) != file.Checksum:
		return state, errors.New("does not match its checksum")
	}
	if err := json.Unmarshal(file.State, &state); err != nil {
		return state, errors.New("is not a list of segments")
	}
	return state, checkList(state)
}

// checkList says whether a list can be one of ours: segments in order without a
// gap, all sealed but the last.
func checkList(state types.PersistentState) error {
	for i, s := range state.Segments {
		last := i == len(state.Segments)-1
		switch {
		case s.Codec != codec:
			return fmt.Errorf("names a segment with the unknown encoding %d", s.Codec)
		case s.ID >= state.NextSegmentID || s.BaseIndex == 0 || s.MinIndex < s.BaseIndex:
			return fmt.Errorf("names an impossible segment %s", segment.FileName(s))
		case last != s.SealTime.IsZero():
			return fmt.Errorf("has segment %s sealed or open out of turn", segment.FileName(s))
		case !last && (s.MaxIndex < s.MinIndex || s.IndexStart == 0 || state.Segments[i+1].BaseIndex != s.MaxIndex+1):
			return fmt.Errorf("has a gap after segment %s", segment.FileName(s))
		}
	}
	return nil
}

// readList returns found = false if there is no list.
func readList(path string) (state types.PersistentState, found bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state, false, nil
	case err != nil:
		return state, false, fmt.Errorf("read %s: %w", path, err)
	case info.Size() == 0:
		return state, true, damaged(path, "is empty")
	case info.Size() > maxListBytes:
		return state, true, damaged(path, "is not a list of segments")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return state, true, fmt.Errorf("read %s: %w", path, err)
	}
	state, err = parseList(b)
	if err != nil {
		return state, true, damaged(path, "%v", err)
	}
	return state, true, nil
}

// Exists reports whether dir holds anything of a log.
func Exists(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Name() == listName || filepath.Ext(e.Name()) == segmentSuffix {
			return true, nil
		}
	}
	return false, nil
}

const segmentSuffix = ".wal"
