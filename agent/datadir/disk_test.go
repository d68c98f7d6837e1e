//go:build linux

package datadir

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mountTmpfs gives the test a small file system of its own, which only root may
// have.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, options); err != nil {
		t.Skipf("NOT TESTED: a real small disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", path, err)
		}
	})
	return path
}

func TestOpenRefusesAReadOnlyDisk(t *testing.T) {
	disk := mountTmpfs(t, "size=1m,mode=700")
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, disk, disk, "read-only file system", "remount it read-write")
	mustRefuse(t, filepath.Join(disk, "data"), "read-only file system")
}

func TestOpenRefusesAFullDiskUntilThereIsSpace(t *testing.T) {
	disk := mountTmpfs(t, "size=256k,mode=700")
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 240<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(disk, "data")
	mustRefuse(t, path, path, "full disk", "free some space, then start again")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestOpenRefusesADiskWithoutInodes(t *testing.T) {
	disk := mountTmpfs(t, "size=4m,nr_inodes=4,mode=700")
	mustRefuse(t, filepath.Join(disk, "data"), "full disk")
}

func TestSpaceSeesARealDiskFillUp(t *testing.T) {
	disk := mountTmpfs(t, "size=4m,mode=700")
	s := NewSpace(disk, 2<<20, nil)
	free, low, err := s.Check()
	if err != nil || low || free < 3<<20 || free > 4<<20 {
		t.Fatalf("empty disk: free %d, low %v, %v", free, low, err)
	}
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, low, err = s.Check(); err != nil || !low {
		t.Fatalf("full disk: low %v, %v", low, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, low, err = s.Check(); err != nil || low {
		t.Fatalf("emptied disk: low %v, %v", low, err)
	}
}
