package logstore

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// BenchmarkStoreLogs stores batches of entries of 1 KiB durably.
func BenchmarkStoreLogs(b *testing.B) {
	for _, backend := range backends {
		for _, n := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", backend, n), func(b *testing.B) {
				s := mustOpen(b, filepath.Join(b.TempDir(), "raft"), Options{Backend: backend})
				data := make([]byte, 1024)
				logs := make([]*raft.Log, n)
				next := uint64(1)
				b.ReportAllocs()
				b.SetBytes(int64(n * len(data)))
				for b.Loop() {
					for i := range logs {
						logs[i] = &raft.Log{Index: next, Term: 1, Data: data}
						next++
					}
					if err := s.StoreLogs(logs); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

// BenchmarkGetLog reads entries of 600 bytes one after the other: what raft does,
// twice, at each start.
func BenchmarkGetLog(b *testing.B) {
	for _, backend := range backends {
		for _, cached := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/cached=%v", backend, cached), func(b *testing.B) {
				o := Options{Backend: backend, NoSync: true, CacheBytes: -1}
				if cached {
					o.CacheBytes = 0
				}
				s := mustOpen(b, filepath.Join(b.TempDir(), "raft"), o)
				const entries = 4000
				for i := uint64(1); i <= entries; i++ {
					if err := s.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, 600)}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				i := uint64(0)
				for b.Loop() {
					var l raft.Log
					if err := s.GetLog(1+i%entries, &l); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}
