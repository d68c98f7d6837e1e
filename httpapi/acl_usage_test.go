package httpapi

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// TestUsesShareAnAddress: tokens that are used from one address share it, and each has the one
// that it was used from last, whatever came between.
func TestUsesShareAnAddress(t *testing.T) {
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	u, now := &uses{}, time.Unix(1, 0)
	first, second := &acl.Identity{Accessor: "first"}, &acl.Identity{Accessor: "second"}
	u.note(first, one, now)
	u.note(second, one, now)
	if a, b := u.of("first").from.Load(), u.of("second").from.Load(); *a != one || a != b {
		t.Errorf("from %v and %v, want %v for both, kept once", a, b, one)
	}
	u.note(first, other, now)
	u.note(second, one, now)
	u.note(first, netip.Addr{}, now) // a Unix socket has none
	if a, b := u.of("first").from.Load(), u.of("second").from.Load(); *a != other || *b != one {
		t.Errorf("from %v and %v, want %v and %v", a, b, other, one)
	}
	if n := testing.AllocsPerRun(100, func() { u.note(second, one, now) }); n > 0 {
		t.Errorf("%v allocations for a token that is known", n)
	}
}
