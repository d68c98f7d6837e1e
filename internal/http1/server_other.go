//go:build !linux

package http1

import (
	"context"
	"net"
	"net/http"
)

// Server serves like the http.Server that it is made of: on this system there is nothing else.
type Server struct{ std *http.Server }

// New returns a Server that serves as std says. It takes hold of std, which must not be used any
// more.
func New(std *http.Server) *Server { return &Server{std} }

// Serve serves the connections of a listener until the Server is stopped, then returns
// http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error { return s.std.Serve(l) }

// SetKeepAlivesEnabled says whether connections go on after an answer. They do at first.
func (s *Server) SetKeepAlivesEnabled(v bool) { s.std.SetKeepAlivesEnabled(v) }

// Shutdown closes the listeners and the connections that have no request, waits until the others
// have been answered, and returns when all have or ctx ends, with its error.
func (s *Server) Shutdown(ctx context.Context) error { return s.std.Shutdown(ctx) }

// Close closes the listeners and all connections, whatever they are doing.
func (s *Server) Close() error { return s.std.Close() }
