package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of how a call is tried again.
const (
	// retriesOfSeveral is how many rounds a client of several servers adds to the
	// first unless [WithRetries] says otherwise: enough for the second or two that
	// the election of a leader takes.
	retriesOfSeveral = 2

	// maxServers bounds how many addresses a client takes, far above the voters of
	// any cluster.
	maxServers = 64
)

// server is one of the servers that a client may ask.
type server struct {
	base  *url.URL // scheme, host and path prefix; the path has no slash at its end
	shown string   // the address as errors name it; never with a password
	http  *http.Client
}

// servers makes those that the settings name.
func (s *settings) servers() ([]*server, error) {
	list := strings.Split(s.address, ",")
	if len(list) > maxServers {
		return nil, fmt.Errorf("%d addresses are more than the %d that a client takes", len(list), maxServers)
	}
	servers := make([]*server, 0, len(list))
	for _, address := range list {
		address = strings.TrimSpace(address)
		if address == "" && len(list) > 1 {
			return nil, fmt.Errorf("one of the addresses %q is empty", s.address)
		}
		one, err := s.server(address)
		if err != nil {
			return nil, err
		}
		servers = append(servers, one)
	}
	return servers, nil
}

// server makes one, with connections of its own unless the caller gave them.
func (s *settings) server(address string) (*server, error) {
	base, socket, err := parseAddress(address, s.ssl != nil && *s.ssl)
	if err != nil {
		return nil, err
	}
	one := &server{base: base, shown: base.Redacted(), http: &http.Client{}}
	if socket != "" {
		one.shown = "unix://" + socket
	}
	if s.http != nil {
		*one.http = *s.http
	} else {
		transport, err := newTransport(s.tls, socket)
		if err != nil {
			return nil, err
		}
		one.http.Transport = transport
	}
	one.http.CheckRedirect = stayOnHost
	return one, nil
}

// rounds is how often a call goes through n servers at most.
func (s *settings) rounds(n int) int {
	switch {
	case s.retries >= 0:
		return 1 + s.retries
	case n > 1:
		return 1 + retriesOfSeveral
	}
	return 1
}

// call sends r to the servers until one answers it, and returns the answer if its
// status is 200 or one of accept. The caller closes the body. Any other status
// becomes a StatusError, a missing answer a ConnectionError, and the end of ctx is
// ctx's own error. Of several failures the last is returned.
func (c *Client) call(ctx context.Context, r *request, accept ...int) (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	rounds := c.rounds
	if r.once {
		rounds = 1
	}
	var retry time.Duration
	for round := 1; ; round++ {
		first := c.current.Load()
		for i := range c.servers {
			place := (int(first) + i) % len(c.servers)
			res, err := c.attempt(ctx, c.servers[place], r, accept)
			if err == nil {
				c.current.Store(uint32(place))
				return res, nil
			}
			last := i == len(c.servers)-1 && round == rounds
			if last || ctx.Err() != nil || !r.mayRepeat(err) {
				return nil, c.tried(err, round, i)
			}
			if i < len(c.servers)-1 {
				continue
			}
			retry = min(max(2*retry, firstRetry), maxRetry)
			if pause(ctx, pauseAfter(err, retry)) != nil {
				return nil, err
			}
		}
	}
}

// tried says how many tries an error is the end of, if they were more than one.
func (c *Client) tried(err error, round, i int) error {
	if n := (round-1)*len(c.servers) + i + 1; n > 1 {
		return fmt.Errorf("after %d tries on %d servers: %w", n, len(c.servers), err)
	}
	return err
}

// attempt sends r to one server.
func (c *Client) attempt(ctx context.Context, to *server, r *request, accept []int) (*http.Response, error) {
	cancel := func() {}
	if r.patience > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, r.patience, errNoPatience)
	}
	res, err := c.send(ctx, to, r)
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = &heldBody{res.Body, cancel}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	for _, code := range accept {
		if res.StatusCode == code {
			return res, nil
		}
	}
	defer closeBody(res)
	answer := statusError(res)
	if why := explainStatus(to.base.Scheme, answer); why != nil {
		return nil, &ConnectionError{Address: to.shown, Write: r.method != http.MethodGet, Err: why}
	}
	return nil, answer
}

// errNoPatience is why a server that does not answer is given up for another.
var errNoPatience = errors.New("no answer in time")

// heldBody ends the context of an attempt when its answer is closed, not before.
type heldBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the answer.
func (b *heldBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// mayRepeat says whether r can be sent again after err, and puts its body back to
// the start.
func (r *request) mayRepeat(err error) bool {
	if !r.harmless(err) {
		return false
	}
	switch body := r.body.(type) {
	case nil:
	case *bytes.Reader:
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return false
		}
	default:
		return false // a stream is gone
	}
	return true
}

// harmless says whether sending r again after err can do no harm and may help.
func (r *request) harmless(err error) bool {
	twice := r.repeatable || r.method == http.MethodGet
	var conn *ConnectionError
	if errors.As(err, &conn) {
		return !conn.Sent || twice
	}
	var status *StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch {
	case errors.Is(status, ErrNoLeader), status.Code == http.StatusTooManyRequests:
		return true // nothing was done
	case status.Code >= http.StatusInternalServerError:
		return twice
	}
	return false
}

// pauseAfter is retry cut by a random part of up to half, or what the server asks
// for, if that is longer and not beyond maxRetry.
func pauseAfter(err error, retry time.Duration) time.Duration {
	d := retry/2 + rand.N(retry/2+1)
	var status *StatusError
	if errors.As(err, &status) {
		d = max(d, min(status.RetryAfter, maxRetry))
	}
	return d
}
