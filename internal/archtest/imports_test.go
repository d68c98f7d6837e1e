package archtest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
)

// mayImport is the drawing in the style guide, section 1: the packages of ours that a
// package may import. A row that ends in "/..." is for all packages below that
// folder that have no row of their own. Tests are not bound by it.
var mayImport = map[string][]string{
	// The state. Leaves first: plain functions over a transaction.
	"internal/staging": {},
	"kvs":              {"internal/staging", "internal/limit"},
	"event":            {"internal/staging"},
	"acl":              {"internal/limit", "internal/staging"},
	"acl/login":        {"acl"},
	"catalog":          {"internal/staging", "internal/limit"},
	"session":          {"kvs", "internal/staging", "internal/limit"},
	"fsm/fsmpb":        {}, // generated
	"fsm":              {"kvs", "session", "catalog", "event", "acl", "fsm/fsmpb", "internal/staging", "internal/limit"},

	"audit": {"internal/limit"},

	// The wire. It never sees the agent, which implements the interfaces it declares.
	"httpapi": {"fsm", "acl", "acl/login", "audit", "kvs", "session", "catalog", "event", "internal/limit", "internal/jitter", "internal/version", "internal/http1", "internal/wheel", "internal/ahead"},

	// The process.
	"agent": {
		"agent/config", "agent/datadir", "agent/logstore", "agent/rpc", "agent/rpc/rpcpb", "agent/gossip", "agent/tlsconf",
		"httpapi", "audit", "fsm", "fsm/fsmpb", "acl", "kvs", "session", "catalog", "ui",
		"internal/run", "internal/limit", "internal/jitter", "internal/version", "internal/metrics", "internal/hostinfo",
		"internal/backup", "internal/http1", "internal/ahead",
	},
	"agent/config":          {"internal/limit"},
	"agent/datadir":         {},
	"agent/gossip":          {},
	"agent/rpc":             {"agent/rpc/rpcpb"},
	"agent/rpc/rpcpb":       {}, // generated
	"agent/logstore":        {"agent/datadir", "agent/logstore/waldir", "internal/limit"},
	"agent/logstore/waldir": {"agent/datadir"},
	"agent/tlsconf":         {"agent/config"},

	// The client, which others import: nothing of the server comes with it.
	"api": {},
	"ui":  {},

	// The command line: a client like any other, but for the verb that is the server.
	"cmd":          {"agent", "agent/config", "agent/tlsconf", "api", "audit", "internal/backup", "internal/certs", "internal/version"},
	"cmd/holdfast": {"cmd"},

	// Small named tools, and what only tests and measurements use.
	"internal/ahead":          {},
	"internal/limit":          {},
	"internal/certs":          {},
	"internal/backup":         {},
	"internal/jitter":         {},
	"internal/wheel":          {},
	"internal/run":            {},
	"internal/version":        {},
	"internal/metrics":        {},
	"internal/hostinfo":       {},
	"internal/http1":          {},
	"internal/archtest":       {},
	"internal/faultnet":       {},
	"internal/netns":          {},
	"internal/testcluster":    {"internal/faultnet", "internal/netns"},
	"internal/torture":        {},
	"internal/torture/faults": {"internal/torture", "internal/testcluster", "internal/faultnet"},
	"internal/crashtest":      {"internal/testcluster"},
	"internal/clustertest":    {"internal/testcluster", "internal/certs", "agent/rpc/rpcpb"},
	"internal/contract":       {"internal/testcluster"},
	"internal/snippets":       {"internal/testcluster"},
	"internal/bench":          {"internal/bench/...", "api", "internal/limit"},
	"internal/bench/...":      {"internal/bench/...", "internal/certs"},
}

func TestImportDirections(t *testing.T) {
	for _, fault := range wrongImports(theTree(t).Pkgs, mayImport) {
		t.Error(fault)
	}
}

func TestNoPackageIsADrawer(t *testing.T) {
	for _, p := range theTree(t).Pkgs {
		if drawer(p.Path) {
			t.Errorf("%s: a package is named after what it is about, not after what did not fit elsewhere", p.Path)
		}
	}
}

// wrongImports lists each import between packages of ours that table does not allow,
// and each package that table does not know.
func wrongImports(pkgs []*pkg, table map[string][]string) []string {
	var faults []string
	for _, p := range pkgs {
		allowed, known := row(table, p.Path)
		if !known {
			faults = append(faults, fmt.Sprintf("%s: has no row in mayImport (internal/archtest/imports_test.go); say what it may import", p.Path))
			continue
		}
		for _, path := range p.Imports {
			if ours(path) && !slices.ContainsFunc(allowed, func(a string) bool { return covers(a, relative(path)) }) {
				faults = append(faults, fmt.Sprintf("%s may not import %s", p.Path, relative(path)))
			}
		}
	}
	sort.Strings(faults)
	return faults
}

// row finds the row of a package: its own, else that of the nearest folder above.
func row(table map[string][]string, path string) (allowed []string, known bool) {
	if allowed, known = table[path]; known {
		return allowed, true
	}
	for parent := path; ; {
		i := strings.LastIndexByte(parent, '/')
		if i < 0 {
			return nil, false
		}
		parent = parent[:i]
		if allowed, known = table[parent+"/..."]; known {
			return allowed, true
		}
	}
}

// covers reports whether an entry of a row, a path or "folder/...", names path.
func covers(entry, path string) bool {
	if folder, ok := strings.CutSuffix(entry, "/..."); ok {
		return strings.HasPrefix(path, folder+"/")
	}
	return entry == path
}

// drawer reports whether the last element of path is a name under which anything fits.
func drawer(path string) bool {
	switch path[strings.LastIndexByte(path, '/')+1:] {
	case "util", "utils", "common", "misc", "types", "helpers", "helper", "shared", "base":
		return true
	}
	return false
}

func TestWrongImportsFindsThem(t *testing.T) {
	table := map[string][]string{
		"kvs":       {"internal/limit"},
		"httpapi":   {"fsm"},
		"bench/...": {"bench/..."},
	}
	imports := func(path string, of ...string) *pkg {
		p := &pkg{Path: path, Imports: []string{"fmt", "github.com/other/agent"}}
		for _, o := range of {
			p.Imports = append(p.Imports, modulePath+"/"+o)
		}
		return p
	}
	for _, tc := range []struct {
		rule string
		pkg  *pkg
		want []string
	}{
		{"what the table allows is fine", imports("kvs", "internal/limit"), nil},
		{"what it does not allow is a fault", imports("httpapi", "fsm", "agent"), []string{"httpapi may not import agent"}},
		{"a package below is another package", imports("httpapi", "fsm/fsmpb"), []string{"may not import fsm/fsmpb"}},
		{"a folder's row covers what is below it", imports("bench/a", "bench/b"), nil},
		{"but nothing beside it", imports("bench/a", "kvs"), []string{"bench/a may not import kvs"}},
		{"a package without a row is a fault", imports("new"), []string{"new: has no row"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			expect(t, wrongImports([]*pkg{tc.pkg}, table), tc.want)
		})
	}
}

func TestDrawerKnowsThem(t *testing.T) {
	for path, want := range map[string]bool{"internal/util": true, "common": true, "kvs": false, "internal/limit": false} {
		if got := drawer(path); got != want {
			t.Errorf("drawer(%q) = %v, want %v", path, got, want)
		}
	}
}
