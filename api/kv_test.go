package api_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

// hello is an answer to a read of one key.
const hello = `[{"LockIndex":2,"Key":"app/motd","Flags":18446744073709551615,"Value":"aGVsbG8=","Session":"s","CreateIndex":10,"ModifyIndex":12}]`

func TestReadsOnTheWire(t *testing.T) {
	when := time.Date(2026, 11, 22, 3, 4, 5, 6, time.FixedZone("", 3600))
	client, rec := record(t, answer(200, hello, "X-Consul-Index", "12"))
	kv := client.KV()
	for _, tc := range []struct {
		rule string
		call func() error
		uri  string
	}{
		{"get", get(t, kv, "app/motd"), "/v1/kv/app/motd"},
		{"get of a key that needs escapes", get(t, kv, "/a//../b c"), "/v1/kv/%2Fa/%2F%2E%2E/b%20c"},
		{"get of bytes that are no UTF-8", get(t, kv, "x\xff"), "/v1/kv/x%FF"},
		{"stale", get(t, kv, "k", api.Stale()), "/v1/kv/k?stale="},
		{"consistent", get(t, kv, "k", api.Consistent()), "/v1/kv/k?consistent="},
		{"min-index", get(t, kv, "k", api.MinIndex(7)), "/v1/kv/k?min-index=7"},
		{"revision", get(t, kv, "k", api.AtRevision(17)), "/v1/kv/k?revision=17"},
		{"at", get(t, kv, "k", api.AtTime(when)), "/v1/kv/k?at=2026-11-22T02%3A04%3A05.000000006Z"},
		{"wait", get(t, kv, "k", api.WaitIndex(1<<63, 1500*time.Millisecond)), "/v1/kv/k?index=9223372036854775808&wait=1500ms"},
		{"wait as long as the server likes", get(t, kv, "k", api.WaitIndex(5, 0)), "/v1/kv/k?index=5"},
		{"a wait is never cut to nothing", get(t, kv, "k", api.WaitIndex(5, time.Microsecond)), "/v1/kv/k?index=5&wait=1ms"},
		{"list", func() error { _, _, err := kv.List(t.Context(), "app/"); return err }, "/v1/kv/app/?recurse="},
		{"list of everything", func() error { _, _, err := kv.List(t.Context(), ""); return err }, "/v1/kv/?recurse="},
		{"a page of a list", func() error {
			_, _, err := kv.List(t.Context(), "", api.Limit(3), api.After("a b/"))
			return err
		}, "/v1/kv/?after=a+b%2F&limit=3&recurse="},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if err := tc.call(); err != nil {
				t.Fatal(err)
			}
			got := rec.last(t)
			if got.method != "GET" || got.uri != tc.uri {
				t.Errorf("sent %s %s, want GET %s", got.method, got.uri, tc.uri)
			}
		})
	}
}

// get is a call of Get for a table.
func get(t *testing.T, kv api.KV, key string, opts ...api.ReadOption) func() error {
	return func() error {
		_, _, err := kv.Get(t.Context(), key, opts...)
		return err
	}
}

func TestGetReadsAnEntryAndItsHeaders(t *testing.T) {
	client, _ := record(t, answer(200, hello,
		"X-Consul-Index", "12", "X-Consul-Knownleader", "true", "X-Consul-Lastcontact", "35", "ETag", `"12"`))
	entry, meta, err := client.KV().Get(t.Context(), "app/motd")
	if err != nil {
		t.Fatal(err)
	}
	wantEntry := &api.Entry{
		LockIndex: 2, Key: "app/motd", Flags: 1<<64 - 1, Value: []byte("hello"),
		Session: "s", CreateIndex: 10, ModifyIndex: 12,
	}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Error(diff)
	}
	wantMeta := api.Meta{Index: 12, KnownLeader: true, LastContact: 35 * time.Millisecond, ETag: `"12"`}
	if diff := cmp.Diff(wantMeta, meta); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingKey(t *testing.T) {
	t.Run("is ErrNotFound, and its index is told", func(t *testing.T) {
		client, _ := record(t, answer(404, "", "X-Consul-Index", "25"))
		_, meta, err := client.KV().Get(t.Context(), "none")
		if !errors.Is(err, api.ErrNotFound) || meta.Index != 25 {
			t.Errorf("error = %v, index = %d", err, meta.Index)
		}
	})
	t.Run("is not what a proxy's 404 says", func(t *testing.T) {
		client, _ := record(t, answer(404, "no such service"))
		_, _, err := client.KV().Get(t.Context(), "none")
		var status *api.StatusError
		if errors.Is(err, api.ErrNotFound) || !errors.As(err, &status) || status.Body != "no such service" {
			t.Errorf("error = %v, want a StatusError", err)
		}
	})
	t.Run("gives an empty list", func(t *testing.T) {
		client, _ := record(t, answer(404, "", "X-Consul-Index", "25"))
		entries, meta, err := client.KV().List(t.Context(), "none/")
		if err != nil || len(entries) != 0 || meta.Index != 25 {
			t.Errorf("%d entries, index %d, %v", len(entries), meta.Index, err)
		}
		names, _, err := client.KV().Keys(t.Context(), "none/")
		if err != nil || len(names) != 0 {
			t.Errorf("%d names, %v", len(names), err)
		}
	})
	t.Run("has no raw value", func(t *testing.T) {
		client, _ := record(t, answer(404, "", "X-Consul-Index", "25"))
		if _, _, err := client.KV().Raw(t.Context(), "none"); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("error = %v", err)
		}
	})
}

func TestIfNoneMatch(t *testing.T) {
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "12")
		w.WriteHeader(http.StatusNotModified)
	})
	_, meta, err := client.KV().Get(t.Context(), "k", api.IfNoneMatch(`"12"`))
	if !errors.Is(err, api.ErrNotModified) || meta.Index != 12 {
		t.Errorf("error = %v, index %d", err, meta.Index)
	}
	if got := rec.last(t).header.Get("If-None-Match"); got != `"12"` {
		t.Errorf("If-None-Match = %q", got)
	}
}

func TestRawStreams(t *testing.T) {
	value := "\x00\xff bytes\n"
	client, rec := record(t, answer(200, value, "X-Consul-Index", "3", "Content-Type", "text/plain"))
	body, meta, err := client.KV().Raw(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || string(got) != value || meta.Index != 3 {
		t.Errorf("read %q at %d, %v", got, meta.Index, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if rec.last(t).uri != "/v1/kv/k?raw=" {
		t.Errorf("URI = %s", rec.last(t).uri)
	}
}

func TestKeys(t *testing.T) {
	client, rec := record(t, answer(200, `["p/a","p/d/"]`, "X-Holdfast-Next", "p%2Fd%2Fx+y%2Bz"))
	names, meta, err := client.KV().Keys(t.Context(), "p/", api.Separator("/"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p/a", "p/d/"}, names); diff != "" {
		t.Error(diff)
	}
	if meta.Next != "p/d/x y+z" {
		t.Errorf("Next = %q", meta.Next)
	}
	if got := rec.last(t).uri; got != "/v1/kv/p/?keys=&separator=%2F" {
		t.Errorf("URI = %s", got)
	}
}

func TestPagesAreFollowedToTheEnd(t *testing.T) {
	pages := map[string]struct{ body, next string }{
		"":  {`["a","b"]`, "b"},
		"b": {`["c","d"]`, "d"},
		"d": {`["e"]`, ""},
	}
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("limit") != "2" {
			t.Errorf("limit = %q", r.FormValue("limit"))
		}
		page := pages[r.FormValue("after")]
		if page.next != "" {
			w.Header().Set("X-Holdfast-Next", page.next)
		}
		_, _ = io.WriteString(w, page.body)
	})
	t.Run("in order", func(t *testing.T) {
		var all strings.Builder
		for name, err := range client.KV().AllKeys(t.Context(), "", 2) {
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(name)
		}
		if all.String() != "abcde" {
			t.Errorf("names = %s", all.String())
		}
	})
	t.Run("or until the caller has enough", func(t *testing.T) {
		before := rec.count()
		for range client.KV().AllKeys(t.Context(), "", 2) {
			break
		}
		if got := rec.count() - before; got != 1 {
			t.Errorf("%d requests for the first key", got)
		}
	})
}

func TestAPageThatFailsEndsTheWalk(t *testing.T) {
	client, _ := record(t, answer(403, "Permission denied"))
	steps := 0
	for entry, err := range client.KV().All(t.Context(), "", 10) {
		steps++
		if entry != nil || !errors.Is(err, api.ErrDenied) {
			t.Errorf("got %v, %v", entry, err)
		}
	}
	if steps != 1 {
		t.Errorf("%d steps, want 1", steps)
	}
}

func TestWritesOnTheWire(t *testing.T) {
	client, rec := record(t, answer(200, "true", "X-Consul-Index", "99"))
	kv, ctx := client.KV(), t.Context()
	for _, tc := range []struct {
		rule   string
		call   func() (api.WriteResult, error)
		method string
		uri    string
		body   string
	}{
		{"put", func() (api.WriteResult, error) { return kv.Put(ctx, "k", []byte("v")) }, "PUT", "/v1/kv/k", "v"},
		{"put of nothing", func() (api.WriteResult, error) { return kv.Put(ctx, "k", nil) }, "PUT", "/v1/kv/k", ""},
		{"put with flags", func() (api.WriteResult, error) { return kv.Put(ctx, "k", nil, api.Flags(1<<64-1)) }, "PUT", "/v1/kv/k?flags=18446744073709551615", ""},
		{"put of a stream", func() (api.WriteResult, error) { return kv.PutReader(ctx, "k", strings.NewReader("abc"), 3) }, "PUT", "/v1/kv/k", "abc"},
		{"put of a stream of unknown length", func() (api.WriteResult, error) {
			return kv.PutReader(ctx, "k", io.MultiReader(strings.NewReader("abc")), -1)
		}, "PUT", "/v1/kv/k", "abc"},
		{"put of an empty stream", func() (api.WriteResult, error) {
			return kv.PutReader(ctx, "k", io.MultiReader(), 0)
		}, "PUT", "/v1/kv/k", ""},
		{"cas", func() (api.WriteResult, error) { return kv.CAS(ctx, "k", []byte("v"), 7) }, "PUT", "/v1/kv/k?cas=7", "v"},
		{"cas that creates", func() (api.WriteResult, error) { return kv.CAS(ctx, "k", []byte("v"), 0) }, "PUT", "/v1/kv/k?cas=0", "v"},
		{"acquire", func() (api.WriteResult, error) { return kv.Acquire(ctx, "k", []byte("v"), "s") }, "PUT", "/v1/kv/k?acquire=s", "v"},
		{"release", func() (api.WriteResult, error) { return kv.Release(ctx, "k", []byte("v"), "s") }, "PUT", "/v1/kv/k?release=s", "v"},
		{"delete", func() (api.WriteResult, error) { return kv.Delete(ctx, "k") }, "DELETE", "/v1/kv/k", ""},
		{"delete at an index", func() (api.WriteResult, error) { return kv.DeleteCAS(ctx, "k", 7) }, "DELETE", "/v1/kv/k?cas=7", ""},
		{"delete of a tree", func() (api.WriteResult, error) { return kv.DeleteTree(ctx, "p/") }, "DELETE", "/v1/kv/p/?recurse=", ""},
		{"delete of everything", func() (api.WriteResult, error) { return kv.DeleteTree(ctx, "") }, "DELETE", "/v1/kv/?recurse=", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			res, err := tc.call()
			if err != nil {
				t.Fatal(err)
			}
			if !res.Applied || res.Index != 99 {
				t.Errorf("result = %+v", res)
			}
			if got := rec.last(t); got.method != tc.method || got.uri != tc.uri || got.body != tc.body {
				t.Errorf("sent %s %s %q, want %s %s %q", got.method, got.uri, got.body, tc.method, tc.uri, tc.body)
			}
		})
	}
}

func TestALostRaceIsAResult(t *testing.T) {
	client, _ := record(t, answer(200, "false"))
	res, err := client.KV().CAS(t.Context(), "k", nil, 7)
	if err != nil || res.Applied {
		t.Errorf("result = %+v, %v", res, err)
	}
}

func TestReason(t *testing.T) {
	client, rec := record(t, answer(200, "true"))
	if _, err := client.KV().Put(t.Context(), "k", nil, api.Reason("größer, for #12")); err != nil {
		t.Fatal(err)
	}
	if got := rec.last(t).header.Get("X-Holdfast-Reason"); got != "größer, for #12" {
		t.Errorf("reason = %q", got)
	}
	before := rec.count()
	if _, err := client.KV().Put(t.Context(), "k", nil, api.Reason("a\nb")); err == nil {
		t.Error("a reason of two lines was accepted")
	}
	if rec.count() != before {
		t.Error("the write was sent without its reason")
	}
}

func TestOptionsThatCannotBeSentStopTheCall(t *testing.T) {
	client, rec := record(t, answer(200, "[]"))
	if _, _, err := client.KV().List(t.Context(), "", api.Limit(0)); err == nil {
		t.Error("a limit of 0 was accepted")
	}
	if rec.count() != 0 {
		t.Error("the list was asked for without its limit")
	}
}

func TestKeysThatCannotBeSent(t *testing.T) {
	client, rec := record(t, answer(200, "true"))
	kv, ctx := client.KV(), t.Context()
	for _, tc := range []struct {
		rule string
		call func() error
	}{
		{"an empty key is not read", get(t, kv, "")},
		{"an empty key is not written", func() error { _, err := kv.Put(ctx, "", nil); return err }},
		{"an empty key is not deleted", func() error { _, err := kv.Delete(ctx, ""); return err }},
		{"neither path nor JSON carries it", get(t, kv, "a\n\xff")},
		{"a transaction cannot read the past", get(t, kv, "a\n", api.AtRevision(3))},
		{"a transaction cannot wait", get(t, kv, "a\n", api.WaitIndex(3, 0))},
		{"a transaction has no history", func() error { _, _, err := kv.History(ctx, "a\n", 0); return err }},
		{"a transaction takes no stream", func() error { _, err := kv.PutReader(ctx, "a\n", strings.NewReader(""), 0); return err }},
		{"a tree that nothing carries", func() error { _, err := kv.DeleteTree(ctx, "a\n\xff"); return err }},
		{"a list that nothing carries", func() error { _, _, err := kv.List(ctx, "a\n\xff"); return err }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			err := tc.call()
			var key *api.KeyError
			if !errors.As(err, &key) || !errors.Is(err, api.ErrKey) {
				t.Errorf("error = %v, want a KeyError", err)
			}
		})
	}
	if rec.count() != 0 {
		t.Errorf("the server was asked %d times", rec.count())
	}
}

func TestHistory(t *testing.T) {
	client, rec := record(t, answer(200, `[
		{"Index":9,"Time":"2026-11-22T01:02:03.000000004Z","Op":"delete","Accessor":"a","Address":"127.0.0.1:5","Reason":"r","Size":0,"Flags":0,"Value":null,"CreateIndex":7},
		{"Index":7,"Time":"2026-11-22T01:02:03Z","Op":"set","Accessor":"","Address":"","Reason":"","Size":1,"Flags":3,"Session":"s","LockIndex":4,"Value":"MQ==","CreateIndex":7}]`,
		"X-Consul-Index", "9"))
	changes, meta, err := client.KV().History(t.Context(), "k", 5)
	if err != nil {
		t.Fatal(err)
	}
	when := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	want := []api.Change{
		{Index: 9, Time: when.Add(4), Op: api.OpDelete, Accessor: "a", Address: "127.0.0.1:5", Reason: "r", CreateIndex: 7},
		{Index: 7, Time: when, Op: api.OpSet, Size: 1, Flags: 3, Session: "s", LockIndex: 4, Value: []byte("1"), CreateIndex: 7},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	if meta.Index != 9 || rec.last(t).uri != "/v1/kv/k?history=5" {
		t.Errorf("index %d, URI %s", meta.Index, rec.last(t).uri)
	}
	if _, _, err := client.KV().History(t.Context(), "k", 0); err != nil {
		t.Fatal(err)
	}
	if got := rec.last(t).uri; got != "/v1/kv/k?history=" {
		t.Errorf("URI = %s", got)
	}
}

func TestAServerWithoutHistoryIsNotedAndNotBelieved(t *testing.T) {
	client, _ := record(t, answer(200, hello, "X-Consul-Index", "12")) // as if nothing but the key had been asked for
	kv, ctx := client.KV(), t.Context()
	for _, tc := range []struct {
		rule string
		call func() error
	}{
		{"history", func() error { _, _, err := kv.History(ctx, "app/motd", 0); return err }},
		{"get", get(t, kv, "app/motd", api.AtRevision(11))},
		{"list", func() error { _, _, err := kv.List(ctx, "app/", api.AtRevision(11)); return err }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if err := tc.call(); err == nil || !strings.Contains(err.Error(), "keeps no history") {
				t.Errorf("error = %v", err)
			}
		})
	}
	if err := get(t, kv, "app/motd", api.AtRevision(12))(); err != nil {
		t.Errorf("a key that has not changed since is what it was: %v", err)
	}
}
