package agent

import "golang.org/x/sys/unix"

// monotonicMicros is the clock by which the service manager orders messages; 0 when
// it cannot be read.
func monotonicMicros() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return t.Nano() / 1000
}
