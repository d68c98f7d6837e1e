package fsm

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/kvs"
)

// encodeHot writes a plain write straight into its log entry: the objects that the
// generated code wants in between are a good part of what a write allocates. It returns
// nil for what is not plain; TestEncodeHot holds the bytes against those of the generated
// code.
func encodeHot(c *Command, now int64, prefix []byte) []byte {
	if c.Write == nil || c.Ties != (Ties{}) || c.Checked != nil && (c.Checked.Links != nil || len(c.Checked.Vars) > 0) {
		return nil
	}
	o := &c.Origin
	if !utf8.ValidString(o.Accessor) || !utf8.ValidString(o.Address) || !utf8.ValidString(o.Reason) {
		return nil
	}
	checked := 0
	if c.Checked != nil {
		if !utf8.ValidString(c.Checked.Accessor) {
			return nil
		}
		checked = sizeChecked(c.Checked, o.Accessor) + sizeUint(10, bit(c.Ending))
	}
	header := sizeUint(1, uint64(now)) + sizeBytes(2, len(o.Accessor)) + sizeBytes(3, len(o.Address)) + sizeBytes(4, len(o.Reason))
	if c.Checked != nil {
		header += sizeBlock(6, checked)
	}
	op := sizeOp(c.Write)
	write := sizeBlock(1, op)

	buf := make([]byte, len(prefix), len(prefix)+sizeBlock(1, header)+sizeBlock(2, write))
	copy(buf, prefix)
	buf = begin(buf, 1, header)
	buf = appendUint(buf, 1, uint64(now))
	buf = appendBytes(buf, 2, o.Accessor)
	buf = appendBytes(buf, 3, o.Address)
	buf = appendBytes(buf, 4, o.Reason)
	if c.Checked != nil {
		buf = appendChecked(begin(buf, 6, checked), c.Checked, o.Accessor)
		buf = appendUint(buf, 10, bit(c.Ending))
	}
	buf = begin(buf, 2, write)
	return appendOp(begin(buf, 1, op), c.Write)
}

func sizeChecked(c *acl.Checked, accessor string) int {
	n := sizeUint(1, c.Index) + sizeUint(3, bit(bool(c.Default))) + sizeUint(4, uint64(c.Expires)) +
		sizeUint(5, bit(c.Trusted)) + sizeBytes(8, len(c.Datacenter)) + sizeFixed(9, c.Secret)
	if c.Accessor != accessor {
		n += sizeBytes(2, len(c.Accessor))
	}
	return n
}

func appendChecked(buf []byte, c *acl.Checked, accessor string) []byte {
	buf = appendUint(buf, 1, c.Index)
	if c.Accessor != accessor {
		buf = appendBytes(buf, 2, c.Accessor)
	}
	buf = appendUint(buf, 3, bit(bool(c.Default)))
	buf = appendUint(buf, 4, uint64(c.Expires))
	buf = appendUint(buf, 5, bit(c.Trusted))
	buf = appendBytes(buf, 8, c.Datacenter)
	return appendFixed(buf, 9, c.Secret)
}

func sizeOp(op *kvs.Op) int {
	return sizeUint(1, uint64(op.Verb)) + sizeBytes(2, len(op.Key)) + sizeBytes(3, len(op.Value)) + sizeFixed(4, op.Flags) +
		sizeUint(5, op.Index) + sizeBytes(6, len(op.Session))
}

func appendOp(buf []byte, op *kvs.Op) []byte {
	buf = appendUint(buf, 1, uint64(op.Verb))
	buf = appendBytes(buf, 2, op.Key)
	buf = appendBytes(buf, 3, op.Value)
	buf = appendFixed(buf, 4, op.Flags)
	buf = appendUint(buf, 5, op.Index)
	return appendBytes(buf, 6, op.Session)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// The fields of a message, each left out when it is zero, and how many bytes they take.

func appendUint(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func sizeUint(field protowire.Number, n uint64) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(n)
}

func appendFixed(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), n)
}

func sizeFixed(field protowire.Number, n uint64) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeFixed64()
}

func appendBytes[T []byte | string](b []byte, field protowire.Number, data T) []byte {
	if len(data) == 0 {
		return b
	}
	return append(begin(b, field, len(data)), data...)
}

func sizeBytes(field protowire.Number, n int) int {
	if n == 0 {
		return 0
	}
	return sizeBlock(field, n)
}

// begin writes what is in front of a field of a length, which may be 0.
func begin(b []byte, field protowire.Number, length int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(length))
}

// sizeBlock is that of such a field, with what is in front.
func sizeBlock(field protowire.Number, length int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(length)
}
