// Package testcluster runs real holdfast processes for tests.
//
// A test asks for a Server and gets a process of its own, started from the real
// binary with a real configuration file, on ports of its own and a data directory
// below t.TempDir, that is ready to read and write. The test may kill it, stop it,
// start it again over the same data, take a snapshot or restore one; when the test
// ends the process is gone, and if the test failed its log has been printed.
//
// What it does not do: it knows the API only as far as starting, waiting and
// snapshots need it, it imports nothing of the server (the module of conformance
// tests uses it too), and it makes no promise about speed.
//
// StartCluster (cluster.go) makes several servers one cluster. Where the system has the
// whole of 127.0.0.0/8 as its own, as Linux has, what the servers say to each other can
// be made to go through a network that the test breaks (package faultnet).
//
// The way through it: Start (server.go) writes the configuration (config.go), takes
// ports (port.go), has the binary built (binary.go), starts the process
// (process.go) and waits until a linearizable read is answered (ready.go).
// EachMode (mode.go) runs one test against servers with different pasts.
//
// Invariants:
//   - Nothing waits for a time; everything waits for a condition, with a limit.
//   - A process never outlives its test, nor the test process if that is killed.
//   - Ports are never shared between two tests, in whatever process they run.
//
// Why not start the agent inside the test process: a kill -9 must be one, a lock on
// a data directory must be met by another process, and the flags, the files and the
// signal handling are part of what is tested. Building costs a second or two once,
// and starting one some tens of milliseconds.
package testcluster
