package api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

func TestTxnOnTheWire(t *testing.T) {
	client, rec := record(t, answer(200,
		`{"Results":[{"KV":{"LockIndex":0,"Key":"a","Flags":3,"Value":null,"CreateIndex":39,"ModifyIndex":39}},{"Node":{}}],"Errors":null}`,
		"X-Consul-Index", "39"))
	res, err := client.Txn(t.Context(), []api.TxnOp{
		{Verb: api.VerbSet, Key: "a", Value: []byte("hello"), Flags: 3},
		{Verb: api.VerbCAS, Key: "a\nb", Index: 7},
		{Verb: api.VerbLock, Key: "c", Session: "s"},
	}, api.Reason("why"), api.Token("t"), api.Stale(), api.MinIndex(4))
	if err != nil {
		t.Fatal(err)
	}
	want := &api.TxnResult{
		Applied: true, Index: 39,
		Entries: []*api.Entry{{Key: "a", Flags: 3, CreateIndex: 39, ModifyIndex: 39}},
	}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Error(diff)
	}
	if res.Err() != nil {
		t.Errorf("Err = %v", res.Err())
	}
	got := rec.last(t)
	if got.method != "PUT" || got.uri != "/v1/txn?min-index=4&stale=" {
		t.Errorf("sent %s %s", got.method, got.uri)
	}
	body := `[{"KV":{"Verb":"set","Key":"a","Value":"aGVsbG8=","Flags":3}},` +
		`{"KV":{"Verb":"cas","Key":"a\nb","Index":7}},{"KV":{"Verb":"lock","Key":"c","Session":"s"}}]`
	if got.body != body {
		t.Errorf("body = %s\nwant   %s", got.body, body)
	}
	if got.header.Get("X-Holdfast-Reason") != "why" || got.header.Get("X-Consul-Token") != "t" {
		t.Errorf("header = %v", got.header)
	}
}

func TestARolledBackTxnIsAResult(t *testing.T) {
	client, _ := record(t, answer(409, `{"Results":null,"Errors":[{"OpIndex":1,"What":"key \"t/a\" exists"}]}`))
	res, err := client.Txn(t.Context(), []api.TxnOp{{Verb: api.VerbCheckNotExists, Key: "t/a"}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Applied || len(res.Failures) != 1 || res.Failures[0].OpIndex != 1 {
		t.Errorf("result = %+v", res)
	}
	var failed *api.TxnError
	if !errors.As(res.Err(), &failed) || !strings.Contains(failed.Error(), `operation 1: key "t/a" exists`) {
		t.Errorf("Err = %v", res.Err())
	}
}

func TestATxnThatIsTooLarge(t *testing.T) {
	client, _ := record(t, answer(413, "Transaction contains too many operations (129 > 128)"))
	if _, err := client.Txn(t.Context(), nil); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("error = %v", err)
	}
}

func TestATxnCannotCarryBytesThatAreNoUTF8(t *testing.T) {
	client, rec := record(t, answer(200, `{}`))
	_, err := client.Txn(t.Context(), []api.TxnOp{{Verb: api.VerbSet, Key: "a"}, {Verb: api.VerbSet, Key: "\xff"}})
	if !errors.Is(err, api.ErrKey) || !strings.Contains(err.Error(), `operation 1, key "\xff"`) {
		t.Errorf("error = %v", err)
	}
	if rec.count() != 0 {
		t.Error("it was sent")
	}
}

// refusal is a handler that rolls every transaction back.
func refusal(what string) http.HandlerFunc {
	return answer(409, `{"Results":null,"Errors":[{"OpIndex":0,"What":"`+what+`"}]}`)
}

func TestKeysThatNoPathCarriesGoByTxn(t *testing.T) {
	const key = "a\nb"
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "8")
		_, _ = io.WriteString(w, `{"Results":[{"KV":{"Key":"a\nb","Value":"MQ==","CreateIndex":3,"ModifyIndex":5}}],"Errors":null}`)
	})
	kv, ctx := client.KV(), t.Context()
	write := func(res api.WriteResult, err error) error {
		if err == nil && (!res.Applied || res.Index != 8) {
			t.Errorf("result = %+v", res)
		}
		return err
	}
	for _, tc := range []struct {
		rule string
		call func() error
		uri  string
		body string
	}{
		{"get", func() error {
			e, _, err := kv.Get(ctx, key, api.Stale(), api.MinIndex(4))
			if err == nil && (e.Key != key || string(e.Value) != "1") {
				t.Errorf("entry = %+v", e)
			}
			return err
		}, "?min-index=4&stale=", `[{"KV":{"Verb":"get-or-empty","Key":"a\nb"}}]`},
		{"raw", func() error {
			body, _, err := kv.Raw(ctx, key)
			if err != nil {
				return err
			}
			value, err := io.ReadAll(body)
			if string(value) != "1" {
				t.Errorf("value = %q", value)
			}
			return err
		}, "", `[{"KV":{"Verb":"get-or-empty","Key":"a\nb"}}]`},
		{"list", func() error {
			list, _, err := kv.List(ctx, "a\n")
			if len(list) != 1 {
				t.Errorf("%d entries", len(list))
			}
			return err
		}, "", `[{"KV":{"Verb":"get-tree","Key":"a\n"}}]`},
		{"keys", func() error {
			names, _, err := kv.Keys(ctx, "a\n")
			if len(names) != 1 || names[0] != key {
				t.Errorf("names = %q", names)
			}
			return err
		}, "", `[{"KV":{"Verb":"get-tree","Key":"a\n"}}]`},
		{"a walk", func() error {
			for name, err := range kv.AllKeys(ctx, "a\n", 5) {
				if err != nil || name != key {
					return fmt.Errorf("%q, %w", name, err)
				}
			}
			return nil
		}, "", `[{"KV":{"Verb":"get-tree","Key":"a\n"}}]`},
		{"put", func() error { return write(kv.Put(ctx, key, []byte("1"), api.Flags(3))) }, "", `[{"KV":{"Verb":"set","Key":"a\nb","Value":"MQ==","Flags":3}}]`},
		{"cas", func() error { return write(kv.CAS(ctx, key, nil, 5)) }, "", `[{"KV":{"Verb":"cas","Key":"a\nb","Index":5}}]`},
		{"acquire", func() error { return write(kv.Acquire(ctx, key, nil, "s")) }, "", `[{"KV":{"Verb":"lock","Key":"a\nb","Session":"s"}}]`},
		{"release", func() error { return write(kv.Release(ctx, key, nil, "s")) }, "", `[{"KV":{"Verb":"unlock","Key":"a\nb","Session":"s"}}]`},
		{"delete", func() error { return write(kv.Delete(ctx, key)) }, "", `[{"KV":{"Verb":"delete","Key":"a\nb"}}]`},
		{"delete at an index", func() error { return write(kv.DeleteCAS(ctx, key, 5)) }, "", `[{"KV":{"Verb":"delete-cas","Key":"a\nb","Index":5}}]`},
		{"delete of a tree", func() error { return write(kv.DeleteTree(ctx, key)) }, "", `[{"KV":{"Verb":"delete-tree","Key":"a\nb"}}]`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if err := tc.call(); err != nil {
				t.Fatal(err)
			}
			if got := rec.last(t); got.method != "PUT" || got.uri != "/v1/txn"+tc.uri || got.body != tc.body {
				t.Errorf("sent %s %s %s, want PUT /v1/txn%s %s", got.method, got.uri, got.body, tc.uri, tc.body)
			}
		})
	}
}

func TestATxnInPlaceOfAPathHasTheSameResults(t *testing.T) {
	const key = "a\nb"
	t.Run("a missing key is ErrNotFound", func(t *testing.T) {
		client, _ := record(t, answer(200, `{"Results":[{"KV":{"Key":"a\nb","Value":null,"CreateIndex":0,"ModifyIndex":0}}],"Errors":null}`))
		if _, _, err := client.KV().Get(t.Context(), key); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("error = %v", err)
		}
	})
	for _, tc := range []struct {
		rule, what string
		call       func(api.KV) (api.WriteResult, error)
		fails      bool
	}{
		{"a stale index is a lost race", `failed to set key, index is stale`, func(kv api.KV) (api.WriteResult, error) { return kv.CAS(t.Context(), key, nil, 5) }, false},
		{"a lock that is held is a lost race", `failed to lock key, lock is already held`, func(kv api.KV) (api.WriteResult, error) { return kv.Acquire(t.Context(), key, nil, "s") }, false},
		{"an unknown session is an error", `invalid session`, func(kv api.KV) (api.WriteResult, error) { return kv.Acquire(t.Context(), key, nil, "s") }, true},
		{"a refusal of a plain write is an error", `index is stale`, func(kv api.KV) (api.WriteResult, error) { return kv.Put(t.Context(), key, nil) }, true},
		{"permission is an error", `Permission denied`, func(kv api.KV) (api.WriteResult, error) { return kv.CAS(t.Context(), key, nil, 5) }, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, _ := record(t, refusal(tc.what))
			res, err := tc.call(client.KV())
			if res.Applied || (err != nil) != tc.fails {
				t.Errorf("result = %+v, error = %v", res, err)
			}
		})
	}
}
