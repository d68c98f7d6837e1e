package httpapi

import (
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
)

// anonymousACLAnswers is anonymousAnswers for the endpoints that are about access control.
func anonymousACLAnswers() []anonymousAnswer {
	const (
		denied = http.StatusForbidden
		id     = acl.ManagementID
	)
	read, write := lacks("acl:read", ""), lacks("acl:write", "")
	answers := []anonymousAnswer{
		{"PUT /v1/agent/token/", "/v1/agent/token/default", `{"Token":"x"}`, denied, lacks("agent:write", "node-1"), false},

		{"PUT /v1/acl/bootstrap", "/v1/acl/bootstrap", "", denied, "*", false},
		{"GET /v1/acl/replication", "/v1/acl/replication", "", 200, "*", true},
		{"GET /v1/acl/token/self", "/v1/acl/token/self", "", denied, "token does not exist: ACL not found", false},
		{"POST /v1/acl/login", "/v1/acl/login", `{"AuthMethod":"m","BearerToken":"b"}`, denied, `ACL not found: auth method "m" not found`, false},
		{"POST /v1/acl/logout", "/v1/acl/logout", "", http.StatusUnauthorized, "Supplied token does not exist", false},

		{"GET /v1/acl/templated-policies", "/v1/acl/templated-policies", "", denied, read, false},
		{"GET /v1/acl/templated-policy/name/", "/v1/acl/templated-policy/name/builtin/dns", "", denied, read, false},
		{"POST /v1/acl/templated-policy/preview/", "/v1/acl/templated-policy/preview/builtin/dns", "{}", denied, read, false},

		{"GET /v1/acl/who-can", "/v1/acl/who-can?resource=key&access=read&name=a", "", denied, read, false},
		{"POST /v1/acl/who-can", "/v1/acl/who-can", `{"Resource":"key","Access":"read"}`, denied, read, false},
		{
			"POST /v1/internal/acl/authorize", "/v1/internal/acl/authorize", `[{"Resource":"acl","Access":"read"}]`, 200,
			`[{"Resource":"acl","Access":"read","Allow":false}]`, false,
		},
	}
	for _, base := range []string{"/v1/acl", "/v1/holdfast/acl"} {
		answers = append(answers,
			anonymousAnswer{"POST " + base + "/explain", base + "/explain", `{"Resource":"key","Segment":"a","Access":"read","Accessor":"` + id + `"}`, denied, read, false},
			anonymousAnswer{"POST " + base + "/token/{accessor}/rotate", base + "/token/" + id + "/rotate", "", denied, write, false},
			anonymousAnswer{"GET " + base + "/token/{accessor}/usage", base + "/token/" + id + "/usage", "", denied, read, false},
		)
	}
	for _, noun := range []struct{ one, many, body string }{
		{"token", "tokens", "{}"},
		{"policy", "policies", `{"Name":"p"}`},
		{"role", "roles", `{"Name":"r"}`},
		{"auth-method", "auth-methods", `{"Name":"m","Type":"jwt"}`},
		{"binding-rule", "binding-rules", `{"AuthMethod":"m"}`},
	} {
		one, many := "/v1/acl/"+noun.one, "/v1/acl/"+noun.many
		answers = append(answers,
			anonymousAnswer{"GET " + many, many, "", denied, read, false},
			anonymousAnswer{"PUT " + one, one, noun.body, denied, write, false},
			anonymousAnswer{"GET " + one + "/", one + "/" + id, "", denied, read, false},
			anonymousAnswer{"PUT " + one + "/", one + "/" + id, "{}", denied, write, false},
			anonymousAnswer{"DELETE " + one + "/", one + "/" + id, "", denied, write, false},
		)
	}
	for _, noun := range []string{"policy", "role"} {
		path := "/v1/acl/" + noun + "/name/"
		answers = append(answers, anonymousAnswer{"GET " + path, path + "x", "", denied, read, false})
	}
	return answers
}
