//go:build !linux

package logstore

// reserveFile can't set space aside here.
func reserveFile(string, int64) error { return nil }
