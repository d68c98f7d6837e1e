package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"testing"

	"github.com/holdfast-kv/holdfast/kvs"
)

// TestAppendEntry: an entry as the wire has it.
//
// Source: contract, KV, section 1; README, section 6.
func TestAppendEntry(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		entry kvs.Version
		value bool
		want  string
	}{
		{
			"every field",
			kvs.Version{Key: "a", Value: []byte("v"), Flags: math.MaxUint64, LockIndex: 2, Session: "s", CreateIndex: 3, ModifyIndex: 4},
			true,
			`{"LockIndex":2,"Key":"a","Flags":18446744073709551615,"Value":"dg==","Session":"s","CreateIndex":3,"ModifyIndex":4}`,
		},
		{
			"an empty value is null and a free key has no Session",
			kvs.Version{Key: "a", Value: []byte{}},
			true,
			`{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0}`,
		},
		{
			"without its value",
			kvs.Version{Key: "a", Value: []byte("v")},
			false,
			`{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0}`,
		},
		{
			"escapes",
			kvs.Version{Key: "<&>\u2028\xff\"\n"},
			true,
			`{"LockIndex":0,"Key":"\u003c\u0026\u003e\u2028\ufffd\"\n","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0}`,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := string(appendEntry(nil, &tc.entry, tc.value)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestPutBuffer: what is given back is empty, and too large ones are let go.
func TestPutBuffer(t *testing.T) {
	b := []byte("left over")
	putBuffer(&b)
	if len(b) != 0 {
		t.Errorf("buffer holds %q", b)
	}
	large := make([]byte, 1, bufferBytes+1)
	putBuffer(&large)
	if len(large) != 1 {
		t.Error("a large buffer was taken back")
	}
}

// FuzzAppendString holds our JSON strings against those of encoding/json.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a", "<&>", "\u2028\u2029", "\xff\xfe", "\xe2\x80", "€", "\x00\x1f\x7f", "\b\f\n\r\t", `"\`, "\ufffd", "a\xc3\x28b", "😀"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString([]byte("x"), s); !bytes.Equal(got, append([]byte("x"), want...)) {
			t.Errorf("%q: got %s, encoding/json has %s", s, got, want)
		}
		if got := appendString(nil, []byte(s)); !bytes.Equal(got, want) {
			t.Errorf("%q as bytes: got %s, encoding/json has %s", s, got, want)
		}
	})
}

// FuzzBase64 holds both directions of base64 against the standard library.
func FuzzBase64(f *testing.F) {
	for _, seed := range []string{"", "a", "YQ==", "YQ=", "YR==", "Y Q==", "YQ==\n", "\r\nYW Jj", "not base64!", "YWJj\xff", "====", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo="} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := string(appendBase64(nil, b)), `"`+base64.StdEncoding.EncodeToString(b)+`"`; got != want && len(b) > 0 {
			t.Errorf("%q is encoded as %s, want %s", b, got, want)
		}
		got, err := decodeBase64(b)
		want, wantErr := base64.StdEncoding.DecodeString(string(b))
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("%q is decoded as %q, %v; encoding/base64 has %q, %v", b, got, err, want, wantErr)
		}
		if err != nil && err.Error() != wantErr.Error() {
			t.Errorf("%q: error is %q, want %q", b, err, wantErr)
		}
	})
}

// BenchmarkBase64 is why values are kept as bytes: what it takes to encode 1 KiB, by
// what is used and by the standard library.
func BenchmarkBase64(b *testing.B) {
	value, out := bytes.Repeat([]byte("holdfast"), 128), make([]byte, 0, 2048)
	b.Run("vector", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		for b.Loop() {
			out = appendBase64(out[:0], value)
		}
	})
	b.Run("standard", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		for b.Loop() {
			out = base64.StdEncoding.AppendEncode(out[:0], value)
		}
	})
}
