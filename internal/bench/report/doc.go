// Package report turns what was measured into what a reader needs: medians over
// rounds, paired ratios, the bar that a figure has to reach, a table and a JSON
// file.
//
// It owns [Figure], [Bar] and [Row] and the arithmetic on them. It measures
// nothing.
//
// Invariants: round i of the server under test is only ever divided by round i
// of the limit, the floor or the peer, since both were taken seconds apart and see
// the same noise; a value that nobody could measure is NaN, never 0, and a bar on
// it is neither met nor missed.
package report
