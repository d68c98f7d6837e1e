//go:build !linux

package hostinfo

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

func (i *Info) collect(path string, _ time.Time) {
	name, err := os.Hostname()
	if err != nil {
		i.failed(fmt.Errorf("ask for the host name: %w", err))
	}
	i.Memory = &Memory{}
	i.Host = &Host{Hostname: name, OS: runtime.GOOS, Platform: runtime.GOOS, KernelArch: runtime.GOARCH}
	i.Disk = &Disk{Path: path}
	for n := range runtime.NumCPU() {
		i.CPU = append(i.CPU, CPU{CPU: n, Flags: []string{}})
	}
	i.failed(fmt.Errorf("figures of the machine are not known on %s", runtime.GOOS))
}

// FreeBytes is 0: it is not known here.
func FreeBytes(string) uint64 { return 0 }
