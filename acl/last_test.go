package acl

import (
	"crypto/sha256"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
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
		if sameSecret([]byte(c.a), c.b) != c.same || sameSecret([]byte(c.b), c.a) != c.same {
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

// TestLastIsOneLineOfTheCaches, which is all of its point.
func TestLastIsOneLineOfTheCaches(t *testing.T) {
	if size := unsafe.Sizeof(known{}); size != 64 {
		t.Errorf("%d bytes", size)
	}
}

// TestLastTakesAnySecret, the same for those it has no room for.
func TestLastTakesAnySecret(t *testing.T) {
	w := ready(t)
	for _, length := range []int{1, longestKnown - 1, longestKnown, longestKnown + 1, 200} {
		x := testToken(length, Links{})
		x.Secret = strings.Repeat("s", length)
		x.Hash = HashSecret(testKey, x.Secret)
		w.must(t, &Change{SetToken: &SetToken{Token: x, Create: true}})
		r, last := w.resolver(""), Last{}
		for range 3 {
			if id, err := r.ResolveFor(&last, x.Secret); err != nil || id.Accessor != x.Accessor {
				t.Errorf("%d bytes: got %v, %v", length, id, err)
			}
		}
		if known := last.one.Load() != nil; known != (length <= longestKnown) {
			t.Errorf("%d bytes: known is %v", length, known)
		}
		if _, err := r.ResolveFor(&last, x.Secret[1:]+"x"); err == nil {
			t.Errorf("%d bytes: another secret is as good", length)
		}
	}
}

// TestPlaces: each identity is found by its place, and by no other's, until there are so many
// that all begins anew, which is not noticed.
func TestPlaces(t *testing.T) {
	r := NewResolver(func() View { return View{} }, Settings{Now: time.Now})
	g := r.now.Load()
	seen := map[place]bool{}
	for shard := range shards {
		for i := range keptIdentities / shards {
			key := sha256.Sum256([]byte(uuid(i)))
			id := &Identity{Accessor: uuid(i)}
			if got := g.add(shard, key, id); got != id || g.at(id.place) != id || seen[id.place] {
				t.Fatalf("identity %d of shard %d: got %v at %d", i, shard, got, id.place)
			}
			if other := g.add(shard, key, &Identity{}); other != id {
				t.Fatalf("identity %d of shard %d is there twice", i, shard)
			}
			seen[id.place] = true
		}
		if id := g.add(shard, sha256.Sum256([]byte("one more")), &Identity{}); id != nil {
			t.Errorf("shard %d has no bound", shard)
		}
	}
}

// TestFullBeginsAnew: who is found when there is no more room is found all the same, and kept the
// next time.
func TestFullBeginsAnew(t *testing.T) {
	view := manyTokens(t, 10, 10).view()
	r := NewResolver(func() View { return view }, Settings{Now: time.Now})
	secret := testToken(1, Links{}).Secret
	_, _ = r.Resolve(AnonymousSecret) // so that the generation is that of the view
	full := r.now.Load()
	key := r.salted(secret)
	for i := range keptIdentities / shards {
		full.add(int(key[0]%shards), sha256.Sum256([]byte(uuid(i))), &Identity{})
	}
	var last Last
	for i, kept := range []bool{false, true, true} {
		id, err := r.ResolveFor(&last, secret)
		if err != nil || id.Accessor != testToken(1, Links{}).Accessor {
			t.Fatalf("got %v, %v", id, err)
		}
		now := r.now.Load()
		if now == full {
			t.Error("it is still full")
		}
		if got := now.shards[key[0]%shards].found[key] == id; got != kept {
			t.Errorf("time %d: kept is %v", i, got)
		}
	}
	if last.find(r.now.Load(), secret) == nil {
		t.Error("not known by then")
	}
}
