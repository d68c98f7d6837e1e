package fsm

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/kvs"
)

// TestReadItem: the hand-written reader and the generated one agree on what
// appendItem writes, also when it is cut off, and the hand-written one takes it.
func TestReadItem(t *testing.T) {
	origins := []unique.Handle[kvs.Origin]{unique.Make(kvs.Origin{})}
	numbers := map[unique.Handle[kvs.Origin]]uint32{origins[0]: 0}
	for i := range 200 {
		by := unique.Make(kvs.Origin{Reason: fmt.Sprint(i)})
		numbers[by] = uint32(len(origins))
		origins = append(origins, by)
	}
	same := []cmp.Option{
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b unique.Handle[kvs.Origin]) bool { return a == b }),
	}
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 127, 128, 1<<63 - 1, 1 << 63, 1<<64 - 1}), rapid.Uint64())
		text := rapid.OneOf(rapid.SampledFrom([]string{"", "x", "\x00\xff", strings.Repeat("z", 128)}), rapid.StringN(0, 20, -1))
		it := &kvs.Item{Key: text.Draw(t, "key"), Floor: number.Draw(t, "floor")}
		if rapid.Bool().Draw(t, "has extra") {
			it.Extra = kvs.Extra{
				Owner: text.Draw(t, "owner"), TTL: time.Duration(number.Draw(t, "ttl")),
				ExpireAt: int64(number.Draw(t, "expire")), Fence: number.Draw(t, "fence"),
			}.Packed()
		}
		for range rapid.IntRange(1, 4).Draw(t, "versions") {
			if it.Cur != nil {
				it.Older = append(it.Older, it.Cur)
			}
			it.Cur = &kvs.Version{
				Key: it.Key, Value: []byte(text.Draw(t, "value")), Session: text.Draw(t, "session"), Flags: number.Draw(t, "flags"),
				LockIndex: number.Draw(t, "lock"), CreateIndex: number.Draw(t, "create"), ModifyIndex: number.Draw(t, "modify"),
				Time: int64(number.Draw(t, "time")), Kind: kvs.Kind(rapid.IntRange(1, 5).Draw(t, "kind")),
				By: rapid.SampledFrom(origins).Draw(t, "by"),
			}
		}
		data := appendItem(nil, it, numbers)
		fast := readItemFast(data, origins)
		if fast == nil {
			t.Fatalf("%x is not read by hand", data)
		}
		slow, err := readItemSlow(data, origins)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(it, fast, same...) + cmp.Diff(slow, fast, same...); diff != "" {
			t.Fatal(diff)
		}
		clear(data) // the record is read into the same memory as the next one
		if diff := cmp.Diff(slow, fast, same...); diff != "" {
			t.Fatalf("an item shares the memory of its record: %s", diff)
		}

		data = appendItem(nil, it, numbers)
		data = data[:rapid.IntRange(0, len(data)).Draw(t, "cut")]
		fast = readItemFast(data, origins)
		slow, err = readItemSlow(data, origins)
		if fast != nil && (err != nil || !cmp.Equal(slow, fast, same...)) {
			t.Fatalf("%x is read by hand as %+v, and as %+v, %v", data, fast, slow, err)
		}
		short := origins[:rapid.IntRange(1, len(origins)).Draw(t, "origins")]
		fast = readItemFast(data, short)
		if slow, err = readItemSlow(data, short); fast != nil && err != nil {
			t.Fatalf("%x is read by hand as %+v, and refused with %v", data, slow, err)
		}
	})
}
