package cmd

import (
	"slices"
	"strings"
)

// nearest lists those of names that the user may have meant by word, the likeliest
// first, at most three.
func nearest(word string, names []string) []string {
	type guess struct {
		name string
		far  int
	}
	var guesses []guess
	limit := max(1, len(word)/3) // one slip in a short word, more in a long one
	for _, name := range names {
		far := distance(strings.ToLower(word), name)
		if len(word) > 2 && strings.HasPrefix(name, strings.ToLower(word)) {
			far = min(far, limit)
		}
		if far <= limit {
			guesses = append(guesses, guess{name, far})
		}
	}
	slices.SortStableFunc(guesses, func(a, b guess) int { return a.far - b.far })
	var found []string
	for _, g := range guesses[:min(3, len(guesses))] {
		found = append(found, g.name)
	}
	return found
}

// distance counts the letters that must be added, dropped, replaced or swapped with
// their neighbour to make b out of a.
func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	var before, last, row []int // two rows back, one row back, this one
	last = make([]int, len(rb)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(ra); i++ {
		row = make([]int, len(rb)+1)
		row[0] = i
		for j := 1; j <= len(rb); j++ {
			cost := 1
			if ra[i-1] == rb[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && ra[i-1] == rb[j-2] && ra[i-2] == rb[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(rb)]
}
