package acl

import (
	"runtime"
	"testing"
	"time"
)

func TestSameSecret(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"", "", true},
		{"a", "a", true},
		{"a", "b", false},
		{"ab", "aa", false},
		{"a", "ab", false},
		{"", "a", false},
		{uuid(1), uuid(1), true},
		{uuid(1), uuid(2), false},
	} {
		if sameSecret(c.a, c.b) != c.same || sameSecret(c.b, c.a) != c.same {
			t.Errorf("%q and %q are the same: %v", c.a, c.b, !c.same)
		}
	}
}

// TestLastKeepsNothingAlive: what was known of a state of the tables goes with it, however many
// connections rest that have seen it.
func TestLastKeepsNothingAlive(t *testing.T) {
	view := manyTokens(t, 10, 10).view()
	r := NewResolver(func() View { return view }, Settings{Now: time.Now})
	secret := testToken(1, Links{}).Secret
	var last Last
	id, err := r.ResolveFor(&last, secret)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	runtime.AddCleanup(id, func(c chan struct{}) { close(c) }, gone)
	id = nil
	r.Forget()
	for {
		runtime.GC()
		select {
		case <-gone:
		default:
			continue
		}
		break
	}
	if id, err := r.ResolveFor(&last, secret); err != nil || id == nil {
		t.Errorf("got %v, %v", id, err)
	}
}
