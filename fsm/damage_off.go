//go:build !holdfast_damage

package fsm

import "github.com/holdfast-kv/holdfast/kvs"

func damage(*kvs.Op) {}
