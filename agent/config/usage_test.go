package config_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// worksInside are settings whose effect is inside of this package; so is that of
// TLS.Defaults, from which the other blocks take what they do not set.
var worksInside = []string{"Dev", "Server", "BindAddr", "BootstrapExpect"}

// readBy are fields that are read through a method of another name.
var readBy = map[string]string{
	"Addresses.HTTP": "HTTPListeners", "Ports.HTTP": "HTTPListeners", "ClientAddrs": "HTTPListeners",
	"Addresses.HTTPS": "HTTPSListeners", "Ports.HTTPS": "HTTPSListeners",
}

// shownOnly are settings without effect that some code reads only to show them.
var shownOnly = []string{"PrimaryDatacenter", "CheckUpdateInterval", "ACL.DownPolicy", "Ports.SerfLAN"}

// TestThePageDoesNotLie looks for each setting in the code of the server. One
// that nobody reads must be marked as not yet used, and the mark must go when
// somebody does. It looks at names only, which is enough for honest mistakes.
func TestThePageDoesNotLie(t *testing.T) {
	code := serverCode(t)
	c := config.Default()
	paths := leaves(reflect.ValueOf(c).Elem(), "")
	for _, o := range config.Options() {
		path := paths[reflect.ValueOf(config.FieldOf(o, c)).Pointer()]
		if slices.Contains(worksInside, path) || slices.Contains(shownOnly, path) || strings.HasPrefix(path, "TLS.Defaults.") {
			continue
		}
		whole := strings.Contains(code, "."+path) || readBy[path] != "" && strings.Contains(code, "."+readBy[path]+"()")
		// The struct around it may have been read as a whole before; a long name
		// says enough even without that.
		dot := strings.LastIndexByte(path, '.')
		leaf := path[dot+1:]
		part := strings.Contains(code, "."+leaf) && (len(leaf) >= len("Versions") || dot > 0 && strings.Contains(code, "."+path[:dot]))
		switch {
		case whole && o.Unused != "":
			t.Errorf("%s: Config.%s is read: take away the mark that it is not used yet", o.Key, path)
		case !whole && !part && o.Unused == "":
			t.Errorf("%s: nobody reads Config.%s: mark it as not used yet", o.Key, path)
		}
	}
}

// serverCode is all code that a configuration is handed to.
func serverCode(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, root := range []string{"../../agent", "../../httpapi", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && path == "../../agent/config":
				return fs.SkipDir
			case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
