//go:build unix

package testcluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// modulePath is the module that holds cmd/holdfast, whichever module the test is in.
const modulePath = "github.com/holdfast-kv/holdfast"

// Binary returns the path of the holdfast binary under test: HOLDFAST_BIN if it is
// set, else one built from the source tree, with the race detector if the test has
// it. It is built at most once per test process, and the tool chain links it only if
// the source has changed since the last time.
func Binary(tb testing.TB) string {
	tb.Helper()
	return BinaryWith(tb, "")
}

// BinaryWith is Binary, built with a build tag: one that pretends to be something, see
// package fsm. With HOLDFAST_BIN, too, it is built from the source tree.
func BinaryWith(tb testing.TB, tag string) string {
	tb.Helper()
	made := sync.OnceValues(binary)
	if tag != "" {
		made = sync.OnceValues(func() (string, error) { return build(tag) })
	}
	once, _ := binaries.LoadOrStore(tag, made)
	bin, err := once.(func() (string, error))()
	if err != nil {
		tb.Fatalf("holdfast binary: %v", err)
	}
	return bin
}

// binaries are functions that build once, by build tag.
var binaries sync.Map

func binary() (string, error) {
	if bin := os.Getenv("HOLDFAST_BIN"); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			return "", fmt.Errorf("HOLDFAST_BIN: %w", err)
		}
		return filepath.Abs(bin)
	}
	return build("")
}

// build puts the binary into a folder that all test processes of this source tree
// share, one at a time, so that a run of many packages links it once.
func build(tag string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := binaryDir(root, tag)
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	bin := filepath.Join(dir, "holdfast")
	args := []string{"build", "-o", bin}
	if raceEnabled {
		args = append(args, "-race")
	}
	if tag != "" {
		args = append(args, "-tags="+tag)
	}
	cmd := exec.Command("go", append(args, "./cmd/holdfast")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", strings.Join(cmd.Args[1:], " "), root, err, out)
	}
	return bin, nil
}

// moduleRoot is the folder of the module under test, also when the test is in
// another module that replaces it by a folder.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("where is module %s: %w", modulePath, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func binaryDir(root, tag string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home: the system's folder will do
	}
	sum := sha256.Sum256([]byte(root))
	name := hex.EncodeToString(sum[:6])
	if raceEnabled {
		name += "-race"
	}
	if tag != "" {
		name += "-" + tag
	}
	dir := filepath.Join(cache, "holdfast-test", name)
	return dir, os.MkdirAll(dir, 0o700)
}

// lockFile waits for an exclusive lock on path, which another test process may hold.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close() // the lock's error is the one that matters
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back; nothing was written
}
