// Package faults does to real clusters what can happen to them, under the load of
// package torture.
//
// Each fault is a row of a table (faults.go): what it does to which servers, and what
// it may cost. run.go starts a cluster, puts the load on it, has the fault happen and
// hands back what was found. Two tests use it: TestFaults, a short run of each fault
// with a fixed seed, which judges broken promises only; and TestLong, behind "make
// torture", which repeats them, judges the cost too and prints a table.
//
// What it does not do: it breaks no disks (internal/crashtest does, of one server), and
// a server that is killed loses nothing that it gave to the operating system.
package faults
