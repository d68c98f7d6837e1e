package waldir

import (
	"bytes"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"pgregory.net/rapid"
)

// TestCodecIsTheirs: the bytes are those of raft-wal's own encoding, and so is what is read of them.
func TestCodecIsTheirs(t *testing.T) {
	zones := []*time.Location{time.UTC, time.Local, time.FixedZone("east", 3600), time.FixedZone("odd", 3601)}
	rapid.Check(t, func(t *rapid.T) {
		l := &raft.Log{
			Index: rapid.Uint64().Draw(t, "index"), Term: rapid.Uint64().Draw(t, "term"),
			Type:       raft.LogType(rapid.Byte().Draw(t, "type")),
			Data:       rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "data"),
			Extensions: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "extensions"),
		}
		if rapid.Bool().Draw(t, "has a time") {
			l.AppendedAt = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).
				In(rapid.SampledFrom(zones).Draw(t, "zone"))
		}
		var want, got, other bytes.Buffer
		wantErr := (&wal.BinaryCodec{}).Encode(l, &want)
		gotErr := (&Codec{}).Encode(l, &got)
		if (wantErr == nil) != (gotErr == nil) || !bytes.Equal(got.Bytes(), want.Bytes()) && wantErr == nil {
			t.Fatalf("encoded as %x, %v; want %x, %v", got.Bytes(), gotErr, want.Bytes(), wantErr)
		}
		if err := (&Codec{}).Encode(l, struct{ io.Writer }{&other}); (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(other.Bytes(), want.Bytes()) {
			t.Fatalf("to another writer: %x, %v; want %x, %v", other.Bytes(), err, want.Bytes(), wantErr)
		}
		if wantErr != nil {
			return
		}
		var read, theirs raft.Log
		if err := (&Codec{}).Decode(got.Bytes(), &read); err != nil {
			t.Fatal(err)
		}
		if err := (&wal.BinaryCodec{}).Decode(got.Bytes(), &theirs); err != nil || !reflect.DeepEqual(read, theirs) {
			t.Fatalf("read %+v, want %+v (%v)", read, theirs, err)
		}
	})
}

// TestCodecAllocatesOnce: an entry takes one buffer, whatever its size.
func TestCodecAllocatesOnce(t *testing.T) {
	var buf bytes.Buffer
	once := testing.AllocsPerRun(20, func() { // with the race detector it is two
		buf = bytes.Buffer{}
		buf.Grow(1000)
	})
	for size := 0; size < 3000; size += 7 {
		l := &raft.Log{Index: 1 << 30, Term: 7, Data: make([]byte, size), Extensions: make([]byte, 5), AppendedAt: time.Unix(1<<30, 1).UTC()}
		if n := testing.AllocsPerRun(20, func() {
			buf = bytes.Buffer{}
			_ = (&Codec{}).Encode(l, &buf) // its error is nil, see above
		}); n > once {
			t.Fatalf("%v allocations for %d bytes, want %v", n, size, once)
		}
	}
}
