//go:build unix && !linux

package testcluster

import "syscall"

// dieWithParent only shields the server from the terminal's ctrl-c: these systems
// cannot tie a child's life to its parent's.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// frozen tells whether all of a process stands still; here that cannot be seen.
func frozen(int) bool { return true }
