package datadir

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const someID = "3f6c0f5e-8f2b-4b8e-9a51-0d8b6f1d9a3c"

func TestNodeIDIsMadeOnceAndKept(t *testing.T) {
	path := t.TempDir()
	d := mustOpen(t, path)
	first, err := d.NodeID("")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(first) {
		t.Errorf("id %q is not a lower-case UUID", first)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := mustOpen(t, path).NodeID("")
	if err != nil || again != first {
		t.Errorf("after reopening: %q, %v, want %q", again, err, first)
	}
	other, err := mustOpen(t, t.TempDir()).NodeID("")
	if err != nil || other == first {
		t.Errorf("another data dir: %q, %v, want an id of its own", other, err)
	}
}

func TestConfiguredNodeID(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	if _, err := d.NodeID("web-1"); err == nil || !strings.Contains(err.Error(), `"web-1": not a UUID`) {
		t.Errorf("a name as id: %v", err)
	}
	got, err := d.NodeID(strings.ToUpper(someID))
	if err != nil || got != someID {
		t.Errorf("upper case: %q, %v, want it lowered", got, err)
	}
	if got, err = d.NodeID(""); err != nil || got != someID {
		t.Errorf("without configuration: %q, %v, want the kept one", got, err)
	}
	_, err = d.NodeID("11111111-2222-3333-4444-555555555555")
	mustSay(t, err, "belongs to the server with node id "+someID, "take node_id out of the configuration")
}

func TestDamagedNodeID(t *testing.T) {
	for _, tc := range []struct {
		rule        string
		nodeID      string // "-": the file is gone
		initialised string // "-": the data dir is new
		want        string // the id, or what the error says
		ok          bool
	}{
		{"garbage in a new data dir is reported", "garbage", "-", "remove the file", false},
		{"so is an emptied file", "", "-", "remove the file", false},
		{"half an id is no id", someID[:20], "-", "remove the file", false},
		{"a lost one is put back from the copy", "-", someID + "\n", someID, true},
		{"so is an emptied one", "", someID + "\n", someID, true},
		{"without a copy it is an error, not a new id", "-", "", "is gone, and so is its copy", false},
		{"both damaged is an error too", "garbage", "garbage", "write the server's id back", false},
		{"case and space do not matter", " " + strings.ToUpper(someID) + "\r\n", "-", someID, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			d := mustOpen(t, t.TempDir())
			for name, content := range map[string]string{nodeIDName: tc.nodeID, initialisedName: tc.initialised} {
				if content == "-" {
					continue
				}
				if err := os.WriteFile(filepath.Join(d.Path(), name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := d.NodeID("")
			switch {
			case tc.ok && (err != nil || got != tc.want):
				t.Errorf("id = %q, %v, want %q", got, err, tc.want)
			case !tc.ok:
				mustSay(t, err, nodeIDName, tc.want)
			}
			if tc.ok {
				if kept, err := d.readID(nodeIDName); err != nil || kept != tc.want {
					t.Errorf("file holds %q, %v afterwards", kept, err)
				}
			}
		})
	}
}

func TestMarkInitialisedKeepsASecondCopyOfTheID(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	id, err := d.NodeID("")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.MarkInitialised(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(d.Path(), nodeIDName)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.NodeID(""); err != nil || got != id {
		t.Errorf("id = %q, %v, want %q", got, err, id)
	}
}

// The small files may hold anything once somebody else wrote them.
func FuzzSmallFiles(f *testing.F) {
	for _, s := range []string{"", "1\n", "12", "-1", "99999999999999999999", someID, strings.ToUpper(someID) + "\n", someID[:35], "\x00\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if pid := parsePID(b); pid < 0 {
			t.Errorf("pid %d", pid)
		}
		if v, ok := parseLayout(b); ok != (v > 0) {
			t.Errorf("layout %d, %v", v, ok)
		}
		if id, ok := parseID(string(b)); ok && (len(id) != 36 || id != strings.ToLower(id)) {
			t.Errorf("id %q", id)
		}
	})
}
