// Package fsmpb is the generated form of the replicated commands and of the
// records of a snapshot. The schema is command.proto; `make generate` writes the
// rest.
package fsmpb
