package procfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 7 0 999 0 0"
	for _, tc := range []struct {
		rule, stat string
		ticks      uint64
		fails      bool
	}{
		{"user and system ticks are added", "42 (holdfast)" + tail, 150, false},
		{"a command may hold blanks and parentheses", "42 (a ) S 9 (b) c)" + tail, 150, false},
		{"a line without a command is refused", "42 holdfast" + tail, 0, true},
		{"a line that is cut off is refused", "42 (holdfast) S 1 2 3", 0, true},
		{"ticks that are no number are refused", "42 (x) S 1 2 3 4 5 6 7 8 9 10 x 30 0", 0, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := parseStat([]byte(tc.stat))
			if (err != nil) != tc.fails {
				t.Fatalf("error %v, want one: %v", err, tc.fails)
			}
			if !tc.fails && got != tc.ticks {
				t.Errorf("%d ticks, want %d", got, tc.ticks)
			}
		})
	}
}

func TestParseKB(t *testing.T) {
	const status = "Name:\tholdfast\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t7\n"
	for _, tc := range []struct {
		rule, field string
		bytes       int64
		fails       bool
	}{
		{"kB are 1,024 bytes", "VmRSS", 1 << 20, false},
		{"the name must match in full", "VmR", 0, true},
		{"a field of another unit is refused", "Threads", 0, true},
		{"a missing field is refused", "VmSwap", 0, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := parseKB([]byte(status), tc.field)
			if (err != nil) != tc.fails || got != tc.bytes {
				t.Errorf("%d bytes, error %v; want %d, error: %v", got, err, tc.bytes, tc.fails)
			}
		})
	}
}

func TestParseMachineFiles(t *testing.T) {
	if got := parseCPUInfo([]byte("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n")); got != "Some CPU @ 2 GHz" {
		t.Errorf("CPU %q", got)
	}
	if got := parseCPUInfo([]byte("processor : 0\n")); got != "" {
		t.Errorf("CPU %q, want none", got)
	}
	if got := parseLoad([]byte("0.10 0.20 0.30 1/234 5678\n")); got != "0.10 0.20 0.30" {
		t.Errorf("load %q", got)
	}
	if got := parseLoad(nil); got != "" {
		t.Errorf("load %q, want none", got)
	}
}

func TestBothSourcesOfCPUTimeAgree(t *testing.T) {
	// Use enough of it that ticks show.
	for start := time.Now(); time.Since(start) < 60*time.Millisecond; {
		_ = strings.Repeat("x", 1000)
	}
	before, err := CPUFromStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	clock, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after, err := CPUFromStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// stat rounds user and system time down by up to a tick each.
	if clock < before-tick || clock > after+3*tick {
		t.Errorf("clock says %v, stat %v before and %v after", clock, before, after)
	}
	if clock <= 0 {
		t.Errorf("clock says %v, want more than nothing", clock)
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	rss, err := RSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	peak, err := PeakRSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if rss < 1<<20 || peak < 1<<20 {
		t.Errorf("RSS %d, peak %d bytes; a Go program has more than a MiB", rss, peak)
	}
}

func TestAProcessThatIsNotThere(t *testing.T) {
	const nobody = 1<<22 + 1 // above the greatest pid a kernel gives out
	if _, err := CPU(nobody); err == nil {
		t.Error("CPU: no error")
	}
	if _, err := RSS(nobody); err == nil {
		t.Error("RSS: no error")
	}
}

func TestDiskUsageCountsBlocksNotLengths(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	hole, err := os.Create(filepath.Join(dir, "a", "hole"))
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	if err := hole.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	full, err := os.Create(filepath.Join(dir, "a", "b", "full"))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := full.WriteString(strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := full.Sync(); err != nil { // some file systems allocate late
		t.Fatal(err)
	}
	got, err := DiskUsage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got < 1<<19 || got > 1<<22 {
		t.Errorf("%d bytes, want about %d", got, 1<<20)
	}
	if _, err := DiskUsage(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing folder: no error")
	}
}

func TestReadMachine(t *testing.T) {
	m := ReadMachine(t.TempDir())
	if m.Cores < 1 || m.Kernel == "" || m.Go == "" || m.MemoryBytes < 1<<20 || m.FileSystem == "" {
		t.Errorf("machine %+v lacks a fact", m)
	}
	if !(Machine{FileSystem: "tmpfs"}).MemoryBacked() || (Machine{FileSystem: "ext4"}).MemoryBacked() {
		t.Error("tmpfs lies in memory, ext4 does not")
	}
}
