package api_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/holdfast-kv/holdfast/api"
)

// file is a member of an archive.
type file struct{ name, content string }

const (
	goodState = "the state of a cluster"
	goodMeta  = `{"Version":1,"ID":"2-363-1795309615699","Index":363,"Term":2,"Peers":"","Size":22}` + "\n"
)

// goodMembers are those of an archive that is whole.
func goodMembers() []file {
	return []file{{"meta.json", goodMeta}, {"state.bin", goodState}, {"SHA256SUMS", sums(goodMeta, goodState)}}
}

// sums is the content of SHA256SUMS.
func sums(meta, state string) string {
	return fmt.Sprintf("%x  meta.json\n%x  state.bin\n", sha256.Sum256([]byte(meta)), sha256.Sum256([]byte(state)))
}

// archiveOf packs members, and puts trailing behind the end of the tar archive.
func archiveOf(t testing.TB, members []file, trailing ...byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	pack := tar.NewWriter(zip)
	for _, m := range members {
		if err := pack.WriteHeader(&tar.Header{Name: m.name, Mode: 0o600, Size: int64(len(m.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(pack, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := zip.Write(trailing); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVerifySnapshot(t *testing.T) {
	good := goodMembers()
	changed := func(i int, content string) []file {
		m := slices.Clone(good)
		m[i].content = content
		return m
	}
	whole := archiveOf(t, good)
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for _, tc := range []struct {
		rule string
		data []byte
		fail string // "" = it is whole
	}{
		{"a whole archive passes", whole, ""},
		{"in any order of its members", archiveOf(t, []file{good[2], good[1], good[0]}), ""},
		{"with padding of zeros", archiveOf(t, good, make([]byte, 9000)...), ""},
		{"nothing is no archive", nil, "not a gzip stream"},
		{"text is no archive", []byte("hello, this is no archive"), "not a gzip stream"},
		{"one that is cut off", whole[:len(whole)-20], "unexpected EOF"},
		{"one that lost its last byte", whole[:len(whole)-1], "unexpected EOF"},
		{"one with a flipped bit", flipped, "damaged"},
		{"a state that was changed", archiveOf(t, changed(1, "the state of a clusteR")), "hash of state.bin does not match"},
		{"metadata that were changed", archiveOf(t, changed(0, strings.Replace(goodMeta, "363", "364", 1))), "hash of meta.json does not match"},
		{"a missing state", archiveOf(t, []file{good[0], good[2]}), "state.bin is missing"},
		{"missing hashes", archiveOf(t, good[:2]), "SHA256SUMS is missing"},
		{"a hash that is missing", archiveOf(t, changed(2, strings.SplitAfter(good[2].content, "\n")[0])), "no hash for state.bin"},
		{"a hash for another file", archiveOf(t, changed(2, good[2].content+"00  x\n")), "hash of x does not match"},
		{"hashes that are none", archiveOf(t, changed(2, "what\n")), "is no hash"},
		{"a member too many", archiveOf(t, append(slices.Clone(good), file{"extra", ""})), "extra: does not belong there"},
		{"a member twice", archiveOf(t, append(slices.Clone(good), good[1])), "is there twice"},
		{"a size that is wrong", archiveOf(t, []file{good[0], {"state.bin", goodState + "!"}, {"SHA256SUMS", sums(goodMeta, goodState+"!")}}), "has 23 bytes, meta.json says 22"},
		{"metadata that are no JSON", archiveOf(t, []file{{"meta.json", "x"}, good[1], {"SHA256SUMS", sums("x", goodState)}}), "invalid character"},
		{"data behind the end", archiveOf(t, good, 'x'), "there is more data"},
		{"endless padding", archiveOf(t, good, make([]byte, 2<<20)...), "behind its end"},
		{"garbage behind the stream", append(slices.Clone(whole), "garbage"...), "behind its end"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			info, err := api.VerifySnapshot(bytes.NewReader(tc.data))
			if tc.fail == "" {
				want := api.SnapshotInfo{ID: "2-363-1795309615699", Index: 363, Term: 2, Version: 1, Size: 22}
				if err != nil || info != want {
					t.Errorf("info = %+v, %v", info, err)
				}
				return
			}
			if !errors.Is(err, api.ErrSnapshot) || !strings.Contains(err.Error(), tc.fail) {
				t.Errorf("error = %v, want ErrSnapshot that says %q", err, tc.fail)
			}
		})
	}
}

func TestABrokenStreamIsNotADamagedArchive(t *testing.T) {
	whole := archiveOf(t, goodMembers())
	for _, at := range []int{0, 5, len(whole) / 2, len(whole)} {
		broken := io.MultiReader(bytes.NewReader(whole[:at]), iotest.ErrReader(errBroken))
		if _, err := api.VerifySnapshot(broken); !errors.Is(err, errBroken) || errors.Is(err, api.ErrSnapshot) {
			t.Errorf("broken at %d: error = %v, want the stream's", at, err)
		}
	}
}

var errBroken = errors.New("the connection broke")

func FuzzVerifySnapshot(f *testing.F) {
	f.Add(archiveOf(f, goodMembers()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := api.VerifySnapshot(bytes.NewReader(data)); err != nil && !errors.Is(err, api.ErrSnapshot) {
			t.Errorf("error = %v, want ErrSnapshot", err)
		}
	})
}
