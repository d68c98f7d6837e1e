package httpapi

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/klauspost/compress/gzip"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/ahead"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// The members of an archive.
//
// Source: contract, snapshot, section 6.
const (
	memberMeta  = "meta.json"
	memberState = "state.bin"
	memberSums  = "SHA256SUMS"
)

// archiveMeta is meta.json, in the fields that existing tools read.
type archiveMeta struct {
	Version            int
	ID                 string
	Index, Term        uint64
	Peers              []byte
	Configuration      archiveConfiguration
	ConfigurationIndex uint64
	Size               int64
}

type archiveConfiguration struct {
	Servers []archiveServer
}

type archiveServer struct {
	Suffrage    int // 0 for a voter
	ID, Address string
}

// archiveBuffer is how much is written to the client at a time: the compressor gives
// a few hundred bytes.
const archiveBuffer = 64 << 10

// writeArchive streams an archive of the snapshot: nothing of it is kept on disk, and
// no more than a few pieces in memory.
func writeArchive(client io.Writer, meta SnapshotMeta, s *fsm.Snapshot) error {
	w := bufio.NewWriterSize(client, archiveBuffer)
	// Huffman codes alone are more than twice as fast as the lowest level with matches,
	// for an archive that is up to twice as large (BenchmarkArchiveLevel).
	z, err := gzip.NewWriterLevel(w, gzip.HuffmanOnly)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	m := archiveMeta{
		Version: 1, ID: meta.ID, Index: meta.Index, Term: meta.Term, Peers: packPeers(meta.Peers),
		ConfigurationIndex: meta.ConfigurationIndex, Size: s.Size(),
	}
	for _, server := range meta.Servers {
		suffrage := 0
		if !server.Voter {
			suffrage = 1
		}
		m.Configuration.Servers = append(m.Configuration.Servers, archiveServer{suffrage, server.ID, server.Address})
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	sums := map[string]hash.Hash{memberMeta: sha256.New(), memberState: sha256.New()}
	if err := writeMember(t, memberMeta, append(text, '\n'), sums[memberMeta]); err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: memberState, Mode: 0o600, Size: m.Size}); err != nil {
		return err
	}
	packed := ahead.NewWriter(t) // making the state and compressing it share the time
	_, err = s.WriteTo(io.MultiWriter(sums[memberState], packed))
	if err := errors.Join(err, packed.Close()); err != nil {
		return err
	}
	var list bytes.Buffer
	for _, name := range []string{memberMeta, memberState} {
		fmt.Fprintf(&list, "%x  %s\n", sums[name].Sum(nil), name)
	}
	if err := writeMember(t, memberSums, list.Bytes(), io.Discard); err != nil {
		return err
	}
	return errors.Join(t.Close(), z.Close(), w.Flush())
}

func writeMember(t *tar.Writer, name string, data []byte, sum io.Writer) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := io.MultiWriter(t, sum).Write(data)
	return err
}

// packPeers encodes the addresses as msgpack, as meta.json has always had them.
func packPeers(peers []string) []byte {
	b := []byte{0xdc, byte(len(peers) >> 8), byte(len(peers))}
	if len(peers) < 16 {
		b = []byte{0x90 | byte(len(peers))}
	}
	for _, p := range peers {
		if len(p) < 32 {
			b = append(b, 0xa0|byte(len(p)))
		} else {
			b = append(b, 0xda, byte(len(p)>>8), byte(len(p)))
		}
		b = append(b, p...)
	}
	return b
}

// metaBytes bounds the members of an archive that are not the state.
const metaBytes = 1 << 20

// LoadArchive reads an archive to its end, checks everything against the sums, and
// restores the state into a store of its own, which it throws away: an archive that
// passes can be restored. It takes as much memory as a server that holds that state.
func LoadArchive(r io.Reader) (SnapshotMeta, error) {
	scratch := fsm.NewStore()
	machine := fsm.New(scratch, hclog.NewNullLogger(), func(error) {}) // a restore stops nobody
	m, err := throughArchive(r, func(state io.Reader) error { return machine.Restore(io.NopCloser(state)) })
	if err != nil {
		return SnapshotMeta{}, err
	}
	if applied := scratch.Applied(); applied > m.Index {
		return SnapshotMeta{}, fmt.Errorf("snapshot says that it reaches index %d and holds a state of index %d", m.Index, applied)
	}
	return SnapshotMeta{ID: m.ID, Index: m.Index, Term: m.Term, ConfigurationIndex: m.ConfigurationIndex}, nil
}

// CheckArchive is LoadArchive without the store: every record of the state is read and
// judged, and none is kept. It takes little memory, and is for a server at work.
func CheckArchive(r io.Reader) (SnapshotMeta, error) {
	m, err := throughArchive(r, fsm.CheckSnapshot)
	if err != nil {
		return SnapshotMeta{}, err
	}
	return SnapshotMeta{ID: m.ID, Index: m.Index, Term: m.Term, ConfigurationIndex: m.ConfigurationIndex}, nil
}

// WriteArchive writes an archive of the snapshot, as a stream.
func WriteArchive(w io.Writer, meta SnapshotMeta, s *fsm.Snapshot) error {
	return writeArchive(w, meta, s)
}

// interrupted is a reader whose reads another goroutine may end.
type interrupted interface{ interrupt() }

// throughArchive reads an archive to its end, hands the state to take, and checks
// everything against the sums. Padding behind the end is accepted. The archive is
// decompressed by another goroutine, which has ended when this returns.
func throughArchive(r io.Reader, take func(state io.Reader) error) (meta archiveMeta, err error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(r, archiveBuffer))
	if err != nil {
		return meta, fmt.Errorf("failed to decompress snapshot: %w", err)
	}
	plain := ahead.NewReader(z)
	defer func() {
		var interrupt func()
		if i, ok := r.(interrupted); ok && err != nil { // otherwise it has been read to its end
			interrupt = i.interrupt
		}
		plain.Close(interrupt)
		if closeErr := z.Close(); err == nil { // else it says the same
			err = closeErr
		}
	}()
	sums, err := readMembers(tar.NewReader(io.LimitReader(plain, limit.SnapshotBytes+metaBytes)), take)
	if err != nil {
		return meta, fmt.Errorf("failed to read snapshot file: %w", err)
	}
	if err := sums.check(); err != nil {
		return meta, fmt.Errorf("failed to read snapshot file: failed checking integrity of snapshot: %w", err)
	}
	if err := json.Unmarshal(sums.meta, &meta); err != nil {
		return meta, fmt.Errorf("failed to read snapshot file: failed to decode snapshot metadata: %w", err)
	}
	n, err := padding(plain)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return meta, fmt.Errorf("failed to read snapshot file: failed to read or write snapshot data: %w", err)
	case err != nil:
		return meta, fmt.Errorf("failed to decompress snapshot: %w", err)
	case n > 0:
		return meta, fmt.Errorf("%d unread uncompressed bytes remain", n)
	}
	return meta, nil
}

// padding reads what is behind the archive and counts it, unless it is all zero.
func padding(r io.Reader) (int64, error) {
	buf := bufio.NewReader(r)
	var n int64
	zero := true
	for {
		b, err := buf.ReadByte()
		if errors.Is(err, io.EOF) {
			if zero {
				return 0, nil
			}
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
		zero = zero && b == 0
		if n > metaBytes {
			return n, nil
		}
	}
}

// archiveSums are the sums of the members that were read, and those listed. What
// meta.json says counts only when its sum is right.
type archiveSums struct {
	got    map[string]string
	listed map[string]string
	meta   []byte
}

func (s archiveSums) check() error {
	for _, name := range []string{memberMeta, memberState} {
		sum, ok := s.got[name]
		if !ok || s.listed[name] == "" {
			return fmt.Errorf("file missing for %q", name)
		}
		if !strings.EqualFold(sum, s.listed[name]) {
			return fmt.Errorf("hash check failed for %q", name)
		}
	}
	return nil
}

func readMembers(t *tar.Reader, take func(state io.Reader) error) (archiveSums, error) {
	sums := archiveSums{got: map[string]string{}, listed: map[string]string{}}
	for {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return sums, nil
		}
		if err != nil {
			return sums, fmt.Errorf("failed to read or write snapshot data: %w", err)
		}
		if _, twice := sums.got[head.Name]; twice {
			return sums, fmt.Errorf("file %q is in the snapshot twice", head.Name)
		}
		sum := sha256.New()
		switch head.Name {
		case memberMeta, memberSums:
			var data []byte
			if data, err = io.ReadAll(io.LimitReader(io.TeeReader(t, sum), metaBytes)); err != nil {
				break
			}
			if head.Name == memberSums {
				sums.list(data)
			} else {
				sums.meta = data
			}
		case memberState:
			state := io.TeeReader(io.LimitReader(t, limit.SnapshotBytes), sum)
			if err = take(state); err == nil {
				_, err = io.Copy(io.Discard, state) // what was left is in the sum too
			}
		default:
			return sums, fmt.Errorf("unexpected file %q in snapshot", head.Name)
		}
		if err != nil {
			return sums, fmt.Errorf("failed to read or write snapshot data: %w", err)
		}
		sums.got[head.Name] = hex.EncodeToString(sum.Sum(nil))
	}
}

func (s archiveSums) list(data []byte) {
	for line := range strings.Lines(string(data)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if ok {
			s.listed[name] = sum
		}
	}
}
