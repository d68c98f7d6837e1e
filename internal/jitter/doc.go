// Package jitter spreads times that would otherwise coincide. It decides nothing:
// where an answer depends on chance, chance is an argument.
package jitter
