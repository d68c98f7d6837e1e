// Package crashtest holds the tests in which real server processes die.
//
// What they show is the second promise of the architecture: a write that was
// acknowledged is there after a kill -9, whatever the server was doing, and one that
// was not is either there whole or not at all. It has no code but tests:
//
//   - load_test.go: writers that keep a ledger of what was acknowledged, and the
//     comparison of the ledgers with what a server holds
//   - kill_test.go: kill -9 under that load and during the start
//   - stop_test.go: SIGTERM, SIGINT, the second signal, and the lock on the data
//   - damage_test.go: files that were cut, emptied, flipped or taken away
//   - client_test.go: kill -9 of a client, of which the server keeps nothing
//   - exclusion_test.go: locks under kill -9: nobody believes to hold what another has
//   - secrets_test.go: whatever is done, no secret and no value is where it must not be
//
// A kill -9 is not a power cut: what a process has given to the operating system
// survives it. That fsync is really called before the answer is for the tests of
// the log stores.
package crashtest
