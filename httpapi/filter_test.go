package httpapi

import (
	"strings"
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	nodes := []CatalogNode{
		{Node: "a", Meta: map[string]string{"rack": "7"}, ModifyIndex: 5},
		{Node: "b", TaggedAddresses: map[string]string{"lan": "192.0.2.1"}},
	}
	for _, tc := range []struct {
		rule, expression string
		kept, err        string // names of the nodes; the beginning of the error
	}{
		{"none keeps all", "", "ab", ""},
		{"equal", `Node == "a"`, "a", ""},
		{"a number", `ModifyIndex == 5`, "a", ""},
		{"a key of a map", `Meta.rack == "7"`, "a", ""},
		{"a missing key equals nothing", `Meta.rack != "7"`, "b", ""},
		{"in a map", `"lan" in TaggedAddresses`, "b", ""},
		{"empty", `Meta is empty`, "b", ""},
		{"matches", `TaggedAddresses.lan matches "^192"`, "b", ""},
		{"and, or, not, parentheses", `not (Node == "a" and Meta.rack == "7") or Node == "a"`, "ab", ""},
		{"any value of a map", `any TaggedAddresses as k, v { v == "192.0.2.1" }`, "b", ""},

		{"an unknown field", `Bogus==1`, "", `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},
		{"an unknown field deep in the expression", `Node == "a" or not Bogus is empty`, "", `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},
		{"below a text there is nothing", `Node.first == "a"`, "", `Failed to create boolean expression evaluator: Selector "Node.first" is not valid`},
		{"an unknown list", `any Bogus as x { x == "a" }`, "", `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},
		{"an unknown field in a list's condition", `any Meta as k, v { Bogus == "a" }`, "", `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},
		{"no expression at all", `garbage`, "", `Failed to create boolean expression evaluator: 1:8 (7): no match found`},
		{"a bad regular expression", `Node matches "("`, "", "Failed to filter: "},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			keep, err := newFilter[CatalogNode](tc.expression)
			var kept []CatalogNode
			if err == nil {
				kept, err = keep.of(nodes)
			}
			if tc.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.err) || statusOf(err) != 500 {
					t.Fatalf("error is %v, want a 500 that begins with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names string
			for _, n := range kept {
				names += n.Node
			}
			if names != tc.kept || kept == nil {
				t.Errorf("kept %q (%v), want %q", names, kept, tc.kept)
			}
		})
	}
}

func TestFilterOfManyConditionsIsTaken(t *testing.T) {
	keep, err := newFilter[CatalogNode](strings.Repeat(`Node == "other" or `, 50) + `(Node == "a" and (Meta.rack == "7" or Meta is empty))`)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := keep.of([]CatalogNode{{Node: "a"}, {Node: "b"}}); err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// TestFilterThatNestsIsRefusedSoon holds the work of an expression to a bound:
// the grammar tries each parenthesis in several ways.
func TestFilterThatNestsIsRefusedSoon(t *testing.T) {
	began := time.Now()
	_, err := newFilter[CatalogNode](strings.Repeat("(", 10_000) + `Node == "a"` + strings.Repeat(")", 10_000))
	if err == nil {
		t.Error("an expression of 10,000 parentheses is taken")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("refusing took %s", took)
	}
}
