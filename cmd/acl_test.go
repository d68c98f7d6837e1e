package cmd

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestCommandLinesAboutACLsThatAreWrong(t *testing.T) {
	t.Setenv("HOLDFAST_HTTP_ADDR", "127.0.0.1:1") // nothing of this may reach a server
	for _, tc := range []struct{ line, says string }{
		{"acl token read", "-accessor-id and -self"},
		{"acl token clone", "-accessor-id is missing"},
		{"acl token delete", "-accessor-id is missing"},
		{"acl token update", "-accessor-id is missing"},
		{"acl token create -node-identity=n", "node"},
		{"acl token create -service-identity=", "service"},
		{"acl policy create -rules=x", "-name"},
		{"acl policy read", "-id"},
		{"acl policy update", "-id"},
		{"acl policy delete", "-id"},
		{"acl role create", "-name is missing"},
		{"acl role read", "-id"},
		{"acl role update", "-id"},
		{"acl role delete", "-id"},
		{"acl auth-method create -name=a", "-type is missing"},
		{"acl auth-method read", "-name is missing"},
		{"acl auth-method update", "-name is missing"},
		{"acl auth-method delete", "-name is missing"},
		{"acl binding-rule create -bind-name=a", "-method is missing"},
		{"acl binding-rule create -method=a", "-bind-name is missing"},
		{"acl binding-rule read", "-id is missing"},
		{"acl binding-rule update", "-id is missing"},
		{"acl binding-rule delete", "-id is missing"},
		{"acl templated-policy read", "-name is missing"},
		{"acl templated-policy preview", "-name"},
		{"acl set-agent-token", "missing"},
		{"acl set-agent-token default", "missing"},
		{"login -method=a", "missing"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.stdout != "" || !strings.Contains(got.stderr, tc.says) || got.code != exitUsage {
				t.Errorf("got %+v, want %q", got, tc.says)
			}
		})
	}
}

// TestWhatCommandsOnACLsSend: each verb of the tree, with Consul's flags, and what it
// shows of the answer.
func TestWhatCommandsOnACLsSend(t *testing.T) {
	const (
		id     = "6b1f0000-1111-2222-3333-444444444444"
		token  = `{"AccessorID":"` + id + `","SecretID":"5ec2e700-1111-2222-3333-444444444444","Description":"d","Policies":[{"ID":"` + id + `","Name":"web"}],"ServiceIdentities":[{"ServiceName":"api","Datacenters":["dc1"]}]}`
		policy = `{"ID":"` + id + `","Name":"web","Rules":"operator = \"read\""}`
		role   = `{"ID":"` + id + `","Name":"r","Policies":[{"ID":"` + id + `","Name":"web"}]}`
		method = `{"Name":"m","Type":"jwt","MaxTokenTTL":"5m0s","Config":{"BoundIssuer":"me"}}`
		rule   = `{"ID":"` + id + `","AuthMethod":"m","BindType":"service","BindName":"x"}`
	)
	for _, tc := range []struct {
		line   string
		sent   []string // all requests
		answer string
		shows  []string // parts of what is printed
	}{
		{"acl bootstrap", []string{"PUT /v1/acl/bootstrap "}, token, []string{"AccessorID:       " + id, "SecretID:         5ec2e700-"}},
		{
			"acl token create -description=d -policy-name=web -policy-id=" + id + " -role-name=r -service-identity=api:dc1 -node-identity=n:dc1 -local -expires-ttl=2h",
			[]string{`PUT /v1/acl/token {"Description":"d","Policies":[{"Name":"web"},{"ID":"` + id + `"}],"Roles":[{"Name":"r"}],` +
				`"ServiceIdentities":[{"ServiceName":"api","Datacenters":["dc1"]}],"NodeIdentities":[{"NodeName":"n","Datacenter":"dc1"}],"Local":true,"ExpirationTTL":"2h0m0s"}`},
			token,
			[]string{"Policies:\n   " + id + " - web\n", "Service Identities:\n   api (Datacenters: dc1)\n"},
		},
		{"acl token read -accessor-id=" + id, []string{"GET /v1/acl/token/" + id + " "}, token, []string{"Description:      d\n"}},
		{"acl token read -id=" + id + " -format=json", []string{"GET /v1/acl/token/" + id + " "}, token, []string{`"AccessorID": "` + id + `"`}},
		{"acl token read -self", []string{"GET /v1/acl/token/self "}, token, []string{"AccessorID:       " + id}},
		{"acl token read -accessor-id=anonymous", []string{"GET /v1/acl/token/00000000-0000-0000-0000-000000000002 "}, token, nil},
		{"acl token list", []string{"GET /v1/acl/tokens "}, "[" + token + "]", []string{"AccessorID:       " + id}},
		{"acl token clone -accessor-id=" + id + " -description=c", []string{"PUT /v1/acl/token/" + id + `/clone {"Description":"c"}`}, token, []string{"Token cloned successfully."}},
		{"acl token clone -id=" + id, []string{"PUT /v1/acl/token/" + id + `/clone {"Description":""}`}, token, []string{"Token cloned successfully."}},
		{"acl token delete -accessor-id=" + id, []string{"DELETE /v1/acl/token/" + id + " "}, "true", []string{`Token "` + id + `" deleted successfully`}},
		{"acl token rotate -accessor-id=" + id + " -grace=10m", []string{"POST /v1/acl/token/" + id + `/rotate {"Grace":"10m0s"}`}, token, []string{"5ec2e700-"}},
		{"acl policy create -name=web -rules=x -valid-datacenter=dc1", []string{`PUT /v1/acl/policy {"Name":"web","Description":"","Rules":"x","Datacenters":["dc1"]}`}, policy, []string{"Name:         web\n", "operator = \"read\""}},
		{"acl policy read -name=web", []string{"GET /v1/acl/policy/name/web "}, policy, []string{"ID:           " + id}},
		{"acl policy list", []string{"GET /v1/acl/policies "}, "[" + policy + "]", []string{"web:\n   ID:           " + id}},
		{"acl policy delete -id=" + id, []string{"GET /v1/acl/policy/" + id + " ", "DELETE /v1/acl/policy/" + id + " "}, policy, []string{`Policy "` + id + `" deleted successfully`}},
		{"acl role create -name=r -policy-name=web", []string{`PUT /v1/acl/role {"Name":"r","Description":"","Policies":[{"Name":"web"}]}`}, role, []string{"Name:         r\n", "   " + id + " - web\n"}},
		{"acl role read -name=r", []string{"GET /v1/acl/role/name/r "}, role, []string{"ID:           " + id}},
		{"acl role list", []string{"GET /v1/acl/roles "}, "[" + role + "]", []string{"r:\n   ID:           " + id}},
		{"acl role delete -id=" + id, []string{"GET /v1/acl/role/" + id + " ", "DELETE /v1/acl/role/" + id + " "}, role, []string{`Role "` + id + `" deleted successfully`}},
		{
			`acl auth-method create -name=m -type=jwt -max-token-ttl=5m -config={"BoundIssuer":"me"}`,
			[]string{"GET /v1/acl/auth-method/m ", `PUT /v1/acl/auth-method/m {"Name":"m","Type":"jwt","MaxTokenTTL":"5m0s","Config":{"BoundIssuer":"me"}}`},
			method,
			[]string{"Type:          jwt\n"},
		},
		{"acl auth-method read -name=m", []string{"GET /v1/acl/auth-method/m "}, method, []string{"Name:          m\n"}},
		{"acl auth-method list", []string{"GET /v1/acl/auth-methods "}, "[" + method + "]", []string{"m:\n"}},
		{"acl auth-method delete -name=m", []string{"DELETE /v1/acl/auth-method/m "}, "true", []string{`Auth-method "m" deleted successfully`}},
		{"acl binding-rule create -method=m -bind-name=x", []string{`PUT /v1/acl/binding-rule {"Description":"","AuthMethod":"m","Selector":"","BindType":"service","BindName":"x"}`}, rule, []string{"BindType:     service\n"}},
		{"acl binding-rule create -method=m -bind-type=role -bind-name=x -selector=a==b", []string{`PUT /v1/acl/binding-rule {"Description":"","AuthMethod":"m","Selector":"a==b","BindType":"role","BindName":"x"}`}, rule, []string{"ID:           " + id}},
		{"acl binding-rule read -id=" + id, []string{"GET /v1/acl/binding-rule/" + id + " "}, rule, []string{"AuthMethod:   m\n"}},
		{"acl binding-rule list -method=m", []string{"GET /v1/acl/binding-rules?authmethod=m "}, "[" + rule + "]", []string{id + ":\n"}},
		{"acl binding-rule delete -id=" + id, []string{"DELETE /v1/acl/binding-rule/" + id + " "}, "true", []string{`Binding rule "` + id + `" deleted successfully`}},
		{"acl set-agent-token default x", []string{`PUT /v1/agent/token/default {"Token":"x"}`}, "", []string{`ACL token "default" set successfully`}},
	} {
		t.Run(tc.line, func(t *testing.T) {
			var sent []string
			serveWith(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				sent = append(sent, r.Method+" "+r.RequestURI+" "+string(body))
				answer := tc.answer
				switch {
				case r.Method == http.MethodDelete:
					answer = "true"
				case r.Method == http.MethodGet && strings.Contains(tc.line, "create"): // it must not be there yet
					answer = "Requested auth method does not exist: ACL not found"
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = io.WriteString(w, answer)
			})
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.code != 0 || got.stderr != "" || fmt.Sprintf("%q", sent) != fmt.Sprintf("%q", tc.sent) {
				t.Errorf("sent %q\nwant %q\ngot %+v", sent, tc.sent, got)
			}
			for _, part := range tc.shows {
				if !strings.Contains(got.stdout, part) {
					t.Errorf("printed\n%s\nwant %q in it", got.stdout, part)
				}
			}
		})
	}
}
