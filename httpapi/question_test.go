package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fillKeys writes the keys in one go.
func fillKeys(t testing.TB, s *Server, keys []string) {
	t.Helper()
	for _, k := range keys {
		expect(t, ask(t, s, http.MethodPut, "/v1/kv/"+url.PathEscape(k)+"?exact", "v"), http.StatusOK, "true")
	}
}

// foldedNames is what a listing of names must show, in the plainest way.
func foldedNames(keys []string, prefix, separator string) []string {
	var out []string
	slices.Sort(keys)
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, separator); separator != "" && i >= 0 {
			k = prefix + rest[:i+len(separator)]
		}
		if len(out) == 0 || out[len(out)-1] != k {
			out = append(out, k)
		}
	}
	return out
}

// TestPaging: following X-Holdfast-Next to the end shows every name once, folded
// or not, whatever the size of the page, and the same as one answer without a
// limit.
func TestPaging(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "/", "//", "-", "--", "é", "\x00", "a/", "%"})
	key := rapid.Map(rapid.SliceOfN(part, 1, 5), func(parts []string) string { return strings.Join(parts, "") })
	rapid.Check(t, func(rt *rapid.T) {
		s := newTestServer(t, newLocalNode(t))
		keys := rapid.SliceOfNDistinct(key, 0, 25, rapid.ID).Draw(rt, "keys")
		prefix := rapid.OneOf(rapid.Just(""), key).Draw(rt, "prefix")
		separator := rapid.OneOf(rapid.Just(""), part).Draw(rt, "separator")
		limit := rapid.IntRange(1, 7).Draw(rt, "limit")
		fillKeys(t, s, keys)
		target := "/v1/kv/" + url.PathEscape(prefix) + "?exact&keys&separator=" + url.QueryEscape(separator)
		want := foldedNames(keys, prefix, separator)
		if got := listOfNames(rt, s, target, nil); !slices.Equal(got, want) {
			rt.Fatalf("without a limit: %q, want %q", got, want)
		}
		if got := listOfNames(rt, s, target, &limit); !slices.Equal(got, want) {
			rt.Fatalf("in pages of %d: %q, want %q", limit, got, want)
		}
		index := s.node.Store().View().Applied()
		if index > 0 {
			target += "&revision=" + jsonNumber(index)
			if got := listOfNames(rt, s, target, &limit); !slices.Equal(got, want) {
				rt.Fatalf("of a revision in pages of %d: %q, want %q", limit, got, want)
			}
		}
	})
}

func jsonNumber(n uint64) string {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// listOfNames follows a listing to its end.
func listOfNames(rt *rapid.T, s *Server, target string, limit *int) []string {
	var all []string
	after := ""
	for range 100 {
		page := target + after
		if limit != nil {
			page += "&limit=" + jsonNumber(uint64(*limit))
		}
		w := askRapid(rt, s, page)
		var names []string
		if w.Code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &names); err != nil {
				rt.Fatal(err)
			}
		} else if w.Code != http.StatusNotFound {
			rt.Fatalf("GET %s answered %d %q", page, w.Code, w.Body)
		}
		all = append(all, names...)
		next := w.Header().Get("X-Holdfast-Next")
		if limit == nil && next != "" || limit != nil && next != "" && len(names) != *limit {
			rt.Fatalf("GET %s has %d names and more behind %q", page, len(names), next)
		}
		if next == "" {
			return all
		}
		after = "&after=" + next
	}
	rt.Fatal("paging does not end")
	return nil
}

// TestPagesOfEntries: entries can be paged too, from anywhere, also while keys
// come and go.
func TestPagesOfEntries(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	fillKeys(t, s, []string{"p/a", "p/b", "p/c", "p/d", "q"})
	keys := func(target string) string {
		t.Helper()
		var shown []struct{ Key string }
		w := ask(t, s, http.MethodGet, "/v1/kv/"+target, "")
		if w.Code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil {
				t.Fatal(err)
			}
		}
		var out []string
		for _, e := range shown {
			out = append(out, e.Key)
		}
		return strings.Join(out, " ") + " > " + w.Header().Get("X-Holdfast-Next")
	}
	for _, tc := range []struct{ target, want string }{
		{"p/?recurse&limit=2", "p/a p/b > p%2Fb"},
		{"p/?recurse&limit=2&after=p/b", "p/c p/d > "},
		{"p/?recurse&limit=4", "p/a p/b p/c p/d > "},
		{"p/?recurse&limit=0", "p/a p/b p/c p/d > "},
		{"p/?recurse&limit=18446744073709551615", "p/a p/b p/c p/d > "},
		{"p/?recurse&after=p/bb", "p/c p/d > "},
		{"p/?recurse&after=p/d", " > "},
		{"p/?recurse&after=z", " > "},
		{"p/?recurse&after=a&limit=1", "p/a > p%2Fa"}, // before the prefix
		{"?recurse&after=p/d", "q > "},
	} {
		if got := keys(tc.target); got != tc.want {
			t.Errorf("%s shows %q, want %q", tc.target, got, tc.want)
		}
	}
	mustDelete(t, s, "p/b") // the key that the next page begins behind
	if got, want := keys("p/?recurse&limit=2&after=p/b"), "p/c p/d > "; got != want {
		t.Errorf("after the deletion: %q, want %q", got, want)
	}
}

func askRapid(rt *rapid.T, s *Server, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(rt.Context(), http.MethodGet, target, nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
