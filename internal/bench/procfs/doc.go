// Package procfs reads from the outside what a process costs (CPU time,
// resident memory), what a folder takes on disk, and what machine this is.
//
// It owns the parsing of /proc and nothing else; who is measured, and when, is
// decided elsewhere. It works on Linux only.
//
// CPU time comes from the kernel's clock of the process where that is allowed,
// else from utime and stime of /proc/PID/stat. Both count the same thing; the
// clock counts it in nanoseconds, stat in ticks of 10 ms, which is too coarse
// for a burst that is over in 50 ms.
//
// Why not getrusage of a child: it is known only after the child has ended.
package procfs
