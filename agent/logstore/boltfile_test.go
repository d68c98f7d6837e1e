package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// boltWith makes a file with these pairs in one bucket, deep enough for branches,
// and returns its content.
func boltWith(t testing.TB, pairs int, freelist bool) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: !freelist})
	if err != nil {
		t.Fatal(err)
	}
	update := func(f func(b *bbolt.Bucket) error) {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("logs"))
			if err != nil {
				return err
			}
			return f(b)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range pairs {
		update(func(b *bbolt.Bucket) error {
			return b.Put(fmt.Appendf(nil, "key %06d", i), bytes.Repeat([]byte("v"), i*37%9000))
		})
	}
	for i := 0; i < pairs; i += 3 {
		update(func(b *bbolt.Bucket) error { return b.Delete(fmt.Appendf(nil, "key %06d", i)) })
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckBoltVisitsEverything(t *testing.T) {
	for _, freelist := range []bool{false, true} {
		for _, pairs := range []int{0, 1, 7, 200} {
			b := boltWith(t, pairs, freelist)
			next, seen := 0, 0
			err := checkBolt(bytes.NewReader(b), uint64(len(b)), func(bucket string, key, value []byte) error {
				for next%3 == 0 {
					next++
				}
				if bucket != "logs" || string(key) != fmt.Sprintf("key %06d", next) || len(value) != next*37%9000 {
					t.Fatalf("visited %q %q with %d bytes, expected pair %d", bucket, key, len(value), next)
				}
				next++
				seen++
				return nil
			})
			if err != nil || seen != pairs-(pairs+2)/3 {
				t.Errorf("freelist %v, %d pairs: %v, saw %d", freelist, pairs, err, seen)
			}
		}
	}
}

func TestCheckBoltReturnsTheVisitorsError(t *testing.T) {
	b := boltWith(t, 5, false)
	stop := errors.New("enough")
	if err := checkBolt(bytes.NewReader(b), uint64(len(b)), func(string, []byte, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error = %v", err)
	}
}

func TestCheckBoltFindsCuts(t *testing.T) {
	b := boltWith(t, 60, true)
	for n := 0; n < len(b); n += 1000 {
		err := checkBolt(bytes.NewReader(b[:n]), uint64(n), func(string, []byte, []byte) error { return nil })
		if err != nil && !errors.Is(err, errBolt) {
			t.Errorf("cut to %d: %v", n, err)
		}
		if n < len(b)/2 && err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(b))
		}
	}
}

func FuzzCheckBolt(f *testing.F) {
	f.Add(boltWith(f, 0, false))
	f.Add(boltWith(f, 12, true))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		err := checkBolt(bytes.NewReader(b), uint64(len(b)), func(string, []byte, []byte) error { return nil })
		if err != nil && !errors.Is(err, errBolt) {
			t.Errorf("error that is no damage: %v", err)
		}
	})
}
