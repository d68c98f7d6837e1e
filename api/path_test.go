package api

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestEscapeKey(t *testing.T) {
	for _, tc := range []struct{ rule, key, want string }{
		{"a plain key stays", "app/motd", "app/motd"},
		{"a slash at the end stays", "app/", "app/"},
		{"a leading slash is escaped", "/app", "%2Fapp"},
		{"a slash alone is escaped", "/", "%2F"},
		{"of doubled slashes the second is escaped", "a//b", "a/%2Fb"},
		{"so is every further one", "a///b", "a/%2F%2Fb"},
		{"and at the end", "a//", "a/%2F"},
		{"dot segments are escaped", "a/../b/./c", "a/%2E%2E/b/%2E/c"},
		{"at both ends too", "../..", "%2E%2E/%2E%2E"},
		{"dots inside a name stay", "a/..b/c.yml", "a/..b/c.yml"},
		{"a space is not a plus", "sp ace", "sp%20ace"},
		{"a plus is escaped", "pl+us", "pl%2Bus"},
		{"what ends a path is escaped", "q?x#y;z%2F", "q%3Fx%23y%3Bz%252F"},
		{"bytes beyond ASCII are escaped", "€", "%E2%82%AC"},
		{"bytes that are no UTF-8 are escaped", "x\xffy", "x%FFy"},
		{"the empty prefix stays empty", "", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := escapeKey(tc.key); got != tc.want {
				t.Errorf("escapeKey(%q) = %q, want %q", tc.key, got, tc.want)
			}
		})
	}
}

func FuzzEscapeKey(f *testing.F) {
	for _, seed := range []string{"", "/", "a//b", "..", "./a/../", "€/\xff", "a%2Fb", "\x00\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		escaped := escapeKey(key)
		if back, err := url.PathUnescape(escaped); err != nil || back != key {
			t.Fatalf("escapeKey(%q) = %q, which reads back as %q (%v)", key, escaped, back, err)
		}
		// A router cleans the raw path: it must find nothing to clean.
		whole := "/v1/kv/" + escaped
		cleaned := path.Clean(whole)
		if strings.HasSuffix(whole, "/") && cleaned != "/" {
			cleaned += "/"
		}
		if cleaned != whole {
			t.Fatalf("escapeKey(%q): a router would clean %q to %q", key, whole, cleaned)
		}
		if u, err := url.Parse("http://h" + whole); err != nil || u.Path != "/v1/kv/"+key || u.EscapedPath() != whole {
			t.Fatalf("escapeKey(%q): net/url reads %q as %+v (%v)", key, whole, u, err)
		}
	})
}

func TestWhichWayAKeyGoes(t *testing.T) {
	for _, tc := range []struct {
		rule       string
		key        string
		path, json bool
	}{
		{"a printable key goes by path", "a €", true, true},
		{"a newline does not", "a\nb", false, true},
		{"nor does a no-break space", "a\u00a0b", false, true},
		{"bytes that are no UTF-8 go by path only", "a\xffb", true, false},
		{"both together go nowhere", "a\xff\n", false, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := fitsPath(tc.key); got != tc.path {
				t.Errorf("fitsPath(%q) = %v, want %v", tc.key, got, tc.path)
			}
			if got := fitsJSON(tc.key); got != tc.json {
				t.Errorf("fitsJSON(%q) = %v, want %v", tc.key, got, tc.json)
			}
			if err := checkKey(tc.key); (err == nil) != (tc.path || tc.json) {
				t.Errorf("checkKey(%q) = %v", tc.key, err)
			}
		})
	}
}

func TestFold(t *testing.T) {
	for _, tc := range []struct{ key, prefix, separator, want string }{
		{"p/a", "p/", "/", "p/a"},
		{"p/d/x", "p/", "/", "p/d/"},
		{"p/d/x", "p/d", "/", "p/d/"},
		{"p/d/x", "p/", "", "p/d/x"},
		{"p--a--b", "p--", "--", "p--a--"},
	} {
		if got := fold(tc.key, tc.prefix, tc.separator); got != tc.want {
			t.Errorf("fold(%q, %q, %q) = %q, want %q", tc.key, tc.prefix, tc.separator, got, tc.want)
		}
	}
}
