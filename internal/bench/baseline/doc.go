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
// come from. Five can be reasoned about. What differs from round to round of one run differs from
// run to run too, by as much: so a figure must also be worse than the worst round that was
// recorded, or a run with three lucky rounds would be a table that no later one can meet.
package baseline
