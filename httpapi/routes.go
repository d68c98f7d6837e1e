package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

type handler func(*call) error

// endpoint is one row of the table of routes. A path that ends in a slash takes
// everything below it as its argument; one with an {accessor} in it takes that.
type endpoint struct {
	path    string
	methods []method
	allow   []string // value of the Allow header
	number  int      // position in the table, for the metrics

	deleteBody bool // its DELETE has a body, which its handler reads
	open       bool // it needs no right and looks at no token
}

type method struct {
	name   string
	handle handler
}

// handler returns the handler of a method, nil when the endpoint does not take
// it. HEAD is GET without a body.
func (e *endpoint) handler(name string) handler {
	if name == http.MethodHead {
		name = http.MethodGet
	}
	for i := range e.methods {
		if e.methods[i].name == name {
			return e.methods[i].handle
		}
	}
	return nil
}

// indexPath is the one path that ends in a slash and takes nothing below it.
const indexPath = "/"

// table returns all endpoints. The order of the methods is that of Allow.
//
// Source: contract, README, section 4.
func table() []*endpoint {
	get := func(h handler) []method { return []method{{http.MethodGet, h}} }
	put := func(h handler) []method { return []method{{http.MethodPut, h}} }
	post := func(h handler) []method { return []method{{http.MethodPost, h}} }
	crud := func(read, write, remove handler) []method {
		return []method{{http.MethodGet, onlyGuarded(read)}, {http.MethodPut, onlyGuarded(write)}, {http.MethodDelete, onlyGuarded(remove)}}
	}
	endpoints := []*endpoint{
		{path: kvPrefix, methods: []method{
			{http.MethodGet, (*call).kvGet}, {http.MethodPut, (*call).kvPut}, {http.MethodDelete, (*call).kvDelete},
		}},
		{path: "/v1/txn", methods: put((*call).txn)},

		{path: "/v1/session/create", methods: put((*call).sessionCreate)},
		{path: "/v1/session/destroy/", methods: put((*call).sessionDestroy)},
		{path: "/v1/session/renew/", methods: put((*call).sessionRenew)},
		{path: "/v1/session/info/", methods: get((*call).sessionInfo)},
		{path: "/v1/session/node/", methods: get((*call).sessionNode)},
		{path: "/v1/session/list", methods: get((*call).sessionList)},

		{path: "/v1/lock/", methods: []method{
			{http.MethodGet, (*call).lockGet}, {http.MethodPost, (*call).lockPost}, {http.MethodDelete, (*call).lockDelete},
		}},
		{path: "/v1/election/", methods: []method{
			{http.MethodGet, (*call).electionGet}, {http.MethodPost, (*call).electionPost},
		}},
		{path: "/v1/group/", methods: []method{
			{http.MethodGet, (*call).groupGet}, {http.MethodPut, (*call).groupPut}, {http.MethodDelete, (*call).groupDelete},
		}},

		{path: "/v1/status/leader", open: true, methods: get((*call).statusLeader)},
		{path: "/v1/status/peers", open: true, methods: get((*call).statusPeers)},

		{path: "/v1/operator/raft/configuration", methods: get((*call).raftConfiguration)},
		{path: "/v1/operator/raft/transfer-leader", methods: []method{{http.MethodPost, (*call).raftTransferLeader}}},
		{path: "/v1/operator/raft/peer", methods: []method{{http.MethodDelete, (*call).raftRemovePeer}}},
		{path: "/v1/operator/autopilot/configuration", methods: []method{
			{http.MethodGet, (*call).autopilotConfiguration}, {http.MethodPut, (*call).setAutopilotConfiguration},
		}},
		{path: "/v1/operator/autopilot/health", methods: get((*call).autopilotHealth)},
		{path: "/v1/operator/autopilot/state", methods: get((*call).autopilotState)},
		{path: "/v1/operator/keyring", deleteBody: true, methods: []method{
			{http.MethodGet, (*call).keyringList},
			{http.MethodPost, (*call).keyringInstall},
			{http.MethodPut, (*call).keyringUse},
			{http.MethodDelete, (*call).keyringRemove},
		}},
		{path: "/v1/operator/usage", methods: get((*call).operatorUsage)},

		{path: "/v1/snapshot", methods: []method{
			{http.MethodGet, (*call).snapshotSave}, {http.MethodPut, (*call).snapshotRestore},
		}},

		{path: "/v1/agent/self", methods: get((*call).agentSelf)},
		{path: "/v1/agent/version", open: true, methods: get((*call).agentVersion)},
		{path: "/v1/agent/host", methods: get((*call).agentHost)},
		{path: "/v1/agent/members", methods: get((*call).agentMembers)},
		{path: "/v1/agent/join/", methods: put((*call).agentJoin)},
		{path: "/v1/agent/leave", methods: put((*call).agentLeave)},
		{path: "/v1/agent/force-leave/", methods: put((*call).agentForceLeave)},
		{path: "/v1/agent/metrics", methods: get((*call).agentMetrics)},
		{path: "/v1/agent/metrics/stream", methods: get((*call).agentMetricsStream)},
		{path: "/v1/agent/monitor", methods: get((*call).agentMonitor)},
		{path: "/v1/agent/reload", methods: put((*call).agentReload)},
		{path: "/v1/agent/maintenance", methods: put((*call).agentMaintenance)},

		// Before the prefix that all of them have.
		{path: "/v1/agent/service/register", methods: put((*call).agentServiceRegister)},
		{path: "/v1/agent/service/deregister/", methods: put((*call).agentServiceDeregister)},
		{path: "/v1/agent/service/maintenance/", methods: put((*call).agentServiceMaintenance)},
		{path: "/v1/agent/service/", methods: get((*call).agentService)},
		{path: "/v1/agent/services", methods: get((*call).agentServices)},
		{path: "/v1/agent/health/service/id/", methods: get((*call).agentHealthByID)},
		{path: "/v1/agent/health/service/name/", methods: get((*call).agentHealthByName)},
		{path: "/v1/agent/check/register", methods: put((*call).agentCheckRegister)},
		{path: "/v1/agent/check/deregister/", methods: put((*call).agentCheckDeregister)},
		{path: "/v1/agent/check/pass/", methods: put((*call).agentCheckPass)},
		{path: "/v1/agent/check/warn/", methods: put((*call).agentCheckWarn)},
		{path: "/v1/agent/check/fail/", methods: put((*call).agentCheckFail)},
		{path: "/v1/agent/check/update/", methods: put((*call).agentCheckUpdate)},
		{path: "/v1/agent/checks", methods: get((*call).agentChecks)},

		{path: "/v1/catalog/register", methods: put((*call).catalogRegister)},
		{path: "/v1/catalog/deregister", methods: put((*call).catalogDeregister)},
		{path: "/v1/catalog/datacenters", open: true, methods: get((*call).catalogDatacenters)},
		{path: "/v1/catalog/nodes", methods: get((*call).catalogNodes)},
		{path: "/v1/catalog/services", methods: get((*call).catalogServices)},
		{path: "/v1/catalog/service/", methods: get((*call).catalogService)},
		{path: "/v1/catalog/node/", methods: get((*call).catalogNode)},
		{path: "/v1/catalog/node-services/", methods: get((*call).catalogNodeServices)},

		{path: "/v1/health/node/", methods: get((*call).healthNode)},
		{path: "/v1/health/checks/", methods: get((*call).healthChecks)},
		{path: "/v1/health/state/", methods: get((*call).healthState)},
		{path: "/v1/health/service/", methods: get((*call).healthService)},

		{path: "/v1/acl/denials", methods: get((*call).aclDenials)},

		{path: "/v1/event/fire/", methods: put((*call).eventFire)},
		{path: "/v1/event/list", methods: get((*call).eventList)},

		{path: "/v1/agent/token/", methods: put(onlyGuarded((*call).agentToken))},

		{path: "/v1/acl/bootstrap", methods: put(onlyGuarded((*call).aclBootstrap))},
		{path: "/v1/acl/replication", methods: get(onlyGuarded((*call).aclReplication))},
		{path: "/v1/acl/policies", methods: get(onlyGuarded((*call).policyList))},
		{path: "/v1/acl/policy", methods: put(onlyGuarded((*call).policyCreate))},
		{path: "/v1/acl/policy/name/", methods: get(onlyGuarded((*call).policyByName))},
		{path: "/v1/acl/policy/", methods: crud((*call).policyRead, (*call).policyPut, (*call).policyDelete)},
		{path: "/v1/acl/roles", methods: get(onlyGuarded((*call).roleList))},
		{path: "/v1/acl/role", methods: put(onlyGuarded((*call).roleCreate))},
		{path: "/v1/acl/role/name/", methods: get(onlyGuarded((*call).roleByName))},
		{path: "/v1/acl/role/", methods: crud((*call).roleRead, (*call).rolePut, (*call).roleDelete)},
		{path: "/v1/acl/tokens", methods: get(onlyGuarded((*call).tokenList))},
		{path: "/v1/acl/token", methods: put(onlyGuarded((*call).tokenCreate))},
		{path: "/v1/acl/token/self", methods: get(onlyGuarded((*call).tokenSelf))},
		{path: "/v1/acl/token/{accessor}/rotate", methods: post(onlyGuarded((*call).tokenRotate))},
		{path: "/v1/acl/token/{accessor}/usage", methods: get(onlyGuarded((*call).tokenUsage))},
		{path: "/v1/acl/token/", methods: crud((*call).tokenRead, (*call).tokenPut, (*call).tokenDelete)},
		{path: "/v1/acl/templated-policies", methods: get(onlyGuarded((*call).templateList))},
		{path: "/v1/acl/templated-policy/name/", methods: get(onlyGuarded((*call).templateRead))},
		{path: "/v1/acl/templated-policy/preview/", methods: post(onlyGuarded((*call).templatePreview))},
		{path: "/v1/acl/auth-methods", methods: get(onlyGuarded((*call).methodList))},
		{path: "/v1/acl/auth-method", methods: put(onlyGuarded((*call).methodCreate))},
		{path: "/v1/acl/auth-method/", methods: crud((*call).methodRead, (*call).methodPut, (*call).methodDelete)},
		{path: "/v1/acl/binding-rules", methods: get(onlyGuarded((*call).bindingList))},
		{path: "/v1/acl/binding-rule", methods: put(onlyGuarded((*call).bindingCreate))},
		{path: "/v1/acl/binding-rule/", methods: crud((*call).bindingRead, (*call).bindingPut, (*call).bindingDelete)},
		{path: "/v1/acl/login", methods: post(onlyGuarded((*call).aclLogin))},
		{path: "/v1/acl/logout", methods: post(onlyGuarded((*call).aclLogout))},
		{path: "/v1/acl/explain", methods: post(onlyGuarded((*call).aclExplain))},
		{path: "/v1/acl/who-can", methods: []method{
			{http.MethodGet, onlyGuarded((*call).whoCan)}, {http.MethodPost, onlyGuarded((*call).whoCan)},
		}},
		{path: "/v1/internal/acl/authorize", methods: post(onlyGuarded((*call).aclAuthorize))},
		{path: "/v1/holdfast/acl/explain", methods: post(onlyGuarded((*call).aclExplain))},
		{path: "/v1/holdfast/acl/token/{accessor}/rotate", methods: post(onlyGuarded((*call).tokenRotate))},
		{path: "/v1/holdfast/acl/token/{accessor}/usage", methods: get(onlyGuarded((*call).tokenUsage))},

		{path: "/livez", open: true, methods: get((*call).livez)},
		{path: "/readyz", open: true, methods: get((*call).readyz)},
		{path: "/metrics", methods: get((*call).metricsPage)},
		{path: "/debug/pprof/", methods: get((*call).profiles)},
		{path: indexPath, open: true, methods: get((*call).indexPage)},
	}
	for i, e := range endpoints {
		names := make([]string, len(e.methods))
		for j, m := range e.methods {
			names[j] = m.name
		}
		e.number, e.allow = i, []string{"OPTIONS," + strings.Join(names, ",")}
	}
	return endpoints
}

// routes registers the table with the router.
func (s *Server) routes() *chi.Mux {
	mux := chi.NewMux()
	for _, e := range s.endpoints {
		if e.path == kvPrefix {
			s.kv = e
		}
		if prefix, ok := strings.CutSuffix(e.path, "/"); ok && e.path != indexPath {
			if !s.hasEndpoint(prefix) {
				mux.HandleFunc(prefix, func(w http.ResponseWriter, r *http.Request) { s.redirectDown(w, r, e) })
			}
			mux.HandleFunc(e.path+"*", func(w http.ResponseWriter, r *http.Request) {
				s.serve(w, r, e, strings.TrimPrefix(r.URL.Path, e.path))
			})
			continue
		}
		mux.HandleFunc(e.path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, e, chi.URLParam(r, "accessor")) })
	}
	mux.NotFound(s.noEndpoint)
	mux.MethodNotAllowed(s.otherMethod)
	return mux
}

// hasEndpoint tells whether a path has a row of its own.
func (s *Server) hasEndpoint(path string) bool {
	return slices.ContainsFunc(s.endpoints, func(e *endpoint) bool { return e.path == path })
}

// otherMethod serves methods that the router does not know, such as FOO, like any
// other that the endpoint does not take.
func (s *Server) otherMethod(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath() // which the router goes by too
	for _, e := range s.endpoints {
		switch prefix := e.path != indexPath && strings.HasSuffix(e.path, "/"); {
		case path == e.path, prefix && strings.HasPrefix(path, e.path):
			s.serve(w, r, e, "")
			return
		case prefix && path+"/" == e.path:
			s.redirectDown(w, r, e)
			return
		}
	}
	s.noEndpoint(w, r)
}

// redirectDown sends the client from a prefix without its slash to the one with it.
func (s *Server) redirectDown(w http.ResponseWriter, r *http.Request, e *endpoint) {
	if s.hasToken(r.URL.RawQuery) {
		s.serve(w, r, e, "")
		return
	}
	s.unrouted(http.StatusTemporaryRedirect)
	redirect(w, r, e.path)
}

// noEndpoint answers a path that no endpoint has.
func (s *Server) noEndpoint(w http.ResponseWriter, r *http.Request) {
	s.unrouted(http.StatusNotFound)
	notFoundPage(w, r)
}

// notFoundPage is what a path is answered with that no endpoint has.
//
// Source: contract, README, worked examples 8 and 9.
func notFoundPage(w http.ResponseWriter, r *http.Request) {
	text := "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		text = "Invalid URL path: not a recognized HTTP API endpoint\n"
	}
	w.Header()["Content-Type"] = typeText
	w.Header()["X-Content-Type-Options"] = noSniff
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // the client may be gone
	}
}
