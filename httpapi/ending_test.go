package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/audit"
)

// keepRules are those of a writer who must not delete what is below keep/.
const keepRules = `key_prefix "" { policy = "write" } key_prefix "keep/" { policy = "write" delete = "deny" } session_prefix "" { policy = "write" }
	key_prefix "_holdfast/group/keep/" { policy = "write" delete = "deny" } key_prefix "_holdfast/lock/keep" { policy = "write" delete = "deny" }`

// deletingSession makes a session whose end deletes the keys that it has locked.
func (g *guardedServer) deletingSession(t testing.TB) string {
	t.Helper()
	w := ask(t, g.Server, http.MethodPut, "/v1/session/create", `{"Behavior":"delete"}`, "X-Consul-Token", g.root)
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return made.ID
}

// TestWriterDeletesByLettingAKeyEnd: whoever may write a key and not delete it can neither
// give it a time, nor to a session, nor to a lock that is deleted; all else that a writer
// does is as before. The session ends and the key is there.
func TestWriterDeletesByLettingAKeyEnd(t *testing.T) {
	const refused = `Permission denied: token with AccessorID '%s' lacks permission 'key:delete' on "%s"`
	lock := func(session string) string {
		return `[{"KV":{"Verb":"set","Key":"free","Value":""}},{"KV":{"Verb":"lock","Key":"keep/a","Value":"","Session":"` + session + `"}}]`
	}
	const node = `,{"Node":{"Verb":"get","Node":{"Node":"node-1"}}}]`
	for _, tc := range []struct {
		rule, method, target, body string
		key                        string // for which the right is lacking; "" for none
	}{
		{"a delete, which was always refused", "DELETE", "/v1/kv/keep/a", "", "keep/a"},
		{"a put", "PUT", "/v1/kv/keep/a", "2", ""},
		{"a time", "PUT", "/v1/kv/keep/a?ttl=1s", "2", "keep/a"},
		{"a time for a new key", "PUT", "/v1/kv/keep/new?ttl=1s", "2", "keep/new"},
		{"a time with a comparison", "PUT", "/v1/kv/keep/a?ttl=1s&cas=0", "2", "keep/a"},
		{"a time with a lock that is released", "PUT", "/v1/kv/keep/a?ttl=1s&acquire=RELEASE", "2", "keep/a"},
		{"a time with a release", "PUT", "/v1/kv/keep/a?ttl=1s&release=RELEASE", "2", "keep/a"},
		{"a time elsewhere", "PUT", "/v1/kv/free?ttl=1s", "2", ""},
		{"a session", "PUT", "/v1/kv/keep/a?ephemeral=RELEASE", "2", "keep/a"},
		{"a session elsewhere", "PUT", "/v1/kv/free?ephemeral=RELEASE", "2", ""},
		{"a key made to stay", "PUT", "/v1/kv/keep/a?persist", "", ""},
		{"a time begun anew", "PUT", "/v1/kv/keep/a?touch", "", ""},
		{"a lock that is deleted", "PUT", "/v1/kv/keep/a?acquire=DELETE", "2", "keep/a"},
		{"by the session in other letters", "PUT", "/v1/kv/keep/a?acquire=CAPITALS", "2", "keep/a"},
		{"a lock that is deleted elsewhere", "PUT", "/v1/kv/free?acquire=DELETE", "2", ""},
		{"a lock that is released", "PUT", "/v1/kv/keep/a?acquire=RELEASE", "2", ""},
		{"a transaction that locks", "PUT", "/v1/txn", lock("DELETE"), "keep/a"},
		{"one whose lock is released", "PUT", "/v1/txn", lock("RELEASE"), ""},
		{"one with the catalog", "PUT", "/v1/txn", strings.TrimSuffix(lock("DELETE"), "]") + node, "keep/a"},
		{"one with the catalog whose lock is released", "PUT", "/v1/txn", strings.TrimSuffix(lock("RELEASE"), "]") + node, ""},
		{"numbered keys that end", "PUT", "/v1/kv/keep/?sequential&ttl=1s", "2", "keep/"},
		{"a member of a group", "PUT", "/v1/group/keep/m?session=RELEASE", "2", "_holdfast/group/keep/.members/m"},
		{"a member of a session made for it", "PUT", "/v1/group/keep/m?ttl=10s", "2", "_holdfast/group/keep/.members/m"},
		{"a member of another group", "PUT", "/v1/group/free/m?session=RELEASE", "2", ""},
		{"a place in a queue, which is nobody's key", "POST", "/v1/lock/keep?session=DELETE", "", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, may := range []bool{false, true} {
				g := newGuardedServer(t, acl.DefaultDeny)
				g.put(t, "keep/a", "1")
				del, release := g.deletingSession(t), g.session(t)
				rules := keepRules
				if may {
					rules = strings.ReplaceAll(rules, `delete = "deny"`, "")
				}
				x := g.token(t, rules)
				put := strings.NewReplacer("DELETE", del, "RELEASE", release, "CAPITALS", strings.ToUpper(del))
				index := g.node.store.View().Applied()
				w := g.as(t, x, tc.method, put.Replace(tc.target), put.Replace(tc.body))
				if may || tc.key == "" {
					if w.Code != http.StatusOK {
						t.Errorf("with the right %v: %d %s", may, w.Code, w.Body)
					}
					continue
				}
				want := fmt.Sprintf(refused, x.accessor, tc.key)
				switch {
				case strings.Contains(tc.target, "/v1/txn"):
					want = fmt.Sprintf(`"Errors":[{"OpIndex":1,"What":%s}]`, appendString(nil, want))
					if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), want) {
						t.Errorf("%d %s, want %s", w.Code, w.Body, want)
					}
				case strings.Contains(tc.target, "sequential"): // everything below is another right
					want = strings.Replace(want, "key:delete", "key:write", 1)
					fallthrough
				default:
					expect(t, w, http.StatusForbidden, want)
				}
				if now := g.node.store.View().Applied(); now != index {
					t.Errorf("something went into the log: the state is at %d, was at %d", now, index)
				}
				for _, id := range []string{del, release} {
					expect(t, ask(t, g.Server, http.MethodPut, "/v1/session/destroy/"+id, "", "X-Consul-Token", g.root), http.StatusOK, "true")
				}
				expect(t, ask(t, g.Server, http.MethodGet, "/v1/kv/keep/a?raw", "", "X-Consul-Token", g.root), http.StatusOK, "1")
			}
		})
	}
}

// TestWriterWritesWhatEndsAlready: a key that has a time keeps it, whoever writes it, and
// is begun anew by a write that says nothing of it.
func TestWriterWritesWhatEndsAlready(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, keepRules)
	expect(t, ask(t, g.Server, http.MethodPut, "/v1/kv/keep/a?ttl=1m", "1", "X-Consul-Token", g.root), http.StatusOK, "true")
	index := g.node.store.View().Item("keep/a").Cur.ModifyIndex
	end := func() int64 { return g.node.store.View().Item("keep/a").Extra.ExpireAt }
	before := end()
	for _, query := range []string{"", fmt.Sprintf("?cas=%d", index+1), "?touch"} {
		expect(t, g.as(t, x, http.MethodPut, "/v1/kv/keep/a"+query, "2"), http.StatusOK, "true")
		if now := end(); now <= before {
			t.Errorf("%q: it ends at %d, before at %d", query, now, before)
		} else {
			before = now
		}
	}
}

// TestLockWithASessionThatIsNotKnownHere: a follower that lags does not know that the
// session deletes what it locks. The right to delete is looked at where the lock is
// applied, with the tables as they were.
func TestLockWithASessionThatIsNotKnownHere(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "keep/a", "1")
	x := g.token(t, keepRules)
	s, _ := newLaggingServer(t, g)
	del, release := g.deletingSession(t), g.session(t)
	as := func(method, target, body string) (int, string) {
		w := ask(t, s, method, target, body, "X-Consul-Token", x.secret)
		return w.Code, w.Body.String()
	}
	refused := `Permission denied: token with AccessorID '` + x.accessor + `' lacks permission 'key:delete' on "keep/a"`
	if status, body := as("PUT", "/v1/kv/keep/a?acquire="+del, "2"); status != http.StatusForbidden || body != refused {
		t.Errorf("a lock: %d %s", status, body)
	}
	txn := `[{"KV":{"Verb":"lock","Key":"keep/a","Value":"","Session":"` + del + `"}}]`
	if status, body := as("PUT", "/v1/txn", txn); status != http.StatusConflict || !strings.Contains(body, "key:delete") {
		t.Errorf("a transaction: %d %s", status, body)
	}
	if known, _ := s.node.Store().View().Sessions(); known.Get(del) != nil {
		t.Error("the follower knows the session: nothing was tested")
	}
	for target, want := range map[string]string{
		"/v1/kv/free?acquire=" + del: "true", "/v1/kv/keep/a?acquire=" + release: "true",
	} {
		if status, body := as("PUT", target, "2"); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	expect(t, ask(t, g.Server, http.MethodPut, "/v1/session/destroy/"+del, "", "X-Consul-Token", g.root), http.StatusOK, "true")
	expect(t, ask(t, g.Server, http.MethodGet, "/v1/kv/keep/a?raw", "", "X-Consul-Token", g.root), http.StatusOK, "2")
}

// TestRefusedEndIsExplainedAndAudited: the rule that has taken the right to delete away is
// named, and the line says what was lacking.
func TestRefusedEndIsExplainedAndAudited(t *testing.T) {
	g, a := newAuditedServer(t, false)
	x := g.token(t, keepRules)
	a.take()
	w := g.as(t, x, http.MethodPut, "/v1/kv/keep/a?ttl=1s&explain", "1")
	var why deniedShown
	if err := json.Unmarshal(w.Body.Bytes(), &why); err != nil || w.Code != http.StatusForbidden {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if r := why.Rule; why.Access != "delete" || why.Name != "keep/a" || why.DecidedBy != "rule" || r == nil || r.Label != "keep/" || !strings.Contains(r.Level, "delete") {
		t.Errorf("the explanation is %s", w.Body)
	}
	lines := a.take()
	if len(lines) != 1 || lines[0].Kind != audit.Denied || lines[0].Status != http.StatusForbidden || !strings.Contains(lines[0].Denied, "'key:delete' on \"keep/a\"") {
		t.Errorf("the lines are %+v", lines)
	}
}

// TestRecipeEndsNoSessionOfOthers: whoever may write the keys of the recipes can make one
// that looks like a place, or a member, for which somebody's session was made. To remove it
// does not end the session, for which it takes another right, nor the keys that end with it.
func TestRecipeEndsNoSessionOfOthers(t *testing.T) {
	for _, tc := range []struct{ rule, key, flags, remove string }{
		{"a member", "_holdfast/group/g/.members/m", "4294967296", "/v1/group/g/m"},
		{"a place", "_holdfast/lock/l/.queue/00000000000000000001", "4294967297", "/v1/lock/l?session=SESSION"},
	} {
		g := newGuardedServer(t, acl.DefaultDeny)
		id := g.session(t)
		expect(t, ask(t, g.Server, http.MethodPut, "/v1/kv/theirs?ephemeral="+id, "1", "X-Consul-Token", g.root), http.StatusOK, "true")
		x := g.token(t, `key_prefix "_holdfast/" { policy = "write" }`)
		expect(t, g.as(t, x, http.MethodPut, "/v1/kv/"+tc.key+"?ephemeral="+id+"&flags="+tc.flags, ""), http.StatusOK, "true")
		expect(t, g.as(t, x, http.MethodDelete, strings.Replace(tc.remove, "SESSION", id, 1), ""), http.StatusOK, "true")
		sessions, _ := g.node.store.View().Sessions()
		if sessions.Get(id) == nil || g.node.store.View().Item(tc.key).Live() {
			t.Errorf("%s: the session, or its place, is not as it must be", tc.rule)
		}
		expect(t, ask(t, g.Server, http.MethodGet, "/v1/kv/theirs?raw", "", "X-Consul-Token", g.root), http.StatusOK, "1")
	}
	// What was made by ?ttl ends, as ever.
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `key_prefix "_holdfast/" { policy = "write" } session_prefix "" { policy = "write" }`)
	for _, target := range []string{"/v1/lock/l", "/v1/election/e/campaign", "/v1/group/g/m"} {
		method := http.MethodPost
		if strings.Contains(target, "group") {
			method = http.MethodPut
		}
		w := g.as(t, x, method, target+"?ttl=10s", "")
		var made struct{ Session string }
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.Session == "" {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		switch {
		case strings.Contains(target, "election"):
			w = g.as(t, x, http.MethodPost, "/v1/election/e/resign?session="+made.Session, "")
		default:
			w = g.as(t, x, http.MethodDelete, target+"?session="+made.Session, "")
		}
		expect(t, w, http.StatusOK, "true")
		if sessions, _ := g.node.store.View().Sessions(); sessions.Get(made.Session) != nil {
			t.Errorf("%s: the session that was made for it lives on", target)
		}
	}
}
