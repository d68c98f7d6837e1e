// Package version knows which build of Holdfast is running.
//
// It owns three strings, Version, Commit and BuildDate, and the one line made of
// them. `make build` sets them with the linker; a binary built in another way
// ("go install", "go run", a test) finds what the Go tool chain recorded about
// itself, and what nobody recorded has a value that says so. None is ever empty,
// so callers need no fallback of their own.
//
// The values are set before main starts and never change afterwards: read them
// from any goroutine.
package version
