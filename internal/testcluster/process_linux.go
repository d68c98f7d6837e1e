package testcluster

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// dieWithParent has the kernel kill the server when the test process dies, however
// it dies. (It is tied to the thread that started the server; Go ends a thread only
// when a goroutine locked to it returns, which nothing here does.)
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// frozen tells whether all of a process stands still.
func frozen(pid int) bool {
	stats, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, thread := range stats {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
		if err != nil {
			continue // it has ended
		}
		// The state follows the name, which stands in brackets and may have some itself.
		if _, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" ")); !ok || state[0] != 'T' {
			return false
		}
	}
	return true
}
