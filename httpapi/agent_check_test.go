package httpapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// unlessCheck shows checks as id, status, service and name.
func unlessCheck(visit func(id, status, of, name string)) func(*catalog.Check) {
	return func(c *catalog.Check) { visit(c.ID, c.Status, c.ServiceID, c.Name) }
}

func TestLocalCheckAnswers(t *testing.T) {
	shown := func(id, status, notes, output, end string) string {
		return fmt.Sprintf(`{%q:{"Node":"node-1","CheckID":%[1]q,"Name":"mem","Status":%q,"Notes":%q,"Output":%q,`, id, status, notes, output) + end
	}
	const ttl = `"ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"ttl","Interval":"0s","Timeout":"0s","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0}}`
	unknown := `Unknown check ID "none". Ensure that the check ID is passed, not the check name.`
	play(t, newLocalServer(t), []line{
		{"none at first: the server's own is not shown", "GET /v1/agent/checks", 200, "{}"},
		{"one is registered", `PUT /v1/agent/check/register {"Name":"mem","TTL":"10s"}`, 200, ""},
		{"and critical", "GET /v1/agent/checks", 200, shown("mem", "critical", "", "", ttl)},
		{"it is removed", "PUT /v1/agent/check/deregister/mem", 200, ""},
		{"and gone", "GET /v1/agent/checks", 200, "{}"},
		{"an id, notes and a state of its own", `PUT /v1/agent/check/register {"ID":"m 1","Name":"mem","Notes":"n","TTL":"10s","Status":"passing","Output":"o"}`, 200, ""},
		{"come back", "GET /v1/agent/checks", 200, shown("m 1", "passing", "n", "o", ttl)},
		{"and are in the catalog at once", "GET /v1/health/node/node-1?filter=CheckID%3D%3D%22m+1%22", 200, `[{"Node":"node-1","CheckID":"m 1",…`},

		{"a warning", "PUT /v1/agent/check/warn/m%201?note=hm", 200, ""},
		{"is shown with its note", "GET /v1/agent/checks", 200, shown("m 1", "warning", "n", "hm", ttl)},
		{"well", "PUT /v1/agent/check/pass/m%201", 200, ""},
		{"without a note", "GET /v1/agent/checks", 200, shown("m 1", "passing", "n", "", ttl)},
		{"in need", "PUT /v1/agent/check/fail/m%201?note=a+b", 200, ""},
		{"with a note", "GET /v1/agent/checks", 200, shown("m 1", "critical", "n", "a b", ttl)},
		{"with a state and an output", `PUT /v1/agent/check/update/m%201 {"Status":"warning","Output":"x"}`, 200, ""},
		{"both are taken", "GET /v1/agent/checks", 200, shown("m 1", "warning", "n", "x", ttl)},
		{"a state that is none", `PUT /v1/agent/check/update/m%201 {"Status":"zz"}`, 400, "Invalid check status: 'zz'"},
		{"no state", `PUT /v1/agent/check/update/m%201 {}`, 400, "Invalid check status: ''"},

		{"no name", `PUT /v1/agent/check/register {"TTL":"10s"}`, 400, "Missing check name"},
		{"no kind", `PUT /v1/agent/check/register {"Name":"x"}`, 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{"no time", `PUT /v1/agent/check/register {"Name":"x","TTL":"-1s"}`, 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{"a time that is none", `PUT /v1/agent/check/register {"Name":"x","TTL":"10"}`, 400, `Request decode failed: time: missing unit in duration "10"`},
		{"an empty time", `PUT /v1/agent/check/register {"Name":"x","TTL":""}`, 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{"two times", `PUT /v1/agent/check/register {"Name":"x","TTL":"10s","Interval":"10s"}`, 400, "Invalid check: Interval and TTL cannot both be specified"},
		{"a state that is none", `PUT /v1/agent/check/register {"Name":"x","TTL":"10s","Status":"bad"}`, 400, "Bad check status"},
		{"a service that is not there", `PUT /v1/agent/check/register {"Name":"x","TTL":"10s","ServiceID":"none"}`, 404, `ServiceID "none" does not exist`},
		{"the server's own service", `PUT /v1/agent/check/register {"Name":"x","TTL":"10s","ServiceID":"consul"}`, 404, `ServiceID "consul" does not exist`},
		{"the server's own check", `PUT /v1/agent/check/register {"ID":"serfHealth","Name":"x","TTL":"10s"}`, 400, `Check ID "serfHealth" is that of this server itself`},
		{"by its name too", `PUT /v1/agent/check/register {"Name":"serfHealth","TTL":"10s"}`, 400, `Check ID "serfHealth" is that of this server itself`},
		{"a namespace", `PUT /v1/agent/check/register {"Name":"x","TTL":"10s","Namespace":"a"}`, 400, "Invalid check: there are no namespaces…"},
		{"a field that does not exist", `PUT /v1/agent/check/register {"Name":"x","TTL":"10s","Foo":1}`, 400, `Request decode failed: json: unknown field "Foo"`},
		{"half a body", `PUT /v1/agent/check/register {`, 400, "Request decode failed: unexpected EOF"},
		{"half a body", `PUT /v1/agent/check/update/m%201 {`, 400, "Request decode failed: unexpected EOF"},

		{"unknown", "PUT /v1/agent/check/pass/none", 404, unknown},
		{"unknown", "PUT /v1/agent/check/warn/none", 404, unknown},
		{"unknown", "PUT /v1/agent/check/fail/none", 404, unknown},
		{"unknown", `PUT /v1/agent/check/update/none {"Status":"passing"}`, 404, unknown},
		{"unknown", "PUT /v1/agent/check/deregister/none", 404, unknown},
		{"the server's own is nobody's to report on", "PUT /v1/agent/check/fail/serfHealth", 404, `Unknown check ID "serfHealth"…`},
		{"nor to remove", "PUT /v1/agent/check/deregister/serfHealth", 404, `Unknown check ID "serfHealth"…`},
		{"none", "PUT /v1/agent/check/pass/", 400, "Missing check ID"},
		{"none", "PUT /v1/agent/check/deregister/", 400, "Missing check ID"},
		{"a filter over what is not there", "GET /v1/agent/checks?filter=Bogus%3D%3D1", 500, "Failed to create boolean expression evaluator: …"},
	}...)
}

func TestChecksThatThisServerWouldHaveToPerformAreRefused(t *testing.T) {
	s := newLocalServer(t)
	for kind, body := range map[string]string{
		"script": `"Args":["true"]`, "HTTP": `"HTTP":"http://x"`, "HTTP/2": `"H2PING":"x:1"`, "TCP": `"TCP":"x:1"`, "UDP": `"UDP":"x:1"`,
		"gRPC": `"GRPC":"x:1","grpc_use_tls":true`, "Docker": `"DockerContainerID":"x","Shell":"sh"`, "alias": `"AliasService":"x"`, "OS service": `"OSService":"x"`,
	} {
		play(t, s, line{kind, `PUT /v1/agent/check/register {"Name":"x","Interval":"10s",` + body + `}`, 400, "Invalid check: this server performs no " + kind + " checks; …"})
	}
	play(t, s, line{"nothing is registered", "GET /v1/agent/checks", 200, "{}"})
}

// TestAReportThatChangesNothingWritesNothing: so that checks which are well cost the
// log nothing, and are heard of while there is no leader.
func TestAReportThatChangesNothingWritesNothing(t *testing.T) {
	s := newLocalServer(t)
	play(t, s, line{"register", `PUT /v1/agent/check/register {"Name":"mem","TTL":"10s","Status":"passing"}`, 200, ""})
	before := s.node.Store().Applied()
	for range 3 {
		play(t, s, line{"pass", "PUT /v1/agent/check/pass/mem", 200, ""})
	}
	if got := s.node.Store().Applied(); got != before {
		t.Errorf("three reports wrote %d log entries", got-before)
	}
	if got := s.agent.take(); got != "mem mem mem mem" {
		t.Errorf("heard of %q", got)
	}
}

// TestAReportSeesTheExpiryThatWasQuicker: the state is read after the timers were
// told, or a check would stay critical although its report was answered.
func TestAReportSeesTheExpiryThatWasQuicker(t *testing.T) {
	s := newLocalServer(t)
	play(t, s, line{"register", `PUT /v1/agent/check/register {"Name":"mem","TTL":"10s","Status":"passing"}`, 200, ""})
	s.agent.on = func(id string) error {
		check := *s.node.Store().View().Catalog().Check("node-1", id)
		check.Status, check.Output = catalog.Critical, "TTL expired"
		s.propose(t, &fsm.Command{Register: &catalog.Registration{Node: catalog.Node{Name: "node-1"}, SkipNode: true, Checks: []catalog.Check{check}}})
		return nil
	}
	play(t, s,
		line{"pass", "PUT /v1/agent/check/pass/mem", 200, ""},
		line{"it is well", "GET /v1/agent/checks", 200, `{"mem":{"Node":"node-1","CheckID":"mem","Name":"mem","Status":"passing","Notes":"","Output":"",…`})
}

// TestAReportDoesNotBringACheckBack: not one that was removed while it was under way.
func TestAReportDoesNotBringACheckBack(t *testing.T) {
	for rule, again := range map[string]bool{"removed": false, "removed and made anew": true} {
		s := newLocalServer(t)
		play(t, s, line{"register", `PUT /v1/agent/check/register {"Name":"mem","TTL":"10s"}`, 200, ""})
		removing := &removingNode{localNode: s.node, remove: func() {
			s.propose(t, &fsm.Command{Deregister: &fsm.Deregistration{Node: "node-1", CheckID: "mem"}})
			if again {
				s.propose(t, &fsm.Command{Register: &catalog.Registration{
					Node: catalog.Node{Name: "node-1"}, SkipNode: true,
					Checks: []catalog.Check{{ID: "mem", Name: "mem", Status: catalog.Warning, Type: catalog.TypeTTL, TTL: 1e9}},
				}})
			}
		}}
		s.Server.node = removing
		play(t, s, line{rule, "PUT /v1/agent/check/pass/mem", 404, `Unknown check ID "mem"…`})
		got := s.node.Store().View().Catalog().Check("node-1", "mem")
		if (got != nil) != again || again && got.Status != catalog.Warning {
			t.Errorf("%s: the check is %+v", rule, got)
		}
	}
}

// removingNode does something else just before a proposal.
type removingNode struct {
	*localNode
	remove func()
}

func (n *removingNode) Propose(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	if n.remove != nil {
		n.remove()
		n.remove = nil
	}
	return n.localNode.Propose(ctx, c)
}

func TestNotesAreBounded(t *testing.T) {
	s := newLocalServer(t)
	long := strings.Repeat("x", 5000)
	play(t, s,
		line{"register", `PUT /v1/agent/check/register {"Name":"mem","TTL":"10s","Output":"` + long + `"}`, 200, ""},
		line{"pass", "PUT /v1/agent/check/pass/mem?note=" + long, 200, ""},
		line{"maintenance", "PUT /v1/agent/maintenance?enable=true&reason=" + long, 200, ""})
	s.localChecks(s.node.Store().View().Catalog(), func(c *catalog.Check) {
		if len(c.Output) > outputBytes || len(c.Notes) > outputBytes {
			t.Errorf("check %s keeps %d and %d bytes", c.ID, len(c.Output), len(c.Notes))
		}
	})
}
