// Package hostinfo looks at the machine a server runs on: memory, processors,
// system, and the disk below a path, in the form that GET /v1/agent/host answers
// with.
//
// It reads what the kernel shows in /proc and what statfs says; it keeps nothing
// and starts nothing. On systems other than Linux it knows names only, and says
// so in [Info].Errors. Identifiers of the machine are left out on purpose: they
// are nobody's business on the network.
//
// Why not a library: the common ones bring a dozen modules, and here two hundred
// lines are enough.
package hostinfo
