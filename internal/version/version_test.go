package version

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	recorded := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"},
			{Key: "vcs.modified", Value: "true"},
			{Key: "vcs.time", Value: "2026-11-22T01:02:03Z"},
		},
	}
	for _, tc := range []struct {
		rule                  string
		version, commit, date string
		info                  *debug.BuildInfo
		wantV, wantC, wantD   string
	}{
		{"the linker's values win", "9.9.9", "def", "2026-01-01T00:00:00Z", recorded, "9.9.9", "def", "2026-01-01T00:00:00Z"},
		{"a tag loses its v", "v9.9.9", "def", "d", nil, "9.9.9", "def", "d"},
		{"the tool chain's record fills what is empty", "", "", "", recorded, "1.2.3", "abc-dirty", "2026-11-22T01:02:03Z"},
		{"a build from a tree is the next release", "", "", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, next, unknown, unknown},
		{"no record at all leaves nothing empty", "", "", "", nil, next, unknown, unknown},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			v, c, d := fill(tc.version, tc.commit, tc.date, tc.info)
			if v != tc.wantV || c != tc.wantC || d != tc.wantD {
				t.Errorf("got %q %q %q, want %q %q %q", v, c, d, tc.wantV, tc.wantC, tc.wantD)
			}
		})
	}
}

func TestStringNamesTheBuild(t *testing.T) {
	for _, part := range []string{Version, Commit, BuildDate, "Holdfast "} {
		if part == "" || !strings.Contains(String(), part) {
			t.Errorf("%q does not hold %q", String(), part)
		}
	}
}
