package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const webLocal = `{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":8080,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"}`

func TestLocalServiceAnswers(t *testing.T) {
	play(t, newLocalServer(t), []line{
		{"none at first: the server's own is not shown", "GET /v1/agent/services", 200, "{}"},
		{"one is registered", `PUT /v1/agent/service/register {"Name":"web","Port":8080}`, 200, ""},
		{"and listed", "GET /v1/agent/services", 200, `{"web":` + webLocal + `}`},
		{"and found", "GET /v1/agent/service/web", 200, `{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":8080,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"ContentHash":"…`},
		{"and in the catalog at once", "GET /v1/catalog/service/web", 200, `[{"ID":"id-1","Node":"node-1",…`},
		{
			"all of its fields, in snake case too", `PUT /v1/agent/service/register {"name":"Db","id":"db/1","tags":["a"],"meta":{"k":"v"},"address":"192.0.2.7","port":1,` +
				`"tagged_addresses":{"lan":{"address":"10.0.0.1","port":2}},"weights":{"passing":5,"warning":2},"enable_tag_override":true,"Check":null,"Checks":null}`, 200, "",
		},
		{
			"come back", "GET /v1/agent/services?filter=Service%3D%3DDb", 200, `{"db/1":{"ID":"db/1","Service":"Db","Tags":["a"],"Meta":{"k":"v"},"Port":1,"Address":"192.0.2.7",` +
				`"TaggedAddresses":{"lan":{"Address":"10.0.0.1","Port":2},"lan_ipv4":{"Address":"192.0.2.7","Port":1},"wan_ipv4":{"Address":"192.0.2.7","Port":1}},` +
				`"Weights":{"Passing":5,"Warning":2},"EnableTagOverride":true,"Datacenter":"dc1"}}`,
		},
		{"an address of six", `PUT /v1/agent/service/register {"Name":"six","Address":"::1"}`, 200, ""},
		{"is tagged so", "GET /v1/agent/services?filter=Service%3D%3Dsix", 200, `{"six":{"ID":"six","Service":"six","Tags":[],"Meta":{},"Port":0,"Address":"::1","TaggedAddresses":{"lan_ipv6":{"Address":"::1","Port":0},"wan_ipv6":…`},
		{"an id with escapes is removed by it", "PUT /v1/agent/service/deregister/db%2F1", 200, ""},
		{"once", "PUT /v1/agent/service/deregister/db%2F1", 404, `Unknown service ID "db/1". Ensure that the service ID is passed, not the service name.`},
		{"and is gone from the catalog", "GET /v1/catalog/service/Db", 200, "[]"},

		{"no name", "PUT /v1/agent/service/register {}", 400, "Missing service name"},
		{"no body", "PUT /v1/agent/service/register", 400, "Request decode failed: EOF"},
		{"half a body", "PUT /v1/agent/service/register {", 400, "Request decode failed: unexpected EOF"},
		{"no object", "PUT /v1/agent/service/register []", 400, "Request decode failed: json: cannot unmarshal array…"},
		{"a field that does not exist", `PUT /v1/agent/service/register {"Name":"x","Foo":1}`, 400, `Request decode failed: json: unknown field "Foo"`},
		{"nor in snake case", `PUT /v1/agent/service/register {"Name":"x","foo_bar":1}`, 400, `Request decode failed: json: unknown field "foo_bar"`},
		{"nor in a check", `PUT /v1/agent/service/register {"Name":"x","Check":{"TTL":"1s","Foo":1}}`, 400, `Request decode failed: json: unknown field "Foo"`},
		{"every address", `PUT /v1/agent/service/register {"Name":"x","Address":"0.0.0.0"}`, 400, "Invalid service address"},
		{"every address of six", `PUT /v1/agent/service/register {"Name":"x","Address":"[::]"}`, 400, "Invalid service address"},
		{"every address by a tag", `PUT /v1/agent/service/register {"Name":"x","TaggedAddresses":{"lan":{"Address":"::"}}}`, 400, "Invalid service address"},
		{"weights that are no shares", `PUT /v1/agent/service/register {"Name":"x","Weights":{"Passing":0,"Warning":1}}`, 400, "Invalid service weights: …"},
		{"a mesh", `PUT /v1/agent/service/register {"Name":"x","Connect":{"Native":true}}`, 400, "Invalid service: Kind, Proxy, Connect and SocketPath belong to a service mesh…"},
		{"no mesh after all", `PUT /v1/agent/service/register {"Name":"x","Connect":{},"Proxy":null}`, 200, ""},
		{"a namespace", `PUT /v1/agent/service/register {"Name":"x","Namespace":"a"}`, 400, "Invalid service: there are no namespaces…"},
		{"the server's own id", `PUT /v1/agent/service/register {"Name":"consul"}`, 400, `Service ID "consul" is that of this server itself`},
		{"the server's own is not for others to remove", "PUT /v1/agent/service/deregister/consul", 404, `Unknown service ID "consul"…`},
		{"nor to read here", "GET /v1/agent/service/consul", 404, "unknown service ID: consul"},
		{"no id to remove", "PUT /v1/agent/service/deregister/", 400, "Missing service ID"},
		{"no id to read", "GET /v1/agent/service/", 400, "Missing service ID"},
		{"unknown", "GET /v1/agent/service/none", 404, "unknown service ID: none"},
		{"a bad wait", "GET /v1/agent/service/web?hash=x&wait=10", 400, "Invalid wait time"},
		{"a filter over what is not there", "GET /v1/agent/services?filter=Bogus%3D%3D1", 500, "Failed to create boolean expression evaluator: …"},
		{"consistency and datacenters do not count here", "GET /v1/agent/services?stale&consistent&dc=x&index=x&filter=ID%3D%3Dweb", 200, `{"web":` + webLocal + `}`},
		{"nor for writes", `PUT /v1/agent/service/deregister/web?dc=x`, 200, ""},
	}...)
}

func TestLocalAnswersCarryNoQueryHeaders(t *testing.T) {
	s := newLocalServer(t)
	for _, send := range []string{"PUT /v1/agent/service/register", "GET /v1/agent/services", "GET /v1/agent/service/web", "GET /v1/agent/checks"} {
		method, target, _ := strings.Cut(send, " ")
		w := ask(t, s.Server, method, target, `{"Name":"web"}`)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", send, w.Code, w.Body)
		}
		expectHeader(t, w, "Content-Type", "application/json")
		for _, name := range []string{"X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Effective-Consistency"} {
			expectHeader(t, w, name, "")
		}
	}
}

// TestLocalReadsWaitUntilTheServerHasCaughtUp: before, its own services are not known.
func TestLocalReadsWaitUntilTheServerHasCaughtUp(t *testing.T) {
	s := newLocalServer(t)
	s.node.setContact(Contact{}, ErrNotReady)
	for _, send := range []string{
		"GET /v1/agent/services", "GET /v1/agent/checks", "GET /v1/agent/service/x", "GET /v1/event/list",
		"GET /v1/agent/health/service/id/x", "GET /v1/agent/health/service/name/x", "PUT /v1/agent/check/pass/x", "PUT /v1/agent/check/deregister/x",
		"PUT /v1/agent/service/deregister/x", "PUT /v1/agent/service/maintenance/x?enable=1", "PUT /v1/agent/maintenance?enable=1",
	} {
		play(t, s, line{"not ready", send, 500, ErrNotReady.Error()})
	}
	play(t, s,
		line{"not ready", `PUT /v1/agent/service/register {"Name":"x"}`, 500, ErrNotReady.Error()},
		line{"not ready", `PUT /v1/agent/check/register {"Name":"x","TTL":"1s"}`, 500, ErrNotReady.Error()})
	for _, mode := range s.node.gates {
		if mode != Stale {
			t.Fatalf("a read of this server's own asks for more than that: mode %d", mode)
		}
	}
}

func TestServiceChecks(t *testing.T) {
	checks := func(t *testing.T, s *localServer) string {
		t.Helper()
		var rows []string
		s.localChecks(s.node.Store().View().Catalog(), unlessCheck(func(id, status, of, name string) {
			rows = append(rows, id+" "+status+" of "+of+": "+name)
		}))
		return strings.Join(rows, "; ")
	}
	for _, tc := range []struct {
		rule, body, want string
	}{
		{"one is named after the service", `{"ID":"w1","Name":"web","Check":{"TTL":"30s"}}`, "service:w1 critical of w1: Service 'web' check"},
		{
			"several are numbered", `{"Name":"web","Checks":[{"TTL":"30s"},{"TTL":"1m","Status":"passing"}],"Check":{"TTL":"1s"}}`,
			"service:web:1 critical of web: Service 'web' check; service:web:2 passing of web: Service 'web' check; service:web:3 critical of web: Service 'web' check",
		},
		{"their own names count", `{"Name":"web","Check":{"CheckID":"c","Name":"C","TTL":"30s","Status":"warning"}}`, "c warning of web: C"},
		{"an empty one is none", `{"Name":"web","Check":{}}`, ""},
		{"snake case", `{"name":"web","check":{"check_id":"c","ttl":"30s","deregister_critical_service_after":"90s"}}`, "c critical of web: Service 'web' check"},
		{"a TTL in nanoseconds", `{"Name":"web","Check":{"TTL":30000000000}}`, "service:web critical of web: Service 'web' check"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newLocalServer(t)
			play(t, s, line{tc.rule, "PUT /v1/agent/service/register " + tc.body, 200, ""})
			if got := checks(t, s); got != tc.want {
				t.Errorf("checks are %q, want %q", got, tc.want)
			}
		})
	}
	t.Run("a refused one refuses the service", func(t *testing.T) {
		play(t, newLocalServer(t),
			line{"a kind that has to be performed", `PUT /v1/agent/service/register {"name":"web","check":{"http":"http://x","interval":"5s","deregister_critical_service_after":"75s"}}`, 400, "Invalid check: this server performs no HTTP checks; …"},
			line{"nothing is registered", "GET /v1/agent/services", 200, "{}"})
	})
	t.Run("the time after which a service goes is at least a minute", func(t *testing.T) {
		for asked, want := range map[string]time.Duration{"": 0, "0s": 0, "1s": time.Minute, "90s": 90 * time.Second} {
			s := newLocalServer(t)
			play(t, s, line{asked, `PUT /v1/agent/service/register {"Name":"web","Check":{"TTL":"1s","DeregisterCriticalServiceAfter":"` + asked + `"}}`, 200, ""})
			if got := s.node.Store().View().Catalog().Check("node-1", "service:web").ReapAfter(); got != want {
				t.Errorf("%q becomes %s, want %s", asked, got, want)
			}
		}
	})
}

func TestARegistrationAgainKeepsTheStateOfChecks(t *testing.T) {
	s := newLocalServer(t)
	const register = `PUT /v1/agent/service/register {"Name":"web","Check":{"TTL":"30s"}}`
	const check = "GET /v1/agent/checks?filter=Status%3D%3D"
	play(t, s,
		line{"critical at first", register, 200, ""},
		line{"reported well", "PUT /v1/agent/check/pass/service:web?note=well", 200, ""},
		line{"registered again without a state", register, 200, ""},
		line{"it is well still", check + "passing+and+Output%3D%3Dwell", 200, `{"service:web":…`},
		line{"registered again with one", strings.Replace(register, `"30s"`, `"30s","Status":"warning"`, 1), 200, ""},
		line{"it has that", check + "warning", 200, `{"service:web":…`},
		line{"a registration of the check alone", `PUT /v1/agent/check/register {"ID":"service:web","Name":"x","TTL":"30s","ServiceID":"web"}`, 200, ""},
		line{"keeps it too", check + "warning", 200, `{"service:web":…`})
	if got := s.agent.take(); got != "service:web service:web service:web service:web service:web" {
		t.Errorf("heard of %q: every registration and report is news", got)
	}
}

func TestReplaceExistingChecks(t *testing.T) {
	const two = `PUT /v1/agent/service/register {"Name":"web","Checks":[{"CheckID":"a","TTL":"30s"},{"CheckID":"b","TTL":"30s"}]}`
	for query, left := range map[string]string{"": "a b", "?replace-existing-checks": "b", "?replace-existing-checks=true": "b", "?replace-existing-checks=false": "a b"} {
		s := newLocalServer(t)
		play(t, s,
			line{"two checks", two, 200, ""},
			line{"maintenance", "PUT /v1/agent/service/maintenance/web?enable=true", 200, ""},
			line{"one of them", "PUT /v1/agent/service/register" + query + ` {"Name":"web","Check":{"CheckID":"b","TTL":"30s"}}`, 200, ""})
		var ids []string
		s.localChecks(s.node.Store().View().Catalog(), unlessCheck(func(id, _, _, _ string) { ids = append(ids, id) }))
		if got := strings.Join(ids, " "); got != "_service_maintenance:web "+left {
			t.Errorf("%q leaves %q, want %q and the maintenance", query, got, left)
		}
	}
}

func TestAServiceIsWaitedForByItsContent(t *testing.T) {
	const register = `PUT /v1/agent/service/register {"Name":"web","Port":1}`
	hashOf := func(t *testing.T, s *localServer) string {
		t.Helper()
		w := ask(t, s.Server, http.MethodGet, "/v1/agent/service/web", "")
		hash := w.Header().Get("X-Consul-Contenthash")
		if hash == "" || !strings.Contains(w.Body.String(), `"ContentHash":"`+hash+`"`) {
			t.Fatalf("hash %q, body %s", hash, w.Body)
		}
		return hash
	}
	for _, tc := range []struct {
		rule   string
		change string // while it waits
		woken  bool
		status int
	}{
		{"another content wakes", `PUT /v1/agent/service/register {"Name":"web","Port":2}`, true, 200},
		{"its end wakes", "PUT /v1/agent/service/deregister/web", true, 404},
		{"another service does not", `PUT /v1/agent/service/register {"Name":"db"}`, false, 200},
		{"a check does not", `PUT /v1/agent/check/register {"Name":"c","TTL":"1s","ServiceID":"web"}`, false, 200},
		{"a registration of the same does not", register, false, 200},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLocalServer(t)
				play(t, s, line{"first", register, 200, ""})
				hash := hashOf(t, s)
				x := startWaiting(t, s, "/v1/agent/service/web?wait=16s&hash="+hash)
				synctest.Wait()
				if s.Parked() != 1 {
					t.Fatal("it does not wait")
				}
				play(t, s, line{tc.rule, tc.change, 200, ""})
				synctest.Wait()
				if woken := s.Parked() == 0; woken != tc.woken {
					t.Errorf("woken: %v, want %v", woken, tc.woken)
				}
				<-x.done
				if x.w.Code != tc.status || tc.woken != (x.took == 0) {
					t.Errorf("%d after %s", x.w.Code, x.took)
				}
				if tc.status == 200 && tc.woken == (x.w.Header().Get("X-Consul-Contenthash") == hash) {
					t.Error("the hash is not that of the content")
				}
			})
		})
	}
	t.Run("any other hash is answered at once", func(t *testing.T) {
		s := newLocalServer(t)
		play(t, s, line{"first", register, 200, ""},
			line{"unknown", "GET /v1/agent/service/web?hash=zzz", 200, "-"}, line{"empty", "GET /v1/agent/service/web?hash=", 200, "-"})
	})
}

func TestLocalHealth(t *testing.T) {
	const (
		byID   = "GET /v1/agent/health/service/id/web"
		byName = "GET /v1/agent/health/service/name/web"
	)
	health := func(status string) string {
		return `{"AggregatedStatus":"` + status + `","Service":` + webLocal + `,"Checks":[…`
	}
	s := newLocalServer(t)
	play(t, s, []line{
		{"unknown", byID, 404, `{"AggregatedStatus":"critical","Service":null,"Checks":null}`},
		{"no instance", byName, 404, "[]"},
		{"no id", "GET /v1/agent/health/service/id/", 400, "Missing service ID"},
		{"no name", "GET /v1/agent/health/service/name/", 400, "Missing service name"},
		{"a word is enough", byID + "?format=text", 404, "critical"},

		{"a service without checks", `PUT /v1/agent/service/register {"Name":"web","Port":8080}`, 200, ""},
		{"passes", byID, 200, `{"AggregatedStatus":"passing","Service":` + webLocal + `,"Checks":[]}`},
		{"with a check", `PUT /v1/agent/service/register {"Name":"web","Port":8080,"Check":{"TTL":"30s","Status":"warning"}}`, 200, ""},
		{"it is as the check is", byID, 429, health("warning")},
		{"a check of the node", `PUT /v1/agent/check/register {"Name":"mem","TTL":"30s"}`, 200, ""},
		{"counts too", byID, 503, health("critical")},
		{"by name too", byName, 503, "[" + health("critical")},
		{"in any case", "GET /v1/agent/health/service/name/WEB", 503, "[" + health("critical")},
		{"maintenance is worse", "PUT /v1/agent/service/maintenance/web?enable=true", 200, ""},
		{"than critical", byID, 503, health("maintenance")},
		{"a check of another service does not count", `PUT /v1/agent/service/register {"Name":"web","ID":"web2","Check":{"TTL":"30s","Status":"passing"}}`, 200, ""},
		{"here", "PUT /v1/agent/check/pass/mem", 200, ""},
		{"the other one is well", "GET /v1/agent/health/service/id/web2?format=text", 200, "passing"},
		{"of several the worst counts", byName + "?format=text", 503, "maintenance"},
		{"at its end", "PUT /v1/agent/service/maintenance/web?enable=false", 200, ""},
		{"that of the others", byName + "?format=text", 429, "warning"},
		{"the node's maintenance", "PUT /v1/agent/maintenance?enable=true", 200, ""},
		{"is everybody's", "GET /v1/agent/health/service/id/web2?format=text", 503, "maintenance"},
	}...)
	w := ask(t, s.Server, http.MethodGet, "/v1/agent/health/service/id/web2", "", "Accept", "text/plain;q=1")
	expect(t, w, 503, "maintenance")
	expectHeader(t, w, "Content-Type", "text/plain")
	expectHeader(t, w, "X-Consul-Reason", "maintenance")
}

func TestMaintenance(t *testing.T) {
	s := newLocalServer(t)
	const node = `{"_node_maintenance":{"Node":"node-1","CheckID":"_node_maintenance","Name":"Node Maintenance Mode","Status":"critical","Notes":"disk","Output":"",` +
		`"ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"maintenance","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0}}`
	play(t, s, []line{
		{"on or off", "PUT /v1/agent/maintenance", 400, "Missing value for enable"},
		{"nothing", "PUT /v1/agent/maintenance?enable=", 400, "Missing value for enable"},
		{"nonsense", "PUT /v1/agent/maintenance?enable=x", 400, `Invalid value for enable: "x"`},
		{"off is off", "PUT /v1/agent/maintenance?enable=false", 200, ""},
		{"a session", `PUT /v1/session/create {}`, 200, "-"},
		{"on", "PUT /v1/agent/maintenance?enable=true&reason=disk", 200, ""},
		{"again", "PUT /v1/agent/maintenance?enable=1&reason=disk", 200, ""},
		{"is a check", "GET /v1/agent/checks", 200, node},
		{"the session lives", "GET /v1/session/list", 200, `[{"ID":"…`},
		{"it is nobody's to report on", "PUT /v1/agent/check/pass/_node_maintenance", 400, `Check "_node_maintenance" is not a TTL check: …`},
		{"off", "PUT /v1/agent/maintenance?enable=0", 200, ""},
		{"it is gone", "GET /v1/agent/checks", 200, "{}"},

		{"no service", "PUT /v1/agent/service/maintenance/?enable=true", 400, "Missing service ID"},
		{"on or off of an unknown service", "PUT /v1/agent/service/maintenance/none", 400, "Missing value for enable"},
		{"an unknown service", "PUT /v1/agent/service/maintenance/none?enable=true", 404, `Unknown service ID "none"…`},
		{"a service", `PUT /v1/agent/service/register {"Name":"web"}`, 200, ""},
		{"on", "PUT /v1/agent/service/maintenance/web?enable=true", 200, ""},
		{"is a check with some reason", "GET /v1/agent/checks", 200, `{"_service_maintenance:web":{"Node":"node-1","CheckID":"_service_maintenance:web","Name":"Service Maintenance Mode","Status":"critical","Notes":"Maintenance mode was switched on without a reason.","Output":"","ServiceID":"web","ServiceName":"web",…`},
		{"off", "PUT /v1/agent/service/maintenance/web?enable=false", 200, ""},
		{"it is gone", "GET /v1/agent/checks", 200, "{}"},
	}...)
}

func TestARefusalOfTheTimersIsAnError(t *testing.T) {
	s := newLocalServer(t)
	s.agent.on = func(string) error { return errors.New("no time") }
	play(t, s,
		line{"service", `PUT /v1/agent/service/register {"Name":"web","Check":{"TTL":"1s"}}`, 500, "no time"},
		line{"check", `PUT /v1/agent/check/register {"Name":"c","TTL":"1s"}`, 500, "no time"},
		line{"report", `PUT /v1/agent/check/pass/c`, 500, "no time"})
}

func TestSomeServerAddresses(t *testing.T) {
	for address, want := range map[string]bool{"0.0.0.0": true, "::": true, "[::]": true, "0:0::0": true, "": false, "127.0.0.1": false, "example.com": false} {
		if got := anyAddress(address); got != want {
			t.Errorf("%q is every address: %v, want %v", address, got, want)
		}
	}
	tagged := map[string]serviceAddress{"lan_ipv4": {"10.0.0.1", 1}}
	addByFamily(tagged, "example.com", 5)
	addByFamily(tagged, "192.0.2.1", 5)
	want := map[string]serviceAddress{"lan_ipv4": {"10.0.0.1", 1}, "wan_ipv4": {"192.0.2.1", 5}}
	if diff := cmp.Diff(want, tagged); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}
