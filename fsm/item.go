package fsm

import (
	"errors"
	"fmt"
	"time"
	"unique"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// readItem reads the record of an item. Like commands, and for the same reason, items
// are read by hand where they are exactly as appendItem writes them; TestReadItem
// holds that against the generated code. An error says that the record is none.
func readItem(data []byte, origins []unique.Handle[kvs.Origin]) (*kvs.Item, error) {
	if it := readItemFast(data, origins); it != nil {
		return it, nil
	}
	return readItemSlow(data, origins)
}

// readItemFast returns nil for what readItemSlow must look at. What it returns holds
// nothing of data.
func readItemFast(data []byte, origins []unique.Handle[kvs.Origin]) *kvs.Item {
	it := &kvs.Item{}
	var e kvs.Extra
	ok := fields(data, 3, func(n protowire.Number, bytes []byte, number uint64) bool {
		switch {
		case n == 1 && bytes != nil:
			it.Key = string(bytes)
		case n == 2 && bytes == nil:
			it.Floor = number
		case n == 3 && bytes != nil:
			if it.Cur != nil {
				it.Older = append(it.Older, it.Cur)
			}
			it.Cur = readVersionFast(it.Key, bytes, origins)
			return it.Cur != nil
		case n == 4 && bytes != nil:
			e.Owner = string(bytes)
		case n == 5 && bytes == nil:
			e.ExpireAt = int64(number)
		case n == 6 && bytes == nil:
			e.TTL = time.Duration(number)
		case n == 7 && bytes == nil:
			e.Fence = number
		default:
			return false
		}
		return true
	})
	if !ok || it.Cur == nil {
		return nil
	}
	it.Extra = e.Packed()
	it.Older = it.Older[:len(it.Older):len(it.Older)]
	return it
}

func readVersionFast(key string, data []byte, origins []unique.Handle[kvs.Origin]) *kvs.Version {
	v := &kvs.Version{Key: key, By: origins[0]}
	ok := fields(data, 0, func(n protowire.Number, bytes []byte, number uint64) bool {
		switch {
		case n == 1 && bytes != nil:
			v.Value = bytesClone(bytes)
		case n == 2 && bytes == nil:
			v.Flags = number
		case n == 3 && bytes != nil:
			v.Session = string(bytes)
		case n == 4 && bytes == nil:
			v.LockIndex = number
		case n == 5 && bytes == nil:
			v.CreateIndex = number
		case n == 6 && bytes == nil:
			v.ModifyIndex = number
		case n == 7 && bytes == nil:
			v.Time = int64(number)
		case n == 8 && bytes == nil && number < 256:
			v.Kind = kvs.Kind(number)
		case n == 9 && bytes == nil && number < uint64(len(origins)):
			v.By = origins[number]
		default:
			return false
		}
		return true
	})
	if !ok || !v.Kind.Valid() {
		return nil
	}
	return v
}

// readItemSlow reads an item through the generated code.
func readItemSlow(data []byte, origins []unique.Handle[kvs.Origin]) (*kvs.Item, error) {
	var msg fsmpb.Item
	if err := proto.Unmarshal(data, &msg); err != nil {
		return nil, err
	}
	n := len(msg.GetVersions())
	if n == 0 {
		return nil, errors.New("no version")
	}
	it := &kvs.Item{Key: string(msg.GetKey()), Floor: msg.GetFloor()}
	versions := make([]*kvs.Version, n)
	for i, m := range msg.GetVersions() {
		kind := kvs.Kind(m.GetKind())
		if !kind.Valid() || uint32(kind) != m.GetKind() {
			return nil, fmt.Errorf("version of kind %d, which this version of holdfast does not know", m.GetKind())
		}
		if int(m.GetOrigin()) >= len(origins) {
			return nil, fmt.Errorf("origin %d is not in the table", m.GetOrigin())
		}
		versions[i] = &kvs.Version{
			Key: it.Key, Value: m.GetValue(), Session: string(m.GetSession()), Flags: m.GetFlags(),
			LockIndex: m.GetLockIndex(), CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
			Time: m.GetTime(), Kind: kind, By: origins[m.GetOrigin()],
		}
	}
	it.Extra = kvs.Extra{
		Owner: string(msg.GetOwner()), ExpireAt: msg.GetExpireAt(), TTL: time.Duration(msg.GetTtl()), Fence: msg.GetFence(),
	}.Packed()
	it.Cur = versions[n-1]
	if n > 1 {
		it.Older = versions[: n-1 : n-1]
	}
	return it, nil
}
