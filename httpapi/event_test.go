package httpapi

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventAnswers(t *testing.T) {
	long := strings.Repeat("x", 512)
	const tooLarge = "error broadcasting event: user event exceeds configured limit of 512 bytes before encoding"
	s := newLocalServer(t)
	play(t, s, []line{
		{"no name", "PUT /v1/event/fire/", 400, "Missing name"},
		{"an unknown datacenter", "PUT /v1/event/fire/x?dc=no-such", 500, "No path to datacenter"},
		{"a tag without a service", "PUT /v1/event/fire/x?tag=web", 500, "Cannot provide tag filter without service filter"},
		{"a bad expression for nodes", "PUT /v1/event/fire/x?node=(", 500, "Invalid node filter: error parsing regexp: …"},
		{"for services", "PUT /v1/event/fire/x?service=(", 500, "Invalid service filter: …"},
		{"for tags", "PUT /v1/event/fire/x?service=a&tag=(", 500, "Invalid tag filter: …"},
		{"one that is no text", "PUT /v1/event/fire/x?node=%ff", 500, "Invalid node filter: …"},
		{"a payload that is too large", "PUT /v1/event/fire/x " + long + "x", 500, tooLarge},
		{"a name that is too long", "PUT /v1/event/fire/" + long + "x", 500, tooLarge},
		{"a filter that is too long", "PUT /v1/event/fire/x?node=" + long, 500, tooLarge},
		{"one that is far too long", "PUT /v1/event/fire/x?node=" + long + long, 500, tooLarge},
		{"nothing was fired", "GET /v1/event/list", 200, "[]"},
		{"the largest payload", "PUT /v1/event/fire/x " + long, 200, "-"},
		{"its own datacenter", "PUT /v1/event/fire/x?dc=dc1", 200, "-"},
		{"a bad index", "GET /v1/event/list?index=abc", 400, "Invalid index"},
		{"a bad wait", "GET /v1/event/list?wait=10", 400, "Invalid wait time"},
		{"consistency does not count here", "GET /v1/event/list?stale&consistent&name=none", 200, "[]"},
		{"events are fired with PUT", "GET /v1/event/fire/x", 405, "method GET not allowed"},
	}...)
	expectHeader(t, ask(t, s.Server, http.MethodGet, "/v1/event/list?name=none", ""), "X-Consul-Index", "1")
}

func TestAnEventIsFiredAndListed(t *testing.T) {
	s := newLocalServer(t)
	const id = `"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"`
	w := ask(t, s.Server, http.MethodPut, "/v1/event/fire/deploy?node=.*", "v42")
	const rest = `,"Name":"deploy","Payload":"djQy","NodeFilter":".*","ServiceFilter":"","TagFilter":"","Version":1,"LTime":`
	if !regexp.MustCompile(`^\{"ID":` + id + regexp.QuoteMeta(rest) + `0\}$`).MatchString(w.Body.String()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	expectHeader(t, w, "X-Consul-Index", "5")
	var fired shownEvent
	if err := json.Unmarshal(w.Body.Bytes(), &fired); err != nil {
		t.Fatal(err)
	}
	w = ask(t, s.Server, http.MethodGet, "/v1/event/list", "")
	expect(t, w, 200, `[{"ID":"`+fired.ID+`"`+rest+`5}]`)
	expectHeader(t, w, "X-Consul-Index", "5")
	expectHeader(t, w, "X-Consul-Knownleader", "")
	expectHeader(t, w, "X-Consul-Query-Backend", "")

	ask(t, s.Server, http.MethodPut, "/v1/event/fire/empty", "")
	w = ask(t, s.Server, http.MethodGet, "/v1/event/list?name=empty", "")
	if got := w.Body.String(); !strings.Contains(got, `"Payload":null`) || strings.Count(got, `"ID"`) != 1 {
		t.Errorf("an event without a payload is %s", got)
	}
	w = ask(t, s.Server, http.MethodGet, "/v1/event/list", "")
	if got := w.Body.String(); strings.Index(got, "deploy") > strings.Index(got, "empty") {
		t.Errorf("the oldest is not first: %s", got)
	}
	expectHeader(t, w, "X-Consul-Index", "6")
	expectHeader(t, ask(t, s.Server, http.MethodGet, "/v1/event/list?name=deploy", ""), "X-Consul-Index", "5")
}

func TestEventsAreForThoseTheyMatch(t *testing.T) {
	for query, want := range map[string]bool{
		"node=node": true, "node=^node-1$": true, "node=other": false,
		"service=web": true, "service=^w": true, "service=db": false,
		"service=web&tag=blue": true, "service=web&tag=red": false, "service=consul": false,
	} {
		s := newLocalServer(t)
		play(t, s,
			line{"a service", `PUT /v1/agent/service/register {"Name":"web","Tags":["blue"]}`, 200, ""},
			line{query, "PUT /v1/event/fire/x?" + query, 200, "-"})
		w := ask(t, s.Server, http.MethodGet, "/v1/event/list?node=ignored", "")
		if got := w.Body.String() != "[]"; got != want {
			t.Errorf("%s is listed: %v, want %v", query, got, want)
		}
	}
}

func TestEventListWaits(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		query string
		fire  string // while it waits
		woken bool
		count int
	}{
		{"an event of the name wakes", "name=a&index=5", "a", true, 2},
		{"one of another name does not", "name=a&index=5", "b", false, 1},
		{"one for somebody else does not", "name=a&index=5", "a?node=other", false, 1},
		{"without a name every event wakes", "index=5", "b", true, 2},
		{"an empty list is waited for with index 1", "name=b&index=1", "b", true, 1},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLocalServer(t)
				ask(t, s.Server, http.MethodPut, "/v1/event/fire/a", "")
				x := startWaiting(t, s, "/v1/event/list?wait=16s&"+tc.query)
				synctest.Wait()
				if s.Parked() != 1 {
					t.Fatal("it does not wait")
				}
				mustPut(t, s.Server, "key", "value")
				ask(t, s.Server, http.MethodPut, "/v1/event/fire/"+tc.fire, "")
				synctest.Wait()
				if woken := s.Parked() == 0; woken != tc.woken {
					t.Errorf("woken: %v, want %v", woken, tc.woken)
				}
				<-x.done
				if n := strings.Count(x.w.Body.String(), `"ID"`); n != tc.count {
					t.Errorf("%d events, want %d", n, tc.count)
				}
			})
		})
	}
	t.Run("only while the index is that of the list", func(t *testing.T) {
		s := newLocalServer(t)
		ask(t, s.Server, http.MethodPut, "/v1/event/fire/a", "")
		for _, index := range []string{"0", "1", "4", "6", "18446744073709551615"} {
			expectHeader(t, ask(t, s.Server, http.MethodGet, "/v1/event/list?index="+index, ""), "X-Consul-Index", "5")
		}
	})
	t.Run("for ten minutes when nothing is said", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x := startWaiting(t, newLocalServer(t), "/v1/event/list?index=1")
			<-x.done
			if x.took < 10*time.Minute || x.took > 11*time.Minute {
				t.Errorf("answered after %s", x.took)
			}
		})
	})
}
