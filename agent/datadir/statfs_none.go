//go:build !linux && !darwin && !freebsd && !windows

package datadir

import "math"

// statFS does not know how to ask here, so the disk never counts as low and a
// full one is met at the write itself.
func statFS(string) (free uint64, err error) { return math.MaxUint64, nil }
