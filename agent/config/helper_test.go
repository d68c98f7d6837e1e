package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// given is where a test's configuration comes from.
type given struct {
	args  []string
	env   []string
	files map[string]string // name in the folder conf, and text
	paths []string          // files of conf to read, in this order; nil: the folder
}

// load reads the configuration in a folder of its own. In arguments, paths and
// environment, CONF stands for the folder of the files.
func (g given) load(t testing.TB) (*config.Loaded, error) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "conf")
	for name, text := range g.files {
		file := filepath.Join(conf, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args, env := replaceAll(g.args, conf), replaceAll(g.env, conf)
	var flags config.Flags
	fs := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	flags.Register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	src := config.Sources{Flags: &flags, Env: env, Hostname: func() (string, error) { return "test-host", nil }}
	switch {
	case g.paths != nil:
		src.Paths = replaceAll(g.paths, conf)
	case g.files != nil:
		src.Paths = []string{conf}
	}
	got, err := config.Load(src)
	if err != nil {
		err = &cutError{err, conf}
	}
	return got, err
}

// cutError leaves the folder of the test out of the text.
type cutError struct {
	error
	conf string
}

func (e *cutError) Error() string { return strings.ReplaceAll(e.error.Error(), e.conf+"/", "") }
func (e *cutError) Unwrap() error { return e.error }

func replaceAll(words []string, conf string) []string {
	var out []string
	for _, w := range words {
		out = append(out, strings.ReplaceAll(w, "CONF/", conf+"/"))
	}
	return out
}

// mustLoad is load for a configuration that is right.
func (g given) mustLoad(t testing.TB) *config.Loaded {
	t.Helper()
	got, err := g.load(t)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// setting returns one row of the explanation.
func setting(t testing.TB, l *config.Loaded, name string) config.Setting {
	t.Helper()
	for _, s := range l.Settings {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no setting %s", name)
	return config.Setting{}
}

// hcl is one file in HCL, with a data dir so that nothing is missing.
func hcl(text string) given {
	return given{files: map[string]string{"a.hcl": text}, args: []string{"--data-dir=/d"}}
}
