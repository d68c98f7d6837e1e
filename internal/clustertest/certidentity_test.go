package clustertest

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/certs"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// operatorToken is the secret of the token with all rights.
const operatorToken = "2f6f5c1a-9b1e-4a3e-8f0a-5b1c2d3e4f60"

// client is somebody with a certificate of the wallet.
func (w wallet) client(name, uri string) *http.Client {
	w.t.Helper()
	r := certs.Request{Name: name, Client: true, Validity: validity}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			w.t.Fatal(err)
		}
		r.URIs = []*url.URL{u}
	}
	pair, err := w.authority.Issue(r)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{
		ForceAttemptHTTP2: true, // one connection for many requests
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // it is the client that is looked at here
			Certificates: []tls.Certificate{cert},
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// https is tls.https with a certificate for the server, which wants one of clients.
func (w wallet) https() map[string]any {
	w.t.Helper()
	pair, err := w.authority.Issue(certs.Request{
		Name: serverHost, DNSNames: []string{serverHost}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true, Validity: validity,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return map[string]any{"https": map[string]any{
		"ca_file":   filepath.Join(w.dir, "ca.pem"),
		"cert_file": w.write("https.pem", pair.Cert), "key_file": w.write("https-key.pem", pair.Key),
		"verify_incoming": true,
	}}
}

// send sends one request over HTTPS and returns the status and the body of its answer.
func send(t *testing.T, c *http.Client, s *testcluster.Server, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	return sendTo(t, c, method, "https://"+s.HTTPSAddr()+path, body, headers...)
}

func sendTo(t *testing.T, c *http.Client, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestACertificateIsAnIdentity: a service with its certificate and without a token reads
// and writes below its own prefix and nowhere else, on the leader and through a follower,
// and has nothing any more as soon as the rule is gone that gave it.
func TestACertificateIsAnIdentity(t *testing.T) {
	slow(t)
	w := newWallet(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{Each: testcluster.Options{
		HTTPS: true, Token: operatorToken,
		Config: map[string]any{
			"tls": w.https(),
			"acl": map[string]any{"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": operatorToken}},
		},
	}})
	leader, follower := c.Leader(), c.Followers()[0]
	set := func(path string, body map[string]any) map[string]any {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := leader.Do(http.MethodPut, path, text)
		var answer map[string]any
		if r.Status != http.StatusOK || json.Unmarshal(r.Body, &answer) != nil {
			t.Fatalf("PUT %s: %d %s", path, r.Status, r.Body)
		}
		return answer
	}
	set("/v1/acl/policy", map[string]any{"Name": "own-prefix", "Rules": `key_prefix "production/${name}/" { policy = "write" }`})
	set("/v1/acl/role", map[string]any{"Name": "service", "Policies": []map[string]any{{"Name": "own-prefix"}}})
	set("/v1/acl/auth-method", map[string]any{
		"Name": "mesh", "Type": "cert", "Config": map[string]any{"AllowedURIs": []string{"spiffe://example.org/production/*"}},
	})
	rule := set("/v1/acl/binding-rule", map[string]any{"AuthMethod": "mesh", "BindType": "role", "BindName": "service"})["ID"].(string)
	leader.Put("production/db/password", "secret")

	web := w.client("web", "spiffe://example.org/production/web")
	const denied = "Permission denied: token with AccessorID 'cert:mesh:spiffe://example.org/production/web' lacks permission "
	for _, s := range []*testcluster.Server{leader, follower} {
		t.Run(s.Name(), func(t *testing.T) {
			for _, tc := range []struct {
				rule, method, path, body string
				status                   int
				text                     string
				headers                  []string
			}{
				{"it writes its own", "PUT", "/v1/kv/production/web/port", "8080", 200, "true", nil},
				{"it reads its own", "GET", "/v1/kv/production/web/port?raw", "", 200, "8080", nil},
				{"it does not read another's", "GET", "/v1/kv/production/db/password?raw", "", 403, denied + `'key:read' on "production/db/password"`, nil},
				{"it does not write another's", "PUT", "/v1/kv/production/db/password", "x", 403, denied + `'key:write' on "production/db/password"`, nil},
				{"nor one whose name begins as its own", "PUT", "/v1/kv/production/web2/a", "x", 403, denied + `'key:write' on "production/web2/a"`, nil},
				{"its list is its own", "GET", "/v1/kv/production/?keys", "", 200, `["production/web/port"]`, nil},
				{"it deletes no more than its own", "DELETE", "/v1/kv/production/?recurse", "", 403, denied + `'key:write' on "production/"`, nil},
				{"a token comes first", "GET", "/v1/kv/production/db/password?raw", "", 200, "secret", []string{"X-Consul-Token", operatorToken}},
				{"a wrong token is no reason to look at the certificate", "GET", "/v1/kv/production/web/port?raw", "", 403, "ACL not found", []string{"X-Consul-Token", "no-such-token"}},
				{
					"what a header says is not a certificate", "GET", "/v1/kv/production/db/password?raw", "", 403, denied + `'key:read' on "production/db/password"`,
					[]string{"X-Forwarded-Client-Cert", "URI=spiffe://example.org/production/db"},
				},
			} {
				if status, text := send(t, web, s, tc.method, tc.path, tc.body, tc.headers...); status != tc.status || text != tc.text {
					t.Errorf("%s: %s %s: %d %q, want %d %q", tc.rule, tc.method, tc.path, status, text, tc.status, tc.text)
				}
			}
		})
	}
	t.Run("who is not named has the rights of nobody", func(t *testing.T) {
		for name, uri := range map[string]string{"stranger": "", "staging": "spiffe://example.org/staging/web", "deeper": "spiffe://example.org/production/web/x"} {
			status, text := send(t, w.client(name, uri), follower, "GET", "/v1/kv/production/web/port?raw", "")
			if status != http.StatusForbidden || !strings.Contains(text, "anonymous token") {
				t.Errorf("%s: %d %q", name, status, text)
			}
		}
	})
	t.Run("the certificates of the servers name no service", func(t *testing.T) {
		// A follower passes the write on, with its own certificate where servers have some.
		if status, text := send(t, w.client("x", ""), follower, "PUT", "/v1/kv/production/web/port", "1"); status != http.StatusForbidden {
			t.Errorf("%d %q", status, text)
		}
	})
	t.Run("no token is kept", func(t *testing.T) {
		if r := leader.Do(http.MethodGet, "/v1/acl/tokens", nil); bytes.Contains(r.Body, []byte("cert:")) {
			t.Errorf("the tokens are %s", r.Body)
		}
	})
	t.Run("a login makes a token of it", func(t *testing.T) {
		status, text := send(t, web, follower, "POST", "/v1/acl/login", `{"AuthMethod":"mesh"}`)
		var token struct{ SecretID string }
		if status != http.StatusOK || json.Unmarshal([]byte(text), &token) != nil {
			t.Fatalf("login: %d %s", status, text)
		}
		stranger := w.client("stranger", "")
		if status, text := send(t, stranger, follower, "GET", "/v1/kv/production/web/port?raw", "", "X-Consul-Token", token.SecretID); status != 200 || text != "8080" {
			t.Errorf("its own with the token: %d %s", status, text)
		}
		if status, _ := send(t, stranger, follower, "GET", "/v1/kv/production/db/password", "", "X-Consul-Token", token.SecretID); status != 403 {
			t.Errorf("another's with the token: %d", status)
		}
	})
	t.Run("a query that waits ends with the rule", func(t *testing.T) {
		type answer struct {
			status int
			text   string
		}
		index := leader.Do(http.MethodGet, "/v1/kv/production/web/port", nil).Index()
		waiting := make(chan answer, 1)
		go func() {
			defer close(waiting)
			status, text := send(t, web, follower, "GET", "/v1/kv/production/web/port?wait=60s&index="+strconv.FormatUint(index, 10), "")
			waiting <- answer{status, text}
		}()
		awaitParked(t, follower)
		if r := leader.Do(http.MethodDelete, "/v1/acl/binding-rule/"+rule, nil); r.Status != http.StatusOK {
			t.Fatalf("delete the rule: %d %s", r.Status, r.Body)
		}
		if a := <-waiting; a.status != http.StatusForbidden {
			t.Errorf("it is answered %d %s", a.status, a.text)
		}
		if status, text := send(t, web, follower, "GET", "/v1/kv/production/web/port?raw", ""); status != http.StatusForbidden {
			t.Errorf("on the same connection the next request is answered %d %s", status, text)
		}
	})
}
