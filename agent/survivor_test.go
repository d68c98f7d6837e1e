package agent

import (
	"strings"
	"testing"
)

// TestWhoMayBeRecovered: only the furthest of a minority that is left.
func TestWhoMayBeRecovered(t *testing.T) {
	servers := func(ids string) (list []SurvivorPeer) {
		for _, id := range strings.Split(ids, "") {
			// Nobody listens at port 1.
			list = append(list, SurvivorPeer{ID: id, Address: "127.0.0.1:1", Voter: id != "r"})
		}
		return list
	}
	of := func(id string, term, index uint64, ids string) Survivor {
		return Survivor{NodeID: id, LastTerm: term, LastIndex: index, Servers: servers(ids)}
	}
	for _, tc := range []struct {
		rule   string
		self   Survivor
		others []Survivor
		says   string // "": it may
	}{
		{"one of three", of("a", 2, 10, "abc"), nil, ""},
		{"two of three are a majority", of("a", 2, 10, "abc"), []Survivor{of("b", 2, 10, "abc")}, "no majority is lost: 2 of 3"},
		{"a server alone has lost nobody", of("a", 2, 10, "a"), nil, "no majority is lost: 1 of 1"},
		{"a replica's report is no vote", of("a", 2, 10, "abcr"), []Survivor{of("r", 2, 9, "abcr")}, ""},
		{"a replica that is further", of("a", 2, 10, "abcr"), []Survivor{of("r", 2, 11, "abcr")}, "server r is further"},
		{"a higher index is further", of("a", 2, 10, "abcde"), []Survivor{of("b", 2, 11, "abcde")}, "server b is further"},
		{"a higher term is further than a higher index", of("a", 3, 10, "abcde"), []Survivor{of("b", 2, 99, "abcde")}, ""},
		{"equal ones may both", of("a", 2, 10, "abcde"), []Survivor{of("b", 2, 10, "abcde")}, ""},
		{"the furthest knows the cluster", of("a", 2, 10, "abc"), []Survivor{of("b", 2, 20, "abcde")}, "server b is further"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			err := tc.self.MayRecover(tc.others)
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error is %v, want %q", err, tc.says)
			}
		})
	}
}
