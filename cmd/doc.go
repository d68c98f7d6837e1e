// Package cmd is the command line: one file per verb.
//
// Every verb but "agent" talks to a server through package api, like any user
// would; none reaches into the server. Verbs, flags and outputs that Consul's
// command line has keep its words, so that scripts go on working.
//
// # The way through it
//
// [Main] builds the tree of commands (newRoot, root.go), lets normalize
// (dashes.go) rewrite single-dash long flags, and runs it. A verb is a function
// newXCommand that returns a cobra command whose RunE returns an error; it
// prints data through printer (output.go), talks to a server through connection
// (connection.go), and knows nothing of exit codes. Main shows the error
// (failure.go) and turns it into a code (exitcodes.go).
//
// # Invariants
//
//   - Data goes to standard output, everything else to standard error. Values are
//     bytes: what is stored is what is printed and what was given is stored.
//   - One table decides the exit codes of all verbs.
//   - Colour and progress go to a terminal only, and never carry meaning alone.
//   - Flags stand before operands. The first operand ends them, so that a value
//     may begin with a dash.
//
// # Why not
//
// Not a library that takes single-dash flags by itself: cobra has the completion,
// the suggestions and the help that users of neighbouring tools know, and the
// rewriting is a page of code.
package cmd
