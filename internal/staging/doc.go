// Package staging holds what a batch of commands changes in a memdb table until
// the batch is written, so that each command sees the effects of those before it
// and a refused one leaves no trace.
//
// Reading from a memdb write transaction clones it and makes the next insert copy
// its path again; reading a snapshot with a few changed rows on top does not.
// The keys of package kvs, which are hot, have a tree that can do both.
package staging
