//go:build linux && !race

package http1

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that never wait are made without telling the runtime. If it is told, it takes the
// processor away from whoever has not come back after 20 us, which a call of the network has not
// where the cores are busy, and gives it to another thread: under load that costs a sixth of all
// time. A goroutine in such a call is like one that computes: it holds up a collection of garbage
// for as long as the call takes.

//
// recvfrom and sendto do less than read and write before they come to the socket.

func sysRead(fd int, p []byte) (int, error) { return rawCall(syscall.SYS_RECVFROM, fd, p, 0) }

func sysWrite(fd int, p []byte) (int, error) {
	return rawCall(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}

func rawCall(trap uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN:
		return -1, errAgain // boxed once
	}
	return -1, errno
}

// epollNow takes the events that are there.
func epollNow(epfd int, batch []unix.EpollEvent) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(batch))), uintptr(len(batch)), 0, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
