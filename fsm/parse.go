package fsm

import (
	"encoding/binary"
	"time"
	"unicode/utf8"
	"unique"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// parsed is a command read from a log entry.
type parsed struct {
	time int64
	by   unique.Handle[kvs.Origin]

	checked *acl.Checked // nil: nobody has to be asked
	ending  bool         // as in [Command]

	// One of: a write, a transaction, any other kind.
	write *writeCommand
	txn   []kvs.Op
	other *fsmpb.Command

	next bool // it is of the kind that only a pretended version knows; see next_on.go
}

type writeCommand struct {
	op   kvs.Op
	ties Ties
}

// reader is the memory that log entries are read into, one after the other, so that
// reading one takes next to none. What it has read is valid until the next.
type reader struct {
	parsed  parsed
	write   writeCommand
	checked acl.Checked
	ops     []kvs.Op // of a transaction

	origins    kvs.Origins // who asked lately, so that it need not be made anew
	datacenter lately
}

// lately is the last text that was read for a field that mostly has the same.
type lately string

func (l *lately) text(b []byte) string {
	if string(*l) != string(b) {
		*l = lately(b)
	}
	return string(*l)
}

// forget lets go of what was read last, of which values may be large.
func (r *reader) forget() {
	r.parsed, r.write, r.checked = parsed{}, writeCommand{}, acl.Checked{}
	if cap(r.ops) > limit.TxnOps {
		r.ops = nil
	}
	clear(r.ops[:cap(r.ops)])
}

// parse reads a log entry. It returns nil for a command that this version does not
// know and may skip.
//
// Writes and transactions are read by hand, straight into what apply works with:
// a log is replayed entry by entry, and the objects in between are half of what
// that allocates. Whatever is not exactly as [Encode] writes it goes through the
// generated code, so that there is one meaning of an entry; TestParse holds both
// against each other.
func (r *reader) parse(data []byte) (*parsed, error) {
	switch {
	case len(data) >= 1 && data[0] == formatCommand:
		return r.command(data[1:])
	case len(data) >= 1+stampBytes && data[0] == formatStamped:
		p, err := r.command(data[1+stampBytes:])
		if p != nil {
			p.time = int64(binary.BigEndian.Uint64(data[1:]))
		}
		return p, err
	}
	return nil, ErrUnknownCommand
}

func (r *reader) command(data []byte) (*parsed, error) {
	if p := r.hot(data); p != nil {
		return p, nil
	}
	msg, err := decode(data)
	if err != nil || msg == nil {
		return nil, err
	}
	h := msg.GetHeader()
	p := &parsed{
		next: ofNext(data),
		time: h.GetTime(),
		by:   r.origins.Handle(kvs.Origin{Accessor: h.GetAccessor(), Address: h.GetAddress(), Reason: h.GetReason()}),

		checked: checkedFromProto(h.GetChecked(), h.GetAccessor()),
		ending:  h.GetChecked().GetEnding(),
	}
	switch kind := msg.GetKind().(type) {
	case *fsmpb.Command_Write:
		op, err := opFromProto(kind.Write.GetOp())
		if err != nil {
			return nil, err
		}
		p.write = &writeCommand{op: op, ties: tiesFromProto(kind.Write)}
	case *fsmpb.Command_Txn:
		p.txn = make([]kvs.Op, len(kind.Txn.GetOps()))
		for i, o := range kind.Txn.GetOps() {
			if p.txn[i], err = opFromProto(o); err != nil {
				return nil, err
			}
		}
	default:
		p.other = msg
	}
	return p, nil
}

func tiesFromProto(m *fsmpb.Write) Ties {
	return Ties{
		Owner: string(m.GetOwner()), TTL: time.Duration(m.GetTtl()), Persist: m.GetPersist(), Touch: m.GetTouch(),
		FenceKey: string(m.GetFenceKey()), Fence: m.GetFence(),
		Sequential: m.GetSequential(), Width: int(m.GetWidth()),
	}
}

// fields reads the fields of a message in ascending order, each at most once or, if
// repeated says so, more often. It returns false for anything else.
//
// Tags and lengths of one byte, which most are, it reads by itself: to call for each takes
// as long as all the rest.
func fields(b []byte, repeated protowire.Number, field func(n protowire.Number, bytes []byte, number uint64) bool) bool {
	last := protowire.Number(0)
	for len(b) > 0 {
		n, kind, size := protowire.Number(b[0]>>3), protowire.Type(b[0]&7), 1
		if n == 0 || b[0] >= 0x80 {
			n, kind, size = protowire.ConsumeTag(b)
		}
		if size < 0 || n < last || n == last && n != repeated {
			return false
		}
		b, last = b[size:], n
		var bytes []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) {
				size = 1 + int(b[0])
				bytes = b[1:size]
			} else {
				bytes, size = protowire.ConsumeBytes(b)
			}
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, size = protowire.ConsumeFixed64(b)
		default:
			return false
		}
		if size < 0 || !field(n, bytes, number) {
			return false
		}
		b = b[size:]
	}
	return true
}

// hot reads a write or a transaction; nil for anything else.
func (r *reader) hot(b []byte) *parsed {
	p := &r.parsed
	*p = parsed{by: kvs.Nobody}
	ok := fields(b, 0, func(n protowire.Number, bytes []byte, _ uint64) bool {
		if bytes == nil {
			return false
		}
		switch n {
		case 1:
			return r.header(bytes)
		case 2:
			r.write = writeCommand{}
			p.write = &r.write
			seen := false
			return fields(bytes, 0, func(n protowire.Number, bytes []byte, _ uint64) bool {
				// Hardly anything else is in the entry: its memory may live as
				// long as the value.
				seen = n == 1 && bytes != nil && parseOp(bytes, &p.write.op, asIs)
				return seen
			}) && seen
		case 3:
			p.txn = r.ops[:0]
			if p.txn == nil {
				p.txn = make([]kvs.Op, 0, 8)
			}
			defer func() { r.ops = p.txn }()
			return fields(bytes, 1, func(n protowire.Number, bytes []byte, _ uint64) bool {
				if n != 1 || bytes == nil {
					return false
				}
				p.txn = append(p.txn, kvs.Op{})
				return parseOp(bytes, &p.txn[len(p.txn)-1], bytesClone)
			})
		}
		return false
	})
	if !ok || (p.write == nil) == (p.txn == nil) {
		return nil
	}
	return p
}

func (r *reader) header(b []byte) bool {
	p := &r.parsed
	var accessor, address []byte
	ok := fields(b, 0, func(n protowire.Number, bytes []byte, number uint64) bool {
		switch {
		case n == 1 && bytes == nil:
			p.time = int64(number)
		case n == 2 && bytes != nil && utf8.Valid(bytes):
			accessor = bytes
		case n == 3 && bytes != nil:
			address = bytes
		case n == 6 && bytes != nil: // the others are there by now
			p.by, p.checked = r.origins.Of(accessor, address), &r.checked
			return r.mayWrite(bytes, p.by.Value().Accessor)
		default: // a reason is seldom and must be checked to be UTF-8
			return false
		}
		return true
	})
	if ok && p.checked == nil {
		p.by = r.origins.Of(accessor, address)
	}
	return ok
}

// mayWrite reads who was found to have the right, unless it is a certificate.
// accessor is that of the header.
func (r *reader) mayWrite(b []byte, accessor string) bool {
	c := &r.checked
	*c = acl.Checked{Accessor: accessor}
	return fields(b, 0, func(n protowire.Number, bytes []byte, number uint64) bool {
		switch {
		case n == 1 && bytes == nil:
			c.Index = number
		case n == 2 && bytes != nil && utf8.Valid(bytes):
			c.Accessor = string(bytes)
		case n == 3 && bytes == nil:
			c.Default = acl.Default(number != 0)
		case n == 4 && bytes == nil:
			c.Expires = int64(number)
		case n == 5 && bytes == nil:
			c.Trusted = number != 0
		case n == 8 && bytes != nil:
			c.Datacenter = r.datacenter.text(bytes)
		case n == 9 && bytes == nil:
			c.Secret = number
		case n == 10 && bytes == nil:
			r.parsed.ending = number != 0
		default:
			return false
		}
		return true
	})
}

// asIs and bytesClone say what becomes of a value: whether it shares the memory of the
// entry it stands in, which nobody changes, or lets go of it.
func asIs(value []byte) []byte { return value[:len(value):len(value)] }

func bytesClone(value []byte) []byte { return append([]byte(nil), value...) }

// parseOp reads an operation with a verb of this version.
func parseOp(b []byte, op *kvs.Op, keep func([]byte) []byte) bool {
	ok := fields(b, 0, func(n protowire.Number, bytes []byte, number uint64) bool {
		switch {
		case n == 1 && bytes == nil && number < 256:
			op.Verb = kvs.Verb(number)
		case n == 2 && bytes != nil:
			op.Key = string(bytes)
		case n == 3 && bytes != nil:
			op.Value = keep(bytes)
		case n == 4 && bytes == nil:
			op.Flags = number
		case n == 5 && bytes == nil:
			op.Index = number
		case n == 6 && bytes != nil:
			op.Session = string(bytes)
		default:
			return false
		}
		return true
	})
	return ok && op.Verb.Valid()
}
