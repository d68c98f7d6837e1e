package kvs

import "bytes"

// Set writes a key, whether or not it exists. A lock on it stays, with its
// count. Content that is the same already leaves the key and its index alone.
// It returns the current version after the write.
//
// Source: contract, KV, sections 4, 6 and "Where Holdfast should differ" 1.
func (tx *Tx) Set(key string, value []byte, flags uint64) *Version {
	it := tx.item(key)
	next := &Version{Key: key, Value: value, Flags: flags, CreateIndex: tx.index, Kind: KindSet}
	if it != nil && it.Live() {
		cur := it.Cur
		if cur.Flags == flags && bytes.Equal(cur.Value, value) {
			return cur
		}
		next.CreateIndex, next.Session, next.LockIndex = cur.CreateIndex, cur.Session, cur.LockIndex
	}
	tx.put(it, next)
	return next
}

// CAS writes a key if its ModifyIndex is index, or, with index 0, if it does not
// exist. It returns nil when it does not apply.
func (tx *Tx) CAS(key string, value []byte, flags, index uint64) *Version {
	if !matches(tx.live(key), index) {
		return nil
	}
	return tx.Set(key, value, flags)
}

// matches tells whether a write guarded by index applies to the current version.
func matches(cur *Version, index uint64) bool {
	if cur == nil {
		return index == 0
	}
	return index != 0 && cur.ModifyIndex == index
}

// Delete ends a key, locked or not; a missing one is no change.
func (tx *Tx) Delete(key string) { tx.end(key, KindDelete) }

// Expire ends a key because its time is over.
func (tx *Tx) Expire(key string) { tx.end(key, KindExpire) }

func (tx *Tx) end(key string, kind Kind) {
	it := tx.item(key)
	if it == nil || !it.Live() {
		return
	}
	tx.put(it, &Version{Key: key, CreateIndex: it.Cur.CreateIndex, LockIndex: it.Cur.LockIndex, Kind: kind})
}

// DeleteCAS ends a key if its ModifyIndex is index. It tells whether the key is
// gone: a missing key satisfies every index, index 0 no existing one.
//
// Source: contract, KV, section 5.
func (tx *Tx) DeleteCAS(key string, index uint64) bool {
	cur := tx.live(key)
	if cur == nil {
		return true
	}
	if cur.ModifyIndex != index {
		return false
	}
	tx.Delete(key)
	return true
}

// Refuses tells whether [Tx.Do] of a CAS or DeleteCAS would not apply to this state.
func (v View) Refuses(op *Op) bool {
	cur, _ := v.Get(op.Key)
	if op.Verb == DeleteCAS {
		return cur != nil && cur.ModifyIndex != op.Index
	}
	return !matches(cur, op.Index)
}

// DeleteTree ends every key that starts with prefix and returns how many.
func (tx *Tx) DeleteTree(prefix string) int {
	var keys []string
	tx.list(prefix, func(v *Version) { keys = append(keys, v.Key) })
	for _, key := range keys {
		tx.Delete(key)
	}
	return len(keys)
}

// Lock writes a key and gives it to a session that the caller knows to exist. It
// returns nil when another session holds the key. The lock count grows when the
// holder changes.
//
// Source: contract, KV, section 7.
func (tx *Tx) Lock(key string, value []byte, flags uint64, session string) *Version {
	it := tx.item(key)
	next := &Version{
		Key: key, Value: value, Flags: flags, Session: session,
		LockIndex: 1, CreateIndex: tx.index, Kind: KindLock,
	}
	if it != nil && it.Live() {
		cur := it.Cur
		switch cur.Session {
		case session:
			if cur.Flags == flags && bytes.Equal(cur.Value, value) {
				return cur
			}
			next.LockIndex = cur.LockIndex
		case "":
			next.LockIndex = cur.LockIndex + 1
		default:
			return nil
		}
		next.CreateIndex = cur.CreateIndex
	}
	tx.put(it, next)
	return next
}

// Unlock writes a key and takes it from the session that holds it. It returns nil
// when that session does not hold it.
func (tx *Tx) Unlock(key string, value []byte, flags uint64, session string) *Version {
	it := tx.item(key)
	if it == nil || !it.Live() || it.Cur.Session != session || session == "" {
		return nil
	}
	next := &Version{
		Key: key, Value: value, Flags: flags, LockIndex: it.Cur.LockIndex,
		CreateIndex: it.Cur.CreateIndex, Kind: KindUnlock,
	}
	tx.put(it, next)
	return next
}

// Read returns the current version of a key as the command sees it, nil when it
// does not exist.
func (tx *Tx) Read(key string) *Version { return tx.live(key) }

// ReadTree calls visit for every existing key that starts with prefix as the
// command sees it, in byte order. visit must not write.
func (tx *Tx) ReadTree(prefix string, visit func(*Version)) { tx.list(prefix, visit) }
