package api

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Members of a snapshot archive, a gzip stream of a tar archive with exactly these.
//
// Source: contract, status, operator and snapshot, "Archive format".
const (
	memberMeta  = "meta.json"
	memberState = "state.bin"
	memberSums  = "SHA256SUMS"
)

// Bounds of the small parts of an archive, far above what any has.
const (
	maxMetaBytes    = 16 << 20 // the configuration of a cluster
	maxSumsBytes    = 64 << 10 // two lines
	maxPaddingBytes = 1 << 20  // zeros behind the end of the tar archive
)

// A SnapshotInfo is what an archive says about itself.
type SnapshotInfo struct {
	ID      string // name of the snapshot on the server that took it
	Index   uint64 // the last log index that is in it
	Term    uint64 // of that entry
	Version int    // of the snapshot's metadata
	Size    int64  // of the state, in bytes, uncompressed
}

// VerifySnapshot reads a snapshot archive to its end and checks that it is whole:
// that it has its three members and no other, that the hashes match, and that
// nothing is missing at the end. It does not look into the state, which only
// servers of the same product can read. ErrSnapshot when something is wrong.
func VerifySnapshot(r io.Reader) (SnapshotInfo, error) {
	a := archive{sums: map[string]string{}}
	if err := a.read(r); err != nil {
		return SnapshotInfo{}, err
	}
	return a.check()
}

// archive collects what is known of an archive while it is read.
type archive struct {
	info  SnapshotInfo
	sums  map[string]string // member → SHA-256 in hex, as computed
	lists []byte            // content of SHA256SUMS
	state int64             // bytes of state.bin
}

// read goes through the whole stream. Errors of r itself come through wrapped, so
// that a broken connection is not mistaken for a damaged archive.
func (a *archive) read(r io.Reader) error {
	source := &sourceReader{r: r}
	unzipped, err := gzip.NewReader(bufio.NewReader(source))
	if err != nil {
		return source.blame("it is not a gzip stream", err)
	}
	members := tar.NewReader(unzipped)
	for {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return source.blame("it is not a tar archive", err)
		}
		if err := a.member(header.Name, members); err != nil {
			return source.blame("member "+header.Name, err)
		}
	}
	if err := onlyZeros(unzipped); err != nil {
		return source.blame("behind its end", err)
	}
	return nil
}

// member reads one member.
func (a *archive) member(name string, r io.Reader) error {
	if _, twice := a.sums[name]; twice {
		return errors.New("is there twice")
	}
	hash := sha256.New()
	hashed := io.TeeReader(r, hash)
	switch name {
	case memberState:
		n, err := io.Copy(io.Discard, hashed)
		if err != nil {
			return err
		}
		a.state = n
	case memberMeta:
		data, err := io.ReadAll(&boundedReader{r: hashed, left: maxMetaBytes})
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &a.info); err != nil {
			return err
		}
	case memberSums:
		data, err := io.ReadAll(&boundedReader{r: hashed, left: maxSumsBytes})
		if err != nil {
			return err
		}
		a.lists = data
	default:
		return errors.New("does not belong there")
	}
	a.sums[name] = hex.EncodeToString(hash.Sum(nil))
	return nil
}

// check compares what was read with what the archive says.
func (a *archive) check() (SnapshotInfo, error) {
	for _, name := range []string{memberMeta, memberState, memberSums} {
		if _, there := a.sums[name]; !there {
			return SnapshotInfo{}, fmt.Errorf("%w: %s is missing", ErrSnapshot, name)
		}
	}
	listed := map[string]bool{}
	for line := range bytes.Lines(a.lists) {
		sum, name, ok := strings.Cut(strings.TrimSpace(string(line)), "  ")
		switch {
		case sum == "" && !ok:
			continue
		case !ok:
			return SnapshotInfo{}, fmt.Errorf("%w: %s has a line that is no hash", ErrSnapshot, memberSums)
		case a.sums[name] != sum:
			return SnapshotInfo{}, fmt.Errorf("%w: the hash of %s does not match", ErrSnapshot, name)
		}
		listed[name] = true
	}
	for _, name := range []string{memberMeta, memberState} {
		if !listed[name] {
			return SnapshotInfo{}, fmt.Errorf("%w: %s has no hash for %s", ErrSnapshot, memberSums, name)
		}
	}
	if a.info.Size != a.state {
		return SnapshotInfo{}, fmt.Errorf("%w: %s has %d bytes, %s says %d", ErrSnapshot, memberState, a.state, memberMeta, a.info.Size)
	}
	return a.info, nil
}

// onlyZeros reads to the end and refuses anything but a bounded padding of zeros,
// as tar tools write it. Reading to the end also makes gzip check its own sum.
func onlyZeros(r io.Reader) error {
	rest, err := io.ReadAll(&boundedReader{r: r, left: maxPaddingBytes})
	if err != nil {
		return err
	}
	if len(bytes.Trim(rest, "\x00")) > 0 {
		return errors.New("there is more data")
	}
	return nil
}

// sourceReader remembers an error of the stream below the archive.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// blame says whether the stream or the archive is at fault.
func (s *sourceReader) blame(where string, err error) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%w: %s: %w", ErrSnapshot, where, err)
}
