// Package cells is what the benchmark measures, cell by cell.
//
// The way through it: [Run] goes through the groups of cells (get, list, put,
// txn, fan-out, wake, park, lock, store), gives each group a stage with fresh servers,
// and each cell a few rounds in which the server under test and the limit take
// turns. A cell gives a report.Row.
//
// It owns the questions that are asked, the data that is written before, the
// check that answers are right, and the bars. It does not own sockets (package
// load), processes (package target) or arithmetic on rounds (package report).
//
// Invariants: what a limit answers was recorded from the server under test; no
// cell measures while another server is under load; data is varied text, never
// one value over and over; a wrong answer breaks the cell. A bar stands with the name of its
// cell, and testdata/bars.txt lists all: none is loosened or dropped unseen.
//
// Why fresh servers for each group: a store that has taken a million writes is
// not the one that the next reader would compare with, and memory that an
// earlier cell has freed hides what the next one takes.
package cells
