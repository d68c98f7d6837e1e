package torture

import (
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func TestRegisterModel(t *testing.T) {
	known := func(ok bool) output { return output{known: true, ok: ok} }
	for _, tc := range []struct {
		rule     string
		current  value
		in       input
		out      output
		possible bool
		next     value
	}{
		{"a read sees the current value", 3, input{verb: read}, output{known: true, value: 3}, true, 3},
		{"a read sees no other", 3, input{verb: read}, output{known: true, value: 2}, false, 3},
		{"a put replaces", 3, input{verb: put, value: 4}, known(true), true, 4},
		{"a delete leaves nothing", 3, input{verb: remove}, known(true), true, 0},
		{"a condition that holds", 3, input{verb: cas, value: 4, expect: 3}, known(true), true, 4},
		{"a condition that holds and is refused", 3, input{verb: cas, value: 4, expect: 3}, known(false), false, 4},
		{"a condition that does not hold", 3, input{verb: cas, value: 4, expect: 2}, known(false), true, 3},
		{"a condition that does not hold and is accepted", 3, input{verb: cas, value: 4, expect: 2}, known(true), false, 3},
		{"the condition that there is no key", 0, input{verb: cas, value: 4}, known(true), true, 4},
		{"an unknown outcome of a condition that holds", 3, input{verb: cas, value: 4, expect: 3}, output{}, true, 4},
		{"an unknown outcome of one that does not", 3, input{verb: cas, value: 4, expect: 2}, output{}, true, 3},
		{"a conditional delete", 3, input{verb: casRemove, expect: 3}, known(true), true, 0},
		{"one whose condition does not hold", 3, input{verb: casRemove, expect: 2}, known(false), true, 3},
		{"one of a key that is not there succeeds", 0, input{verb: casRemove, expect: 2}, known(true), true, 0},
		{"and never fails", 0, input{verb: casRemove, expect: 2}, known(false), false, 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			possible, next := step(tc.current, tc.in, tc.out)
			if possible != tc.possible || possible && next != tc.next {
				t.Errorf("%s at %d: possible %v, next %d; want %v, %d", describe(tc.in, tc.out), tc.current, possible, next, tc.possible, tc.next)
			}
		})
	}
}

// TestHistories: what is linearizable and what is not, in the smallest cases.
func TestHistories(t *testing.T) {
	op := func(call, ret int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: ret}
	}
	const never = 1 << 60
	sees := func(v value) output { return output{known: true, value: v} }
	done := output{known: true, ok: true}
	for _, tc := range []struct {
		rule string
		want bool
		ops  []porcupine.Operation
	}{
		{"a read after a write sees it", true, []porcupine.Operation{
			op(0, 1, input{verb: put, value: 1}, done), op(2, 3, input{verb: read}, sees(1)),
		}},
		{"a read after a write does not see the past", false, []porcupine.Operation{
			op(0, 1, input{verb: put, value: 1}, done), op(2, 3, input{verb: read}, sees(0)),
		}},
		{"a read during a write sees either", true, []porcupine.Operation{
			op(0, 9, input{verb: put, value: 1}, done), op(2, 3, input{verb: read}, sees(0)), op(4, 5, input{verb: read}, sees(1)),
		}},
		{"but not first the new and then the old", false, []porcupine.Operation{
			op(0, 9, input{verb: put, value: 1}, done), op(2, 3, input{verb: read}, sees(1)), op(4, 5, input{verb: read}, sees(0)),
		}},
		{"an unknown write may come late", true, []porcupine.Operation{
			op(0, never, input{verb: put, value: 1}, output{}), op(2, 3, input{verb: put, value: 2}, done),
			op(4, 5, input{verb: read}, sees(2)), op(6, 7, input{verb: read}, sees(1)),
		}},
		{"or never", true, []porcupine.Operation{
			op(0, never, input{verb: put, value: 1}, output{}), op(2, 3, input{verb: read}, sees(0)),
		}},
		{"but not twice", false, []porcupine.Operation{
			op(0, never, input{verb: put, value: 1}, output{}), op(2, 3, input{verb: read}, sees(1)),
			op(4, 5, input{verb: put, value: 2}, done), op(6, 7, input{verb: read}, sees(1)),
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := porcupine.CheckOperations(register, tc.ops); got != tc.want {
				t.Errorf("linearizable: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestLongestSilence(t *testing.T) {
	ms := func(n ...int) (times []time.Duration) {
		for _, k := range n {
			times = append(times, time.Duration(k)*time.Millisecond)
		}
		return times
	}
	for _, tc := range []struct {
		rule     string
		times    []time.Duration
		from, to int
		want     int
	}{
		{"between two successes", ms(10, 20, 50, 60), 10, 60, 30},
		{"times in any order", ms(60, 20, 50, 10), 10, 60, 30},
		{"one that began before the span counts whole", ms(10, 50, 55), 40, 60, 40},
		{"one that is over before the span does not", ms(10, 50, 55, 60), 52, 60, 5},
		{"the last reaches to the end", ms(10, 20), 10, 90, 70},
		{"nothing after the beginning", ms(10), 50, 90, 40},
		{"nothing at all", nil, 50, 90, 40},
		{"what comes after the span does not count", ms(10, 20, 500), 10, 90, 70},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
			if got := longestSilence(tc.times, at(tc.from), at(tc.to)).length(); got != at(tc.want) {
				t.Errorf("%s, want %s", got, at(tc.want))
			}
		})
	}
}

func TestOverlaps(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		tenures []tenure
		want    string // "" is nothing
	}{
		{"one after another", []tenure{{fence: 5, asked: 0, from: 1, till: 3}, {fence: 8, asked: 2, from: 4, till: 6}}, ""},
		{"two at a time", []tenure{{fence: 5, asked: 0, from: 1, till: 5}, {fence: 8, asked: 2, from: 4, till: 6}}, "two holders"},
		{"one within a longer one", []tenure{
			{fence: 5, asked: 0, from: 1, till: 20}, {fence: 8, asked: 2, from: 4, till: 6}, {fence: 9, asked: 7, from: 8, till: 9},
		}, "two holders"},
		{"a number twice", []tenure{{session: "a", fence: 5, asked: 0, from: 1, till: 3}, {session: "b", fence: 5, asked: 3, from: 4, till: 6}}, "do not grow"},
		{"a number twice, for one who never let go", []tenure{{session: "a", fence: 5, asked: 0, from: 1, till: 3}, {session: "a", fence: 5, asked: 3, from: 4, till: 6}}, ""},
		{"a smaller number", []tenure{{fence: 5, asked: 0, from: 1, till: 3}, {fence: 4, asked: 3, from: 4, till: 6}}, "do not grow"},
		{"a server without numbers", []tenure{{asked: 0, from: 1, till: 3}, {asked: 3, from: 4, till: 6}}, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got := strings.Join(overlaps(tc.tenures), "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLedgerComparison(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		record record
		held   *entry
		want   string
	}{
		{"what was acknowledged is there", record{value: "a", index: 7}, &entry{Value: []byte("a"), ModifyIndex: 7}, ""},
		{"it is not", record{value: "a", index: 7}, nil, "lost"},
		{"something older is there", record{value: "b", index: 9}, &entry{Value: []byte("a"), ModifyIndex: 7}, "holds"},
		{"it has another index", record{value: "a", index: 7}, &entry{Value: []byte("a"), ModifyIndex: 8}, "index"},
		{"an open write came", record{value: "a", index: 7, open: []string{"b"}}, &entry{Value: []byte("b"), ModifyIndex: 8}, ""},
		{"an open write did not come", record{open: []string{"b"}}, nil, ""},
		{"something nobody wrote", record{value: "a", index: 7, open: []string{"b"}}, &entry{Value: []byte("c"), ModifyIndex: 8}, "holds"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			e, found := entry{}, tc.held != nil
			if found {
				e = *tc.held
			}
			got := tc.record.compare(e, found)
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   outcome
	}{
		{200, "true", done},
		{404, "", done},
		{409, "fenced", done},
		{429, "too many", refused},
		{500, "No cluster leader", refused},
		{500, "rpc error making call: No cluster leader", refused},
		{500, "raft apply failed: leadership lost while committing log", unknown},
		{503, "", unknown},
	} {
		if got, _ := judge(tc.status, []byte(tc.body)); got != tc.want {
			t.Errorf("%d %q is %d, want %d", tc.status, tc.body, got, tc.want)
		}
	}
}
