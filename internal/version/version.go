package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// next is the release that the source tree is on its way to; it is what a build
// says of itself when it comes from no tag.
const next = "0.1.0-dev"

// unknown stands in Commit and BuildDate when nobody recorded them.
const unknown = "unknown"

// The linker sets these (see the Makefile); init fills in what it left empty.
var (
	// Version is a semantic version without a leading "v", such as "0.1.0" or
	// "0.1.0-3-g1a2b3c4d5e6f".
	Version string
	// Commit is the full hash of the commit that was built, followed by "-dirty"
	// if the tree had changes; "unknown" if nobody recorded it.
	Commit string
	// BuildDate is the time of that commit in RFC 3339, UTC: the same source gives
	// the same binary. "unknown" if nobody recorded it.
	BuildDate string
)

func init() {
	info, _ := debug.ReadBuildInfo() // nil when the binary carries none; fill copes
	Version, Commit, BuildDate = fill(Version, Commit, BuildDate, info)
}

// fill returns the three values with the empty ones replaced by what the tool
// chain recorded in info, or by the fallbacks if it recorded nothing.
func fill(version, commit, date string, info *debug.BuildInfo) (v, c, d string) {
	recorded := map[string]string{}
	if info != nil {
		for _, s := range info.Settings {
			recorded[s.Key] = s.Value
		}
		// "(devel)" is the tool chain's word for "built from a tree, not a module".
		if version == "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
	}
	if commit == "" && recorded["vcs.revision"] != "" {
		commit = recorded["vcs.revision"]
		if recorded["vcs.modified"] == "true" {
			commit += "-dirty"
		}
	}
	if date == "" {
		date = recorded["vcs.time"]
	}
	return orElse(strings.TrimPrefix(version, "v"), next), orElse(commit, unknown), orElse(date, unknown)
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// String is the one line that names this build, for "holdfast version" and logs:
//
//	Holdfast 0.1.0 (commit 1a2b3c4d, built 2026-11-22T01:02:03Z, go1.26.8 linux/amd64)
func String() string {
	return fmt.Sprintf("Holdfast %s (commit %s, built %s, %s %s/%s)",
		Version, Commit, BuildDate, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
