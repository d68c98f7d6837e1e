package httpapi

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

type handler func(*call) error

// endpoint is one row of the table of routes. A path that ends in a slash takes
// everything below it as its argument.
type endpoint struct {
	path    string
	methods []method
	allow   []string // value of the Allow header
	number  int      // position in the table, for the metrics

	deleteBody bool // its DELETE has a body, which its handler reads
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

		{path: "/v1/status/leader", methods: get((*call).statusLeader)},
		{path: "/v1/status/peers", methods: get((*call).statusPeers)},

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
		{path: "/v1/agent/version", methods: get((*call).agentVersion)},
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
		{path: "/v1/catalog/datacenters", methods: get((*call).catalogDatacenters)},
		{path: "/v1/catalog/nodes", methods: get((*call).catalogNodes)},
		{path: "/v1/catalog/services", methods: get((*call).catalogServices)},
		{path: "/v1/catalog/service/", methods: get((*call).catalogService)},
		{path: "/v1/catalog/node/", methods: get((*call).catalogNode)},
		{path: "/v1/catalog/node-services/", methods: get((*call).catalogNodeServices)},

		{path: "/v1/health/node/", methods: get((*call).healthNode)},
		{path: "/v1/health/checks/", methods: get((*call).healthChecks)},
		{path: "/v1/health/state/", methods: get((*call).healthState)},
		{path: "/v1/health/service/", methods: get((*call).healthService)},

		{path: "/v1/event/fire/", methods: put((*call).eventFire)},
		{path: "/v1/event/list", methods: get((*call).eventList)},

		{path: "/livez", methods: get((*call).livez)},
		{path: "/readyz", methods: get((*call).readyz)},
		{path: "/metrics", methods: get((*call).metricsPage)},
		{path: "/debug/pprof/", methods: get((*call).profiles)},
		{path: indexPath, methods: get((*call).indexPage)},
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
			mux.HandleFunc(prefix, func(w http.ResponseWriter, r *http.Request) { s.redirectDown(w, r, prefix) })
			mux.HandleFunc(e.path+"*", func(w http.ResponseWriter, r *http.Request) {
				s.serve(w, r, e, strings.TrimPrefix(r.URL.Path, e.path))
			})
			continue
		}
		mux.HandleFunc(e.path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, e, "") })
	}
	mux.NotFound(s.noEndpoint)
	mux.MethodNotAllowed(s.otherMethod)
	return mux
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
			s.redirectDown(w, r, strings.TrimSuffix(e.path, "/"))
			return
		}
	}
	s.noEndpoint(w, r)
}

// redirectDown sends the client from a prefix without its slash to the one with it.
func (s *Server) redirectDown(w http.ResponseWriter, r *http.Request, prefix string) {
	s.unrouted(http.StatusTemporaryRedirect)
	redirect(w, r, prefix+"/")
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
