package kvs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// history writes the versions of a key that are kept, newest first.
func (f *fixture) history(key string) string {
	var rows []string
	for _, v := range f.view().History(key, 1000) {
		rows = append(rows, show(v, true))
	}
	return strings.Join(rows, "; ")
}

// aged is a state with something of everything: indexes 1 to 9.
func aged(t *testing.T) *fixture {
	f := newFixture(t)
	f.do(set("k", "1"))    // 1
	f.do(set("k", "2"))    // 2
	f.do(set("gone", "1")) // 3
	f.do(del("gone"))      // 4
	f.do(set("k", "3"))    // 5
	f.do(set("back", "1")) // 6
	f.do(del("back"))      // 7
	f.do(set("back", "2")) // 8
	f.do(set("k", "4"))    // 9
	return f
}

func TestPruneThroughKeepsTheStateThereAndAfter(t *testing.T) {
	for _, tc := range []struct {
		through       uint64
		k, gone, back string
	}{
		{0, "k=4@1/9; k=3@1/5; k=2@1/2; k=1@1/1", "gone delete@3/4; gone=1@3/3", "back=2@8/8; back delete@6/7; back=1@6/6"},
		{1, "k=4@1/9; k=3@1/5; k=2@1/2; k=1@1/1", "gone delete@3/4; gone=1@3/3", "back=2@8/8; back delete@6/7; back=1@6/6"},
		{2, "k=4@1/9; k=3@1/5; k=2@1/2", "gone delete@3/4; gone=1@3/3", "back=2@8/8; back delete@6/7; back=1@6/6"},
		{4, "k=4@1/9; k=3@1/5; k=2@1/2", "gone delete@3/4", "back=2@8/8; back delete@6/7; back=1@6/6"},
		{6, "k=4@1/9; k=3@1/5", "gone delete@3/4", "back=2@8/8; back delete@6/7; back=1@6/6"},
		{7, "k=4@1/9; k=3@1/5", "gone delete@3/4", "back=2@8/8"},
		{8, "k=4@1/9; k=3@1/5", "gone delete@3/4", "back=2@8/8"},
		{9, "k=4@1/9", "gone delete@3/4", "back=2@8/8"},
		{1000, "k=4@1/9", "gone delete@3/4", "back=2@8/8"},
	} {
		t.Run(fmt.Sprint(tc.through), func(t *testing.T) {
			f := aged(t)
			whole := f.view()
			f.prune(tc.through, nil, nil)
			for key, want := range map[string]string{"k": tc.k, "gone": tc.gone, "back": tc.back} {
				if got := f.history(key); got != want {
					t.Errorf("history of %s\n%s, want\n%s", key, got, want)
				}
			}
			pruned := min(tc.through, 9)
			if got := f.view().Meta().PrunedThrough; got != pruned {
				t.Errorf("pruned through %d, want %d", got, pruned)
			}
			for index := range uint64(12) {
				for _, key := range []string{"k", "gone", "back", "never"} {
					got, err := f.view().GetAt(key, index)
					want, _ := whole.GetAt(key, index)
					var gone *PrunedError
					switch {
					case index < pruned:
						if !errors.As(err, &gone) || gone.Oldest != pruned {
							t.Errorf("%s at %d: %v, want that it is kept from %d", key, index, err, pruned)
						}
					case err != nil || got != want:
						t.Errorf("%s at %d is %s (%v), want %s", key, index, show(got, true), err, show(want, true))
					}
				}
			}
			f.checkMeta()
		})
	}
}

func TestPruneNeverGoesBack(t *testing.T) {
	f := aged(t)
	f.prune(7, nil, nil)
	f.prune(3, nil, nil)
	if got := f.view().Meta().PrunedThrough; got != 7 {
		t.Errorf("pruned through %d after a prune through 3, want 7", got)
	}
	f.checkMeta()
}

func TestTrimKeepsTheNewestVersions(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		trim  Trim
		key   string
		want  string
		floor uint64
	}{
		{"to one", Trim{"k", 1}, "k", "k=4@1/9", 9},
		{"to two", Trim{"k", 2}, "k", "k=4@1/9; k=3@1/5", 5},
		{"to as many as there are", Trim{"k", 4}, "k", "k=4@1/9; k=3@1/5; k=2@1/2; k=1@1/1", 0},
		{"to more than there are", Trim{"k", 99}, "k", "k=4@1/9; k=3@1/5; k=2@1/2; k=1@1/1", 0},
		{"to nothing is no trim", Trim{"k", 0}, "k", "k=4@1/9; k=3@1/5; k=2@1/2; k=1@1/1", 0},
		{"to less than nothing is no trim", Trim{"k", -1}, "k", "k=4@1/9; k=3@1/5; k=2@1/2; k=1@1/1", 0},
		{"of a deleted key keeps its tombstone", Trim{"gone", 1}, "gone", "gone delete@3/4", 4},
		{"may leave a deletion as the oldest", Trim{"back", 2}, "back", "back=2@8/8; back delete@6/7", 7},
		{"of a key that never was", Trim{"never", 1}, "never", "", 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := aged(t)
			whole := f.view()
			f.prune(0, []Trim{tc.trim}, nil)
			if got := f.history(tc.key); got != tc.want {
				t.Errorf("history\n%s, want\n%s", got, tc.want)
			}
			for index := range uint64(12) {
				got, err := f.view().GetAt(tc.key, index)
				want, _ := whole.GetAt(tc.key, index)
				var gone *PrunedError
				switch {
				case index < tc.floor:
					if !errors.As(err, &gone) || gone.Oldest != tc.floor {
						t.Errorf("at %d: %v, want that it is kept from %d", index, err, tc.floor)
					}
				case err != nil || got != want:
					t.Errorf("at %d it is %s (%v), want %s", index, show(got, true), err, show(want, true))
				}
				// A list is refused as a whole, or it is whole.
				n := 0
				err = f.view().ListAt("", "", index, func(*Version) bool { n++; return true })
				wholeN := 0
				_ = whole.ListAt("", "", index, func(*Version) bool { wholeN++; return true })
				if index < tc.floor != (err != nil) || err == nil && n != wholeN {
					t.Errorf("list at %d has %d keys (%v), want %d and an error below %d", index, n, err, wholeN, tc.floor)
				}
			}
			f.checkMeta()
		})
	}
}

func TestForgetOnlyWhatSaysNothingMore(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		through uint64
		trims   []Trim
		forget  Forget
		gone    bool
	}{
		{"a tombstone without history in the pruned past", 4, nil, Forget{"gone", 4}, true},
		{"not with history", 3, nil, Forget{"gone", 4}, false},
		{"not without history where the past is not pruned", 0, []Trim{{"gone", 1}}, Forget{"gone", 4}, false},
		{"when the same command prunes the past", 9, []Trim{{"gone", 1}}, Forget{"gone", 4}, true},
		{"not one of another index", 9, nil, Forget{"gone", 3}, false},
		{"not a key that exists", 9, nil, Forget{"k", 9}, false},
		{"not a key that exists again", 9, nil, Forget{"back", 7}, false},
		{"not a key that never was", 9, nil, Forget{"never", 4}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := aged(t)
			before := f.view()
			f.prune(tc.through, tc.trims, []Forget{tc.forget})
			after := f.view()
			if got := before.Meta().Tombstones - after.Meta().Tombstones; got != map[bool]int{true: 1}[tc.gone] {
				t.Errorf("%d tombstones were forgotten, want %v", got, tc.gone)
			}
			var floor uint64
			if tc.gone {
				floor = tc.forget.Index
				if after.Item(tc.forget.Key) != nil {
					t.Error("the row is still there")
				}
			}
			if got := after.Meta().Floor; got != floor {
				t.Errorf("floor is %d, want %d", got, floor)
			}
			for _, prefix := range []string{"", "gone", "go", "k", "back", "never"} {
				if was, is := before.Span(prefix).Index(before, prefix), after.Span(prefix).Index(after, prefix); is < was {
					t.Errorf("index of %q went back from %d to %d", prefix, was, is)
				}
			}
			if _, changed := after.Get("gone"); changed < 4 {
				t.Errorf("the key that was deleted at 4 says it last changed at %d", changed)
			}
			f.checkMeta()
		})
	}
}

func TestFloorIsTheHighestForgottenDeletion(t *testing.T) {
	f := newFixture(t)
	f.do(set("a", "1"), set("b", "1"), set("c", "1"))
	f.do(del("a"))
	f.do(del("b"))
	f.do(del("c"))
	f.prune(4, nil, []Forget{{"c", 4}, {"a", 2}})
	if got := f.view().Meta().Floor; got != 4 {
		t.Errorf("floor is %d after deletions at 4 and 2 were forgotten, want 4", got)
	}
	f.prune(4, nil, []Forget{{"b", 3}})
	if got := f.view().Meta().Floor; got != 4 {
		t.Errorf("floor is %d after one at 3 was forgotten too, want 4", got)
	}
	f.checkMeta()
}

func TestIndexOfAPrefixDoesNotFallWithAForgottenDeletion(t *testing.T) {
	f := newFixture(t)
	f.do(set("p/a", "1"))
	f.do(set("p/b", "1"))
	f.do(del("p/b"))
	f.prune(3, nil, nil)
	for _, when := range []string{"remembered", "forgotten"} {
		v := f.view()
		if got := v.Span("p/"); got != (Span{Changed: 3, Traced: true}) || got.Index(v, "p/") != 3 {
			t.Errorf("%s: span %+v with index %d, want the deletion at 3", when, got, got.Index(v, "p/"))
		}
		if v.ChangedSince("p/", 3) || !v.ChangedSince("p/", 2) {
			t.Errorf("%s: changed since 3: %v, since 2: %v; want only the second", when, v.ChangedSince("p/", 3), v.ChangedSince("p/", 2))
		}
		f.prune(3, nil, []Forget{{"p/b", 3}})
	}
	if f.view().Item("p/b") != nil {
		t.Error("the deletion was not forgotten")
	}
}

func TestForgottenKeyCanComeBack(t *testing.T) {
	f := aged(t)
	tx := Begin(f.view())
	tx.Command(10, 10*second, Nobody)
	tx.Prune(9, nil, []Forget{{"gone", 4}})
	tx.Accept()
	tx.Command(11, 11*second, Nobody)
	if v := tx.CAS("gone", []byte("2"), 0, 0); v == nil || v.CreateIndex != 11 || v.LockIndex != 0 {
		t.Errorf("a forgotten key was not made anew: %s", show(v, true))
	}
	tx.Accept()
	f.flush(tx)
	if got, want := f.history("gone"), "gone=2@11/11"; got != want {
		t.Errorf("history is %q, want %q", got, want)
	}
	f.checkMeta()
}

// plenty is a state with many keys, versions and tombstones, drawn at random.
func plenty(t *rapid.T) *fixture {
	f := newFixture(t)
	for range rapid.IntRange(0, 120).Draw(t, "commands") {
		ops := make([]Op, rapid.IntRange(1, 3).Draw(t, "ops"))
		for i := range ops {
			key := fmt.Sprintf("k%02d", rapid.IntRange(0, 15).Draw(t, "key"))
			if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
				ops[i] = del(key)
			} else {
				ops[i] = set(key, strings.Repeat("v", rapid.IntRange(0, 40).Draw(t, "size")))
			}
		}
		f.do(ops...)
	}
	return f
}

// drawRetention draws a retention of which often a single rule is in the way.
func drawRetention(t *rapid.T, f *fixture) Retention {
	r := Retention{
		Protected: rapid.Int64Range(0, int64(f.index)+1).Draw(t, "protected") * second,
		Versions:  1000,
		MaxBytes:  1 << 40,
		Tombs:     1000,
		Records:   rapid.IntRange(1, 30).Draw(t, "records"),
	}
	if rapid.Bool().Draw(t, "by age") {
		r.Before = rapid.Int64Range(0, int64(f.index)+1).Draw(t, "before") * second
	}
	if rapid.Bool().Draw(t, "by number") {
		r.Versions = rapid.IntRange(1, 8).Draw(t, "versions")
	}
	if rapid.Bool().Draw(t, "by size") {
		r.MaxBytes = rapid.Int64Range(0, 20_000).Draw(t, "bytes")
	}
	if rapid.Bool().Draw(t, "by tombstones") {
		r.Tombs = rapid.IntRange(0, 10).Draw(t, "tombs")
	}
	return r
}

// TestPlanPruneConverges follows the plans until there is nothing left to do, as the
// leader does. Then the state meets the retention, nothing was dropped that did not
// have to be, and no plan was larger than its bound.
func TestPlanPruneConverges(t *testing.T) {
	const opsPerCommand = 3
	rapid.Check(t, func(t *rapid.T) {
		f := plenty(t)
		r := drawRetention(t, f)
		whole := f.view()
		from, rounds := uint64(0), 0
		for ; ; rounds++ {
			if rounds > 500 {
				t.Fatalf("no end of plans for %+v", r)
			}
			v := f.view()
			plan, next := v.PlanPrune(r, from)
			if next < from {
				t.Fatalf("the index to go on from went back from %d to %d", from, next)
			}
			again, nextAgain := v.PlanPrune(r, from)
			if fmt.Sprint(plan, next) != fmt.Sprint(again, nextAgain) {
				t.Fatalf("the same state gives two plans: %+v and %+v", plan, again)
			}
			passed := len(logAfter(v, v.Meta().PrunedThrough)) - len(logAfter(v, max(plan.Through, v.Meta().PrunedThrough)))
			if passed >= r.Records+opsPerCommand || len(plan.Trims) >= r.Records+opsPerCommand {
				t.Fatalf("a plan of at most %d records passes %d and trims %d", r.Records, passed, len(plan.Trims))
			}
			if plan.Empty() {
				if next == from {
					break
				}
				from = next
				continue
			}
			f.prune(plan.Through, plan.Trims, nil)
			if next == from && dump(f.view()) == dump(v) {
				t.Fatalf("plan %+v changes nothing", plan)
			}
			for _, fault := range metaFaults(f.view()) {
				t.Error(fault)
			}
			from = next
		}
		if forgets := f.view().PlanForgets(r); len(forgets) > 0 {
			f.prune(0, nil, forgets)
			for _, fault := range metaFaults(f.view()) {
				t.Error(fault)
			}
		}
		if again := f.view().PlanForgets(r); len(again) > 0 {
			t.Errorf("after forgetting there is more to forget: %v", again)
		}
		met(t, whole, f.view(), r)
	})
}

// met checks that the state after pruning meets the retention, and that what it did
// not have to drop is there.
func met(t *rapid.T, whole, v View, r Retention) {
	meta := v.Meta()
	var young int64 // bytes of tombstones that must be kept
	_ = v.Export(func(it *Item) error {
		if !it.Live() && it.Cur.Time > r.Protected {
			young += it.Cur.size()
		}
		return nil
	})
	if meta.HistoryBytes-young > r.MaxBytes {
		t.Errorf("history has %d bytes beside %d of young tombstones, more than %d", meta.HistoryBytes-young, young, r.MaxBytes)
	}
	byBytes := whole.Meta().HistoryBytes > r.MaxBytes
	byTombs := whole.Meta().Tombstones > r.Tombs
	bare := 0
	_ = whole.Export(func(was *Item) error { // the visitor returns no error
		it := v.Item(was.Key)
		if it == nil {
			if was.Live() || !byTombs && !byBytes || was.Cur.Time > r.Protected {
				t.Errorf("key %q is gone without a trace", was.Key)
			}
			return nil
		}
		if it.Cur != was.Cur {
			t.Errorf("key %q is %s, want %s", was.Key, show(it.Cur, true), show(was.Cur, true))
		}
		if n := len(it.Older) + 1; n > r.Versions {
			t.Errorf("key %q has %d versions, more than %d", it.Key, n, r.Versions)
		}
		if !it.Live() && len(it.Older) == 0 && it.Cur.ModifyIndex <= meta.PrunedThrough && it.Cur.Time <= r.Protected {
			bare++
		}
		kept := map[*Version]bool{}
		for _, old := range it.Older {
			kept[old] = true
		}
		for i, old := range was.Older {
			next := was.Cur
			if i+1 < len(was.Older) {
				next = was.Older[i+1]
			}
			tooOld := next.Time <= r.Before
			tooMany := len(was.Older)+1-i > r.Versions
			// A deletion that came out as the oldest was dropped with what led to it.
			bareDeletion := old.Deleted() && old.Time <= r.Before
			if kept[old] && tooOld {
				t.Errorf("version %s was superseded at second %d, before %d ns, and is still there", show(old, true), next.ModifyIndex, r.Before)
			}
			if !kept[old] && !tooOld && !tooMany && !byBytes && !bareDeletion {
				t.Errorf("version %s was dropped without need", show(old, true))
			}
		}
		return nil
	})
	if meta.Tombstones > r.Tombs && bare > 0 {
		t.Errorf("%d tombstones are remembered, more than %d, and %d of them could be forgotten", meta.Tombstones, r.Tombs, bare)
	}
}

func TestPlanOfAnEmptyStateIsEmpty(t *testing.T) {
	plan, next := newFixture(t).view().PlanPrune(Retention{Versions: 1, Records: 10, Before: 1 << 60, Protected: 1 << 60}, 0)
	if !plan.Empty() || next != 0 {
		t.Errorf("plan %+v, go on from %d; want nothing to do", plan, next)
	}
}

func TestPlanByBytesEndsAsSoonAsItFits(t *testing.T) {
	f := newFixture(t)
	for i := range 40 {
		f.do(set(fmt.Sprint("k", i%3), strings.Repeat("v", i)))
	}
	for _, keep := range []int64{1 << 40, 5000, 3000, 1000, 500, 0} {
		r := Retention{Versions: 1000, MaxBytes: keep, Tombs: 1000, Records: 1000}
		v := f.view()
		plan, _ := v.PlanPrune(r, 0)
		if v.Meta().HistoryBytes <= keep {
			if !plan.Empty() {
				t.Errorf("%d bytes of %d: plan %+v, want none", v.Meta().HistoryBytes, keep, plan)
			}
			continue
		}
		f.prune(plan.Through-1, nil, nil)
		if n := f.view().Meta().HistoryBytes; n <= keep {
			t.Errorf("%d bytes were left one command earlier, the plan for %d goes too far", n, keep)
		}
		f.prune(plan.Through, nil, nil)
		if n := f.view().Meta().HistoryBytes; n > keep {
			t.Errorf("%d bytes are left, want at most %d", n, keep)
		}
	}
}

func TestPlanLooksAtEveryKeyOfACommand(t *testing.T) {
	f := newFixture(t)
	var ops []Op
	for i := range 10 {
		ops = append(ops, set(fmt.Sprint(i), "1"))
	}
	f.do(ops...)
	for i := range ops {
		ops[i].Value = []byte("2")
	}
	f.do(ops...)
	for _, records := range []int{1, 3, 10, 100} {
		g := &fixture{t: t, db: copyOf(t, f.view()), index: f.index}
		r := Retention{Versions: 1, MaxBytes: 1 << 30, Tombs: 1000, Records: records}
		trims, from := 0, uint64(0)
		for {
			plan, next := g.view().PlanPrune(r, from)
			if plan.Empty() && next == from {
				break
			}
			trims, from = trims+len(plan.Trims), next
			g.prune(plan.Through, plan.Trims, plan.Forgets)
		}
		if m := g.view().Meta(); trims != 10 || m.Superseded != 0 {
			t.Errorf("with %d records for a plan %d keys are trimmed and %d versions left, want 10 and 0", records, trims, m.Superseded)
		}
	}
}

func TestPlanTrimsKeysWithTooManyVersions(t *testing.T) {
	for _, tc := range []struct{ versions, keep, left int }{{3, 4, 3}, {4, 4, 4}, {5, 4, 4}, {9, 4, 4}, {1, 1, 1}, {2, 1, 1}} {
		f := newFixture(t)
		for i := range tc.versions {
			f.do(set("k", fmt.Sprint(i)))
		}
		plan, next := f.view().PlanPrune(Retention{Versions: tc.keep, MaxBytes: 1 << 30, Tombs: 1000, Records: 1000}, 0)
		f.prune(plan.Through, plan.Trims, plan.Forgets)
		if n := len(f.view().History("k", 100)); n != tc.left {
			t.Errorf("of %d versions %d are left, want %d", tc.versions, n, tc.left)
		}
		if again, _ := f.view().PlanPrune(Retention{Versions: tc.keep, MaxBytes: 1 << 30, Tombs: 1000, Records: 1000}, next); !again.Empty() {
			t.Errorf("another plan for the same versions: %+v", again)
		}
	}
}

func TestPlanByAgeKeepsTheStateAtThatAge(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		f.do(set("k", fmt.Sprint(i))) // index i+1 at second i+1
	}
	for _, tc := range []struct {
		before  int64
		through uint64
	}{
		{0, 0}, {second - 1, 0}, {second, 1}, {4*second - 1, 3}, {4 * second, 4}, {4*second + 1, 4}, {10 * second, 10}, {99 * second, 10},
	} {
		plan, _ := f.view().PlanPrune(Retention{Before: tc.before, Versions: 99, MaxBytes: 1 << 30, Tombs: 99, Records: 1000}, 0)
		if plan.Through != tc.through {
			t.Errorf("what was superseded before %d ns is pruned through %d, want %d", tc.before, plan.Through, tc.through)
		}
	}
}

func TestPlanSparesDeletionsThatAreYoung(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		f.do(set(fmt.Sprint(i), "1"))
		f.do(del(fmt.Sprint(i)))
	}
	r := Retention{Before: 1 << 60, Protected: 12 * second, Versions: 64, MaxBytes: 1 << 30, Tombs: 2, Records: 1000}
	from := uint64(0)
	for {
		var plan Plan
		plan, from = f.view().PlanPrune(r, from)
		if plan.Empty() {
			break
		}
		f.prune(plan.Through, plan.Trims, nil)
	}
	f.prune(0, nil, f.view().PlanForgets(r))
	// Deletions at the seconds 2 to 12 may go, those at 14 to 20 may not.
	if m := f.view().Meta(); m.Tombstones != 4 || m.Floor != 12 || m.Superseded != 0 {
		t.Errorf("meta %+v, want the 4 youngest tombstones, floor 12 and no history", m)
	}
}
