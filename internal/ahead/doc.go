// Package ahead lets a stream be made by one goroutine and used by another, so that both
// share the time.
//
// The way through it: [NewReader] reads ahead of whoever reads from it, [NewWriter] writes
// behind whoever writes to it. Either is used by one goroutine, has one of its own, and must
// be closed, which waits for that one.
//
// It holds a bounded number of pieces: 6 of 256 KiB for each stream. What is handed on is
// copied once more, which costs a tenth of what reading it from a socket or writing it to a
// file does.
//
// Why not io.Pipe: each read there waits for a write, and the other way round, so neither side
// is ahead of the other by more than one call.
package ahead
