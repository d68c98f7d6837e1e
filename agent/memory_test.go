package agent

import "testing"

func TestGCPercent(t *testing.T) {
	for _, tc := range []struct {
		rule string
		live uint64
		want int
	}{
		{"nothing known yet is Go's default", 0, 100},
		{"a tiny heap gets a fixed room, within bounds", 1 << 20, 1000},
		{"a small heap gets three times as much again", 16 << 20, 300},
		{"a middling heap gets less, the larger it is", 64 << 20, 250},
		{"one of some size even less", 192 << 20, 50},
		{"a large heap gets a third of itself", 400 << 20, 33},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := gcPercent(tc.live); got != tc.want {
				t.Errorf("live heap of %d MiB: GOGC = %d, want %d", tc.live>>20, got, tc.want)
			}
		})
	}
}
