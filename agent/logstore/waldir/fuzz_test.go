package waldir

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft-wal/types"
)

func FuzzParseList(f *testing.F) {
	good, err := encodeList(types.PersistentState{NextSegmentID: 2, Segments: []types.SegmentInfo{
		{ID: 0, BaseIndex: 1, MinIndex: 1, MaxIndex: 7, Codec: codec, IndexStart: 99, SealTime: time.Unix(1, 0)},
		{ID: 1, BaseIndex: 8, MinIndex: 8, Codec: codec},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{"version":1,"crc32c":0,"state":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		state, err := parseList(b)
		if err != nil {
			return
		}
		if err := checkList(state); err != nil {
			t.Errorf("accepted a list that %v", err)
		}
		again, err := encodeList(state)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseList(again); err != nil {
			t.Errorf("can't read back %s: %v", again, err)
		}
	})
}

func FuzzScanTail(f *testing.F) {
	dir, path := writeLog(f, 1, 4, 5)
	_, end := frameEnds(f, path)
	sound := []byte(contents(f, dir)[filepath.Base(path)])[:end]
	f.Add(sound)
	f.Add(sound[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		info := types.SegmentInfo{ID: 0, BaseIndex: 1, MinIndex: 1, Codec: codec}
		size := int64(len(b))
		tl, err := scanTail(bytes.NewReader(b), size, "x", info, 1, math.MaxUint64, verifyData)
		if err != nil {
			return
		}
		if tl.entries < tl.committed || tl.committedEnd > size || tl.end > max(size, headerBytes) || tl.stop > size {
			t.Fatalf("tail = %+v of %d bytes", tl, size)
		}
		if _, _, err := tl.followedByWhole(bytes.NewReader(b), verifyData); err != nil {
			t.Fatal(err)
		}
	})
}
