// Package clustertest holds the tests in which several real server processes are one
// store. It has no code but tests:
//
//   - tls_test.go: connections between servers that are encrypted, and who is refused
//   - gossipkey_test.go: the key of the gossip
//   - member_test.go: who joins, who leaves, who has a vote
//   - place_test.go: who is taken out, who is cut off, and how a server leaves
//   - catchup_test.go: who comes late, under load
//   - upgrade_test.go, differ_test.go: servers that are made otherwise: of the next
//     version, or broken
//   - store_test.go: sessions, locks, reads and restores on any server
//
// What happens when servers die or lose each other is for package torture; what each
// server answers by itself is for package contract.
package clustertest
