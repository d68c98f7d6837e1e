//go:build holdfast_damage

package fsm

import "github.com/holdfast-kv/holdfast/kvs"

// A program that is built with this file applies a write to one key otherwise than the
// log says, as a server with broken memory would: tests see whether that is found.

const damagedKey = "damage/this"

func damage(op *kvs.Op) {
	if op.Key == damagedKey {
		op.Flags++
	}
}
