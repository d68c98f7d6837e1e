// Package torture puts a load on the servers of a store and finds out what they
// promised and did not keep.
//
// It owns the load (what clients do, and a record of what they were told), the
// checks of that record, and the table in which the outcome is shown. It does not
// own the servers, nor what happens to them: it knows them by their addresses. So
// its own tests give it servers that break each promise, one by one, and it must
// catch every one (broken_test.go); package faults gives it real ones.
//
// # What is checked
//
//   - Keys are linearizable in default and consistent mode, on whichever server they
//     are read and written: the record of each key is searched for an order that
//     explains it, by package porcupine (register.go, model.go).
//   - One write has one index, wherever it is seen (register.go).
//   - A write that was acknowledged is there at the end, on every server, at the index
//     it was acknowledged with, and nothing that nobody wrote (ledger.go).
//   - The servers have the same state at the end, byte for byte (settle.go).
//   - Stale reads, and watchers, of one server never go back (stale.go, watch.go).
//   - Watchers on every server see the last value of each key, and soon (watch.go).
//   - Two sessions never hold a lock at the same time, fencing numbers grow with every
//     change of hands, and a write of an earlier holder is refused (lock.go).
//
// Measured, for others to judge: the longest time in which no write succeeded, per
// server and of all; how long the servers took to be equal; how late watchers were. Beside
// them stands what the machine cost, without any server (witness.go).
//
// # The way through it
//
// Start begins the load. Mark says when the fault begins and ends. AwaitWrites waits
// until every server takes writes again; Settle ends the load, waits until the
// servers are equal and the watchers have seen the end, checks everything and returns
// a Result.
//
// # Outcomes
//
// An answer is one of three things: done; certainly not done (nobody was there, or
// the server says that there was no leader); unknown. A write with an unknown outcome
// may take effect at any later time, or never, and the checks allow for both. That a
// server says "no leader" although it has written is a broken promise and is found.
//
// # Invariants
//
//   - Histories are short: a key is given up for another after some tens of
//     operations, so that the search for an order ends.
//   - What is recorded and kept is bounded by the time the load runs and its pace.
//   - The same seed gives the same sequence of decisions of each client; what the
//     servers and the machine make of them is not repeatable.
package torture
