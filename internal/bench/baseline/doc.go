// Package baseline keeps what a run of the benchmark must not fall behind: a table of
// figures that is committed, and the comparison of a run with it.
//
// It owns [Table], its file, the tolerance of each kind of figure, and [Table.Compare]. It
// measures nothing and does not print.
//
// What is kept are ratios to the limit or the floor of the same run, and, where there is
// neither, those values that do not depend on how fast the machine is: memory and counts.
// Seconds without a limit are not kept; they have bars.
//
// Invariants: a figure that got better never fails; one that the table has and the run
// has not always does, so that a cell cannot be lost unnoticed.
//
// Why tolerances by kind and not by figure: nobody could say where some hundred numbers
// come from. Five can be reasoned about.
package baseline
