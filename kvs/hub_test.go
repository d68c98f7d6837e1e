package kvs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"
)

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestHubWakesExactlyTheWaitersConcerned(t *testing.T) {
	keys := []string{"", "a", "a/", "a/b", "a/b/c", "a/bc", "ab", "b", "\x00", "a\x00", "\xff", "\xff\xff", "€"}
	prefixes := append([]string{"a/b/c/d", "z", "\xe2", "\xe2\x82"}, keys...)
	for _, tc := range []struct {
		rule          string
		changed       []string
		keysWoken     []string
		prefixesWoken []string
	}{
		{"a key wakes itself and each of its prefixes", []string{"a/b"}, []string{"a/b"}, []string{"", "a", "a/", "a/b"}},
		{"not the keys below it", []string{"a/"}, []string{"a/"}, []string{"", "a", "a/"}},
		{"not its neighbours", []string{"ab"}, []string{"ab"}, []string{"", "a", "ab"}},
		{"a key nobody waits for wakes its prefixes only", []string{"a/b/c/d/e"}, nil, []string{"", "a", "a/", "a/b", "a/b/c", "a/b/c/d"}},
		{"a key that shares no first byte wakes the empty prefix only", []string{"q"}, nil, []string{""}},
		{"prefixes are bytes, not characters", []string{"€"}, []string{"€"}, []string{"", "\xe2", "\xe2\x82", "€"}},
		{"zero and high bytes are bytes like others", []string{"a\x00", "\xff\xff"}, []string{"a\x00", "\xff\xff"}, []string{"", "a", "a\x00", "\xff", "\xff\xff"}},
		{"several keys", []string{"b", "a/bc"}, []string{"a/bc", "b"}, []string{"", "a", "a/", "a/b", "a/bc", "b"}},
		{"the same key twice", []string{"b", "b"}, []string{"b"}, []string{"", "b"}},
		{"the empty key", []string{""}, []string{""}, []string{""}},
		{"no key", nil, nil, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			h := NewHub()
			var keyWatches, prefixWatches []Watch
			for _, k := range keys {
				keyWatches = append(keyWatches, h.WatchKey(k), h.WatchKey(k))
			}
			for _, p := range prefixes {
				prefixWatches = append(prefixWatches, h.WatchPrefix(p), h.WatchPrefix(p))
			}
			h.Notify(tc.changed)
			for i, w := range keyWatches {
				if got, want := closed(w.C), slices.Contains(tc.keysWoken, keys[i/2]); got != want {
					t.Errorf("%q changed: waiter of key %q woken = %v, want %v", tc.changed, keys[i/2], got, want)
				}
			}
			for i, w := range prefixWatches {
				if got, want := closed(w.C), slices.Contains(tc.prefixesWoken, prefixes[i/2]); got != want {
					t.Errorf("%q changed: waiter of prefix %q woken = %v, want %v", tc.changed, prefixes[i/2], got, want)
				}
			}
			if want := len(keys) + len(prefixes) - len(tc.keysWoken) - len(tc.prefixesWoken); h.Len() != want {
				t.Errorf("waited for after it: %d, want %d", h.Len(), want)
			}
			for _, w := range append(keyWatches, prefixWatches...) {
				if closed(w.Reset) {
					t.Errorf("a change looks like a restore to the waiter of %q", w.group.name)
				}
				w.Stop()
			}
			h.mustBeEmpty(t)
		})
	}
}

// mustBeEmpty fails when a registration that was given back left something behind.
func (h *Hub) mustBeEmpty(t *testing.T) {
	t.Helper()
	if h.Len() != 0 || len(h.keys) != 0 || len(h.prefixes) != 0 || len(h.lengths) != 0 {
		t.Errorf("hub keeps %d keys, %d prefixes, lengths %v, although nobody waits", len(h.keys), len(h.prefixes), h.lengths)
	}
}

func TestHubKeysAndPrefixesOfOneNameAreDifferent(t *testing.T) {
	h := NewHub()
	key, prefix := h.WatchKey("a"), h.WatchPrefix("a")
	h.Notify([]string{"ab"})
	if closed(key.C) || !closed(prefix.C) {
		t.Errorf("ab changed: key a woken = %v, prefix a woken = %v, want only the prefix", closed(key.C), closed(prefix.C))
	}
	prefix.Stop()
	if h.Len() != 1 {
		t.Errorf("waited for: %d, want the key", h.Len())
	}
	key.Stop()
	h.mustBeEmpty(t)
}

func TestHubWaitersOfOneThingShareAChannel(t *testing.T) {
	h := NewHub()
	for _, watch := range []func(string) Watch{h.WatchKey, h.WatchPrefix} {
		a, b := watch("x/y"), watch("x/y")
		if a.C != b.C {
			t.Error("two waiters of the same thing have two channels")
		}
		if h.Len() != 1 {
			t.Errorf("two waiters of one thing count as %d", h.Len())
		}
		a.Stop()
		h.Notify([]string{"x/y"})
		if !closed(b.C) {
			t.Error("the second waiter was forgotten with the first")
		}
		b.Stop()
		h.mustBeEmpty(t)
	}
}

func TestHubStopOfAWokenWaiterLeavesTheNextOnesAlone(t *testing.T) {
	h := NewHub()
	for _, watch := range []func(string) Watch{h.WatchKey, h.WatchPrefix} {
		woken := watch("k")
		h.Notify([]string{"k"})
		next := watch("k")
		if closed(next.C) {
			t.Fatal("a new waiter was woken by an old change")
		}
		woken.Stop()
		if h.Len() != 1 {
			t.Fatalf("the stop of an old waiter took the new one with it: %d left", h.Len())
		}
		h.Notify([]string{"k"})
		if !closed(next.C) {
			t.Error("a waiter was forgotten")
		}
		next.Stop()
		h.mustBeEmpty(t)
	}
}

func TestHubResetWakesEverybodyOnce(t *testing.T) {
	h := NewHub()
	before := []Watch{h.WatchKey("k"), h.WatchPrefix("p"), h.WatchPrefix("")}
	h.Reset()
	after := h.WatchKey("k")
	for _, w := range before {
		if !closed(w.Reset) {
			t.Errorf("the waiter of %q was not told of the restore", w.group.name)
		}
		if closed(w.C) {
			t.Errorf("the restore looks like a change to the waiter of %q", w.group.name)
		}
	}
	if closed(after.Reset) {
		t.Error("a waiter that came after the restore was told of it")
	}
	// The old registrations still stand until they are given back.
	h.Notify([]string{"k"})
	if !closed(before[0].C) || !closed(after.C) {
		t.Error("a change after a restore was missed")
	}
	for _, w := range append(before, after) {
		w.Stop()
	}
	h.mustBeEmpty(t)
}

// TestHubAgainstAList performs random registrations, changes and stops against the
// simplest hub there is.
func TestHubAgainstAList(t *testing.T) {
	type waiter struct {
		watch  Watch
		name   string
		prefix bool
		woken  bool
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	h := NewHub()
	var waiters []*waiter
	for range 20_000 {
		switch n := rnd.IntN(10); {
		case n < 5 && len(waiters) < 40:
			w := &waiter{name: shortName(rnd), prefix: rnd.IntN(2) == 0}
			if w.prefix {
				w.watch = h.WatchPrefix(w.name)
			} else {
				w.watch = h.WatchKey(w.name)
			}
			waiters = append(waiters, w)
		case n < 7:
			keys := make([]string, rnd.IntN(4))
			for i := range keys {
				keys[i] = shortName(rnd)
			}
			h.Notify(keys)
			for _, w := range waiters {
				for _, key := range keys {
					w.woken = w.woken || key == w.name || w.prefix && strings.HasPrefix(key, w.name)
				}
				if closed(w.watch.C) != w.woken {
					t.Fatalf("%q changed: waiter of %q (prefix %v) woken = %v, want %v", keys, w.name, w.prefix, closed(w.watch.C), w.woken)
				}
			}
		case len(waiters) > 0:
			i := rnd.IntN(len(waiters))
			waiters[i].watch.Stop()
			waiters = slices.Delete(waiters, i, i+1)
		}
		distinct := map[string]bool{}
		for _, w := range waiters {
			if !w.woken {
				distinct[fmt.Sprint(w.prefix, w.name)] = true
			}
		}
		if h.Len() != len(distinct) {
			t.Fatalf("waited for: %d, want %d", h.Len(), len(distinct))
		}
	}
	for _, w := range waiters {
		w.watch.Stop()
	}
	h.mustBeEmpty(t)
}

// watched is what the watchers of TestNoChangeIsMissedBetweenLookingAndWaiting ask for.
var watched = [...]struct {
	name   string
	prefix bool
}{
	{"a/1", false},
	{"a/2", false},
	{"b", false},
	{"a", false},
	{"missing", false},
	{"a/", true},
	{"a", true},
	{"", true},
	{"b", true},
	{"c", true},
}

// race is one writer and many watchers over one database and one hub.
type race struct {
	db    *memdb.MemDB
	hub   *Hub
	now   atomic.Pointer[View] // published as the store does it: after the commit, before the hub is told
	index uint64               // of the last command; the writer's own
	rnd   *rand.Rand           // the writer's own

	want    [len(watched)]atomic.Uint64 // index that each watcher must come to see in this round
	reached chan struct{}               // one for each watcher that has seen it
	stop    chan struct{}
}

// changed is the index of the last change of what watcher i asks for.
func (r *race) changed(i int) uint64 {
	v := *r.now.Load()
	if watched[i].prefix {
		return v.Span(watched[i].name).Changed
	}
	_, changed := v.Get(watched[i].name)
	return changed
}

func (r *race) register(i int) Watch {
	if watched[i].prefix {
		return r.hub.WatchPrefix(watched[i].name)
	}
	return r.hub.WatchKey(watched[i].name)
}

// watch follows the protocol of [Hub]: register, look, wait.
func (r *race) watch(i int) {
	var seen, reported uint64
	for {
		w := r.register(i)
		if now := r.changed(i); now > seen {
			w.Stop()
			seen = now
			if target := r.want[i].Load(); seen >= target && reported < target {
				reported = target
				r.reached <- struct{}{}
			}
			continue
		}
		select {
		case <-w.C:
			w.Stop()
		case <-r.stop:
			w.Stop()
			return
		}
	}
}

func (r *race) commit(key string) {
	r.index++
	tx := Begin(*r.now.Load())
	tx.Command(r.index, int64(r.index), Nobody)
	if r.rnd.IntN(4) == 0 && tx.Read(key) != nil {
		tx.Delete(key)
	} else {
		tx.Set(key, nil, r.index) // flags make it a change
	}
	tx.Accept()
	txn := r.db.Txn(true)
	tx.Flush(txn)
	txn.Commit()
	r.publish()
	r.hub.Notify(tx.Changed())
}

func (r *race) publish() {
	v := NewView(r.db.Txn(false))
	r.now.Store(&v)
}

// TestNoChangeIsMissedBetweenLookingAndWaiting has watchers follow the protocol while
// a writer commits and notifies. The writer begins the next round when every watcher
// concerned has seen the last change of this one: one that has missed it waits for
// ever.
func TestNoChangeIsMissedBetweenLookingAndWaiting(t *testing.T) {
	const rounds, watchersEach = 500, 4
	r := &race{
		db: newDB(t), hub: NewHub(), rnd: rand.New(rand.NewPCG(3, 4)),
		reached: make(chan struct{}, len(watched)*watchersEach), stop: make(chan struct{}),
	}
	r.publish()
	var watchers sync.WaitGroup
	for n := range len(watched) * watchersEach {
		watchers.Go(func() { r.watch(n % len(watched)) })
	}
	tooLong := time.NewTimer(time.Minute)
	defer tooLong.Stop()

	keys := []string{"a/1", "a/2", "b", "a"}
	for range rounds {
		last := keys[r.rnd.IntN(len(keys))]
		burst := r.rnd.IntN(5)
		concerned := 0
		for i, w := range watched {
			if w.name == last || w.prefix && strings.HasPrefix(last, w.name) {
				r.want[i].Store(r.index + uint64(burst) + 1)
				concerned += watchersEach
			}
		}
		for range burst {
			r.commit(keys[r.rnd.IntN(len(keys))])
		}
		r.commit(last)
		for n := range concerned {
			select {
			case <-r.reached:
			case <-tooLong.C:
				t.Fatalf("index %d: %d of %d watchers concerned by %q have seen it", r.index, n, concerned, last)
			}
		}
	}
	close(r.stop)
	watchers.Wait()
	r.hub.mustBeEmpty(t)
}

// shortName is one of few names, so that they meet, and are prefixes of each other.
func shortName(rnd *rand.Rand) string {
	b := make([]byte, rnd.IntN(5))
	for i := range b {
		b[i] = "ab/"[rnd.IntN(3)]
	}
	return string(b)
}
