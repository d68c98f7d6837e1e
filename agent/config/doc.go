// Package config turns flags, environment variables and files into the one
// [Config] that a server runs with.
//
// It owns the names, defaults, units and bounds of every setting (the table:
// options.go has its shape, options_*.go have its rows), the two file dialects
// (HCL and JSON, with Consul's key names), the order in which sources win, the check of the result, and the reference
// page of the documentation, which is written from the same table. It does not
// own what a setting does: that is the business of whoever reads the field.
//
// The way through it: [Load] takes [Sources] and returns [Loaded]. Sources are
// read from the weakest to the strongest: defaults, what -dev implies, files in
// the order given, environment, flags. A later scalar replaces an earlier one;
// lists and maps grow, as they do in Consul. Then addresses are worked out,
// and [Config.Validate] judges the whole.
//
// Invariants:
//
//   - Every leaf of Config is in the table exactly once; a test says so.
//   - All faults of all sources are reported together, each with its place.
//   - A secret leaves this package only inside Config, never in a Setting, a
//     Change, a fault or the debug map.
//   - [Reloadable] has exactly the fields that the table calls reloadable.
//
// Why not struct tags and a decoding library: the table must also make flags,
// environment names, the page and the explanation of where a value came from,
// and it must name file, line and the nearest key when something is wrong.
// A decoder gives none of that, and two descriptions of one key drift apart.
// The price is a table of some hundred rows.
package config
