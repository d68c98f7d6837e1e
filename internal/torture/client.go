package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// outcome is what a client knows of a request.
type outcome uint8

const (
	done    outcome = iota // it was answered
	refused                // it certainly did not happen
	unknown                // it may have happened, or may still
)

// answer is what came back for a request.
type answer struct {
	outcome outcome
	status  int
	index   uint64 // X-Consul-Index; 0 if there is none
	fence   uint64 // X-Holdfast-Fence; 0 if there is none
	body    []byte
	reason  string // why it is not done
}

// yes reports whether the answer is the JSON value true.
func (a answer) yes() bool { return strings.TrimSpace(string(a.body)) == "true" }

// entry is a key as the server lists it.
type entry struct {
	Key         string
	Value       []byte
	ModifyIndex uint64
	Session     string
}

// entries decodes a list of keys; 404 is the empty one.
func (a answer) entries() ([]entry, error) {
	if a.status == http.StatusNotFound {
		return nil, nil
	}
	var list []entry
	if err := json.Unmarshal(a.body, &list); err != nil {
		return nil, fmt.Errorf("decode %.80q: %w", a.body, err)
	}
	return list, nil
}

// Limits of one request. A server that is frozen or cut off holds requests for longer
// than anybody waits for an answer.
const (
	requestLimit = 3 * time.Second
	answerLimit  = 256 << 20 // bytes of an answer; the state of a long run
)

// client is how one server is talked to. Safe for concurrent use.
type client struct {
	id   int // the server's number
	base string
	http *http.Client
}

func newClient(id int, base string) *client {
	return &client{
		id: id, base: base,
		http: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 64, // more than there are goroutines of a load
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			Proxy:               nil,
		}},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// do sends a request that is to be answered at once. It is never sent twice: the
// transport repeats only what it has not begun to send, and GET.
func (c *client) do(ctx context.Context, method, path, body string) answer {
	return c.within(ctx, requestLimit, method, path, body)
}

func (c *client) within(ctx context.Context, limit time.Duration, method, path, body string) answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return answer{outcome: refused, reason: err.Error()}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		a := answer{outcome: unknown, reason: cause(err).Error()}
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			a.outcome = refused
		}
		return a
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := io.Copy(&text, io.LimitReader(resp.Body, answerLimit)); err != nil {
		return answer{outcome: unknown, reason: cause(err).Error()}
	}
	a := answer{
		status: resp.StatusCode, body: text.Bytes(),
		index: number(resp.Header.Get("X-Consul-Index")),
		fence: number(resp.Header.Get("X-Holdfast-Fence")),
	}
	a.outcome, a.reason = judge(a.status, a.body)
	return a
}

// cause is an error of the transport without its addresses, so that like ones can be
// counted.
func cause(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// judge tells what an answer means for the request.
//
// Source: contract, README, sections 9 and 11.
func judge(status int, body []byte) (outcome, string) {
	reason := fmt.Sprintf("%d %.200s", status, body)
	switch {
	case status < http.StatusBadRequest, status == http.StatusNotFound, status == http.StatusConflict:
		return done, ""
	case status == http.StatusTooManyRequests:
		return refused, reason
	case bytes.Contains(body, []byte("No cluster leader")):
		return refused, reason
	}
	return unknown, reason
}

// number is the decimal number s, 0 if it is none.
func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
