package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

func TestParseExport(t *testing.T) {
	for _, tc := range []struct {
		rule, data string
		want       []imported
		fail       string
	}{
		{
			"an export", `[{"key":"a/","flags":18446744073709551615,"value":"AP8="},{"key":"b","flags":0,"value":""}]`,
			[]imported{{"a/", 1<<64 - 1, []byte{0, 255}}, {"b", 0, []byte{}}},
			"",
		},
		{"names match without regard to case", `[{"KEY":"a","Flags":1,"vAlue":"MQ=="}]`, []imported{{"a", 1, []byte("1")}}, ""},
		{"null is an empty value", `[{"key":"a","value":null}]`, []imported{{"a", 0, nil}}, ""},
		{"what is not known is ignored", `[{"key":"a","namespace":"","partition":"x","ModifyIndex":3}]`, []imported{{"a", 0, nil}}, ""},
		{"an empty list", ` [] `, []imported{}, ""},
		{"null is an empty list", `null`, []imported{}, ""},
		{"nothing", " \n", nil, "there is no data"},
		{"text", `hello`, nil, "byte 1"},
		{"an object", `{"key":"a"}`, nil, "not an export"},
		{"a list of texts", `["a"]`, nil, "entry 1 of the export: "},
		{"a value that is not base64", `[{"key":"a","value":"*"}]`, nil, "entry 1 of the export: illegal base64"},
		{"flags that are negative", `[{"key":"a"},{"key":"a","flags":-1}]`, nil, "entry 2 of the export: "},
		{"an entry without a key", `[{"key":"a"},{"value":""}]`, nil, "entry 2 of the export has no key"},
		{"an entry with an empty key", `[{"key":""}]`, nil, "entry 1 of the export has an empty key"},
		{"more behind the end", `[] []`, nil, "more behind its end"},
		{"one that is cut off", `[{"key":"a"`, nil, "not an export"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := parseExport([]byte(tc.data))
			if tc.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fail) {
					t.Errorf("error = %v, want one that says %q", err, tc.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(imported{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseExport(f *testing.F) {
	for _, seed := range []string{`[{"key":"a","flags":1,"value":"MQ=="}]`, `null`, `[`, `[{"Key":"\ud800"}]`, `[] x`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseExport(data)
		if err != nil {
			return
		}
		entries := make([]*api.Entry, 0, len(list))
		for _, e := range list {
			if e.key == "" {
				t.Fatalf("an empty key came out of %q", data)
			}
			entries = append(entries, &api.Entry{Key: e.key, Flags: e.flags, Value: e.value})
		}
		text, err := json.Marshal(exportOf(entries))
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseExport(text)
		if err != nil {
			t.Fatalf("what was read from %q cannot be exported and read again: %v", data, err)
		}
		same := func(a, b imported) bool {
			return a.key == b.key && a.flags == b.flags && bytes.Equal(a.value, b.value)
		}
		if !slices.EqualFunc(list, again, same) {
			t.Fatalf("%q reads as %v and, exported, as %v", data, list, again)
		}
	})
}

func TestJoinKey(t *testing.T) {
	for _, tc := range []struct{ prefix, key, want string }{
		{"", "a//b/", "a//b/"},
		{"", "/a", "/a"},
		{"p", "a", "p/a"},
		{"p/", "a", "p/a"},
		{"/p", "a", "p/a"},
		{"p", "a/", "p/a/"},
		{"p", "/a//b/./c", "p/a/b/c"},
		{"p/q", "../a", "p/a"},
	} {
		if got := joinKey(tc.prefix, tc.key); got != tc.want {
			t.Errorf("joinKey(%q, %q) = %q, want %q", tc.prefix, tc.key, got, tc.want)
		}
	}
}

// tree makes a folder with files; a content that begins with "->" is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(content, "->"); link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPlanFolder(t *testing.T) {
	outside := filepath.Join(tree(t, map[string]string{"secret": "s"}), "secret")
	for _, tc := range []struct {
		rule     string
		files    map[string]string
		stripExt bool
		want     string // "path=key ..."
		fail     string
	}{
		{"paths become keys, folder by folder in order", map[string]string{"b.yml": "", "a/c.yml": "", "a.yml": ""}, false, "a/c.yml=a/c.yml a.yml=a.yml b.yml=b.yml", ""},
		{"hidden files and folders are skipped", map[string]string{".git/x": "", ".env": "", "a/.b": "", "a/c": ""}, false, "a/c=a/c", ""},
		{"the last extension can be dropped", map[string]string{"a.tar.gz": "", "d.d/b.yml": ""}, true, "a.tar.gz=a.tar d.d/b.yml=d.d/b", ""},
		{"two files cannot become one key", map[string]string{"a.yml": "", "a.json": ""}, true, "", `a.json and a.yml would both become the key "a"`},
		{"a link inside is followed", map[string]string{"..data/a": "x", "a": "->..data/a"}, false, "a=a", ""},
		{"a link out is refused", map[string]string{"a": "->" + outside}, false, "", "a is a link that leads nowhere inside"},
		{"a relative link out is refused", map[string]string{"d/a": "->../../x"}, false, "", "d/a is a link that leads nowhere inside"},
		{"a link to nothing is refused", map[string]string{"a": "->b"}, false, "", "a is a link that leads nowhere inside"},
		{"a link to a folder is refused", map[string]string{"d/a": "", "e": "->d"}, false, "", "e is a link to a directory"},
		{"a file that is too large is refused", map[string]string{"a": "12345678901"}, false, "", "a has 11 bytes, more than the 10 allowed"},
		{"an empty folder is an empty plan", nil, false, "", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			plan, err := planFolder(tree(t, tc.files), 10, tc.stripExt)
			if tc.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fail) {
					t.Errorf("error = %v, want one that says %q", err, tc.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range plan {
				got = append(got, f.path+"="+f.key)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("plan = %s, want %s", s, tc.want)
			}
		})
	}
}

func TestAFileThatGrewSinceItWasPlannedIsRefused(t *testing.T) {
	dir := tree(t, map[string]string{"a": "1234567890"})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if got, err := readPlanned(root, "a", 10); err != nil || string(got) != "1234567890" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := readPlanned(root, "a", 9); err == nil || !strings.Contains(err.Error(), "larger than 9 bytes") {
		t.Errorf("error = %v", err)
	}
}

// importerOf makes an importer whose transactions are answered by txn and whose
// single writes are collected.
func importerOf(t *testing.T, txn func(ops []api.TxnOp) (*api.TxnResult, error)) (w *importer, done, singles *[]string) {
	t.Helper()
	done, singles = &[]string{}, &[]string{}
	serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.URL.Path, "/v1/kv/")
		if key == "bad" {
			http.Error(w, "Permission denied", http.StatusForbidden)
			return
		}
		*singles = append(*singles, key)
		_, _ = w.Write([]byte("true"))
	})
	client, err := api.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return &importer{
		kv: client.KV(),
		txn: func(_ context.Context, ops []api.TxnOp, _ ...api.TxnOption) (*api.TxnResult, error) {
			return txn(ops)
		},
		done: func(key string) error {
			*done = append(*done, key)
			return nil
		},
	}, done, singles
}

func TestImportsAreBatchedInOrder(t *testing.T) {
	var sizes []int
	var order []string
	w, done, singles := importerOf(t, func(ops []api.TxnOp) (*api.TxnResult, error) {
		sizes = append(sizes, len(ops))
		for _, op := range ops {
			order = append(order, op.Key)
		}
		return &api.TxnResult{Applied: true}, nil
	})
	var want []string
	for i := range 300 {
		key := fmt.Sprintf("k%03d", i)
		value := []byte("v")
		if i == 200 {
			value = make([]byte, 500<<10) // too large for a batch: written alone, in its place
		}
		want = append(want, key)
		if err := w.add(t.Context(), imported{key: key, value: value}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{128, 72, 99}) || !slices.Equal(*singles, []string{"k200"}) {
		t.Errorf("batches of %v, alone %v", sizes, *singles)
	}
	if !slices.Equal(*done, want) {
		t.Errorf("done in the order %v", *done)
	}
	if order[199] != "k199" || order[200] != "k201" {
		t.Errorf("batches in the order %v", order)
	}
}

func TestABatchThatIsRefusedIsWrittenOneByOne(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		err     error
		result  *api.TxnResult
		singles bool
	}{
		{"when it was rolled back", nil, &api.TxnResult{Failures: []api.TxnFailure{{What: "no"}}}, true},
		{"when it was too large", &api.StatusError{Code: 413}, nil, true},
		{"not when the outcome is unknown", &api.ConnectionError{Sent: true, Err: errors.New("EOF")}, nil, false},
		{"not when the server is in trouble", &api.StatusError{Code: 500}, nil, false},
		{"not when the client must slow down", &api.StatusError{Code: 429}, nil, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w, done, singles := importerOf(t, func([]api.TxnOp) (*api.TxnResult, error) { return tc.result, tc.err })
			for _, key := range []string{"a", "b", "bad", "c"} {
				if err := w.add(t.Context(), imported{key: key}); err != nil {
					t.Fatal(err)
				}
			}
			err := w.flush(t.Context())
			if err == nil {
				t.Fatal("the import went through")
			}
			if !tc.singles {
				if len(*singles) != 0 {
					t.Errorf("written one by one: %v", *singles)
				}
				return
			}
			if !errors.Is(err, api.ErrDenied) || !strings.Contains(err.Error(), `"bad"`) {
				t.Errorf("error = %v, want one that names the key", err)
			}
			if !slices.Equal(*done, []string{"a", "b"}) {
				t.Errorf("done %v, want the keys before the faulty one", *done)
			}
		})
	}
}
