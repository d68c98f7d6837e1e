// Package agent is the server process: configuration, the Raft node, leader
// duties, listeners, life and death. It is the only package that starts
// long-lived goroutines, through internal/run.
//
// # The way through it
//
// [New] opens what the server stands on, in this order: certificates, data dir,
// log store, state machine, Raft, HTTP listeners. [Agent.Run] serves until its context ends
// or something fatal happens, then closes in the opposite order: parked queries
// are answered, requests finish, Raft stops, files close.
//
// A write comes in through [Agent.Propose] (propose.go), a read through
// [Agent.ReadIndex] (readindex.go); both implement what package httpapi asks for.
//
// # Locks
//
// No lock of this package is held while another is taken, nor over disk, network
// or Raft. There are exceptions: reloads.mu keeps whole reloads apart, tlsconf's
// Keeper.looking looks at the certificate files, and logFile.mu keeps the lines of the
// log file in order, as the logger's own does. In
// package logstore, Store.writing is held while the log is written and flushed,
// which is its point; cache.mu and walLog.mu are below it.
//
// followers.mu is held for a map look-up only.
//
// # Why not
//
// There is no client agent that relays to servers: every process is a server, and
// clients speak to any of them.
package agent
