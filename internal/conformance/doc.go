// Package conformance drives a real server with Consul's own Go client, unchanged.
//
// It is what the first promise, drop-in, means for a Go program that exists: each
// test uses the client as its documentation says and looks only at what the client
// returns. It is a module of its own, so that nothing of Consul, not even for tests,
// is among the requirements of the server or of our client.
//
// The files are named after what of the client they use: kv_test.go, txn_test.go,
// blocking_test.go, snapshot_test.go, cluster_test.go, session_test.go, lock_test.go,
// semaphore_test.go, acl_test.go. In interop_test.go our own client and "holdfast lock" contend with
// it for the same locks. holder_test.go is a process that holds a lock and is killed.
package conformance
