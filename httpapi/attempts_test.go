package httpapi

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// TestAttemptsAreCountedForEachAddress: a burst is let through, what comes after it is
// slowed until the time is over, and others do not feel it.
func TestAttemptsAreCountedForEachAddress(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range limit.Attempts {
		if left := a.failed(one, now); left != 0 {
			t.Fatalf("attempt %d is slowed for %s", i+1, left)
		}
	}
	if left := a.failed(one, now.Add(time.Second)); left != limit.AttemptsTime-time.Second {
		t.Errorf("one too many is slowed for %s", left)
	}
	if left := a.failed(other, now); left != 0 {
		t.Errorf("another address is slowed for %s", left)
	}
	if left := a.failed(netip.Addr{}, now); left != 0 {
		t.Errorf("a Unix socket is slowed for %s", left)
	}
	if left := a.failed(one, now.Add(limit.AttemptsTime)); left != 0 {
		t.Errorf("after its time an address is slowed for %s", left)
	}
}

// TestAttemptsOfOneNetwork: somebody with a whole network of IPv6 addresses is one.
func TestAttemptsOfOneNetwork(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	addr := netip.MustParseAddr("2001:db8::1")
	for range limit.Attempts {
		a.failed(addr, now)
		addr = addr.Next()
	}
	if a.failed(addr, now) == 0 {
		t.Error("the next address of the network is not slowed")
	}
}

// TestAttemptsAreBounded: many addresses do not fill the memory.
func TestAttemptsAreBounded(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	addr := netip.MustParseAddr("10.0.0.1")
	for range limit.AttemptAddresses + 100 {
		a.failed(addr, now)
		addr = addr.Next()
	}
	if n := len(a.by); n > limit.AttemptAddresses {
		t.Errorf("%d addresses are kept, want at most %d", n, limit.AttemptAddresses)
	}
	a.failed(addr, now.Add(limit.AttemptsTime))
	if n := len(a.by); n != 1 {
		t.Errorf("%d addresses are kept after their time, want 1", n)
	}
}
