//go:build !linux

package agent

// monotonicMicros is 0 where there is no such service manager.
func monotonicMicros() int64 { return 0 }
