package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of the connections a client keeps.
const (
	dialTimeout = 10 * time.Second // to reach a server that is there at all
	keepAlive   = 30 * time.Second // finds a peer that went away without a word
	idleTimeout = 90 * time.Second // below what proxies commonly allow

	// maxIdlePerHost is far below the 200 connections a server grants one
	// address by default, and enough for a busy program.
	maxIdlePerHost = 32

	// maxRedirects is one for a cleaned path and one for a proxy.
	maxRedirects = 3
)

// A Client talks to one cluster, through one server of it or the first of several
// that answers. Make it with [New]; it is safe for concurrent use and is meant to
// live as long as the program does.
type Client struct {
	servers []*server     // in the order they were given; at least one
	current atomic.Uint32 // place in servers of the one that answered last
	rounds  int           // how often a call goes through servers at most

	token      string // "" sends none
	user       string
	password   string
	datacenter string
	namespace  string
	partition  string
	userAgent  string
	maxAnswer  int64
}

// New makes a client. Options win over the environment (see the Env constants),
// the environment over the defaults. Nothing is sent yet: a server that is not
// there shows up at the first call.
//
// An error means that the address, a file or an environment variable cannot be
// used; there is no named one.
func New(opts ...Option) (*Client, error) {
	s := defaultSettings()
	for _, opt := range opts {
		opt(&s)
	}
	if err := s.readEnvironment(); err != nil {
		return nil, err
	}
	if s.sslVerify != nil && !*s.sslVerify {
		s.tls.InsecureSkipVerify = true
	}
	servers, err := s.servers()
	if err != nil {
		return nil, err
	}
	c := &Client{
		servers:    servers,
		rounds:     s.rounds(len(servers)),
		token:      s.token,
		user:       s.user,
		password:   s.password,
		datacenter: s.datacenter,
		namespace:  s.namespace,
		partition:  s.partition,
		userAgent:  s.userAgent,
		maxAnswer:  s.maxAnswer,
	}
	return c, nil
}

// Address is where the client talks to, as errors name it: of several servers the
// one that answered last.
func (c *Client) Address() string { return c.servers[c.current.Load()].shown }

// CloseIdleConnections closes connections that carry no call. A program that
// drops a client calls it; the client can still be used afterwards.
func (c *Client) CloseIdleConnections() {
	for _, s := range c.servers {
		s.http.CloseIdleConnections()
	}
}

// parseAddress understands the forms of WithAddress. For a unix socket it
// returns the socket's path and a base whose host is only a placeholder.
func parseAddress(address string, ssl bool) (base *url.URL, socket string, err error) {
	if address == "" {
		address = "127.0.0.1:8500"
		if !ssl {
			address = DefaultAddress
		}
	}
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "http", address
		if ssl {
			scheme = "https"
		}
	}
	switch scheme {
	case "unix":
		if rest == "" {
			return nil, "", fmt.Errorf("address %q names no socket", address)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, rest, nil
	case "http", "https":
		u, err := url.Parse(scheme + "://" + rest)
		if err != nil {
			return nil, "", fmt.Errorf("address %q is not an address: %w", address, errors.Unwrap(err))
		}
		if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, "", fmt.Errorf("address %q is not of the form host:port, http://host:port or unix:///path", address)
		}
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
		return u, "", nil
	}
	return nil, "", fmt.Errorf("address %q has the scheme %q; http, https and unix are known", address, scheme)
}

// newTransport makes the connections' settings; socket is "" for TCP.
func newTransport(t TLS, socket string) (*http.Transport, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   dialTimeout,
		MaxIdleConnsPerHost:   maxIdlePerHost,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
	}
	if socket != "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	return transport, nil
}

// stayOnHost refuses redirects to anywhere but the server that was asked: the
// token is in a header that net/http would send along.
func stayOnHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case next.URL.Host != first.Host || next.URL.Scheme != first.Scheme:
		return fmt.Errorf("refusing a redirect to another server, %s://%s", next.URL.Scheme, next.URL.Host)
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// send does one round trip to one server.
func (c *Client) send(ctx context.Context, to *server, r *request) (*http.Response, error) {
	var sent, reused atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(info httptrace.GotConnInfo) { reused.Store(info.Reused) },
		WroteHeaders: func() { sent.Store(true) },
	})
	req, err := c.httpRequest(traced, to, r)
	if err != nil {
		return nil, err
	}
	res, err := to.http.Do(req)
	if err == nil {
		return res, nil
	}
	failed := &ConnectionError{Address: to.shown, Sent: sent.Load(), Write: r.method != http.MethodGet, Err: err}
	if ctx.Err() != nil {
		failed.Err = ctx.Err()
		if context.Cause(ctx) == errNoPatience {
			failed.Err = errNoPatience
		}
		return nil, failed
	}
	var wrapped *url.Error // it repeats the method and the whole URL, which our own errors name better
	if errors.As(err, &wrapped) {
		failed.Err = wrapped.Err
	}
	why := explainTLS(failed.Err)
	if transport, ok := to.http.Transport.(*http.Transport); ok && why == nil && !reused.Load() {
		why = probe(ctx, to.base, transport, failed.Err)
	}
	if why != nil {
		failed.Err, failed.Sent = why, false // TLS was refused: nobody has read the request
	}
	return nil, failed
}

// httpRequest puts the client's own settings around r.
func (c *Client) httpRequest(ctx context.Context, to *server, r *request) (*http.Request, error) {
	u := *to.base
	u.Path = to.base.Path + r.path
	u.RawPath = to.base.EscapedPath() + r.rawPath
	u.RawQuery = c.query(r).Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), r.body)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", to.shown, err)
	}
	if r.size >= 0 && r.body != nil {
		req.ContentLength = r.size
		if r.size == 0 {
			req.Body = http.NoBody
		}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.userAgent)
	if req.Header.Get("Accept") == "" {
		// Whatever is asked for comes as it comes; a refusal comes with its reason.
		req.Header.Set("Accept", "application/json")
	}
	if _, own := req.Header[headerToken]; !own {
		req.Header.Set(headerToken, c.token)
	}
	if req.Header.Get(headerToken) == "" {
		req.Header.Del(headerToken)
	}
	if c.user != "" || c.password != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	return req, nil
}

// query adds what the client sends with every call.
func (c *Client) query(r *request) url.Values {
	q := r.query
	for _, p := range []struct{ name, value string }{
		{"dc", c.datacenter}, {"ns", c.namespace}, {"partition", c.partition},
	} {
		if p.value != "" && !q.Has(p.name) {
			q.Set(p.name, p.value)
		}
	}
	return q
}

// statusError reads the sentence of a refusal.
func statusError(res *http.Response) *StatusError {
	// A sentence that is cut off or that breaks off is still the best there is.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
	oldest, _ := strconv.ParseUint(res.Header.Get(headerOldest), 10, 64) // 0 when it is not there
	sentence := strings.TrimSpace(strings.ToValidUTF8(string(body), "\ufffd"))
	denial := explained(res, body)
	if denial != nil {
		sentence = denial.Error
	}
	return &StatusError{
		Code:        res.StatusCode,
		Body:        sentence,
		Denial:      denial,
		RequestID:   res.Header.Get(headerRequestID),
		OldestIndex: oldest,
		RetryAfter:  retryAfter(res.Header),
	}
}

// explained reads the reason of a refusal; nil when there is none.
func explained(res *http.Response, body []byte) *Denial {
	if res.StatusCode != http.StatusForbidden || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	var denial Denial
	if json.Unmarshal(body, &denial) != nil || denial.Error == "" {
		return nil // of a proxy, say
	}
	return &denial
}

// retryAfter reads how many seconds the server asks to wait. The other form of the
// header, a date, is left to those who have the server's clock.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// closeBody ends an answer. Its error says nothing: what was wanted of the body
// has been read, and what broke behind that is of no use to anybody.
func closeBody(res *http.Response) { _ = res.Body.Close() }

// decode reads the JSON value of an answer into v and closes the body.
func (c *Client) decode(res *http.Response, v any) error {
	defer closeBody(res)
	bounded := &boundedReader{r: res.Body, left: c.maxAnswer}
	if err := json.NewDecoder(bounded).Decode(v); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	// What is left is a newline at most; reading it frees the connection.
	_, _ = io.CopyN(io.Discard, res.Body, 512)
	return nil
}

// fetch sends a read whose only good answer is 200 with JSON.
func (c *Client) fetch(ctx context.Context, r *request, v any) (Meta, error) {
	res, err := c.call(ctx, r)
	if err != nil {
		return Meta{}, err
	}
	return metaOf(res.Header), c.decode(res, v)
}

// boundedReader is an io.LimitedReader that says so when the limit is passed,
// instead of pretending that the stream ended.
type boundedReader struct {
	r    io.Reader
	left int64 // bytes that may still be read
}

// Read fails with ErrAnswerTooLarge once more than the bound has been read.
func (b *boundedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, ErrAnswerTooLarge
	}
	return n, err
}
