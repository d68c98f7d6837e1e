package hostinfo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxRead bounds a file of /proc: enough for the processors of the largest
// machines.
const maxRead = 8 << 20

func (i *Info) collect(path string, now time.Time) {
	i.Memory, i.Host, i.Disk = &Memory{}, &Host{OS: runtime.GOOS}, &Disk{Path: path}
	i.file("/proc/meminfo", func(text []byte) { i.Memory = parseMemory(text) })
	i.file("/proc/cpuinfo", func(text []byte) { i.CPU = parseCPUs(text) })
	i.host(now)
	i.disk(path)
}

// file hands the content of a file to use, or notes that it cannot be read.
func (i *Info) file(name string, use func([]byte)) {
	text, err := read(name)
	if err != nil {
		i.failed(err)
		return
	}
	use(text)
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRead))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

func (i *Info) host(now time.Time) {
	h := i.Host
	var err error
	if h.Hostname, err = os.Hostname(); err != nil {
		i.failed(fmt.Errorf("ask for the host name: %w", err))
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		i.failed(fmt.Errorf("ask for the kernel: %w", err))
	} else {
		h.KernelVersion, h.KernelArch = unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:])
	}
	i.file("/proc/uptime", func(text []byte) {
		seconds, _, _ := strings.Cut(string(text), ".")
		h.Uptime = number(seconds)
		h.BootTime = uint64(max(now.Unix()-int64(h.Uptime), 0))
	})
	if h.Procs, err = countProcesses("/proc"); err != nil {
		i.failed(err)
	}
	// A system without the file is not broken: it has no name.
	if text, err := read("/etc/os-release"); err == nil {
		h.Platform, h.PlatformFamily, h.PlatformVersion = parseRelease(text)
	}
}

// countProcesses counts the folders with a number for a name.
func countProcesses(proc string) (uint64, error) {
	dir, err := os.Open(proc)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", proc, err)
	}
	var n uint64
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 32); err == nil {
			n++
		}
	}
	return n, nil
}

func (i *Info) disk(path string) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		i.failed(&os.PathError{Op: "statfs", Path: path, Err: err})
		return
	}
	d, block := i.Disk, uint64(st.Bsize)
	d.Total, d.Free = st.Blocks*block, st.Bavail*block
	d.Used = (st.Blocks - min(st.Bfree, st.Blocks)) * block
	d.UsedPercent = percent(d.Used, d.Used+d.Free)
	d.InodesTotal, d.InodesFree = st.Files, st.Ffree
	d.InodesUsed = st.Files - min(st.Ffree, st.Files)
	d.InodesUsedPercent = percent(d.InodesUsed, d.InodesTotal)
	i.file("/proc/self/mountinfo", func(text []byte) { d.FSType = fsType(text, path) })
}

// FreeBytes is the room for this user on the file system that holds path; 0 when
// that is not known.
func FreeBytes(path string) uint64 {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}

// lines calls use for the key and the value of each line "key<sep>value".
func lines(text []byte, sep string, use func(key, value string)) {
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(string(line), sep)
		if ok {
			use(strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
}

// number reads the digits that s begins with; 0 if there are none.
func number(s string) uint64 {
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	n, _ := strconv.ParseUint(s, 10, 64) // a figure we cannot read is one we do not have
	return n
}

// parseMemory reads /proc/meminfo, whose figures are in KiB.
func parseMemory(text []byte) *Memory {
	m := &Memory{}
	var reclaimable uint64
	fields := map[string]*uint64{
		"MemTotal": &m.Total, "MemAvailable": &m.Available, "MemFree": &m.Free, "Active": &m.Active, "Inactive": &m.Inactive,
		"Buffers": &m.Buffers, "Cached": &m.Cached, "SReclaimable": &reclaimable, "Dirty": &m.Dirty, "Writeback": &m.WriteBack,
		"Shmem": &m.Shared, "Slab": &m.Slab, "Mapped": &m.Mapped, "PageTables": &m.PageTables, "CommitLimit": &m.CommitLimit,
		"Committed_AS": &m.Committed, "SwapTotal": &m.SwapTotal, "SwapFree": &m.SwapFree, "SwapCached": &m.SwapCached,
	}
	lines(text, ":", func(key, value string) {
		if field := fields[key]; field != nil {
			*field = number(value) * 1024
		}
	})
	m.Cached += reclaimable
	m.Used = m.Total - min(m.Total, m.Free+m.Buffers+m.Cached)
	m.UsedPercent = percent(m.Used, m.Total)
	return m
}

// parseCPUs reads /proc/cpuinfo. Each processor begins with the line of its
// number; what some architectures write after the last one belongs to none.
func parseCPUs(text []byte) []CPU {
	cpus := []CPU{}
	lines(text, ":", func(key, value string) {
		if key == "processor" {
			cpus = append(cpus, CPU{CPU: int(number(value)), Flags: []string{}, Cores: 1})
			return
		}
		if len(cpus) == 0 {
			return
		}
		c := &cpus[len(cpus)-1]
		switch key {
		case "vendor_id", "CPU implementer":
			c.VendorID = value
		case "cpu family":
			c.Family = value
		case "model", "CPU part":
			c.Model = value
		case "model name":
			c.ModelName = value
		case "stepping", "CPU revision":
			c.Stepping = int(number(value))
		case "physical id":
			c.PhysicalID = value
		case "core id":
			c.CoreID = value
		case "microcode":
			c.Microcode = value
		case "cpu MHz":
			c.Mhz, _ = strconv.ParseFloat(value, 64) // a figure we cannot read is one we do not have
		case "cache size":
			c.CacheSize = int(number(value))
		case "flags", "Features":
			c.Flags = strings.Fields(value)
		}
	})
	return cpus
}

// parseRelease reads /etc/os-release.
func parseRelease(text []byte) (platform, family, version string) {
	lines(text, "=", func(key, value string) {
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			platform = value
		case "ID_LIKE":
			family, _, _ = strings.Cut(value, " ")
		case "VERSION_ID":
			version = value
		}
	})
	if family == "" {
		family = platform
	}
	return platform, family, version
}

// fsType finds the kind of the file system that path is on: that of the longest
// mount point above it, the last one where several cover each other.
func fsType(mounts []byte, path string) string {
	var longest int
	var kind string
	for line := range bytes.Lines(mounts) {
		mount, rest, ok := strings.Cut(string(line), " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) < 5 {
			continue
		}
		point := unescape.Replace(fields[4])
		if under(path, point) && len(point) >= longest {
			longest = len(point)
			kind, _, _ = strings.Cut(rest, " ")
		}
	}
	return kind
}

// unescape undoes how the kernel writes characters that part fields.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func under(path, point string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(point, "/"))
	return ok && (rest == "" || rest[0] == '/')
}
