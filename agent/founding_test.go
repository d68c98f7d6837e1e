package agent

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/gossip"
)

func TestPromisesOfANewCluster(t *testing.T) {
	type ask struct {
		after time.Duration // since the one before
		ids   []string
		by    string
		kept  bool // whether it is promised
	}
	ab, abc := []string{"a", "b"}, []string{"a", "b", "c"}
	for _, tc := range []struct {
		rule     string
		hasState bool
		asks     []ask
	}{
		{"the first that asks gets it", false, []ask{{0, abc, "a", true}}},
		{"a server with state promises nothing", true, []ask{{0, abc, "a", false}}},
		{"nor does one that is not meant", false, []ask{{0, []string{"a", "c"}, "a", false}}},
		{"the same promise is given again", false, []ask{{0, abc, "a", true}, {time.Second, abc, "a", true}}},
		{"another set is refused", false, []ask{{0, abc, "a", true}, {time.Second, ab, "a", false}}},
		{"another founder is refused", false, []ask{{0, abc, "a", true}, {time.Second, abc, "c", false}}},
		{"until the promise is over", false, []ask{{0, abc, "a", true}, {promiseHolds - 1, ab, "c", false}, {1, ab, "c", true}}},
		{"which begins anew when it is given again", false, []ask{
			{0, abc, "a", true}, {promiseHolds - 1, abc, "a", true}, {promiseHolds - 1, ab, "a", false}, {1, ab, "a", true},
		}},
		{"and not when another is refused", false, []ask{{0, abc, "a", true}, {promiseHolds - 1, ab, "a", false}, {1, ab, "a", true}}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			now := time.Unix(1000, 0)
			f := &founding{now: func() time.Time { return now }, self: "b", hasState: func() bool { return tc.hasState }}
			for i, a := range tc.asks {
				now = now.Add(a.after)
				if err := f.promise(a.ids, a.by); (err == nil) != a.kept {
					t.Errorf("ask %d: %v, want promised = %v", i, err, a.kept)
				}
			}
		})
	}
}

func TestAPromiseIsOfWhatWasAsked(t *testing.T) {
	f := &founding{now: func() time.Time { return time.Unix(1, 0) }, self: "a", hasState: func() bool { return false }}
	ids := []string{"a", "b"}
	if err := f.promise(ids, "a"); err != nil {
		t.Fatal(err)
	}
	ids[1] = "c" // the caller's
	if err := f.promise([]string{"a", "b"}, "a"); err != nil {
		t.Error(err)
	}
}

// A founder must be done well before the first promise that it got can be over.
func TestFoundingFitsIntoItsPromises(t *testing.T) {
	if 2*foundWithin > promiseHolds {
		t.Errorf("%s to found, %s of promise", foundWithin, promiseHolds)
	}
}

// TestWhoFoundsACluster: the server with the lowest id of those that have met, as soon as
// they are as many as they expect, and with no more than that.
func TestWhoFoundsACluster(t *testing.T) {
	member := func(id string, change ...func(*gossip.Member)) gossip.Member {
		m := gossip.Member{ID: id, Status: gossip.Alive, Tags: map[string]string{gossip.TagExpect: "3"}}
		for _, c := range change {
			c(&m)
		}
		return m
	}
	expect := func(n int) func(*gossip.Member) {
		return func(m *gossip.Member) { m.Tags[gossip.TagExpect] = strconv.Itoa(n) }
	}
	status := func(s gossip.Status) func(*gossip.Member) { return func(m *gossip.Member) { m.Status = s } }
	replica := func(m *gossip.Member) { m.Tags[gossip.TagReplica] = "1" }
	for _, tc := range []struct {
		rule    string
		self    string
		members []gossip.Member
		want    string // ids in order; "" for nobody
	}{
		{"three of three", "a", []gossip.Member{member("c"), member("a"), member("b")}, "abc"},
		{"another has the lowest id", "b", []gossip.Member{member("c"), member("a"), member("b")}, ""},
		{"too few", "a", []gossip.Member{member("a"), member("b")}, ""},
		{"the lowest of too many", "a", []gossip.Member{member("d"), member("c"), member("b"), member("a")}, "abc"},
		{"one too many founds nothing", "d", []gossip.Member{member("d"), member("c"), member("b"), member("a")}, ""},
		{"a failed one does not count", "a", []gossip.Member{member("a"), member("b"), member("c", status(gossip.Failed))}, ""},
		{"nor one that left", "a", []gossip.Member{member("a"), member("b"), member("c", status(gossip.Left))}, ""},
		{"nor a read replica", "a", []gossip.Member{member("a"), member("b"), member("c", replica)}, ""},
		{"nor one that expects another number", "a", []gossip.Member{member("a"), member("b"), member("c", expect(5))}, ""},
		{"nor one without an id", "a", []gossip.Member{member("a"), member("b"), member("")}, ""},
		{"the lowest that counts founds", "b", []gossip.Member{member("a", replica), member("b"), member("c"), member("d")}, "bcd"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			before := slices.Clone(tc.members)
			got := ""
			for _, m := range foundingSet(tc.members, tc.self, 3) {
				got += m.ID
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			for i := range before {
				if before[i].ID != tc.members[i].ID {
					t.Error("the members were sorted in their place")
				}
			}
		})
	}
}
