package httpapi

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Agent is the server process behind the API.
type Agent interface {
	Reload() error
}

func (c *call) agentSelf() error          { return notFound("todo") }
func (c *call) agentVersion() error       { return notFound("todo") }
func (c *call) agentHost() error          { return notFound("todo") }
func (c *call) agentMembers() error       { return notFound("todo") }
func (c *call) agentMetrics() error       { return notFound("todo") }
func (c *call) agentMetricsStream() error { return notFound("todo") }
func (c *call) agentMonitor() error       { return notFound("todo") }
func (c *call) agentReload() error        { return notFound("todo") }
func (c *call) catalogDatacenters() error { return notFound("todo") }
func (c *call) catalogNodes() error       { return notFound("todo") }
func (s *Server) beside(mux *chi.Mux) {
	mux.Get("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("Holdfast\n")) })
}
