package hostinfo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestParseMemory(t *testing.T) {
	m := parseMemory([]byte(`MemTotal:       1000 kB
MemFree:         100 kB
MemAvailable:    600 kB
Buffers:          50 kB
Cached:          200 kB
SwapCached:        1 kB
SReclaimable:     50 kB
HugePages_Total:   7
broken line
`))
	const k = 1024
	want := Memory{Total: 1000 * k, Free: 100 * k, Available: 600 * k, Buffers: 50 * k, Cached: 250 * k, SwapCached: k, Used: 600 * k, UsedPercent: 60}
	if *m != want {
		t.Errorf("got %+v, want %+v", *m, want)
	}
	if empty := parseMemory(nil); empty.UsedPercent != 0 || empty.Used != 0 {
		t.Errorf("nothing has %+v used", empty)
	}
}

func TestParseCPUs(t *testing.T) {
	got := parseCPUs([]byte(`processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 85
model name	: A Processor
stepping	: 7
microcode	: 0x1
cpu MHz		: 2500.5
cache size	: 36608 KB
physical id	: 0
core id		: 3
flags		: fpu vme

processor	: 1
BogoMIPS	: 50.00
Features	: fp asimd

Hardware	: none of them
`))
	if len(got) != 2 {
		t.Fatalf("%d processors, want 2", len(got))
	}
	first := got[0]
	if first.CPU != 0 || first.VendorID != "GenuineIntel" || first.Family != "6" || first.Model != "85" || first.ModelName != "A Processor" ||
		first.Stepping != 7 || first.Mhz != 2500.5 || first.CacheSize != 36608 || first.CoreID != "3" || !slices.Equal(first.Flags, []string{"fpu", "vme"}) {
		t.Errorf("first is %+v", first)
	}
	if got[1].CPU != 1 || !slices.Equal(got[1].Flags, []string{"fp", "asimd"}) {
		t.Errorf("second is %+v", got[1])
	}
	if text, _ := json.Marshal(parseCPUs(nil)); string(text) != "[]" {
		t.Errorf("no processors are %s, want []", text)
	}
}

func TestParseRelease(t *testing.T) {
	for _, tc := range []struct{ text, platform, family, version string }{
		{"ID=ubuntu\nID_LIKE=\"debian other\"\nVERSION_ID=\"24.04\"\n", "ubuntu", "debian", "24.04"},
		{"NAME=x\nID='debian'\n", "debian", "debian", ""},
		{"", "", "", ""},
	} {
		platform, family, version := parseRelease([]byte(tc.text))
		if platform != tc.platform || family != tc.family || version != tc.version {
			t.Errorf("%q: got %q %q %q, want %q %q %q", tc.text, platform, family, version, tc.platform, tc.family, tc.version)
		}
	}
}

func TestFSType(t *testing.T) {
	mounts := []byte(`22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 8:2 / /var rw - xfs /dev/sdb rw
31 22 8:3 / /var/lib/hold\040fast rw shared:1 - btrfs /dev/sdc rw
32 22 8:4 / /var/lib/hold\040fast rw shared:1 - zfs pool rw
bad line
`)
	for path, want := range map[string]string{
		"/":                       "ext4",
		"/home/x":                 "ext4",
		"/var":                    "xfs",
		"/various":                "ext4",
		"/var/lib/hold fast/raft": "zfs",
		"/var/lib/hold fasting":   "xfs",
	} {
		if got := fsType(mounts, path); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
		}
	}
}

func TestCollectSeesThisMachine(t *testing.T) {
	now := time.Now()
	i := Collect(t.TempDir(), now)
	if i.Errors != nil {
		t.Fatalf("errors: %v", i.Errors)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if i.Host.Hostname != name || i.Host.Procs == 0 || i.Host.KernelVersion == "" || i.Host.KernelArch == "" || i.Host.Uptime == 0 || i.Host.OS != "linux" {
		t.Errorf("host is %+v", i.Host)
	}
	if i.Memory.Total == 0 || i.Memory.Available == 0 || i.Memory.Available > i.Memory.Total || i.Memory.Used > i.Memory.Total {
		t.Errorf("memory is %+v", i.Memory)
	}
	if i.Disk.Total == 0 || i.Disk.Used+i.Disk.Free > i.Disk.Total || i.Disk.FSType == "" {
		t.Errorf("disk is %+v", i.Disk)
	}
	if len(i.CPU) == 0 || i.CollectionTime != now.UnixNano() {
		t.Errorf("%d processors at %d", len(i.CPU), i.CollectionTime)
	}
}

func TestCollectNamesWhatFailed(t *testing.T) {
	i := Collect(filepath.Join(t.TempDir(), "missing"), time.Now())
	if len(i.Errors) != 1 || i.Disk == nil || i.Disk.Total != 0 || i.Memory.Total == 0 {
		t.Errorf("errors %v, disk %+v: want one error and the rest as ever", i.Errors, i.Disk)
	}
}

func TestFreeBytes(t *testing.T) {
	if FreeBytes(t.TempDir()) == 0 {
		t.Error("no room here")
	}
	if n := FreeBytes(filepath.Join(t.TempDir(), "missing")); n != 0 {
		t.Errorf("%d bytes free nowhere", n)
	}
}
