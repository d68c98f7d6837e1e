package kvs

import (
	"fmt"
	"strings"
)

// checkMeta compares the facts that are kept with the rows they are about, and the
// change log with the versions that must be in it.
func (f *fixture) checkMeta() {
	f.t.Helper()
	for _, fault := range metaFaults(f.view()) {
		f.t.Error(fault)
	}
}

// metaFaults counts everything anew and lists what differs.
func metaFaults(v View) []string {
	var faults []string
	kept := v.Meta()
	count := Meta{Index: kept.Index, PrunedThrough: kept.PrunedThrough, PrunedTime: kept.PrunedTime, Floor: kept.Floor}
	inLog := map[*Version]bool{}
	var inItems int
	_ = v.Export(func(it *Item) error { // the visitor returns no error
		for _, old := range it.Older {
			count.Superseded++
			count.HistoryBytes += old.size()
		}
		if it.Live() {
			count.Live++
			count.LiveBytes += it.Cur.size()
		} else {
			count.Tombstones++
			count.HistoryBytes += it.Cur.size()
		}
		for _, version := range append(it.Older[:len(it.Older):len(it.Older)], it.Cur) {
			if version.Key != it.Key {
				faults = append(faults, fmt.Sprintf("key %q has a version of key %q", it.Key, version.Key))
			}
			if version.ModifyIndex > kept.PrunedThrough {
				inLog[version] = true
				inItems++
			}
			if version.ModifyIndex > kept.Index {
				faults = append(faults, fmt.Sprintf("key %q has index %d, above that of the store, %d", it.Key, version.ModifyIndex, kept.Index))
			}
		}
		return nil
	})
	if kept != count {
		faults = append(faults, fmt.Sprintf("kept facts\n%+v, counted\n%+v", kept, count))
	}
	var last *Version
	logged := 0
	v.Changes(kept.PrunedThrough, func(version *Version) bool {
		logged++
		if !inLog[version] {
			faults = append(faults, fmt.Sprintf("change log has %s, which no row has", show(version, true)))
		}
		if last != nil && !before(last, version) {
			faults = append(faults, fmt.Sprintf("change log has %s after %s", show(version, true), show(last, true)))
		}
		last = version
		return true
	})
	if logged != inItems {
		faults = append(faults, fmt.Sprintf("change log has %d versions, the rows have %d", logged, inItems))
	}
	total := 0
	v.Changes(0, func(*Version) bool { total++; return true })
	if total != logged {
		faults = append(faults, fmt.Sprintf("change log has %d versions at or below what is pruned", total-logged))
	}
	return faults
}

// dump writes everything that can be told of a state.
func dump(v View) string {
	var b strings.Builder
	m := v.Meta()
	fmt.Fprintf(&b, "%+v\n", m)
	_ = v.Export(func(it *Item) error { // the visitor returns no error
		fmt.Fprintf(&b, "%q floor=%d\n", it.Key, it.Floor)
		for _, version := range append(it.Older[:len(it.Older):len(it.Older)], it.Cur) {
			fmt.Fprintf(&b, "  %s time=%d kind=%d by=%+v\n", show(version, true), version.Time, version.Kind, version.By.Value())
		}
		return nil
	})
	v.Changes(m.PrunedThrough, func(version *Version) bool {
		fmt.Fprintf(&b, "log %d %q\n", version.ModifyIndex, version.Key)
		return true
	})
	return b.String()
}
