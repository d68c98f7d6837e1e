package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/catalog"
)

func TestRegisterAnswers(t *testing.T) {
	play(t, newLocalServer(t), []line{
		{"everything at once", "PUT /v1/catalog/register " + dbRegistered, 200, "true"},
		{"and again", "PUT /v1/catalog/register " + dbRegistered, 200, "true"},
		{"names of fields ignore case", `PUT /v1/catalog/register {"node":"n","ADDRESS":"x"}`, 200, "true"},
		{"what follows the object is not looked at", `PUT /v1/catalog/register {"Node":"n","Address":"x"} and more`, 200, "true"},
		{"the datacenter of the body counts", `PUT /v1/catalog/register?dc=no-such {"Node":"n","Address":"x","Datacenter":"dc1"}`, 200, "true"},
		{"an unknown one is refused", `PUT /v1/catalog/register {"Node":"n","Address":"x","Datacenter":"no-such"}`, 500, "No path to datacenter"},
		{"no node", `PUT /v1/catalog/register {"Address":"x"}`, 500, "Must provide node"},
		{"null", `PUT /v1/catalog/register null`, 500, "Must provide node"},
		{"no address", `PUT /v1/catalog/register {"Node":"n"}`, 500, "Must provide address if SkipNodeUpdate is not set"},
		{"no address of a node that stays as it is", `PUT /v1/catalog/register {"Node":"n","SkipNodeUpdate":true}`, 200, "true"},
		{"an id that is none", `PUT /v1/catalog/register {"Node":"n","Address":"x","ID":"5"}`, 500, "Bad node ID: …"},
		{"a field that does not exist", `PUT /v1/catalog/register {"Node":"n","Address":"x","Foo":1}`, 400, `Request decode failed: json: unknown field "Foo"`},
		{"nor one of a service", `PUT /v1/catalog/register {"Node":"n","Address":"x","Service":{"Foo":1}}`, 400, `Request decode failed: json: unknown field "Foo"`},
		{"no body", "PUT /v1/catalog/register", 400, "Request decode failed: EOF"},
		{"half a body", "PUT /v1/catalog/register {", 400, "Request decode failed: unexpected EOF"},
		{"a wrong type", `PUT /v1/catalog/register {"Node":1}`, 400, "Request decode failed: json: cannot unmarshal number…"},
		{"a service without a name", `PUT /v1/catalog/register {"Node":"n","Address":"x","Service":{"ID":"a"}}`, 500, "Must provide service name"},
		{"weights that are no shares", `PUT /v1/catalog/register {"Node":"n","Address":"x","Service":{"Service":"a","Weights":{"Passing":-1,"Warning":1}}}`, 400, "Invalid service weights: …"},
		{"a check without a name", `PUT /v1/catalog/register {"Node":"n","Address":"x","Check":{}}`, 500, "Must provide check ID or its name"},
		{"a state that is none", `PUT /v1/catalog/register {"Node":"n","Address":"x","Check":{"Name":"a","Status":"well"}}`, 500, "Invalid check status: 'well'"},
		{"a check of another node", `PUT /v1/catalog/register {"Node":"n","Address":"x","Check":{"Node":"m","CheckID":"a"}}`, 500, "Check 'a' is of node 'm', but node 'n' is registered"},
		{"of the same node in another case", `PUT /v1/catalog/register {"Node":"n","Address":"x","Check":{"Node":"N","CheckID":"a"}}`, 200, "true"},
		{"a zero byte in a name", `PUT /v1/catalog/register {"Node":"n\u0000","Address":"x"}`, 500, `Name "n\x00" has a zero byte`},
		{"a service that is not there", `PUT /v1/catalog/register {"Node":"new","Address":"x","Check":{"CheckID":"c","ServiceID":"none","Status":"passing"}}`, 500, "Unknown service ID 'none' for check ID 'c'"},
		{"then nothing is stored", "GET /v1/catalog/node/new", 200, "null"},
		{"reading is something else", "GET /v1/catalog/register", 405, "method GET not allowed"},
	}...)
}

func TestRegisterDefaults(t *testing.T) {
	s := newLocalServer(t)
	mustRegister(t, s.Server, `{"Node":"n","Address":"x","Service":{"Service":"web"},"Check":{"Name":"up"},"Checks":[{"CheckID":"c","Name":"C","ServiceID":"web"}]}`)
	view := s.node.Store().View().Catalog()
	if got := view.Service("n", "web"); got == nil || got.PassingWeight != 1 || got.WarningWeight != 1 {
		t.Errorf("service is %+v, want its name for its id and weights of 1", got)
	}
	for _, id := range []string{"up", "c"} {
		if c := view.Check("n", id); c == nil || c.Status != catalog.Critical {
			t.Errorf("check %s is %+v, want its name for its id and critical", id, c)
		}
	}
	if c := view.Check("n", "c"); c.ServiceName != "web" {
		t.Errorf("check is of service %q", c.ServiceName)
	}
}

// TestWhatWasReadCanBeRegistered: clients send back what they have read.
func TestWhatWasReadCanBeRegistered(t *testing.T) {
	s := newLocalServer(t)
	index := mustRegister(t, s.Server, `{"Node":"n","Address":"x","TaggedAddresses":{"lan":"x"},"NodeMeta":{"a":"b"},`+
		`"Service":{"ID":"w","Service":"web","Tags":["t"],"Address":"::1","Port":1,"Meta":{"k":"v"},"Weights":{"Passing":7,"Warning":2},"EnableTagOverride":true,`+
		`"TaggedAddresses":{"lan":{"Address":"::1","Port":1},"wan":{"Address":"example.com","Port":80}}},`+
		`"Checks":[{"Name":"up","Status":"passing","Notes":"n","Output":"o","ServiceID":"w","Type":"http","Interval":"10s","Timeout":"1s","Definition":{"HTTP":"http://x"}}]}`)
	var health []struct {
		Node    CatalogNode
		Service json.RawMessage
		Checks  json.RawMessage
	}
	before := ask(t, s.Server, http.MethodGet, "/v1/health/service/web", "").Body.Bytes()
	if err := json.Unmarshal(before, &health); err != nil {
		t.Fatal(err)
	}
	if want := `"Definition":{"HTTP":"http://x"}`; !strings.Contains(string(before), want) {
		t.Errorf("answer %s lacks %s", before, want)
	}
	meta, err := json.Marshal(health[0].Node.Meta)
	if err != nil {
		t.Fatal(err)
	}
	again := fmt.Sprintf(`{"ID":"","Node":"n","Address":"x","Datacenter":"dc1","TaggedAddresses":{"lan":"x"},"NodeMeta":%s,"Service":%s,"Check":null,"Checks":%s,"SkipNodeUpdate":false}`,
		meta, health[0].Service, health[0].Checks)
	if got := mustRegister(t, s.Server, again); got == index {
		t.Fatal("the second registration has the index of the first")
	}
	w := ask(t, s.Server, http.MethodGet, "/v1/health/service/web", "")
	expect(t, w, 200, string(before))
	expectHeader(t, w, "X-Consul-Index", index) // unchanged, and so no index has moved
}

func TestDefinitions(t *testing.T) {
	for _, tc := range []struct{ rule, text, want string }{
		{"none is none", "", ""},
		{"nor is null", "null", ""},
		{"an empty one says nothing", "{ }", ""},
		{"spaces go", `{ "HTTP": "http://x y",  "Interval":"10s"}`, `{"HTTP":"http://x y","Interval":"10s"}`},
		{"it is an object", `"x"`, "error"},
		{"nor a list", "[]", "error"},
		{"it has a bound", `{"a":"` + strings.Repeat("x", definitionBytes) + `"}`, "error"},
	} {
		got, err := compactDefinition(json.RawMessage(tc.text))
		if (err != nil) != (tc.want == "error") || err == nil && got != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.rule, got, err, tc.want)
		}
	}
}

func TestTaggedAddressesComeBack(t *testing.T) {
	want := map[string]serviceAddress{"lan": {"192.0.2.1", 80}, "v6": {"2001:db8::1", 443}, "name": {"example.com", 0}, "socket": {"/run/a:b.sock", 0}}
	s := &catalog.Service{TaggedAddresses: joinAddresses(want)}
	if diff := cmp.Diff(want, taggedAddresses(s)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	s = &catalog.Service{TaggedAddresses: map[string]string{"lan": "no port"}}
	if got := taggedAddresses(s)["lan"]; got != (serviceAddress{"no port", 0}) {
		t.Errorf("an address without a port is %+v", got)
	}
	if joinAddresses(nil) != nil || taggedAddresses(&catalog.Service{}) != nil {
		t.Error("none are some")
	}
}

func TestDeregisterAnswers(t *testing.T) {
	s := newLocalServer(t)
	mustRegister(t, s.Server, dbRegistered)
	mustRegister(t, s.Server, `{"Node":"db-1","SkipNodeUpdate":true,"Check":{"Name":"disk"}}`)
	play(t, s, []line{
		{"no node", "PUT /v1/catalog/deregister {}", 500, "Must provide node"},
		{"an unknown datacenter", `PUT /v1/catalog/deregister {"Node":"db-1","Datacenter":"x"}`, 500, "No path to datacenter"},
		{"a field that does not exist", `PUT /v1/catalog/deregister {"Node":"db-1","Foo":1}`, 400, `Request decode failed: json: unknown field "Foo"`},
		{"an unknown node", `PUT /v1/catalog/deregister {"Node":"none"}`, 200, "true"},
		{"an unknown service", `PUT /v1/catalog/deregister {"Node":"db-1","ServiceID":"none"}`, 200, "true"},
		{"an unknown check", `PUT /v1/catalog/deregister {"Node":"db-1","CheckID":"none"}`, 200, "true"},
		{"nothing is gone yet", "GET /v1/health/node/db-1?filter=CheckID%21%3Dx", 200, `[{"Node":"db-1","CheckID":"disk"…`},
		{"a service wins over a check", `PUT /v1/catalog/deregister {"Node":"DB-1","ServiceID":"pg","CheckID":"disk"}`, 200, "true"},
		{"the service is gone", "GET /v1/catalog/service/pg", 200, "[]"},
		{"and its check", "GET /v1/health/node/db-1?filter=CheckID%3D%3D%22pg+up%22", 200, "[]"},
		{"but not the other", "GET /v1/health/node/db-1", 200, `[{"Node":"db-1","CheckID":"disk"…`},
		{"a check", `PUT /v1/catalog/deregister {"Node":"db-1","CheckID":"disk"}`, 200, "true"},
		{"is gone", "GET /v1/health/node/db-1", 200, "[]"},
		{"the node is not", "GET /v1/catalog/nodes?filter=Node%3D%3D%22db-1%22", 200, "[" + dbNode + "]"},
		{"a node", `PUT /v1/catalog/deregister {"Node":"db-1"}`, 200, "true"},
		{"is gone", "GET /v1/catalog/node/db-1", 200, "null"},
		{"and may be removed again", `PUT /v1/catalog/deregister {"Node":"db-1"}`, 200, "true"},
	}...)
}

// TestDeregisterEndsSessions: those of a check, of a service's check, of a node.
//
// Source: contract, sessions, section 5.
func TestDeregisterEndsSessions(t *testing.T) {
	for rule, body := range map[string]string{
		"a check":            `{"Node":"db-1","CheckID":"pg up"}`,
		"a check's service":  `{"Node":"db-1","ServiceID":"pg"}`,
		"a node":             `{"Node":"db-1"}`,
		"a check in need":    ``,
		"nothing of its own": `{"Node":"db-1","CheckID":"other"}`,
	} {
		t.Run(rule, func(t *testing.T) {
			s := newLocalServer(t)
			mustRegister(t, s.Server, dbRegistered)
			w := ask(t, s.Server, http.MethodPut, "/v1/session/create", `{"Node":"db-1","NodeChecks":["pg up"]}`)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if body == "" {
				mustRegister(t, s.Server, strings.Replace(dbRegistered, "passing", "critical", 1))
			} else {
				mustWrite(t, s.Server, http.MethodPut, "/v1/catalog/deregister", body)
			}
			lives := ask(t, s.Server, http.MethodGet, "/v1/session/list", "").Body.String() != "[]"
			if want := rule == "nothing of its own"; lives != want {
				t.Errorf("the session lives: %v, want %v", lives, want)
			}
		})
	}
}

func TestRegistrationsAreBounded(t *testing.T) {
	s := newLocalServer(t)
	w := ask(t, s.Server, http.MethodPut, "/v1/catalog/register", strings.Repeat(" ", int(testSettings().TxnBytes)+1))
	if w.Code != 413 {
		t.Errorf("%d, want 413", w.Code)
	}
	long := strings.Repeat("é", outputBytes)
	mustRegister(t, s.Server, fmt.Sprintf(`{"Node":"n","Address":"x","Check":{"Name":"c","Output":%q}}`, long))
	got := s.node.Store().View().Catalog().Check("n", "c").Output
	if len(got) > outputBytes || !strings.HasSuffix(got, "é\n(cut: 4096 bytes are kept of 8192)") {
		t.Errorf("%d bytes are kept, ending in %q", len(got), got[max(0, len(got)-50):])
	}
	if got := cutOutput(strings.Repeat("x", outputBytes)); len(got) != outputBytes || strings.Contains(got, "cut") {
		t.Error("an output that just fits is cut")
	}
}
