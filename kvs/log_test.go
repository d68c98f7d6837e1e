package kvs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// TestLogAgainstASlice appends, drops and removes at random, with commands that are
// longer than a chunk too, and compares the log with a sorted slice.
func TestLogAgainstASlice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	db := newDB(t)
	var want []*Version
	var index uint64
	older := NewView(db.Txn(false)) // an earlier state, which must not change
	var olderWant []*Version
	for range 150 {
		txn := db.Txn(true)
		for range 1 + rnd.IntN(3) {
			switch n := rnd.IntN(10); {
			case n < 6 || len(want) == 0: // a batch of commands
				var changes []*Version
				for range rnd.IntN(40) {
					index += 1 + rnd.Uint64N(3)
					size := 1 + rnd.IntN(4)
					if rnd.IntN(60) == 0 {
						size = chunkVersions*2 + rnd.IntN(100)
					}
					for i := range size {
						changes = append(changes, &Version{Key: fmt.Sprintf("%06d", i), ModifyIndex: index, Time: int64(index)})
					}
				}
				appendLog(txn, changes)
				want = append(want, changes...)
			case n < 8:
				through := want[rnd.IntN(len(want))].ModifyIndex
				if rnd.IntN(3) > 0 {
					through = want[rnd.IntN(1+len(want)/10)].ModifyIndex
				}
				if rnd.IntN(20) == 0 {
					through = index + 1
				}
				dropLogThrough(txn, through)
				n := sort.Search(len(want), func(i int) bool { return want[i].ModifyIndex > through })
				want = want[n:]
			default:
				var gone []*Version
				chance := 1 + rnd.IntN(100)
				kept := make([]*Version, 0, len(want))
				for _, v := range want {
					if rnd.IntN(chance) == 0 {
						gone = append(gone, v)
					} else {
						kept = append(kept, v)
					}
				}
				// Versions that are not in the log (any more) are passed over.
				gone = append(gone, &Version{Key: "never", ModifyIndex: rnd.Uint64N(index + 2)}, &Version{Key: "never", ModifyIndex: index + 1})
				slices.SortFunc(gone, func(a, b *Version) int {
					if before(a, b) {
						return -1
					}
					return 1
				})
				removeFromLog(txn, gone)
				want = kept
			}
		}
		txn.Commit()

		v := NewView(db.Txn(false))
		for _, after := range []uint64{0, index, index + 1, rnd.Uint64N(index + 1), rnd.Uint64N(index + 1)} {
			n := sort.Search(len(want), func(i int) bool { return want[i].ModifyIndex > after })
			if got := logAfter(v, after); !slices.Equal(got, want[n:]) {
				t.Fatalf("after %d the log has %d versions, want %d", after, len(got), len(want)-n)
			}
			var back []*Version
			v.recentChanges(after, func(c *Version) bool { back = append(back, c); return true })
			slices.Reverse(back)
			if !slices.Equal(back, want[n:]) {
				t.Fatalf("back to %d the log has %d versions, want %d", after, len(back), len(want)-n)
			}
		}
		if got := logAfter(older, 0); !slices.Equal(got, olderWant) {
			t.Fatalf("an earlier state has %d versions in its log now, and had %d", len(got), len(olderWant))
		}
		if rnd.IntN(4) == 0 {
			older, olderWant = v, slices.Clone(want)
		}
	}
}

func logAfter(v View, index uint64) []*Version {
	var all []*Version
	v.Changes(index, func(c *Version) bool { all = append(all, c); return true })
	return all
}

func TestChangesEndsWhenToldTo(t *testing.T) {
	f := newFixture(t)
	for range 3 * chunkVersions {
		f.do(set(fmt.Sprint(f.index), ""))
	}
	var got []uint64
	f.view().Changes(300, func(c *Version) bool { got = append(got, c.ModifyIndex); return len(got) < 300 })
	if len(got) != 300 || got[0] != 301 || got[299] != 600 {
		t.Errorf("the first 300 changes after 300 are %d, from %d to %d", len(got), got[0], got[len(got)-1])
	}
}

// TestChangedSinceLooksBeyondTheRecentChanges: the look at the end of the log is
// bounded, and what lies beyond must be found in another way.
func TestChangedSinceLooksBeyondTheRecentChanges(t *testing.T) {
	f := newFixture(t)
	f.do(set("p/gone", "1"))
	f.do(set("p/a", "1"))
	f.do(del("p/gone"))
	f.do(set("q", "1"))
	var ops [][]Op
	for i := range 3000 {
		ops = append(ops, one(set("other", fmt.Sprint(i))))
	}
	f.batch(ops...)
	for _, through := range []uint64{0, 2, 10, f.index} {
		f.prune(through, nil, nil)
		for _, tc := range []struct {
			prefix  string
			after   uint64
			changed bool
		}{
			{"p/", 1, true},
			{"p/", 2, true}, // the deletion
			{"p/", 3, false},
			{"p/gone", 2, true},
			{"p/gone", 3, false},
			{"p/a", 1, true},
			{"p/a", 2, false},
			{"p/none", 0, false},
			{"q", 3, true},
			{"q", 4, false},
			{"other", 3003, true},
			{"other", 3004, false},
			{"", 3003, true},
			{"", 3004, false},
			{"", 1 << 40, false},
			{"p/", 1 << 40, false},
		} {
			if got := f.view().ChangedSince(tc.prefix, tc.after); got != tc.changed {
				t.Errorf("pruned through %d: %q changed since %d = %v, want %v", through, tc.prefix, tc.after, got, tc.changed)
			}
		}
	}
}

func TestIndexAt(t *testing.T) {
	f := newFixture(t)
	f.do(set("a", "1")) // index 1 at second 1, and so on
	f.do(set("b", "1"))
	f.do(set("b", "1")) // no change
	f.do(set("a", "2"), set("b", "2"))
	f.do(get("none")) // refused
	f.do(del("a"))
	at := func(time int64) string {
		index, err := f.view().IndexAt(time)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(index)
	}
	check := func(what string, want map[int64]string) {
		t.Helper()
		for time, index := range want {
			if got := at(time); got != index {
				t.Errorf("%s: the index at %d ns is %q, want %q", what, time, got, index)
			}
		}
	}
	check("everything kept", map[int64]string{
		0: "0", second - 1: "0", second: "1", 2*second - 1: "1", 2 * second: "2", 3 * second: "2",
		4 * second: "4", 5 * second: "4", 6 * second: "6", 1 << 60: "6",
	})
	gone := "history before index 2 is no longer kept"
	f.prune(2, nil, nil)
	check("pruned through 2", map[int64]string{
		0: gone, second: gone, 2*second - 1: gone, 2 * second: "2", 4*second - 1: "2", 4 * second: "4", 1 << 60: "6",
	})
	gone = "history before index 6 is no longer kept"
	f.prune(99, nil, nil)
	check("nothing left in the log", map[int64]string{
		0: gone, 4 * second: gone, 6*second - 1: gone, 6 * second: "6", 1 << 60: "6",
	})
	f.db = copyOf(t, f.view())
	check("carried over", map[int64]string{6*second - 1: gone, 6 * second: "6"})
	f.index = 19
	f.do(set("c", "1"))
	check("written again", map[int64]string{6 * second: "6", 20*second - 1: "6", 20 * second: "20"})
}
