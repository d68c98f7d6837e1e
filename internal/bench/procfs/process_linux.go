package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU time in /proc/PID/stat. The kernel has used 100 a
// second towards user space on every architecture Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the user and system time that process pid has used so far, all
// its threads together, those that have ended included.
func CPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(cpuClock(pid), &ts); err == nil {
		return time.Duration(ts.Nano()), nil
	}
	return CPUFromStat(pid)
}

// cpuClock is the id of the clock that counts the CPU time of pid: what
// clock_getcpuclockid(3) returns. The two low bits choose the scheduler's own
// sum of user and system time.
func cpuClock(pid int) int32 {
	const cpuClockSched = 2
	return ^int32(pid)<<3 | cpuClockSched
}

// CPUFromStat is CPU in ticks of 10 ms, from /proc/PID/stat.
func CPUFromStat(pid int) (time.Duration, error) {
	path := procPath(pid, "stat")
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	ticks, err := parseStat(b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return time.Duration(ticks) * tick, nil
}

// parseStat returns utime+stime in ticks. The second field is the command in
// parentheses and may itself hold blanks and parentheses, so counting starts
// behind the last one.
func parseStat(b []byte) (uint64, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, errors.New("no command in parentheses")
	}
	f := bytes.Fields(b[i+1:])
	const utime, stime = 11, 12 // fields 14 and 15 of proc_pid_stat(5), which counts from 1
	if len(f) <= stime {
		return 0, fmt.Errorf("%d fields behind the command, want more than %d", len(f), stime)
	}
	u, errU := strconv.ParseUint(string(f[utime]), 10, 64)
	s, errS := strconv.ParseUint(string(f[stime]), 10, 64)
	return u + s, errors.Join(errU, errS)
}

// RSS returns the resident memory of pid in bytes: exact from smaps_rollup, or,
// where that may not be read, from status.
func RSS(pid int) (int64, error) {
	if b, err := os.ReadFile(procPath(pid, "smaps_rollup")); err == nil {
		if n, err := parseKB(b, "Rss"); err == nil {
			return n, nil
		}
	}
	return fromStatus(pid, "VmRSS")
}

// PeakRSS returns the most resident memory pid ever had, in bytes.
func PeakRSS(pid int) (int64, error) { return fromStatus(pid, "VmHWM") }

func fromStatus(pid int, field string) (int64, error) {
	path := procPath(pid, "status")
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := parseKB(b, field)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// parseKB finds the line "field:   123 kB" and returns the number in bytes.
func parseKB(b []byte, field string) (int64, error) {
	for line := range bytes.Lines(b) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || string(name) != field {
			continue
		}
		f := bytes.Fields(value)
		if len(f) != 2 || string(f[1]) != "kB" {
			return 0, fmt.Errorf("field %s is %q, want a number of kB", field, bytes.TrimSpace(value))
		}
		n, err := strconv.ParseInt(string(f[0]), 10, 64)
		return n * 1024, err
	}
	return 0, fmt.Errorf("no field %s", field)
}

// DiskUsage returns the bytes that the files below dir take on disk. Space that
// is allocated and not yet written counts; a hole does not. Files that vanish
// while it walks are left out.
func DiskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !d.IsDir() {
			const blockBytes = 512 // the unit of st_blocks, whatever the file system
			sum += st.Blocks * blockBytes
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("disk usage: %w", err)
	}
	return sum, nil
}

func procPath(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}
