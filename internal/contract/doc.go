// Package contract replays the cases of the wire contract against a real server.
//
// The contract, with its cases and the program that runs them, is kept outside this
// repository. The tests look for it in the folder that HOLDFAST_CONTRACT_DIR names,
// or beside the repository in shared/contract, and are skipped where it is absent.
//
// They run against a server alone, one in memory, and the leader and the followers of a
// cluster of three; alone and in a cluster once for each who may read requests.
//
// The cases of access control have their own program; they run in every start state that
// they name and on each server of a cluster, for each who may read requests, and again
// after a restart and after a restore.
//
// They run every case of the areas that are built. The cases that cannot pass are
// listed by name in exceptions_test.go, each with its reason: those about something
// that is not built yet, and those that fix a behaviour which Holdfast changes on
// purpose. A case outside the list must pass, and one on it must fail, so that the
// list can only tell the truth.
package contract
