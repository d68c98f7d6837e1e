// Package snippets runs the commands that the documents show.
//
// A fenced block marked "console" holds commands, each behind "$ " and its further
// lines behind "> ", and under each what it prints. All such blocks of a document are run in order, by one shell,
// against a fresh server, and must print just that: a document cannot lie for long.
// Where "…" stands anything may be printed. The address in the documents,
// 127.0.0.1:8500, is replaced by the server's.
package snippets
