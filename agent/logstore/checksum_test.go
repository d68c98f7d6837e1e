package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

func encodeWAL(t testing.TB, l *raft.Log) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&wal.BinaryCodec{}).Encode(l, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestChecksumCoversEveryField(t *testing.T) {
	base := raft.Log{Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("value"), Extensions: []byte("ext")}
	seal := func(l raft.Log) raft.Log {
		var s sealer
		return *s.seal([]*raft.Log{&l})[0]
	}
	if l := seal(base); unseal(&l, 7) != nil || string(l.Extensions) != "ext" {
		t.Fatalf("sealed and unsealed: %+v", l)
	}
	for _, tc := range []struct {
		rule   string
		change func(l *raft.Log)
		want   error
	}{
		{"index", func(l *raft.Log) { l.Index++ }, errChecksum},
		{"term", func(l *raft.Log) { l.Term++ }, errChecksum},
		{"type", func(l *raft.Log) { l.Type = raft.LogNoop }, errChecksum},
		{"data", func(l *raft.Log) { l.Data = []byte("valuf") }, errChecksum},
		{"length of the data", func(l *raft.Log) { l.Data = []byte("valu") }, errChecksum},
		{"extensions", func(l *raft.Log) { l.Extensions = append([]byte("f"), l.Extensions[1:]...) }, errChecksum},
		{"where data ends and extensions begin", func(l *raft.Log) {
			l.Data, l.Extensions = []byte("valuee"), l.Extensions[1:]
		}, errChecksum},
		{"the checksum", func(l *raft.Log) { l.Extensions[len(l.Extensions)-1] ^= 1 }, errChecksum},
		{"the mark", func(l *raft.Log) { l.Extensions[3] ^= 1 }, errNoChecksum},
		{"no checksum", func(l *raft.Log) { l.Extensions = nil }, errNoChecksum},
	} {
		l := seal(base)
		tc.change(&l)
		if err := unseal(&l, l.Index); !errors.Is(err, tc.want) {
			t.Errorf("%s changed: %v, want %v", tc.rule, err, tc.want)
		}
	}
	if l := seal(base); !errors.Is(unseal(&l, 8), errChecksum) {
		t.Error("the entry of another index was accepted")
	}
}

func TestAddNumberIsTheCRC(t *testing.T) {
	for _, n := range []uint64{0, 1, 0x0123456789abcdef, math.MaxUint64} {
		b := binary.LittleEndian.AppendUint64(nil, n)
		for _, sum := range []uint32{0, 1, 0xdeadbeef} {
			if got, want := addNumber(sum, n), crc32.Update(sum, castagnoli, b); got != want {
				t.Errorf("%x continued with %x = %x, want %x", sum, n, got, want)
			}
		}
	}
}

func TestSealerUsesItsMemoryAgain(t *testing.T) {
	var s sealer
	logs := entries(1, 64)
	s.seal(logs)
	s.release()
	if n := testing.AllocsPerRun(50, func() { s.seal(logs); s.release() }); n > 0 {
		t.Errorf("%v allocations for a batch", n)
	}
	s.seal(entries(1, 64))
	for i, l := range s.logs {
		if l.Data == nil {
			t.Fatalf("entry %d is empty", i)
		}
	}
	s.release()
	for _, l := range s.logs[:cap(s.logs)] {
		if l.Data != nil {
			t.Fatal("the data of the last batch is still held")
		}
	}
}

func TestDecodeWALReadsWhatRaftWALWrites(t *testing.T) {
	for _, l := range []raft.Log{
		{},
		{Index: 1, Term: 1},
		{Index: math.MaxUint64, Term: math.MaxUint64, Type: raft.LogConfiguration, Data: []byte("d"), Extensions: []byte("e")},
		{Index: 300, Term: 200, Type: raft.LogBarrier, Data: bytes.Repeat([]byte("x"), 1000), AppendedAt: time.Now()},
	} {
		b := encodeWAL(t, &l)
		got, ok := decodeWAL(b)
		if !ok || got.Index != l.Index || got.Term != l.Term || got.Type != l.Type ||
			!got.AppendedAt.Equal(l.AppendedAt) || !bytes.Equal(got.Data, l.Data) || !bytes.Equal(got.Extensions, l.Extensions) {
			t.Errorf("decoded %+v, %v, want %+v", got, ok, l)
		}
	}
}

// What raft-wal would not decode is damage too, checksum or not.
func TestTimeThatCannotBeRead(t *testing.T) {
	var s sealer
	b := encodeWAL(t, s.seal([]*raft.Log{entry(7)})[0])
	if err := verifyWAL(nil)(7, b); err != nil {
		t.Fatal(err)
	}
	if err := verifyWAL(nil)(7, b[:len(b)-1]); !errors.Is(err, errChecksum) {
		t.Errorf("a time cut short: %v", err)
	}
	b[len(b)-15] = 9 // its version
	if err := verifyWAL(nil)(7, b); !errors.Is(err, errChecksum) {
		t.Errorf("a time of an unknown version: %v", err)
	}
}

func FuzzDecodeWAL(f *testing.F) {
	f.Add(encodeWAL(f, entry(7)))
	f.Add(encodeWAL(f, &raft.Log{Index: 1 << 40, Extensions: []byte{sumMark, 1, 2, 3, 4}}))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := decodeWAL(b)
		if !ok {
			return
		}
		if len(l.Data)+len(l.Extensions) > len(b) {
			t.Fatalf("decoded %d bytes out of %d", len(l.Data)+len(l.Extensions), len(b))
		}
		_ = verifyWAL(newCache(2, 1000))(l.Index, b) // must not panic
	})
}

func FuzzParseAcked(f *testing.F) {
	f.Add(formatAcked(nil, 0))
	f.Add(formatAcked(nil, math.MaxUint64))
	f.Add([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if last, ok := parseAcked(b); ok && !bytes.Equal(formatAcked(nil, last), b) {
			t.Errorf("%x accepted as %d", b, last)
		}
	})
}

func FuzzSnapshotName(f *testing.F) {
	f.Add("2-100-1700000000000")
	f.Add("2-100-")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := parseSnapshotName(s); ok && n.id != s {
			t.Errorf("%q became %q", s, n.id)
		}
	})
}

func FuzzOpenValue(f *testing.F) {
	f.Add([]byte("k"), sealValue([]byte("k"), []byte("v")))
	f.Add([]byte("k"), []byte{})
	f.Fuzz(func(t *testing.T, key, sealed []byte) {
		if v, err := openValue(key, sealed); err == nil && !bytes.Equal(sealValue(key, v), sealed) {
			t.Errorf("%x accepted as %x", sealed, v)
		}
	})
}
