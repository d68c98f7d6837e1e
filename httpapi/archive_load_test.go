package httpapi

import (
	"bytes"
	"strings"
	"testing"
)

func TestLoadArchive(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	mustPut(t, s, "k", "1") // 4
	mustPut(t, s, "k", "2") // 5
	archive := node.archive(t)
	meta, err := LoadArchive(bytes.NewReader(archive))
	if err != nil || meta.Index != 5 {
		t.Errorf("index %d, %v; want 5", meta.Index, err)
	}

	if meta, err := CheckArchive(bytes.NewReader(archive)); err != nil || meta.Index != 5 {
		t.Errorf("checked: index %d, %v; want 5", meta.Index, err)
	}

	// An archive that is whole, and holds what is no state.
	snap := node.store.Snapshot()
	m, err := node.SnapshotMeta(snap)
	if err != nil {
		t.Fatal(err)
	}
	m.Index = 4
	var lower bytes.Buffer
	if err := writeArchive(&lower, m, snap); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(archive)
	flipped[len(flipped)/2] ^= 1
	for _, tc := range []struct {
		rule    string
		archive []byte
		says    string
	}{
		{"nothing", nil, "failed to decompress snapshot"},
		{"cut off", archive[:len(archive)/2], "unexpected EOF"},
		{"damaged", flipped, ""},
		{"a state beyond the index it says", lower.Bytes(), "reaches index 4 and holds a state of index 5"},
	} {
		if _, err := LoadArchive(bytes.NewReader(tc.archive)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v, want one with %q", tc.rule, err, tc.says)
		}
		if tc.rule == "a state beyond the index it says" {
			continue // only the state itself knows that
		}
		if _, err := CheckArchive(bytes.NewReader(tc.archive)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s, checked: error %v, want one with %q", tc.rule, err, tc.says)
		}
	}
}
