//go:build holdfast_next

package fsm

import "google.golang.org/protobuf/encoding/protowire"

// A program that is built with this file pretends to be the next version, for tests of
// upgrades: it has one kind of log entry more. User events are written as that kind, so
// that a test has something to ask for.

const beyond = 1

// nextField is the number of the new kind in a Command, eventField that of an event.
const (
	nextField  = 1000
	eventField = 10
)

func isNext(n protowire.Number) bool { return n == nextField }

// toNext gives an event in a log entry the number of the new kind; the Command begins at
// an offset.
func toNext(entry []byte, offset int) []byte {
	return append(entry[:offset:offset], renumbered(entry[offset:], eventField, nextField)...)
}

func fromNext(data []byte) []byte { return renumbered(data, nextField, eventField) }

// ofNext tells whether a Command is of the new kind.
func ofNext(data []byte) bool {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeTag(data)
		length := protowire.ConsumeFieldValue(n, kind, data[max(size, 0):])
		if size < 0 || length < 0 {
			return false
		}
		if n == nextField {
			return true
		}
		data = data[size+length:]
	}
	return false
}

// renumbered is a message in which a field has another number.
func renumbered(data []byte, from, to protowire.Number) (out []byte) {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeTag(data)
		length := protowire.ConsumeFieldValue(n, kind, data[max(size, 0):])
		if size < 0 || length < 0 {
			return append(out, data...) // whoever reads it says what is wrong
		}
		if n == from {
			out = protowire.AppendTag(out, to, kind)
		} else {
			out = protowire.AppendTag(out, n, kind)
		}
		out = append(out, data[size:size+length]...)
		data = data[size+length:]
	}
	return out
}
