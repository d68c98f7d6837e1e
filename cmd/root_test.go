package cmd

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// leaves are the commands that do something.
func leaves(c *cobra.Command) []*cobra.Command {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var all []*cobra.Command
	for _, sub := range c.Commands() {
		all = append(all, leaves(sub)...)
	}
	return all
}

// outcome is what a command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// runLine carries out a command line without a terminal.
func runLine(ctx context.Context, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// serveWith points the commands at a server that answers with handler.
func serveWith(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("HOLDFAST_HTTP_ADDR", server.URL)
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range leaves(newRoot()) {
		if c.IsAdditionalHelpTopicCommand() {
			continue
		}
		t.Run(c.CommandPath(), func(t *testing.T) {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.Contains(c.Short, "\n") {
				t.Errorf("its summary is %q", c.Short)
			}
			if c.Name() == "help" {
				return
			}
			if c.HasAvailableLocalFlags() && !strings.Contains(c.Use, "[flags]") {
				t.Errorf("its usage %q does not show that it has flags", c.Use)
			}
			for line := range strings.Lines(c.Example) {
				if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "holdfast ") {
					t.Errorf("its example has a line that does not run it: %q", line)
				}
			}
			if c.Example == "" {
				t.Error("it has no example")
			}
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" {
					t.Errorf("flag -%s says nothing", f.Name)
				}
			})
		})
	}
}

func TestEveryHelpIsShown(t *testing.T) {
	for _, c := range leaves(newRoot()) {
		path := strings.Fields(c.CommandPath())[1:]
		for _, args := range [][]string{append(path, "-h"), append([]string{"help"}, path...)} {
			if c.Name() == "help" || c.IsAdditionalHelpTopicCommand() && args[0] != "help" {
				continue
			}
			got := runLine(t.Context(), "", args...)
			if got.code != 0 || got.stderr != "" || !strings.HasPrefix(got.stdout, firstOf(c.Long, c.Short)[:10]) {
				t.Errorf("%q gave %d: %.100s%s", args, got.code, got.stdout, got.stderr)
			}
		}
	}
}

func TestCommandLinesThatAreWrong(t *testing.T) {
	t.Setenv("HOLDFAST_HTTP_ADDR", "127.0.0.1:1") // nothing of this may reach a server
	for _, tc := range []struct{ line, says, tries string }{
		{"kvv get a", `"kvv" is not a command of holdfast`, "holdfast kv"},
		{"kv gett a", `"gett" is not a command of holdfast kv`, "holdfast kv get"},
		{"frobnicate", `"frobnicate" is not a command of holdfast`, "holdfast -h"},
		{"help kv gett", `"gett" is not a command of holdfast kv`, "holdfast kv get"},
		{"kv get -recurs a", "holdfast kv get has no flag -recurs", "-recurse"},
		{"kv get -x a", "holdfast kv get has no flag -x", "holdfast kv get -h"},
		{"kv get", "KEY is missing", "holdfast kv get -h"},
		{"kv get a b", `unexpected argument "b"`, ""},
		{"kv get a -keys", `unexpected "-keys": flags stand before`, ""},
		{"kv get -raw -keys a", "-raw", ""},
		{"kv get -stale -consistent a", "exclude each other", ""},
		{"kv get -revision=1 -at=x a", "exclude each other", ""},
		{"kv get -at=yesterday a", `"yesterday" is not a time`, ""},
		{"kv get -revision=-1 a", "-revision", ""},
		{"kv get -format=xml a", `"xml" is not a format`, ""},
		{"kv get -timeout=-1s a", "-timeout", ""},
		{"kv get -http-addr=ftp://x a", "scheme", ""},
		{"kv get -ca-file=/does/not/exist a", "no such file", ""},
		{"kv put", "KEY is missing", ""},
		{"kv put a b c", `unexpected argument "c"`, ""},
		{"kv put -cas -acquire a b", "exclude each other", ""},
		{"kv put -modify-index=3 a b", "without -cas", ""},
		{"kv put -acquire a b", "need -session", ""},
		{"kv put -session=s a b", "without -acquire", ""},
		{"kv put -base64 a *", "not base64", ""},
		{"kv put / b", "KEY is empty", ""},
		{"kv delete", "KEY is missing", ""},
		{"kv delete /", "KEY is empty", ""},
		{"kv delete -cas a", "needs -modify-index", ""},
		{"kv delete -modify-index=3 a", "without -cas", ""},
		{"kv delete -cas -modify-index=3 -recurse a", "exclude each other", ""},
		{"kv history", "KEY is missing", ""},
		{"kv history -n=-1 a", "-n must not", ""},
		{"kv ls -limit=-1", "-limit", ""},
		{"kv import", "DATA is missing", ""},
		{"kv import -strip-ext []", "without a directory", ""},
		{"kv import -max-size=0 .", "-max-size", ""},
		{"kv import root_test.go", "is a file", "@root_test.go"},
		{"watch", "-type is missing", "-type=key"},
		{"watch -type=key", "needs -key", ""},
		{"watch -type=keyprefix", "needs -prefix", ""},
		{"watch -type=service", `"service" cannot be watched`, ""},
		{"members -status=(", "-status", ""},
		{"snapshot save", "FILE is missing", ""},
		{"txn {}", "not a JSON array", ""},
		{`txn [{"KV":{"Verb":"set","Kee":"a"}}]`, "unknown field", ""},
		{`txn [{"Node":{}}]`, "unknown field", ""},
		{`txn [{}]`, "operation 0 has no member KV", ""},
		{`txn []x`, "behind its end", ""},
		{"completion tcsh", `"tcsh" is not a shell`, ""},
		{"version x", `unexpected argument "x"`, ""},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.code != exitUsage {
				t.Errorf("exit code %d, want %d", got.code, exitUsage)
			}
			if got.stdout != "" {
				t.Errorf("standard output has %q", got.stdout)
			}
			if !strings.Contains(got.stderr, tc.says) {
				t.Errorf("standard error %q does not say %q", got.stderr, tc.says)
			}
			if !strings.Contains(got.stderr, "  Try: "+tc.tries) {
				t.Errorf("standard error %q does not advise %q", got.stderr, tc.tries)
			}
		})
	}
}

func TestWhatTheServerSaysDecidesTheExitCode(t *testing.T) {
	for _, tc := range []struct {
		line   string
		status int
		body   string
		code   int
		says   string
	}{
		{"kv get a", 404, "", 3, "Error! No key exists at: a\n"},
		{"kv get -raw a", 404, "", 3, "Error! No key exists at: a\n"},
		{"kv history a", 404, "", 3, "Error! Nothing is known of the key: a\n"},
		{"kv get -revision=3 a", 410, "the oldest index is 17", 3, "the oldest index is 17"},
		{"kv get a", 403, "Permission denied", 4, "Permission denied\n  Why: "},
		{"kv put a b", 403, "Permission denied", 4, `put key "a"`},
		{"kv put -cas a b", 200, "false", 5, "Error! Did not write to a: CAS failed\n"},
		{"kv put -acquire -session=s a b", 200, "false", 5, "Error! Did not write to a: Lock"},
		{"kv put -release -session=s a b", 200, "false", 5, "Error! Did not write to a: Lock"},
		{"kv delete -cas -modify-index=3 a", 200, "false", 5, "Error! Did not delete key a: CAS failed\n"},
		{`txn [{"KV":{"Verb":"get","Key":"a"}}]`, 409, `{"Errors":[{"OpIndex":0,"What":"key \"a\" doesn't exist"}]}`, 5, `key "a" doesn't exist`},
		{"kv get a", 500, "No cluster leader", 6, "No cluster leader\n  Why: "},
		{"kv put a b", 413, "Request body too large", 1, "  Try: a smaller value"},
		{"kv get a", 429, "rate limit exceeded", 1, "  Why: the server limits"},
		{"kv get a", 500, "boom", 1, "boom"},
		{"members", 500, "boom", 1, "list members: server answered 500: boom"},
		{"reload", 500, "bad file", 1, "Why: the old configuration is still in use"},
		{"monitor", 400, "Unknown log level: x", 1, "Unknown log level: x"},
	} {
		t.Run(tc.line+" "+tc.body, func(t *testing.T) {
			serveWith(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Consul-Index", "7")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.code != tc.code || got.stdout != "" {
				t.Errorf("exit code %d, want %d; standard output %q", got.code, tc.code, got.stdout)
			}
			if !strings.Contains(got.stderr, tc.says) {
				t.Errorf("standard error %q does not say %q", got.stderr, tc.says)
			}
		})
	}
}

func TestWordsThatScriptsForConsulLookFor(t *testing.T) {
	serveWith(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "true") })
	for _, tc := range []struct{ line, stdout string }{
		{"kv put a b", "Success! Data written to: a\n"},
		{"kv put /a b", "Success! Data written to: a\n"},
		{"kv put -cas -modify-index=3 a b", "Success! Data written to: a\n"},
		{"kv put -acquire -session=s a b", "Success! Lock acquired on: a\n"},
		{"kv put -release -session=s a b", "Success! Lock released on: a\n"},
		{"kv delete a", "Success! Deleted key: a\n"},
		{"kv delete -recurse p/", "Success! Deleted keys with prefix: p/\n"},
		{"kv delete -format=json a", "{\n  \"Key\": \"a\",\n  \"Applied\": true\n}\n"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got != (outcome{0, tc.stdout, ""}) {
				t.Errorf("got %+v, want %q", got, tc.stdout)
			}
		})
	}
}

func TestASignalEndsWaiting(t *testing.T) {
	for line, says := range map[string]string{
		"watch -type=key -key=a": "Interrupted\n",
		"monitor":                "Interrupted\n",
		"kv get a":               "Interrupted\n",
		"kv put a b":             "Interrupted, and the outcome of the write is unknown\n",
	} {
		t.Run(line, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			serveWith(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client go
				cancel()                           // as a signal would
				<-r.Context().Done()
			})
			if got := runLine(ctx, "", strings.Fields(line)...); got != (outcome{exitInterrupted, "", says}) {
				t.Errorf("got %+v, want %d and %q", got, exitInterrupted, says)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	serveWith(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	got := runLine(t.Context(), "", "kv", "get", "-timeout=20ms", "a")
	if got.code != exitTimeout {
		t.Errorf("exit code %d, want %d: %s", got.code, exitTimeout, got.stderr)
	}
}

func TestConnectionFlagsReachTheServer(t *testing.T) {
	var uri, token, agent string
	serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		uri, token, agent = r.RequestURI, r.Header.Get("X-Consul-Token"), r.UserAgent()
		w.Header().Set("X-Consul-Index", "3")
		_, _ = io.WriteString(w, `["a"]`)
	})
	t.Setenv("CONSUL_HTTP_TOKEN", "of the environment")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule  string
		args  []string
		uri   string
		token string
	}{
		{"the environment counts", nil, "/v1/kv/?keys=&separator=%2F", "of the environment"},
		{"a flag wins", []string{"-token=mine"}, "/v1/kv/?keys=&separator=%2F", "mine"},
		{"so does a file", []string{"-token-file", file}, "/v1/kv/?keys=&separator=%2F", "of the file"},
		{"stale and datacenter", []string{"-stale", "-datacenter=dc9"}, "/v1/kv/?dc=dc9&keys=&separator=%2F&stale=", "of the environment"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got := runLine(t.Context(), "", append(append([]string{"kv", "get"}, tc.args...), "-keys")...)
			if got != (outcome{0, "a\n", ""}) {
				t.Fatalf("got %+v", got)
			}
			if uri != tc.uri || token != tc.token || !strings.HasPrefix(agent, "holdfast-cli/") {
				t.Errorf("sent %s with token %q by %s, want %s with %q", uri, token, agent, tc.uri, tc.token)
			}
		})
	}
}
