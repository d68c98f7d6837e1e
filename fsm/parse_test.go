package fsm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// slow reads a log entry through the generated code alone.
func slow(t *rapid.T, data []byte) (op []kvs.Op, time int64, address string) {
	var msg fsmpb.Command
	if err := proto.Unmarshal(data[1:], &msg); err != nil {
		t.Fatal(err)
	}
	list := msg.GetTxn().GetOps()
	if w := msg.GetWrite(); w != nil {
		list = []*fsmpb.Op{w.GetOp()}
	}
	for _, o := range list {
		one, err := opFromProto(o)
		if err != nil {
			t.Fatal(err)
		}
		op = append(op, one)
	}
	return op, msg.GetHeader().GetTime(), msg.GetHeader().GetAddress()
}

func drawOp(t *rapid.T) kvs.Op {
	op := kvs.Op{
		Verb:    kvs.Verb(rapid.IntRange(1, int(kvs.CheckFence)).Draw(t, "verb")),
		Key:     rapid.StringN(0, 12, -1).Draw(t, "key"),
		Flags:   rapid.Uint64().Draw(t, "flags"),
		Index:   rapid.Uint64().Draw(t, "index"),
		Session: rapid.SampledFrom([]string{"", "\xff\x00", "3f5a"}).Draw(t, "session"),
	}
	if rapid.Bool().Draw(t, "has a value") {
		op.Value = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "value")
	}
	return op
}

// TestParse: the hand-written reader and the generated one agree on what Encode
// writes, and the hand-written one takes it.
func TestParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Command
		c.Origin.Address = rapid.SampledFrom([]string{"", "127.0.0.1", "::1"}).Draw(t, "address")
		if rapid.Bool().Draw(t, "transaction") {
			c.Txn = rapid.SliceOfN(rapid.Custom(drawOp), 1, 5).Draw(t, "ops")
		} else {
			op := drawOp(t)
			c.Write = &op
		}
		c.Origin.Accessor = rapid.SampledFrom([]string{"", "a", "señor"}).Draw(t, "accessor")
		if rapid.Bool().Draw(t, "checked") {
			c.Checked = &acl.Checked{
				Index: rapid.Uint64().Draw(t, "index of ACLs"), Accessor: rapid.SampledFrom([]string{"a", "b", c.Origin.Accessor}).Draw(t, "whose"),
				Default: acl.Default(rapid.Bool().Draw(t, "default")), Expires: rapid.Int64().Draw(t, "expires"),
				Datacenter: rapid.SampledFrom([]string{"", "dc1"}).Draw(t, "datacenter"), Secret: rapid.Uint64().Draw(t, "secret"),
				Trusted: rapid.Bool().Draw(t, "trusted"),
			}
			c.Ending = rapid.Bool().Draw(t, "ending")
		}
		data, err := Encode(&c, rapid.Int64().Draw(t, "time"))
		if err != nil {
			t.Fatal(err)
		}
		p := new(reader).hot(data[1:])
		if p == nil {
			t.Fatalf("%x is not read by hand", data)
		}
		got := p.txn
		if p.write != nil {
			got = []kvs.Op{p.write.op}
		}
		if diff := cmp.Diff(c.Checked, p.checked); diff != "" || p.by.Value().Accessor != c.Origin.Accessor {
			t.Fatalf("accessor %q, want %q; checked (-want +got):\n%s", p.by.Value().Accessor, c.Origin.Accessor, diff)
		}
		if again, err := decode(data[1:]); err != nil || p.ending != c.Ending || again.GetHeader().GetChecked().GetEnding() != c.Ending {
			t.Fatalf("ending is %v, want %v: %v", p.ending, c.Ending, err)
		}
		want, time, address := slow(t, data)
		if diff := cmp.Diff(want, got); diff != "" || p.time != time || p.by.Value().Address != address {
			t.Fatalf("time %d, want %d; address %q, want %q; operations (-want +got):\n%s", p.time, time, p.by.Value().Address, address, diff)
		}
	})
}
