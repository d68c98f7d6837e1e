package cells

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"testing"
)

func TestTextIsVaried(t *testing.T) {
	seen := map[string]bool{}
	var all bytes.Buffer
	for seed := range uint64(200) {
		v := text(seed, 512)
		if len(v) != 512 {
			t.Fatalf("%d bytes, want 512", len(v))
		}
		if !bytes.Equal(v, text(seed, 512)) {
			t.Fatal("the same seed gives other bytes")
		}
		seen[string(v)] = true
		all.Write(v)
	}
	if len(seen) != 200 {
		t.Errorf("%d different values of 200", len(seen))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(all.Bytes())
	_ = z.Close()
	// Text packs to between a fifth and two thirds; one value over and over to a hundredth.
	if share := float64(packed.Len()) / float64(all.Len()); share < 0.2 || share > 0.67 {
		t.Errorf("gzip packs it to %.2f of its size", share)
	}
}

func TestTxnBody(t *testing.T) {
	want := []pair{{"a/b", []byte{0, 1, 2}}, {"c", []byte("text")}, {"d", nil}}
	var got []struct {
		KV struct {
			Verb, Key string
			Value     []byte
		}
	}
	if err := json.Unmarshal(txnBody(want), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d operations, want %d", len(got), len(want))
	}
	for i, op := range got {
		if op.KV.Verb != "set" || op.KV.Key != want[i].key || !bytes.Equal(op.KV.Value, want[i].value) {
			t.Errorf("operation %d is %+v, want %s = %q", i, op.KV, want[i].key, want[i].value)
		}
	}
}
