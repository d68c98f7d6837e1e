//go:build linux && race

package http1

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The race detector takes what one side of a socket writes to have happened before the other reads
// it, as package net has it, if both use package syscall.

func sysRead(fd int, p []byte) (int, error) { return syscall.Read(fd, p) }

func sysWrite(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }

func epollNow(epfd int, batch []unix.EpollEvent) (int, error) { return unix.EpollWait(epfd, batch, 0) }
