package config

import (
	"strings"
	"unicode"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Where string `json:"where"` // "conf.d/a.hcl:12", "flag -http-port", "environment variable HOLDFAST_…"; may be empty
	Key   string `json:"key"`   // the file key of the setting; empty if it is not about one
	Why   string `json:"why"`   // what is wrong and what would be right, in one line
}

// Error returns the fault in one line.
func (f Fault) Error() string {
	var parts []string
	for _, p := range []string{f.Where, f.Key, f.Why} {
		if p != "" {
			parts = append(parts, strings.Map(oneLine, strings.ReplaceAll(p, "\n", "; ")))
		}
	}
	return strings.Join(parts, ": ")
}

// oneLine keeps what a file says from breaking lines or steering a terminal.
func oneLine(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

// Faults is everything that is wrong with a configuration, in the order in
// which it was met. As an error it is never empty.
type Faults []Fault

// Error returns the faults, each on its own line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single [Fault].
func (f Faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i := range f {
		errs[i] = f[i]
	}
	return errs
}

// orNil is f as an error that is nil when there is no fault.
func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
