// Package archtest keeps the order that the style guide asks for, by ordinary tests.
//
// It owns no code that runs: only rules about the code of the others.
//
//   - imports_test.go: who may import whom, as a table. Every package has a row; one
//     that has none fails, so that a new package is drawn before it is used.
//   - comments_test.go: every package says in doc.go what it is.
//   - goroutine_test.go: a bare go statement only where somebody waits for it.
//   - determinism_test.go: no clock, randomness, goroutine, environment, float or map
//     order in what applying a log entry can reach (graph_test.go finds what that is).
//   - text_test.go: no machine's paths, no stray words, no note of work to do without an issue.
//
// Each rule is a function over parsed source, and each has a test of its own that
// shows it a small offender: a rule that cannot fail protects nothing.
//
// Why not a linter's plug-in: these rules are about this project only, they need the
// standard library and nothing else, and whoever breaks one finds it by its test.
package archtest
