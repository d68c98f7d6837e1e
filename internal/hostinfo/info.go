package hostinfo

import (
	"time"
)

// Info is the machine at one moment. What could not be read is null, or zero, and
// named in Errors.
//
// Source: contract, agent, section 1, "host". The names inside are lower camel
// case.
type Info struct {
	Memory         *Memory
	CPU            []CPU
	Host           *Host
	Disk           *Disk
	CollectionTime int64    // Unix nanoseconds
	Errors         []string // null when there was none
}

// Memory is in bytes.
type Memory struct {
	Total       uint64  `json:"total"`
	Available   uint64  `json:"available"` // what a program could get without swapping
	Used        uint64  `json:"used"`      // without buffers and caches
	UsedPercent float64 `json:"usedPercent"`
	Free        uint64  `json:"free"`
	Active      uint64  `json:"active"`
	Inactive    uint64  `json:"inactive"`
	Buffers     uint64  `json:"buffers"`
	Cached      uint64  `json:"cached"`
	Dirty       uint64  `json:"dirty"`
	WriteBack   uint64  `json:"writeBack"`
	Shared      uint64  `json:"shared"`
	Slab        uint64  `json:"slab"`
	Mapped      uint64  `json:"mapped"`
	PageTables  uint64  `json:"pageTables"`
	CommitLimit uint64  `json:"commitLimit"`
	Committed   uint64  `json:"committedAS"`
	SwapTotal   uint64  `json:"swapTotal"`
	SwapFree    uint64  `json:"swapFree"`
	SwapCached  uint64  `json:"swapCached"`
}

// CPU is one logical processor.
type CPU struct {
	CPU        int      `json:"cpu"`
	VendorID   string   `json:"vendorId"`
	Family     string   `json:"family"`
	Model      string   `json:"model"`
	Stepping   int      `json:"stepping"`
	PhysicalID string   `json:"physicalId"`
	CoreID     string   `json:"coreId"`
	Cores      int      `json:"cores"`
	ModelName  string   `json:"modelName"`
	Mhz        float64  `json:"mhz"`
	CacheSize  int      `json:"cacheSize"` // KiB
	Flags      []string `json:"flags"`
	Microcode  string   `json:"microcode"`
}

// Host is the system.
type Host struct {
	Hostname        string `json:"hostname"`
	Uptime          uint64 `json:"uptime"`   // seconds
	BootTime        uint64 `json:"bootTime"` // Unix seconds
	Procs           uint64 `json:"procs"`
	OS              string `json:"os"`
	Platform        string `json:"platform"`
	PlatformFamily  string `json:"platformFamily"`
	PlatformVersion string `json:"platformVersion"`
	KernelVersion   string `json:"kernelVersion"`
	KernelArch      string `json:"kernelArch"`
}

// Disk is the file system that holds Path, in bytes.
type Disk struct {
	Path              string  `json:"path"`
	FSType            string  `json:"fstype"`
	Total             uint64  `json:"total"`
	Free              uint64  `json:"free"` // for this user
	Used              uint64  `json:"used"`
	UsedPercent       float64 `json:"usedPercent"` // of what this user could fill
	InodesTotal       uint64  `json:"inodesTotal"`
	InodesUsed        uint64  `json:"inodesUsed"`
	InodesFree        uint64  `json:"inodesFree"`
	InodesUsedPercent float64 `json:"inodesUsedPercent"`
}

// Collect looks at the machine, and at the disk below path.
func Collect(path string, now time.Time) *Info {
	i := &Info{CPU: []CPU{}, CollectionTime: now.UnixNano()}
	i.collect(path, now)
	return i
}

func (i *Info) failed(err error) { i.Errors = append(i.Errors, err.Error()) }

// percent is part of whole; 0 of nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole) * 100
}
