package fsm

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestEncodeHot: a plain write has the bytes that the generated code gives it, and has
// them from the short way; what is not plain has not.
func TestEncodeHot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "a", "dc1", "ünï", "\xff", "11111111-2222-3333-4444-555555555555"})
		size := rapid.SampledFrom([]uint64{0, 1, 127, 128, 1 << 40, 1<<64 - 1})
		c := Command{
			Origin: kvs.Origin{Accessor: text.Draw(t, "accessor"), Address: text.Draw(t, "address"), Reason: text.Draw(t, "reason")},
			Write: &kvs.Op{
				Verb: rapid.SampledFrom([]kvs.Verb{kvs.Set, kvs.CAS, kvs.Delete, kvs.Lock}).Draw(t, "verb"), Key: text.Draw(t, "key"),
				Value: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"), Flags: size.Draw(t, "flags"), Index: size.Draw(t, "index"),
				Session: text.Draw(t, "session"),
			},
		}
		plain := true
		if rapid.Bool().Draw(t, "checked") {
			c.Checked = &acl.Checked{
				Index: size.Draw(t, "ACL index"), Accessor: text.Draw(t, "checked accessor"), Default: acl.Default(rapid.Bool().Draw(t, "default")),
				Expires: int64(size.Draw(t, "expires")), Trusted: rapid.Bool().Draw(t, "trusted"), Datacenter: text.Draw(t, "datacenter"), Secret: size.Draw(t, "secret"),
			}
			c.Ending = rapid.Bool().Draw(t, "ending")
			if rapid.Bool().Draw(t, "links") {
				c.Checked.Links, plain = &acl.Links{Policies: []string{"p"}}, false
			}
		}
		if rapid.Bool().Draw(t, "ties") {
			c.Ties, plain = Ties{Persist: true}, false
		}
		now := int64(size.Draw(t, "now"))
		prefix := []byte{formatCommand}
		want, err := encodeAny(&c, now, prefix)
		got := encodeHot(&c, now, prefix)
		switch {
		case err != nil || !plain:
			if got != nil {
				t.Fatalf("what the short way cannot write is written: %x; the generated code says %v", got, err)
			}
		case !bytes.Equal(got, want):
			t.Fatalf("got  %x\nwant %x", got, want)
		case cap(got) != len(got):
			t.Fatalf("%d bytes in room for %d", len(got), cap(got))
		}
	})
}
