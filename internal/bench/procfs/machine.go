package procfs

import (
	"cmp"
	"fmt"
)

// Machine is what a reader of the figures must know about where they were
// taken. A fact that could not be learned is empty or 0.
type Machine struct {
	Cores       int    `json:"cores"` // logical ones this process may use
	CPU         string `json:"cpu"`
	MemoryBytes int64  `json:"memory_bytes"`
	Go          string `json:"go"`
	OS          string `json:"os"` // such as linux/amd64
	Kernel      string `json:"kernel"`
	Load        string `json:"load"` // load averages over 1, 5 and 15 minutes at the start
	FileSystem  string `json:"file_system"`
}

// MemoryBacked says whether the folder lies in memory, where an fdatasync costs
// nothing and figures of durable writes mean nothing.
func (m Machine) MemoryBacked() bool { return m.FileSystem == "tmpfs" || m.FileSystem == "ramfs" }

// Line is the machine in one line.
func (m Machine) Line() string {
	const unknown = "unknown"
	return fmt.Sprintf("%d cores (%s), %.1f GiB, %s %s, Linux %s, %s, load %s",
		m.Cores, cmp.Or(m.CPU, unknown), float64(m.MemoryBytes)/(1<<30), m.Go, m.OS, m.Kernel, cmp.Or(m.FileSystem, unknown), cmp.Or(m.Load, unknown))
}
