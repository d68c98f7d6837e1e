package crashtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// leaks collects what must stay secret, and what a server lets out.
type leaks struct {
	t *testing.T
	s *testcluster.Server

	secrets map[string]string // of tokens, by what they are
	values  map[string]string // of keys and the like, by what they are
	said    map[string][]byte // what the server said beyond what it was asked for, by where
}

// TestNoSecretLeaks: whatever is done with tokens and values, none of them is found in
// logs, the audit log, errors, metrics and the output for debugging; nor secrets of tokens on disk and
// in snapshots, where they are kept as hashes.
func TestNoSecretLeaks(t *testing.T) {
	for _, mode := range []string{"clear", "hashed"} {
		for _, store := range testcluster.LogStores() {
			t.Run(mode+"/"+store, func(t *testing.T) {
				t.Parallel()
				l := newLeaks(t, mode, store)
				stop := l.monitor()
				l.tokens()
				l.writes()
				l.errors()
				l.login()
				l.look()
				l.said["monitor"] = stop()
				l.said["log"] = []byte(l.s.Log())
				l.said["audit log"] = readFolder(t, filepath.Join(l.s.DataDir, "audit"))
				l.check(mode == "hashed")
			})
		}
	}
}

func newUUID(t *testing.T) string {
	t.Helper()
	id, err := uuid.GenerateUUID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newLeaks(t *testing.T, mode, store string) *leaks {
	t.Helper()
	management := newUUID(t)
	return &leaks{
		t: t,
		s: testcluster.Start(t, testcluster.Options{LogStore: store, Token: management, Config: map[string]any{
			"acl": map[string]any{
				"enabled": true, "default_policy": "deny", "secrets": mode,
				"tokens": map[string]any{"initial_management": management},
			},
			"audit":     map[string]any{"enabled": true, "on_failure": "refuse", "read_prefixes": []string{""}},
			"log_level": "trace", "enable_debug": true,
		}}),
		secrets: map[string]string{"initial management": management},
		values:  map[string]string{}, said: map[string][]byte{},
	}
}

// monitor reads the log as it is streamed, until the function returned is called.
func (l *leaks) monitor() (stop func() []byte) {
	ctx, cancel := context.WithCancel(l.t.Context())
	read := make(chan []byte, 1)
	begun, shown := make(chan struct{}), make(chan struct{})
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.s.URL()+"/v1/agent/monitor?loglevel=trace", nil)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Authorization", "Bearer "+l.secrets["initial management"])
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		close(begun)
		if err != nil {
			close(shown)
			read <- nil
			return
		}
		first := make([]byte, 1)
		n, _ := res.Body.Read(first)
		close(shown)
		text, _ := io.ReadAll(res.Body) // it ends with the context
		_ = res.Body.Close()
		read <- append(first[:n], text...)
	}()
	<-begun
	return func() []byte {
		select { // a line is on its way
		case <-shown:
		case <-time.After(30 * time.Second):
		}
		cancel()
		text := <-read
		if len(text) == 0 {
			l.t.Error("the monitor showed nothing: the test looks in the wrong place")
		}
		return text
	}
}

// do sends a request with headers. What is answered beyond 2xx is kept.
func (l *leaks) do(method, path string, body any, header http.Header) []byte {
	l.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			l.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.s.URL()+path, bytes.NewReader(text))
	if err != nil {
		l.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		where := fmt.Sprintf("%d to %s %s", res.StatusCode, method, strings.SplitN(path, "?", 2)[0])
		l.said[where] = append(l.said[where], answer...)
		res.Header.Del("Location") // it says what the client has sent
		for name, values := range res.Header {
			l.said[where+", "+name] = []byte(strings.Join(values, "\n"))
		}
	}
	return answer
}

// as is the header that sends a token.
func (l *leaks) as(what string) http.Header {
	secret, known := l.secrets[what]
	if !known {
		l.t.Fatalf("no token %q", what)
	}
	return http.Header{"X-Consul-Token": {secret}}
}

// token asks for a token and keeps its secret. It returns the accessor id.
func (l *leaks) token(what, method, path string, body any, header http.Header) string {
	l.t.Helper()
	answer := l.do(method, path, body, header)
	var made struct{ AccessorID, SecretID string }
	if err := json.Unmarshal(answer, &made); err != nil || made.SecretID == "" {
		l.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	l.secrets[what] = made.SecretID
	return made.AccessorID
}

// value is a new value to write.
func (l *leaks) value(what string) string {
	l.values[what] = "value-" + newUUID(l.t)
	return l.values[what]
}

// tokens makes tokens in every way there is.
func (l *leaks) tokens() {
	root := l.as("initial management")
	l.do("PUT", "/v1/acl/policy", map[string]any{"Name": "app", "Rules": `key_prefix "app/" { policy = "write" } session_prefix "" { policy = "write" } event_prefix "" { policy = "write" }`}, root)
	app := map[string]any{"Policies": []any{map[string]any{"Name": "app"}}}
	accessor := l.token("random", "PUT", "/v1/acl/token", app, root)
	l.secrets["chosen"] = newUUID(l.t)
	l.token("chosen", "PUT", "/v1/acl/token", map[string]any{"SecretID": l.secrets["chosen"]}, root)
	l.token("clone", "PUT", "/v1/acl/token/"+accessor+"/clone", map[string]any{}, root)
	l.secrets["former"] = l.secrets["clone"]
	l.token("clone", "POST", "/v1/acl/token/"+l.token("self", "GET", "/v1/acl/token/self", nil, l.as("clone"))+"/rotate", map[string]any{"Grace": "1h"}, l.as("clone"))
	gone := l.token("deleted", "PUT", "/v1/acl/token", app, root)
	l.do("DELETE", "/v1/acl/token/"+gone, nil, root)
	l.do("GET", "/v1/kv/app/x", nil, l.as("deleted"))
	l.do("PUT", "/v1/agent/token/default", map[string]any{"Token": l.secrets["random"]}, root)
	l.do("PUT", "/v1/agent/token/default", map[string]any{"Token": ""}, root)
	l.secrets["never issued"] = newUUID(l.t)
	l.do("GET", "/v1/kv/app/x", nil, l.as("never issued"))
	l.do("PUT", "/v1/agent/token/agent", map[string]any{"Token": l.secrets["never issued"]}, root)
	l.do("GET", "/v1/acl/tokens", nil, root)
	l.do("GET", "/v1/acl/token/"+accessor+"?expanded", nil, root)
	l.do("POST", "/v1/acl/explain", map[string]any{"Resource": "key", "Access": "read", "Token": l.secrets["random"]}, root)
}

// writes writes values in every way there is, with tokens in every place.
func (l *leaks) writes() {
	t := l.secrets["random"]
	l.do("PUT", "/v1/kv/app/header", l.value("header"), l.as("random"))
	l.do("PUT", "/v1/kv/app/bearer", l.value("bearer"), http.Header{"Authorization": {"Bearer " + t}})
	l.do("PUT", "/v1/kv/app/url?token="+t, l.value("url"), nil)
	l.do("PUT", "/v1/kv/app/cas?cas=0&token="+t, l.value("cas"), nil)
	l.do("GET", "/v1/kv/app/?recurse&token="+t, nil, nil)
	l.do("GET", "/v1/kv/app/url?raw&token="+t, nil, nil)
	l.do("PUT", "/v1/txn?token="+t, []any{map[string]any{"KV": map[string]any{"Verb": "set", "Key": "app/txn", "Value": []byte(l.value("txn"))}}}, nil)
	l.do("PUT", "/v1/event/fire/deploy?token="+t, l.value("event"), nil)
	l.do("PUT", "/v1/session/create?token="+t, map[string]any{"Name": "s"}, nil)
	l.do("DELETE", "/v1/kv/app/cas?token="+t, nil, nil)
}

// errors provokes what can go wrong, with values and tokens in hand.
func (l *leaks) errors() {
	t, root := l.secrets["random"], l.as("initial management")
	l.do("PUT", "/v1/kv/other?token="+t, l.value("denied"), nil)
	l.do("PUT", "/v1/kv/other?explain&token="+t, l.value("denied and explained"), nil)
	l.do("PUT", "/v1/kv/app/x?cas=no&token="+t, l.value("bad parameter"), nil)
	l.do("PUT", "/v1/kv/app/x?flags=-1&token="+t, l.value("bad flags"), nil)
	l.do("PUT", "/v1/kv/app/large?token="+t, strings.Repeat(l.value("too large"), 20_000), nil)
	l.do("PUT", "/v1/kv/?token="+t, l.value("no key"), nil)
	l.do("POST", "/v1/kv/app/x?token="+t, l.value("bad method"), nil)
	l.do("PUT", "/v1/txn?token="+t, `[{"KV": {"Verb": "set", "Key": "app/x", "Value": "`+l.value("bad base64")+`!"}}]`, nil)
	l.do("PUT", "/v1/txn?token="+t, `{"`+l.value("bad JSON")+`": `, nil)
	l.do("PUT", "/v1/txn?token="+t, []any{map[string]any{"KV": map[string]any{"Verb": "set", "Key": "other", "Value": []byte(l.value("denied in a transaction"))}}}, nil)
	l.do("GET", "//v1//kv/app/x?token="+t, nil, nil)
	l.do("GET", "/v1/kv/app/../app/x?token="+t, nil, nil)
	l.do("GET", "/v1/nothing/here?token="+t, nil, nil)
	l.do("GET", "/?token="+t, nil, nil)
	l.do("GET", "/ui?token="+t, nil, nil)
	l.do("GET", "/v1/kv/app/x?%zz&token="+t, nil, nil)
	l.do("PUT", "/v1/acl/token?token="+l.secrets["initial management"], map[string]any{"SecretID": t}, nil)
	l.do("PUT", "/v1/acl/token", map[string]any{"SecretID": "not-a-uuid-" + l.value("secret that is none")}, root)
	l.do("PUT", "/v1/acl/bootstrap", map[string]any{"BootstrapSecret": newUUIDInto(l, "refused bootstrap")}, nil)
	l.do("PUT", "/v1/acl/token", `{"Unknown": "`+l.value("unknown field")+`"}`, root)
	l.do("PUT", "/v1/agent/token/nowhere", map[string]any{"Token": t}, root)
	l.do("GET", "/v1/acl/tokens?token="+t, nil, nil)
	l.do("PUT", "/v1/snapshot?token="+t, l.value("no snapshot"), nil)
	l.do("PUT", "/v1/snapshot?token="+l.secrets["initial management"], l.value("bad snapshot"), nil)
}

func newUUIDInto(l *leaks, what string) string {
	l.secrets[what] = newUUID(l.t)
	return l.secrets[what]
}

// login gets a token for a signed one, and fails to.
func (l *leaks) login() {
	root := l.as("initial management")
	provider, err := testcluster.NewIdentity()
	if err != nil {
		l.t.Fatal(err)
	}
	key, err := provider.PublicKey()
	if err != nil {
		l.t.Fatal(err)
	}
	bearer, err := provider.Token(map[string]any{"iss": "me", "team": "app", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		l.t.Fatal(err)
	}
	l.do("PUT", "/v1/acl/auth-method", map[string]any{"Name": "ci", "Type": "jwt", "Config": map[string]any{
		"JWTValidationPubKeys": []string{key}, "BoundIssuer": "me", "ClaimMappings": map[string]string{"team": "team"},
	}}, root)
	l.do("PUT", "/v1/acl/binding-rule", map[string]any{"AuthMethod": "ci", "BindType": "policy", "BindName": "${value.team}"}, root)
	l.secrets["bearer"] = bearer
	l.secrets["signature"] = bearer[strings.LastIndex(bearer, ".")+1:]
	l.token("login", "POST", "/v1/acl/login", map[string]any{"AuthMethod": "ci", "BearerToken": bearer}, nil)
	l.do("GET", "/v1/kv/app/url", nil, l.as("login"))
	l.do("POST", "/v1/acl/login", map[string]any{"AuthMethod": "ci", "BearerToken": bearer + "x"}, nil)
	l.do("POST", "/v1/acl/login", map[string]any{"AuthMethod": "no", "BearerToken": bearer}, nil)
	l.do("POST", "/v1/acl/logout", nil, l.as("login"))
}

// look reads what is there for people to look at.
func (l *leaks) look() {
	for _, path := range []string{
		"/v1/agent/metrics", "/v1/agent/metrics?format=prometheus", "/v1/agent/self", "/v1/agent/host", "/v1/acl/denials", "/v1/operator/usage",
		"/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/",
	} {
		answer := l.s.Do(http.MethodGet, path, nil)
		if answer.Status != http.StatusOK || len(answer.Body) == 0 {
			l.t.Errorf("GET %s: %d %s", path, answer.Status, answer.Body)
		}
		l.said[path] = answer.Body
	}
}

// check searches for everything everywhere.
func (l *leaks) check(hashed bool) {
	for where, text := range l.said {
		l.absent(where, text, l.secrets)
		l.absent(where, text, l.values)
	}
	for _, where := range []string{"log", "audit log", "403 to PUT /v1/kv/other", "/v1/acl/denials"} {
		if len(l.said[where]) < 100 {
			l.t.Errorf("%s: nearly empty, the test does not do what it should", where)
		}
	}
	// The search must be able to find something, or it would prove nothing. What was written
	// while secrets were removed from the disk may be in a snapshot alone, which is compressed.
	var disk []byte
	if err := testcluster.Eventually(l.t.Context(), 30*time.Second, func() error {
		value := "value-" + newUUID(l.t)
		l.do("PUT", "/v1/kv/app/header", value, l.as("random"))
		if disk = readFolder(l.t, l.s.DataDir); !bytes.Contains(disk, []byte(value)) {
			return errors.New("a value that was just written is not found in the data directory: the search is broken")
		}
		return nil
	}); err != nil {
		l.t.Error(err)
	}
	archive := unpacked(l.t, l.s.Snapshot())
	if !bytes.Contains(archive, []byte(l.values["header"])) { // an older version of its key now
		l.t.Error("a value that was written is not found in a snapshot: the search is broken")
	}
	for name, text := range map[string][]byte{"the data directory": disk, "a snapshot": archive} {
		switch found := bytes.Contains(text, []byte(l.secrets["random"])); {
		case hashed:
			l.absent(name, text, l.secrets)
		case !found:
			l.t.Errorf("a secret that is kept in clear is not found in %s: the search is broken", name)
		}
	}
}

func (l *leaks) absent(where string, text []byte, secret map[string]string) {
	for what, s := range secret {
		if at := bytes.Index(text, []byte(s)); at >= 0 {
			from, to := max(at-120, 0), min(at+len(s)+40, len(text))
			l.t.Errorf("%s: %q is there: …%q…", where, what, text[from:to])
		}
	}
}

// readFolder is all files below a folder, one after the other.
func readFolder(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var text []byte
		if err == nil && d.Type().IsRegular() {
			text, err = os.ReadFile(path)
			all = append(all, text...)
		}
		if errors.Is(err, fs.ErrNotExist) && path != dir { // the server that runs there has removed it meanwhile
			err = nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unpacked is a snapshot archive without its compression.
func unpacked(t *testing.T, archive []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestConversionRemovesSecrets: once a cluster that kept secrets in clear keeps hashes,
// the tokens work as before, and the secrets are gone from snapshots and from disk: a
// server whose log store cannot promise the last says so.
func TestConversionRemovesSecrets(t *testing.T) {
	for _, store := range testcluster.LogStores() {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			l := newLeaks(t, "clear", store)
			l.tokens()
			if text := readFolder(t, l.s.DataDir); !bytes.Contains(text, []byte(l.secrets["random"])) {
				t.Fatal("a secret that is kept in clear is not found on disk: the search is broken")
			}
			l.s.SetConfig("acl", map[string]any{
				"enabled": true, "default_policy": "deny", "secrets": "hashed",
				"tokens": map[string]any{"initial_management": l.secrets["initial management"]},
			})
			l.s.Restart()
			await(t, func() bool {
				if store == "boltdb" { // pages that are free keep what they had
					return strings.Contains(l.s.Log(), "raft.db may still have some")
				}
				return !bytes.Contains(readFolder(t, l.s.DataDir), []byte(l.secrets["random"]))
			})
			if store != "boltdb" {
				l.absent("the data directory", readFolder(t, l.s.DataDir), l.secrets)
			}
			l.absent("a snapshot", unpacked(t, l.s.Snapshot()), l.secrets)
			if answer := l.do("PUT", "/v1/kv/app/after", "x", l.as("random")); string(bytes.TrimSpace(answer)) != "true" {
				t.Errorf("a token of before does not work: %s", answer)
			}
		})
	}
}

// await waits for something that must come.
func await(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come within a minute")
		}
	}
}
