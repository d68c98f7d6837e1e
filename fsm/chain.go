package fsm

import (
	"math/bits"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
)

// The rolling hash: a chain over every command and what came of it. Two servers
// that have applied the same log have the same hash at the same index; where one
// has lost an entry, or has applied one to other rows than the other has, the two
// differ from there on.
const (
	// chainRules names what goes into the hash. It is raised with any change of
	// that: hashes of different rules say nothing about each other.
	chainRules = 1

	// markEvery is the distance of indexes at which every server remembers its hash,
	// so that two can compare the same index though they are never at it together.
	markEvery = 1 << 10

	// marksKept is how many of these are remembered: a server that is further behind
	// compares when it has caught up.
	marksKept = 256

	// epochLength is after how many indexes the chain begins anew. So a server that
	// could not continue it, as after a start from a snapshot of an older version, can
	// be compared again from the next beginning on.
	epochLength = 1 << 20
)

// Hash is the rolling hash of a server at one index.
type Hash struct {
	// Index is that of the log up to which commands are in the hash.
	Index uint64

	// Since is the lowest index whose command could be in it: from there to Index all
	// are.
	Since uint64

	Rules uint32 // what goes into it
	Sum   uint64
}

// Compare tells whether two servers' hashes can be compared: they are of the same
// stretch of the log. Only if so, equal tells whether the servers have come to the
// same state.
func (h Hash) Compare(other Hash) (equal, comparable bool) {
	if h.Index != other.Index || h.Since != other.Since || h.Rules != other.Rules {
		return false, false
	}
	return h.Sum == other.Sum, true
}

// Hash is the rolling hash at the last command whose effects can be read.
func (s *Store) Hash() Hash { return s.View().state.hash() }

// HashAt is the rolling hash at index, which is that of the last command or a round
// one that is still remembered, see [Store.HashMarks].
func (s *Store) HashAt(index uint64) (Hash, bool) {
	if now := s.Hash(); now.Index == index {
		return now, true
	}
	return s.marks.at(index)
}

// HashMarks are the hashes at round indexes that are remembered, oldest first. The
// hash at a round index is that of the commands below it: it is known as soon as one
// at or above it was applied, so it is the same on every server, however the log was
// cut into batches.
func (s *Store) HashMarks() []Hash { return s.marks.all() }

// chain is the running hash as the state keeps it.
type chain struct {
	Since uint64
	Sum   uint64
}

func (st *state) hash() Hash {
	return Hash{Index: st.Index, Since: st.Chain.Since, Rules: chainRules, Sum: st.Chain.Sum}
}

// link puts a command into the chain: st is the state it found, but for the chain,
// which becomes the next one. data are its bytes, outcome what came of it. It returns
// the mark that the command has passed, if it has.
func (st *state) link(index uint64, data []byte, outcome uint64) (mark Hash, passed bool) {
	if index/markEvery != st.Index/markEvery {
		mark, passed = st.hash(), true
		mark.Index = index / markEvery * markEvery
	}
	if index/epochLength != st.Index/epochLength {
		st.Chain = chain{Since: index / epochLength * epochLength}
	}
	sum := blend(st.Chain.Sum, index)
	sum = blend(sum, xxhash.Sum64(data))
	st.Chain.Sum = blend(sum, outcome)
	return mark, passed
}

// blend puts one more number into a hash, as kvs.Tx.Digest does.
func blend(h, n uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, n^0xc2b2ae3d27d4eb4f)
	return hi ^ lo ^ bits.RotateLeft64(h, 27)
}

// outcome is a number that tells what a command has done to the state. Texts are not
// in it: another version may word them differently.
func (b *batch) outcome(p *parsed, res *Result, dead int) uint64 {
	if p == nil || p.other.GetHeader().GetSkippable() {
		return 0 // a server that does not know the command cannot say more
	}
	if !res.Applied {
		return blend(1, uint64(len(res.Errors)))
	}
	h := blend(2, b.kv.Digest())
	if p.other == nil {
		return h
	}
	h = blend(h, uint64(res.Ended))
	for _, id := range b.dead[dead:] {
		h = blend(h, xxhash.Sum64String(id))
	}
	for _, index := range [...]uint64{b.state.Sessions, b.state.Nodes, b.state.Services, b.state.Checks, b.state.Events, b.state.Restored} {
		h = blend(h, index)
	}
	if _, ok := p.other.GetKind().(*fsmpb.Command_AclChange); ok {
		h = blend(h, b.acl.Digest())
	}
	return h
}

// chainFromSnapshot continues the chain of a snapshot, or begins one where it cannot.
func chainFromSnapshot(h *fsmpb.SnapshotHeader) chain {
	if c := h.GetChain(); c.GetRules() == chainRules {
		return chain{Since: c.GetSince(), Sum: c.GetSum()}
	}
	return chain{Since: h.GetIndex() + 1}
}

// marks is a ring of hashes at round indexes.
type marks struct {
	mu   sync.Mutex
	ring [marksKept]Hash // a hash is at Index/markEvery modulo the length; guarded by mu
}

// keep remembers what a batch has passed.
func (m *marks) keep(passed []Hash) {
	if len(passed) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range passed {
		m.ring[h.Index/markEvery%marksKept] = h
	}
}

// reset forgets all: the state is another one.
func (m *marks) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ring = [marksKept]Hash{}
}

func (m *marks) at(index uint64) (Hash, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.ring[index/markEvery%marksKept]
	return h, h.Index == index && h.Rules != 0
}

func (m *marks) all() []Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	var newest uint64
	for _, h := range m.ring {
		newest = max(newest, h.Index)
	}
	var all []Hash
	for i := uint64(1); i <= marksKept; i++ { // from the place behind the newest one on
		if h := m.ring[(newest/markEvery+i)%marksKept]; h.Rules != 0 {
			all = append(all, h)
		}
	}
	return all
}
