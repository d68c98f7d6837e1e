package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// environment is a lookup in a map.
func environment(vars map[string]string) Option {
	return WithEnvironment(func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	})
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		rule, address string
		env           map[string]string
		want          string // "" = an error
	}{
		{"nothing said is the local server", "", nil, "http://127.0.0.1:8500"},
		{"an address needs no scheme", "h:1", nil, "http://h:1"},
		{"https is kept", "https://h:1", nil, "https://h:1"},
		{"a path prefix is kept, its slash is not", "http://h:1/kv/", nil, "http://h:1/kv"},
		{"a socket", "unix:///run/h.sock", nil, "unix:///run/h.sock"},
		{"an option wins over the environment", "h:1", map[string]string{"HOLDFAST_HTTP_ADDR": "e:2"}, "http://h:1"},
		{"our variable wins over Consul's", "", map[string]string{"HOLDFAST_HTTP_ADDR": "h:1", "CONSUL_HTTP_ADDR": "c:2"}, "http://h:1"},
		{"Consul's counts alone", "", map[string]string{"CONSUL_HTTP_ADDR": "c:2"}, "http://c:2"},
		{"an empty variable is not set", "", map[string]string{"HOLDFAST_HTTP_ADDR": "", "CONSUL_HTTP_ADDR": "c:2"}, "http://c:2"},
		{"SSL makes it https", "", map[string]string{"CONSUL_HTTP_ADDR": "c:2", "CONSUL_HTTP_SSL": "true"}, "https://c:2"},
		{"SSL makes the default https", "", map[string]string{"CONSUL_HTTP_SSL": "1"}, "https://127.0.0.1:8500"},
		{"a scheme wins over SSL", "", map[string]string{"CONSUL_HTTP_ADDR": "http://c:2", "CONSUL_HTTP_SSL": "true"}, "http://c:2"},
		{"a password is not shown", "http://u:secret@h:1", nil, "http://u:xxxxx@h:1"},
		{"an unknown scheme is refused", "ftp://h:1", nil, ""},
		{"a query is refused", "http://h:1/?x", nil, ""},
		{"no host is refused", "http://", nil, ""},
		{"no socket is refused", "unix://", nil, ""},
		{"a bad escape is refused", "http://%zz", nil, ""},
		{"SSL must be a boolean", "", map[string]string{"HOLDFAST_HTTP_SSL": "perhaps"}, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, err := New(environment(tc.env), WithAddress(tc.address))
			switch {
			case err != nil && tc.want != "":
				t.Fatal(err)
			case err == nil && tc.want == "":
				t.Fatalf("accepted as %s", client.Address())
			case err == nil && client.Address() != tc.want:
				t.Errorf("address = %s, want %s", client.Address(), tc.want)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two, empty := file("one", "one\n"), file("two", " two "), file("empty", "\n")
	for _, tc := range []struct {
		rule string
		opts []Option
		env  map[string]string
		want string
		fail string
	}{
		{"none is none", nil, nil, "", ""},
		{"an option", []Option{WithToken("t")}, map[string]string{"HOLDFAST_HTTP_TOKEN": "e"}, "t", ""},
		{"a file is trimmed", []Option{WithTokenFile(two)}, nil, "two", ""},
		{"the token wins over the file among options", []Option{WithToken("t"), WithTokenFile(one)}, nil, "t", ""},
		{"a file given wins over the environment", []Option{WithTokenFile(one)}, map[string]string{"HOLDFAST_HTTP_TOKEN": "e"}, "one", ""},
		{"in the environment the file wins", nil, map[string]string{"CONSUL_HTTP_TOKEN": "e", "CONSUL_HTTP_TOKEN_FILE": one}, "one", ""},
		{"our token wins over Consul's file", nil, map[string]string{"HOLDFAST_HTTP_TOKEN": "e", "CONSUL_HTTP_TOKEN_FILE": one}, "e", ""},
		{"a missing file is an error", []Option{WithTokenFile(filepath.Join(dir, "none"))}, nil, "", "no such file"},
		{"an empty file is an error", []Option{WithTokenFile(empty)}, nil, "", "is empty"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, err := New(append(tc.opts, environment(tc.env))...)
			switch {
			case tc.fail != "":
				if err == nil || !strings.Contains(err.Error(), tc.fail) {
					t.Errorf("error = %v, want one that says %q", err, tc.fail)
				}
			case err != nil:
				t.Fatal(err)
			case client.token != tc.want:
				t.Errorf("token = %q, want %q", client.token, tc.want)
			}
		})
	}
}

func TestTLSSettings(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule string
		env  map[string]string
		fail string
	}{
		{"a certificate needs a key", map[string]string{"CONSUL_CLIENT_CERT": junk}, "both a certificate and a key"},
		{"a certificate must be one", map[string]string{"CONSUL_CLIENT_CERT": junk, "CONSUL_CLIENT_KEY": junk}, "load client certificate"},
		{"an authority must be one", map[string]string{"HOLDFAST_CACERT": junk}, "no PEM certificate"},
		{"every file of a folder is read", map[string]string{"HOLDFAST_CAPATH": dir}, "no PEM certificate"},
		{"an empty folder is an error", map[string]string{"HOLDFAST_CAPATH": t.TempDir()}, "is empty"},
		{"a missing folder is an error", map[string]string{"HOLDFAST_CAPATH": filepath.Join(dir, "none")}, "no such file"},
		{"a missing file is an error", map[string]string{"HOLDFAST_CACERT": filepath.Join(dir, "none")}, "no such file"},
		{"verification must be a boolean", map[string]string{"CONSUL_HTTP_SSL_VERIFY": "x"}, "CONSUL_HTTP_SSL_VERIFY"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if _, err := New(environment(tc.env)); err == nil || !strings.Contains(err.Error(), tc.fail) {
				t.Errorf("error = %v, want one that says %q", err, tc.fail)
			}
		})
	}
}
