//go:build unix

package faults

import "testing"

func TestSeries(t *testing.T) {
	const page = "# TYPE a counter\na_total 3\na 1.2e+01\nb{x=\"1\"} 5\nc x\n"
	for _, tc := range []struct {
		rule, name string
		want       uint64
		fault      string
	}{
		{"a whole number", "a_total", 3, ""},
		{"a large one", "a", 12, ""},
		{"one that is not there", "d", 0, "the metrics have no d"},
		{"one with labels only", "b", 0, "the metrics have no b"},
		{"no number", "c", 0, `read c in the metrics: strconv.ParseFloat: parsing "x": invalid syntax`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := series([]byte(page), tc.name)
			fault := ""
			if err != nil {
				fault = err.Error()
			}
			if got != tc.want || fault != tc.fault {
				t.Errorf("%d, %q, want %d, %q", got, fault, tc.want, tc.fault)
			}
		})
	}
}
