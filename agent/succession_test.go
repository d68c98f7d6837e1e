package agent

import "testing"

func TestWhoFollowsALeader(t *testing.T) {
	a, b, c := heir{"a", 3, 100}, heir{"b", 3, 100}, heir{"c", 3, 101}
	newer := heir{"d", 4, 7}
	for _, tc := range []struct {
		rule   string
		heirs  []heir
		voters int
		want   string // "" is nobody
	}{
		{"of equals the lowest id", []heir{b, a}, 3, "a"},
		{"whose log reaches further", []heir{a, c}, 3, "c"},
		{"whose last term is higher, before that", []heir{a, newer, c}, 5, "d"},
		{"nobody without a majority of all votes", []heir{a}, 3, ""},
		{"nor with half of them", []heir{a, b}, 4, ""},
		{"two of five are none", []heir{a, b}, 5, ""},
		{"three of five are one", []heir{a, b, c}, 5, "c"},
		{"the only survivor of two is none", []heir{a}, 2, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, id := range []string{"a", "b", "c", "d"} {
				if got := follows(id, tc.heirs, tc.voters); got != (id == tc.want) {
					t.Errorf("%s follows: %v", id, got)
				}
			}
		})
	}
}
