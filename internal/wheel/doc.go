// Package wheel keeps very many times and tells when they have come.
//
// It owns one timer for all of them. To add and to remove one takes the same however many
// there are, and allocates nothing: the [Timer] lies inside of what waits. It does not know
// what the times are for.
//
// The way through it: [New], then [Wheel.Add] and [Wheel.Remove], then [Wheel.Close].
//
// Times are kept to a [Tick]: each is rounded up to the next one, so what is due is due
// together, and none is ever early. They lie in the slots of several wheels, of which each
// turns once while the next one moves by a slot; what is in a slot whose turn has come is put
// into the wheels below. So a time of ten minutes is moved twice at most, and the timer is set
// to the next slot that has something in it.
//
// Why not the timers of the runtime: each takes a timer and a function of its own, about 200
// bytes, a place in a heap, and a goroutine when it is due. Here that is one for all of a tick.
package wheel
