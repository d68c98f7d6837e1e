package acl

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawText is a text that begins like many others: few bytes, zero and the largest among
// them, behind one of few beginnings of which some are longer than a word of memory.
var drawText = rapid.Custom(func(t *rapid.T) string {
	begin := rapid.SampledFrom([]string{"", "", "\x00", "a", "team-1/service/", "team-1/service/\x00\x00\x00\x00\x00\x00\x00\x00\x00", "team-2/"}).Draw(t, "begin")
	return begin + string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 'b', '/', 0x7f, 0x80, 0xff}), 0, 4).Draw(t, "rest"))
})

// drawEntries are the entries of a table, in order.
var drawEntries = rapid.Custom(func(t *rapid.T) []entry {
	var entries []entry
	for _, label := range rapid.SliceOfNDistinct(drawText, 0, 40, rapid.ID).Draw(t, "labels") {
		e := entry{label: label}
		e.exact.level = rapid.SampledFrom([]Level{LevelNone, LevelNone, LevelRead, LevelDeny}).Draw(t, "exact")
		e.prefix.level = rapid.SampledFrom([]Level{LevelNone, LevelRead, LevelWrite, LevelDeny}).Draw(t, "prefix")
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.label, b.label) })
	return entries
})

// longest finds what decides for a name by looking at every entry.
func longest(entries []entry, name string) (grant, bool) {
	best, found := -1, grant{}
	for _, e := range entries {
		if e.label == name && e.exact.level != LevelNone {
			return e.exact, true
		}
		if e.prefix.level != LevelNone && strings.HasPrefix(name, e.label) && len(e.label) > best {
			best, found = len(e.label), e.prefix
		}
	}
	return found, best >= 0
}

// alike counts the bytes that two texts begin with alike, one by one.
func alike(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// tableIsAList compares the answers of a table with those of the list that it is made of.
func tableIsAList(t *rapid.T) {
	entries := drawEntries.Draw(t, "entries")
	table := newTable(slices.Clone(entries))
	names := rapid.SliceOfN(drawText, 1, 20).Draw(t, "names")
	for _, e := range entries { // labels, and their neighbours
		names = append(names, e.label, e.label+"\x00", e.label[:len(e.label)/2])
	}
	for _, name := range names {
		most := 0
		for _, e := range entries {
			most = max(most, alike(e.label, name))
		}
		i, shared := table.nearest(name)
		switch {
		case len(entries) == 0 && i == -1:
		case i < 0 || shared != most || alike(entries[i].label, name) != most:
			t.Fatalf("entry %d has %d bytes of %q, some have %d", i, shared, name, most)
		}
		got, found := table.decide(access{Access: AccessRead}, name)
		if want, there := longest(entries, name); got != want || found != there {
			t.Fatalf("%q: %v %v, want %v %v", name, got, found, want, there)
		}
	}
}

func TestTableIsAList(t *testing.T) {
	checks(t, "2000")
	rapid.Check(t, tableIsAList)
}

// FuzzTable looks for labels and names for which it is not.
func FuzzTable(f *testing.F) { f.Fuzz(rapid.MakeFuzz(tableIsAList)) }

// TestForksOfMany: also where forks are deep, each label leads to itself, and its forks
// take eight bytes for each label.
func TestForksOfMany(t *testing.T) {
	for what, label := range map[string]func(i int) string{
		"each begins with the one before":  func(i int) string { return strings.Repeat("a", i) },
		"the deepest is the first":         func(i int) string { return strings.Repeat("a", 500-i) + "b" },
		"of zeros":                         func(i int) string { return strings.Repeat("\x00", i) },
		"as different as two bytes can be": func(i int) string { return string([]byte{byte(i), byte(i >> 8)}) },
	} {
		var entries []entry
		for i := range 500 {
			entries = append(entries, entry{label: label(i)})
		}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.label, b.label) })
		table := newTable(entries)
		if len(table.forks) != len(entries)-1 {
			t.Errorf("%s: %d forks for %d labels", what, len(table.forks), len(entries))
		}
		for i, e := range entries {
			if got, shared := table.nearest(e.label); got != i || shared != len(e.label) {
				t.Fatalf("%s: label %d leads to %d, of which it has %d bytes", what, i, got, shared)
			}
		}
	}
}
