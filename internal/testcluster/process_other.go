//go:build unix && !linux

package testcluster

import "syscall"

// dieWithParent only shields the server from the terminal's ctrl-c: these systems
// cannot tie a child's life to its parent's.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
