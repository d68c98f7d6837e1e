//go:build unix

package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Limits of waiting. They are long, because they end only tests that fail anyway,
// and machines that run tests can be slow.
const (
	startLimit = 60 * time.Second // from exec to the first linearizable read
	stopLimit  = 60 * time.Second // from SIGTERM to the end of the process
	killLimit  = 20 * time.Second // from SIGKILL to the end of the process
	pollEvery  = 10 * time.Millisecond
)

// errGone says that the server's process ended while it was waited for.
var errGone = errors.New("process has ended")

// Eventually calls ok every few milliseconds until it returns nil. If that has not
// happened within limit the error is the last one that ok returned.
func Eventually(ctx context.Context, limit time.Duration, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-tick.C:
		}
	}
}

// waitReady returns when the server answers a linearizable read, and at once with
// errGone when its process ends.
func (s *Server) waitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with this call: its context does
		select {
		case <-p.done:
			cancel(errGone)
		case <-ctx.Done():
		}
	}()
	err := Eventually(ctx, startLimit, func() error { return s.readable(ctx) })
	if errors.Is(context.Cause(ctx), errGone) {
		return fmt.Errorf("%w: %v", errGone, p.err)
	}
	return err
}

// readable asks for a linearizable read of a key that is never written.
func (s *Server) readable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/kv/testcluster/ready?consistent", nil)
	if err != nil {
		return err
	}
	s.authorize(req)
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotFound:
	case http.StatusForbidden: // which is decided in state that is as fresh
	default:
		return fmt.Errorf("consistent read: %s: %s", resp.Status, body)
	}
	return nil
}
