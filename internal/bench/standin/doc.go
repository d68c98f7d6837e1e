// Package standin is a stand-in for the store: a few hundred lines that speak
// as much of its API as the benchmark asks for, so that the benchmark itself can
// be tested quickly and without the store.
//
// It owns its own small key/value state, kept in a file when it is told where.
// It is for tests only, and its speed means nothing.
//
// Why not test against the store: a fault in the store would then fail the
// tests of the ruler it is measured with, and false wake-ups could not be made
// on purpose.
package standin
