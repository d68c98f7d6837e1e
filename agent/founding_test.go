package agent

import (
	"testing"
	"time"
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
