package testcluster

import "syscall"

// dieWithParent has the kernel kill the server when the test process dies, however
// it dies. (It is tied to the thread that started the server; Go ends a thread only
// when a goroutine locked to it returns, which nothing here does.)
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
