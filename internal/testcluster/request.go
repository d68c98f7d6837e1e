//go:build unix

package testcluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Response is an answer of the server, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Index is the X-Consul-Index of the answer, 0 if it has none or a bad one.
func (r Response) Index() uint64 {
	index, err := strconv.ParseUint(r.Header.Get("X-Consul-Index"), 10, 64)
	if err != nil {
		return 0 // never a valid index
	}
	return index
}

// TryDo sends one request and returns its answer. path begins with "/v1/" and is sent
// as it is; body may be nil. Each request has a connection of its own. Safe for
// concurrent use.
func (s *Server) TryDo(ctx context.Context, method, path string, body []byte) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL()+path, bytes.NewReader(body))
	if err != nil {
		return Response{}, err
	}
	s.authorize(req)
	resp, err := s.client.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return Response{}, fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: answer}, nil
}

// authorize sends the token of the options.
func (s *Server) authorize(req *http.Request) {
	if s.opts.Token != "" {
		req.Header.Set("X-Consul-Token", s.opts.Token)
	}
}

// Do is TryDo that fails the test when there is no answer.
func (s *Server) Do(method, path string, body []byte) Response {
	s.tb.Helper()
	resp, err := s.TryDo(s.tb.Context(), method, path, body)
	if err != nil {
		s.tb.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// Put writes a key, which must be given as it stands in a path, and fails the test
// if that is not acknowledged.
func (s *Server) Put(key, value string) {
	s.tb.Helper()
	resp := s.Do(http.MethodPut, "/v1/kv/"+key, []byte(value))
	if resp.Status != http.StatusOK || strings.TrimSpace(string(resp.Body)) != "true" {
		s.tb.Fatalf("put %s: %d %s", key, resp.Status, resp.Body)
	}
}

// Get returns a key's value and whether there is one.
func (s *Server) Get(key string) (value string, found bool) {
	s.tb.Helper()
	resp := s.Do(http.MethodGet, "/v1/kv/"+key+"?raw", nil)
	switch resp.Status {
	case http.StatusOK:
		return string(resp.Body), true
	case http.StatusNotFound:
		return "", false
	}
	s.tb.Fatalf("get %s: %d %s", key, resp.Status, resp.Body)
	return "", false
}

// Delete removes everything below prefix.
func (s *Server) Delete(prefix string) {
	s.tb.Helper()
	if resp := s.Do(http.MethodDelete, "/v1/kv/"+prefix+"?recurse", nil); resp.Status != http.StatusOK {
		s.tb.Fatalf("delete %s: %d %s", prefix, resp.Status, resp.Body)
	}
}

// Snapshot returns the archive of the server's whole state.
func (s *Server) Snapshot() []byte {
	s.tb.Helper()
	resp := s.Do(http.MethodGet, "/v1/snapshot", nil)
	if resp.Status != http.StatusOK || len(resp.Body) == 0 {
		s.tb.Fatalf("snapshot: %d, %d bytes: %.200s", resp.Status, len(resp.Body), resp.Body)
	}
	return resp.Body
}

// Restore replaces the server's whole state by that of the archive.
func (s *Server) Restore(archive []byte) {
	s.tb.Helper()
	if resp := s.Do(http.MethodPut, "/v1/snapshot", archive); resp.Status != http.StatusOK {
		s.tb.Fatalf("restore: %d %s", resp.Status, resp.Body)
	}
}

// TB is the test that the server belongs to.
func (s *Server) TB() testing.TB { return s.tb }
