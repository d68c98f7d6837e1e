// Package catalog holds what sessions and their clients need to know of nodes:
// which nodes there are, the checks on them, and the services that clients have
// registered there.
//
// It owns the tables of nodes, services and checks and the rules of registering
// and removing them. Like its sister packages it knows nothing of Raft, HTTP or
// clocks, and an index is an argument. It does not know sessions either: it tells
// which checks have become critical or are gone ([Ended]), and package fsm ends
// the sessions that are bound to them in the same command.
//
// # Invariants
//
//   - A service or check belongs to a node that exists; it goes with it.
//   - A row that is registered again unchanged keeps its indexes.
//   - A check shows the name and the tags of its service as they are.
//   - No name holds a zero byte: it ends names in the ids of rows.
//
// # Why not
//
// This is not service discovery: no queries by distance, no mesh. It exists since
// clients of the key/value store look for nodes and checks before they lock.
package catalog
