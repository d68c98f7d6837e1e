package api_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

func TestEveryCallCarriesTheClientsSettings(t *testing.T) {
	client, rec := record(t, answer(200, `"x"`),
		api.WithToken("tok"), api.WithBasicAuth("u", "p"), api.WithDatacenter("dc2"), api.WithUserAgent("me/1"))
	if _, err := client.Status().Leader(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := rec.last(t)
	for name, want := range map[string]string{
		"X-Consul-Token": "tok",
		"Authorization":  "Basic dTpw",
		"User-Agent":     "me/1",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.uri != "/v1/status/leader?dc=dc2" {
		t.Errorf("URI = %s", got.uri)
	}
}

func TestOneCallCanDiffer(t *testing.T) {
	client, rec := record(t, answer(200, `"x"`), api.WithToken("tok"), api.WithDatacenter("dc2"))
	for _, tc := range []struct {
		rule, token string
		present     bool
	}{
		{"another token is sent", "other", true},
		{"an empty token is not sent", "", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if _, err := client.Status().Leader(t.Context(), api.Token(tc.token), api.Datacenter("dc3")); err != nil {
				t.Fatal(err)
			}
			got := rec.last(t)
			values, present := got.header["X-Consul-Token"]
			if present != tc.present || (present && values[0] != tc.token) {
				t.Errorf("X-Consul-Token = %q, want %q", values, tc.token)
			}
			if got.uri != "/v1/status/leader?dc=dc3" {
				t.Errorf("URI = %s", got.uri)
			}
		})
	}
}

func TestNamespacesOfTheEnvironmentAreSentAndRefusedByTheServer(t *testing.T) {
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"CONSUL_NAMESPACE": "team", "CONSUL_PARTITION": "part"}[name]
		return v, ok
	}
	client, rec := record(t, answer(400, `Invalid query parameter: "ns"`), api.WithEnvironment(lookup))
	if _, err := client.Status().Leader(t.Context()); err == nil || !strings.Contains(err.Error(), "Invalid query parameter") {
		t.Errorf("error = %v, want the server's", err)
	}
	if got := rec.last(t).uri; got != "/v1/status/leader?ns=team&partition=part" {
		t.Errorf("URI = %s", got)
	}
}

func TestWhatStatusesMean(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		is     error // nil = none of them
	}{
		{401, "ACL support disabled", api.ErrDenied},
		{403, "Permission denied", api.ErrDenied},
		{404, "Invalid URL path", nil},
		{410, "oldest index is 17", api.ErrPruned},
		{413, "too large", api.ErrTooLarge},
		{429, "rate limit exceeded", api.ErrTooMany},
		{500, "No cluster leader", api.ErrNoLeader},
		{500, "rpc error making call: No cluster leader", api.ErrNoLeader},
		{500, "raft apply failed", nil},
	} {
		t.Run(fmt.Sprint(tc.status, " ", tc.body), func(t *testing.T) {
			client, _ := record(t, answer(tc.status, tc.body+"\n", "X-Request-Id", "r-1", "X-Holdfast-Oldest-Index", "17"))
			_, _, err := client.KV().Get(t.Context(), "app/motd")
			var status *api.StatusError
			if !errors.As(err, &status) {
				t.Fatalf("error = %v, want a StatusError", err)
			}
			if status.Code != tc.status || status.Body != tc.body || status.RequestID != "r-1" || status.OldestIndex != 17 {
				t.Errorf("got %+v", status)
			}
			for _, text := range []string{`get key "app/motd"`, tc.body, fmt.Sprint(tc.status), "r-1"} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q does not say %q", err, text)
				}
			}
			for _, one := range []error{
				api.ErrDenied, api.ErrNotFound, api.ErrPruned, api.ErrTooLarge, api.ErrTooMany,
				api.ErrNoLeader, api.ErrUnreachable, api.ErrNotModified,
			} {
				if got, want := errors.Is(err, one), one == tc.is; got != want {
					t.Errorf("errors.Is(err, %q) = %v, want %v", one, got, want)
				}
			}
		})
	}
}

func TestAnErrorWithoutTextNamesTheStatus(t *testing.T) {
	client, _ := record(t, answer(503, ""))
	_, err := client.Status().Peers(t.Context())
	if err == nil || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("error = %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{"3": 3 * time.Second, "": 0, "-1": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		client, _ := record(t, answer(429, "slow down", "Retry-After", text))
		_, err := client.Status().Leader(t.Context())
		var status *api.StatusError
		if !errors.As(err, &status) || status.RetryAfter != want {
			t.Errorf("Retry-After: %q gives %+v, want %s", text, status, want)
		}
	}
}

func TestAnErrorTextIsBounded(t *testing.T) {
	client, _ := record(t, answer(500, strings.Repeat("x", 1<<20)))
	_, err := client.Status().Peers(t.Context())
	var status *api.StatusError
	if !errors.As(err, &status) || len(status.Body) != 64<<10 {
		t.Errorf("kept %d bytes", len(status.Body))
	}
}

func TestAnswersAreBounded(t *testing.T) {
	client, _ := record(t, answer(200, `"`+strings.Repeat("x", 2000)+`"`), api.WithMaxAnswerBytes(1000))
	if _, err := client.Status().Leader(t.Context()); !errors.Is(err, api.ErrAnswerTooLarge) {
		t.Errorf("error = %v, want ErrAnswerTooLarge", err)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client := connectTo(t, address)
	_, err = client.KV().Put(t.Context(), "k", nil)
	var conn *api.ConnectionError
	if !errors.As(err, &conn) || !errors.Is(err, api.ErrUnreachable) {
		t.Fatalf("error = %v, want a ConnectionError that is ErrUnreachable", err)
	}
	if conn.Sent {
		t.Error("Sent = true, but nothing was there to send to")
	}
	if conn.Address != "http://"+address {
		t.Errorf("Address = %s", conn.Address)
	}
}

func TestABrokenConnectionSaysThatTheOutcomeIsUnknown(t *testing.T) {
	client, _ := record(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	_, err := client.KV().Put(t.Context(), "k", []byte("v"))
	var conn *api.ConnectionError
	if !errors.As(err, &conn) || !conn.Sent || !conn.Write || !errors.Is(err, api.ErrUnreachable) {
		t.Fatalf("error = %v, want a ConnectionError of a write that was sent", err)
	}
	if !strings.Contains(err.Error(), "outcome is unknown") {
		t.Errorf("error %q does not say that the outcome is unknown", err)
	}
	_, _, err = client.KV().Get(t.Context(), "k")
	if !errors.As(err, &conn) || conn.Write || strings.Contains(err.Error(), "outcome") {
		t.Errorf("error of a read = %v", err)
	}
}

func TestAContextThatEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _ := record(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, _, err := client.KV().Get(ctx, "k")
	if !errors.Is(err, context.Canceled) || errors.Is(err, api.ErrUnreachable) {
		t.Errorf("error = %v, want the context's and not ErrUnreachable", err)
	}
}

func TestARedirectToAnotherServerIsRefused(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("asked with token %q", r.Header.Get("X-Consul-Token"))
	}))
	defer elsewhere.Close()
	client, _ := record(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.RequestURI, http.StatusTemporaryRedirect)
	}, api.WithToken("secret"))
	if _, _, err := client.KV().Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("error = %v", err)
	}
}

func TestARedirectOnTheSameServerIsFollowed(t *testing.T) {
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, "/moved"+r.RequestURI, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, "true")
	})
	if _, err := client.KV().Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if got := rec.last(t); got.method != "PUT" || got.body != "v" {
		t.Errorf("followed with %s %q", got.method, got.body)
	}
}

func TestAPathPrefixStandsBeforeEveryPath(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/behind%20proxy/v1/kv/a/%2Fb" {
			t.Errorf("URI = %s", r.RequestURI)
		}
		_, _ = io.WriteString(w, "true")
	}))
	defer server.Close()
	client := connectTo(t, server.URL+"/behind%20proxy/")
	if _, err := client.KV().Put(t.Context(), "a//b", nil); err != nil {
		t.Fatal(err)
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "hf") // t.TempDir may be longer than a socket's path can be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "api.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer(200, `"127.0.0.1:8300"`))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	client := connectTo(t, "unix://"+socket)
	leader, err := client.Status().Leader(t.Context())
	if err != nil || leader != "127.0.0.1:8300" {
		t.Errorf("leader = %q, %v", leader, err)
	}
	client.CloseIdleConnections()
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, `"x"`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // half of the handshakes below must fail
	server.StartTLS()
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule string
		tls  api.TLS
		ok   bool
	}{
		{"an unknown authority is refused", api.TLS{}, false},
		{"one that is given is trusted", api.TLS{CAFile: authority}, true},
		{"so is one in a folder", api.TLS{CAPath: filepath.Dir(authority)}, true},
		{"the name must fit", api.TLS{CAFile: authority, ServerName: "other.test"}, false},
		{"a name can be given", api.TLS{CAFile: authority, ServerName: "example.com"}, true},
		{"verification can be left out", api.TLS{InsecureSkipVerify: true}, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client := connectTo(t, server.URL, api.WithTLS(tc.tls))
			_, err := client.Status().Leader(t.Context())
			client.CloseIdleConnections()
			if (err == nil) != tc.ok {
				t.Errorf("error = %v, want ok = %v", err, tc.ok)
			}
			if err != nil && !errors.Is(err, api.ErrUnreachable) {
				t.Errorf("error = %v, want ErrUnreachable", err)
			}
		})
	}
}

func TestACompressedAnswerIsRead(t *testing.T) {
	// net/http asks for gzip by itself; this guards against switching that off.
	client, rec := record(t, answer(200, `"x"`))
	if _, err := client.Status().Leader(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := rec.last(t).header.Get("Accept-Encoding"); got != "gzip" {
		t.Errorf("Accept-Encoding = %q", got)
	}
}

func TestAgentCalls(t *testing.T) {
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/agent/self":
			_, _ = io.WriteString(w, `{"Config":{"NodeName":"n1","Server":true,"SessionTTLMin":1},"Stats":{"raft":{"term":"2"}},"Coord":null}`)
		case "/v1/agent/members":
			_, _ = io.WriteString(w, `[{"Name":"n1","Addr":"127.0.0.1","Port":8301,"Tags":{"role":"consul"},"Status":4}]`)
		case "/v1/agent/reload":
			w.Header().Set("X-Holdfast-Reload", "log_level changed")
		case "/v1/agent/monitor":
			_, _ = io.WriteString(w, "line\n")
		case "/v1/operator/raft/configuration":
			_, _ = io.WriteString(w, `{"Servers":[{"ID":"i","Node":"n1","Leader":true,"Voter":true,"LastIndex":7}],"Index":0}`)
		}
	})
	ctx := t.Context()
	self, err := client.Agent().Self(ctx)
	if err != nil || self.Config.NodeName != "n1" || self.Stats["raft"]["term"] != "2" {
		t.Errorf("self = %+v, %v", self, err)
	}
	members, err := client.Agent().Members(ctx)
	if err != nil || len(members) != 1 || members[0].Status.String() != "failed" {
		t.Errorf("members = %+v, %v", members, err)
	}
	said, err := client.Agent().Reload(ctx)
	if err != nil || said != "log_level changed" || rec.last(t).method != "PUT" {
		t.Errorf("reload: %q, %v", said, err)
	}
	stream, err := client.Agent().Monitor(ctx, "debug", true)
	if err != nil {
		t.Fatal(err)
	}
	log, err := io.ReadAll(stream)
	if err != nil || string(log) != "line\n" {
		t.Errorf("log = %q, %v", log, err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if got := rec.last(t).uri; got != "/v1/agent/monitor?logjson=&loglevel=debug" {
		t.Errorf("URI = %s", got)
	}
	config, err := client.Operator().RaftConfiguration(ctx, api.Stale())
	if err != nil || len(config.Servers) != 1 || config.Servers[0].LastIndex != 7 {
		t.Errorf("raft configuration = %+v, %v", config, err)
	}
}

func TestSnapshotCalls(t *testing.T) {
	good := archiveOf(t, goodMembers())
	client, rec := record(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write(good)
		}
	})
	var saved bytes.Buffer
	info, err := client.Snapshot().Save(t.Context(), &saved, api.Stale())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(saved.Bytes(), good) {
		t.Errorf("saved %d bytes, the server sent %d", saved.Len(), len(good))
	}
	if info.Index != 363 || rec.last(t).uri != "/v1/snapshot?stale=" {
		t.Errorf("info = %+v, URI = %s", info, rec.last(t).uri)
	}
	if err := client.Snapshot().Restore(t.Context(), &saved, int64(len(good))); err != nil {
		t.Fatal(err)
	}
	if got := rec.last(t); got.method != "PUT" || got.body != string(good) || got.header.Get("Content-Length") == "" {
		t.Errorf("restored with %s, %d bytes", got.method, len(got.body))
	}
}
