package jitter

import (
	"math/rand/v2"
	"time"
)

// UpTo returns a random duration from 0 up to, and without, d; 0 when d is not
// positive.
func UpTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
