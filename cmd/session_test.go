package cmd

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// oneSession is an answer about one session.
const oneSession = `[{"ID":"adf4","Name":"a\tb","Node":"n1","LockDelay":3000000000,"Behavior":"delete","TTL":"15s","NodeChecks":["serfHealth"],` +
	`"ServiceChecks":[{"ID":"web","Namespace":""}],"Grace":"0s","CreateIndex":51,"ModifyIndex":51}]`

func TestCommandLinesAboutSessionsThatAreWrong(t *testing.T) {
	t.Setenv("HOLDFAST_HTTP_ADDR", "127.0.0.1:1") // nothing of this may reach a server
	for _, tc := range []struct{ line, says string }{
		{"session create x", `unexpected argument "x"`},
		{"session create -ttl=-1s", "must not be negative"},
		{"session create -grace=1s", "-grace means nothing without -ttl"},
		{"session create -behavior=x", `"x" is neither release nor delete`},
		{"session create -no-checks -node-check=a", "excludes"},
		{"session create -format=x", "not a format"},
		{"session info", "ID is missing"},
		{"session info a b", `unexpected argument "b"`},
		{"session renew", "ID is missing"},
		{"session destroy", "ID is missing"},
		{"session list x", `unexpected argument "x"`},
		{"event fire", "-name is missing"},
		{"event fire -name=a b c", `unexpected argument "c"`},
		{"event fire -name=a -tag=b", "-tag means nothing"},
		{"event fire -name=a @/does/not/exist", "no such file"},
		{"event list x", `unexpected argument "x"`},
		{"lock", "PREFIX is missing"},
		{"lock a", "COMMAND is missing"},
		{"lock / true", "names no key"},
		{"lock . true", "names no key"},
		{"lock ../a true", "names no key"},
		{"lock -n=0 a true", "-n must be positive"},
		{"lock -monitor-retry=-1 a true", "-monitor-retry"},
		{"lock -try=-1s a true", "-try"},
		{"lock -ttl=0s a true", "-ttl must be positive"},
		{"lock -lock-delay=-1s a true", "-lock-delay"},
		{"lock -try=1s -timeout=1s a true", "exclude each other"},
		{"lock -timeout=-1s a true", "-timeout must not be negative"},
		{"elect", "KEY is missing"},
		{"elect /", "KEY is empty"},
		{"elect -listen a true", "-listen runs no command"},
		{"elect -listen -value=x a", "does not campaign"},
		{"elect -once a", "-once means nothing"},
		{"elect -try=1s -timeout=1s a", "exclude each other"},
		{"elect -ttl=-1s a", "must not be negative"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got.stdout != "" || !strings.Contains(got.stderr, tc.says) || got.code != exitUsage && !strings.Contains(tc.line, "@") {
				t.Errorf("got %+v, want %q", got, tc.says)
			}
		})
	}
}

func TestWhatCommandsOnSessionsSend(t *testing.T) {
	for _, tc := range []struct {
		line   string
		sent   string
		answer string
		stdout string
	}{
		{"session create", "PUT /v1/session/create {}", `{"ID":"adf4"}`, "adf4\n"},
		{
			"session create -name=n -node=m -ttl=15s -grace=0s -lock-delay=0s -behavior=delete -node-check=a -node-check=b -service-check=c -format=json",
			`PUT /v1/session/create {"Name":"n","Node":"m","TTL":"15s","Grace":"0s","LockDelay":"0s","Behavior":"delete","NodeChecks":["a","b"],"ServiceChecks":[{"ID":"c","Namespace":""}]}`,
			`{"ID":"adf4"}`, "{\n  \"ID\": \"adf4\"\n}\n",
		},
		{"session create -no-checks", `PUT /v1/session/create {"NodeChecks":[]}`, `{"ID":"adf4"}`, "adf4\n"},
		{"session destroy adf4", "PUT /v1/session/destroy/adf4 ", `true`, "Success! Ended session: adf4\n"},
		{"session list -stale", "GET /v1/session/list?stale= ", oneSession, "ID    Name    Node  TTL  Behavior  LockDelay  Checks\nadf4  \"a\\tb\"  n1    15s  delete    3s         serfHealth,web\n"},
		{"session list -node=n1 -format=yaml", "GET /v1/session/node/n1 ", `[]`, "[]\n"},
		{
			"session info adf4", "GET /v1/session/info/adf4 ", oneSession,
			"ID           adf4\nName         \"a\\tb\"\nNode         n1\nTTL          15s\nGrace        0s\nBehavior     delete\nLockDelay    3s\nChecks       serfHealth, web\nCreateIndex  51\n",
		},
		{"event fire -name=a -node=n -service=s -tag=t p", "PUT /v1/event/fire/a?node=n&service=s&tag=t p", `{"ID":"e1"}`, "Event ID: e1\n"},
		{"event list -name=a", "GET /v1/event/list?name=a ", `[]`, "LTime  ID  Name  Node  Service  Tag  Payload\n"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			var sent string
			serveWith(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				sent = r.Method + " " + r.RequestURI + " " + string(body)
				_, _ = io.WriteString(w, tc.answer)
			})
			got := runLine(t.Context(), "", strings.Fields(tc.line)...)
			if got != (outcome{0, tc.stdout, ""}) || sent != tc.sent {
				t.Errorf("sent %s\nwant %s\ngot %+v\nwant %q", sent, tc.sent, got, tc.stdout)
			}
		})
	}
}

func TestSessionsThatAreNotThere(t *testing.T) {
	for _, tc := range []struct {
		line, body string
		status     int
	}{
		{"session info adf4", `[]`, 200},
		{"session renew adf4", `Session id 'adf4' not found`, 404},
		{"session renew -keep adf4", `Session id 'adf4' not found`, 404},
	} {
		serveWith(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		if got := runLine(t.Context(), "", strings.Fields(tc.line)...); got.code != exitNotFound || !strings.Contains(got.stderr, "session does not exist") {
			t.Errorf("%s gave %+v", tc.line, got)
		}
	}
}

func TestASessionWithoutATTLIsNotKept(t *testing.T) {
	serveWith(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"ID":"adf4","TTL":""}]`) })
	got := runLine(t.Context(), "", "session", "renew", "-keep", "adf4")
	if got.code != exitFailed || !strings.Contains(got.stderr, "has no TTL") {
		t.Errorf("got %+v", got)
	}
}
