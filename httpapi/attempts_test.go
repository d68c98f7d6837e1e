package httpapi

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// try is an attempt with the usual bounds.
func (a *attempts) try(client netip.Addr, now time.Time) time.Duration {
	return a.failed(client, now, limit.Attempts, limit.AttemptsTime)
}

// TestAttemptsAreCountedForEachAddress: a burst is let through, what comes after it is
// slowed to an even pace, and others do not feel it.
func TestAttemptsAreCountedForEachAddress(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range limit.Attempts {
		if left := a.try(one, now); left != 0 {
			t.Fatalf("attempt %d is slowed for %s", i+1, left)
		}
	}
	const pace = limit.AttemptsTime / limit.Attempts
	for range 3 { // those that are slowed do not count
		if left := a.try(one, now); left != pace {
			t.Errorf("one too many is slowed for %s, want %s", left, pace)
		}
	}
	if left := a.try(other, now); left != 0 {
		t.Errorf("another address is slowed for %s", left)
	}
	if left := a.try(netip.Addr{}, now); left != 0 {
		t.Errorf("a Unix socket is slowed for %s", left)
	}
	now = now.Add(pace)
	if first, second := a.try(one, now), a.try(one, now); first != 0 || second != pace {
		t.Errorf("after its wait one is slowed for %s and the next for %s, want 0 and %s", first, second, pace)
	}
	now = now.Add(limit.AttemptsTime)
	for i := range limit.Attempts {
		if left := a.try(one, now); left != 0 {
			t.Fatalf("attempt %d after the whole time is slowed for %s", i+1, left)
		}
	}
}

func TestAttemptsWithoutABound(t *testing.T) {
	for _, most := range []int{0, -1} {
		var a attempts
		for range 10 * limit.Attempts {
			if left := a.failed(netip.MustParseAddr("192.0.2.1"), time.Unix(1000, 0), most, time.Hour); left != 0 {
				t.Fatalf("a bound of %d slows for %s", most, left)
			}
		}
		if len(a.fullAt) != 0 {
			t.Errorf("a bound of %d keeps %d addresses", most, len(a.fullAt))
		}
	}
}

// TestAttemptsAfterABoundWasLowered: what was let through before fills the bucket, and no more.
func TestAttemptsAfterABoundWasLowered(t *testing.T) {
	var a attempts
	one, now := netip.MustParseAddr("192.0.2.1"), time.Unix(1000, 0)
	for range 100 {
		a.failed(one, now, 100, 10*time.Second)
	}
	if left := a.failed(one, now, 10, time.Second); left != 100*time.Millisecond {
		t.Errorf("it is slowed for %s", left)
	}
}

// TestAttemptsOfOneNetwork: somebody with a whole network of IPv6 addresses is one.
func TestAttemptsOfOneNetwork(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	addr := netip.MustParseAddr("2001:db8::1")
	for range limit.Attempts {
		a.try(addr, now)
		addr = addr.Next()
	}
	if a.try(addr, now) == 0 {
		t.Error("the next address of the network is not slowed")
	}
}

// TestAttemptsAreBounded: many addresses do not fill the memory, and do not push out who
// is being slowed as long as there are others.
func TestAttemptsAreBounded(t *testing.T) {
	var a attempts
	now := time.Unix(1000, 0)
	guesser := netip.MustParseAddr("192.0.2.1")
	for range limit.Attempts {
		a.try(guesser, now)
	}
	addr := netip.MustParseAddr("10.0.0.1")
	for range limit.AttemptAddresses + 100 {
		a.try(addr, now)
		addr = addr.Next()
	}
	if n := len(a.fullAt); n != limit.AttemptAddresses {
		t.Errorf("%d addresses are kept, want %d", n, limit.AttemptAddresses)
	}
	if a.try(guesser, now) == 0 {
		t.Error("who guesses is forgotten because of others")
	}
	a.try(addr, now.Add(limit.AttemptsTime))
	if n, want := len(a.fullAt), limit.AttemptAddresses-limit.AttemptLooks+1; n != want {
		t.Errorf("%d addresses are kept after their time, want %d: it makes room for more than one", n, want)
	}
}
