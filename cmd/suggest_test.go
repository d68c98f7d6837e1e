package cmd

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"delete", "export", "get", "history", "import", "ls", "put"}
	for _, tc := range []struct {
		rule, word string
		want       []string
	}{
		{"a letter too many", "gett", []string{"get"}},
		{"two letters swapped", "igmport", []string{"import"}},
		{"a letter that is missing", "delte", []string{"delete"}},
		{"the case does not matter", "GET", []string{"get"}},
		{"a beginning", "hist", []string{"history"}},
		{"nothing like it", "frobnicate", nil},
		{"a short word is not like every other", "xy", nil},
		{"the nearest comes first", "pet", []string{"get", "put"}},
		{"no word is like nothing", "", nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := nearest(tc.word, names); !slices.Equal(got, tc.want) {
				t.Errorf("nearest(%q) = %q, want %q", tc.word, got, tc.want)
			}
		})
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"größe", "grosse", 3}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
