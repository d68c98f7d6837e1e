package fsm

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/kvs"
)

// filled is a state with so many keys of the given size, below "app/".
func filled(b *testing.B, keys, size int) *machine {
	b.Helper()
	const perBatch = 1000
	m := newMachine(b)
	value := strings.Repeat("v", size)
	for n := 0; n < keys; n += perBatch {
		batch := make([]Command, min(perBatch, keys-n))
		for i := range batch {
			batch[i] = write(set(fmt.Sprintf("app/%07d", n+i), value))
		}
		m.batch(batch...)
	}
	return m
}

// BenchmarkApply puts values of 1 KiB over 10,000 keys, in batches. An operation is a
// put. History is pruned now and then, outside of what is measured.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 64, 512} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			const keys = 10_000
			m := filled(b, keys, 1024)
			// The bytes of an entry do not depend on its index: encode once.
			entries := make([]*raft.Log, keys)
			for i := range entries {
				entries[i] = entry(b, 0, int64(keys+i), write(set(fmt.Sprintf("app/%07d", i*7919%keys), fmt.Sprintf("%01024d", i))))
			}
			b.ReportAllocs()
			b.SetBytes(1024)
			batch := make([]*raft.Log, 0, size)
			for n := 0; b.Loop(); n++ {
				m.index++
				batch = append(batch, &raft.Log{Index: m.index, Type: raft.LogCommand, Data: entries[n%keys].Data})
				if len(batch) < size {
					continue
				}
				m.fsm.ApplyBatch(batch)
				batch = batch[:0]
				if n > 0 && n%keys < size { // lest the benchmark measures how memory runs out
					b.StopTimer()
					m.do(prune(kvs.Plan{Through: m.index}))
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkApplyChecked is a put of 1 KiB as BenchmarkApply has it in batches of 64, of
// somebody whose rights were found in the state as it is, and in an older one.
func BenchmarkApplyChecked(b *testing.B) {
	for name, lag := range map[string]bool{"nobody": false, "same state": false, "older state": true} {
		b.Run(name, func(b *testing.B) {
			m := guarded(b)
			policy := m.policy("p", `key_prefix "app/" { policy = "write" }`)
			m.token("secret", policy)
			c := write(set("app/k", fmt.Sprintf("%01024d", 1)))
			if name != "nobody" {
				c = with(c, m.checked("secret"))
			}
			if lag {
				m.token("other")
			}
			data := entry(b, 0, 1, c).Data
			b.ReportAllocs()
			batch := make([]*raft.Log, 0, 64)
			for n := 0; b.Loop(); n++ {
				m.index++
				batch = append(batch, &raft.Log{Index: m.index, Type: raft.LogCommand, Data: data})
				if len(batch) == cap(batch) {
					m.fsm.ApplyBatch(batch)
					batch = batch[:0]
				}
				if n%10_000 == 9_999 {
					b.StopTimer()
					m.do(prune(kvs.Plan{Through: m.index}))
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkApplyInTurn is a put of 64 bytes, in batches of 64, of tokens that take turns,
// each with rights that were found in the state as it is. Nobody is the same put without.
func BenchmarkApplyInTurn(b *testing.B) {
	const keys = 2_000
	for _, tokens := range []int{0, 1, 64, 10_000} {
		b.Run(fmt.Sprint("tokens=", tokens), func(b *testing.B) {
			m := guarded(b)
			checked := &acl.Checked{Index: m.store.View().ACL().Index(), Datacenter: "dc1", Secret: 1 << 60}
			entries := make([][]byte, 10_000) // five values for each key
			for i := range entries {
				c := write(set(fmt.Sprintf("app/%07d", i*7919%keys), fmt.Sprintf("%064d", i)))
				c.Origin.Address = "127.0.0.1"
				if tokens > 0 {
					c.Origin.Accessor = fmt.Sprintf("%08x-0000-4000-8000-%012x", i%tokens*7919, i%tokens*2654435761)
					checked.Accessor = c.Origin.Accessor
					c.Checked = checked
				}
				entries[i] = entry(b, 0, int64(i), c).Data
			}
			b.ReportAllocs()
			batch := make([]*raft.Log, 0, 64)
			for n := 0; b.Loop(); n++ {
				m.index++
				batch = append(batch, &raft.Log{Index: m.index, Type: raft.LogCommand, Data: entries[n%len(entries)]})
				if len(batch) == cap(batch) {
					m.fsm.ApplyBatch(batch)
					batch = batch[:0]
				}
				if n%10_000 == 9_999 { // lest the benchmark measures how memory runs out
					b.StopTimer()
					m.do(prune(kvs.Plan{Through: m.index}))
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkParse reads entries of tokens that take turns, and finds who each is of.
func BenchmarkParse(b *testing.B) {
	for _, tokens := range []int{1, 64, 10_000} {
		b.Run(fmt.Sprint("tokens=", tokens), func(b *testing.B) {
			entries := make([][]byte, tokens)
			for i := range entries {
				c := write(set("app/k", fmt.Sprintf("%064d", i)))
				c.Origin = kvs.Origin{Accessor: fmt.Sprintf("%08x-0000-4000-8000-%012x", i*7919, i*2654435761), Address: "127.0.0.1"}
				c.Checked = &acl.Checked{Index: 7, Accessor: c.Origin.Accessor, Datacenter: "dc1", Secret: 1 << 60}
				entries[i] = entry(b, 0, int64(i), c).Data
			}
			s := NewStore()
			tx := s.begin().kv
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				p, err := s.reader.parse(entries[n%tokens])
				if err != nil {
					b.Fatal(err)
				}
				tx.Command(1, 1, p.by)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	m := filled(b, 10_000, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if cur, _ := m.store.View().Get("app/0005000"); cur == nil {
			b.Fatal("the key is not there")
		}
	}
}

// BenchmarkList walks 1,000 keys among 10,000.
func BenchmarkList(b *testing.B) {
	m := filled(b, 10_000, 1024)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		m.store.View().List("app/0005", func(*kvs.Version) { n++ })
		if n != 1000 {
			b.Fatalf("%d keys, want 1000", n)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	m := filled(b, 200_000, 512)
	b.ReportAllocs()
	b.SetBytes(m.store.Snapshot().Size())
	for b.Loop() {
		if err := m.store.Snapshot().persist(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	m := filled(b, 200_000, 512)
	for form, snapshot := range map[string][]byte{"plain": plain(b, m.store), "zstd": compressed(b, m.store)} {
		b.Run(form, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(snapshot)))
			for b.Loop() {
				if _, _, err := readSnapshot(bytes.NewReader(snapshot)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
