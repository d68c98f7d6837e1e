package cells

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// stage holds the servers of one group of cells.
type stage struct {
	opts   *Options
	prefix string          // of all keys that the group writes; ends with a slash
	server *target.Server  // nil if the subject was not started here
	trio   *target.Cluster // nil until it is asked for
	limits map[limitserver.Kind]*target.Limit
	more   map[string]*target.Server // beside server, by name, to be closed with it
}

// open starts the server under test. close ends everything that was started.
func open(ctx context.Context, opts *Options, prefix string) (*stage, error) {
	s := &stage{opts: opts, prefix: prefix, limits: map[limitserver.Kind]*target.Limit{}, more: map[string]*target.Server{}}
	if opts.Subject != nil {
		return s, nil
	}
	var err error
	s.server, err = s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// fresh starts one more server under test; the caller closes it.
func (s *stage) fresh(ctx context.Context) (*target.Server, error) {
	o := s.opts.Server
	o.Dir = s.opts.Dir
	return target.StartServer(ctx, o)
}

// configured is a server under test with a further configuration file, started when first
// asked for under that name. The stage closes it.
func (s *stage) configured(ctx context.Context, name, config string) (*target.Server, error) {
	if server, found := s.more[name]; found {
		return server, nil
	}
	o, remove, err := s.withConfig(name, config)
	if err != nil {
		return nil, err
	}
	server, err := target.StartServer(ctx, o)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	s.more[name] = server
	return server, remove()
}

// withConfig are the options of a server with a further configuration file, which is
// there until remove is called. A server reads it when it starts.
func (s *stage) withConfig(name, config string) (o target.ServerOptions, remove func() error, err error) {
	file := filepath.Join(s.opts.Dir, name+".hcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return o, nil, err
	}
	o = s.opts.Server
	o.Dir, o.Config = s.opts.Dir, append(o.Config[:len(o.Config):len(o.Config)], file)
	return o, func() error { return os.Remove(file) }, nil
}

func (s *stage) subject() target.Target {
	if s.server == nil {
		return *s.opts.Subject
	}
	return s.server.Target()
}

// targets are the subject and, if there is one, the peer.
func (s *stage) targets() []target.Target {
	out := []target.Target{s.subject()}
	if s.opts.Peer != nil {
		out = append(out, *s.opts.Peer)
	}
	return out
}

// limit returns the limit of the given kind, started when first asked for.
func (s *stage) limit(kind limitserver.Kind) (*target.Limit, error) {
	if l, found := s.limits[kind]; found {
		return l, nil
	}
	l, err := target.StartLimit(kind, s.opts.Dir)
	if err != nil {
		return nil, err
	}
	s.limits[kind] = l
	return l, nil
}

// close ends the processes and removes what was written to servers that go on.
// It works after ctx has ended, too.
func (s *stage) close(ctx context.Context) error {
	var errs []error
	for _, l := range s.limits {
		errs = append(errs, l.Close())
	}
	if s.trio != nil {
		errs = append(errs, s.trio.Close())
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	for _, server := range s.more {
		errs = append(errs, server.Close())
	}
	for _, t := range []*target.Target{s.opts.Subject, s.opts.Peer} {
		if t != nil {
			errs = append(errs, s.clean(context.WithoutCancel(ctx), *t))
		}
	}
	return errors.Join(errs...)
}

func (s *stage) clean(ctx context.Context, t target.Target) error {
	ctx, cancel := context.WithTimeout(ctx, cleanLimit)
	defer cancel()
	return deleteTree(ctx, t, s.prefix)
}

// deleteTree deletes all keys below prefix.
func deleteTree(ctx context.Context, t target.Target, prefix string) error {
	r, err := t.Do(ctx, http.MethodDelete, "/v1/kv/"+prefix+"?recurse", nil)
	if err == nil {
		err = wantOK(r)
	}
	if err != nil {
		return fmt.Errorf("delete %s at %s: %w", prefix, t.Addr, err)
	}
	return nil
}

// waitLimits are the two that park requests: bare net/http, and the floor.
func (s *stage) waitLimits() (references, error) {
	limit, errLimit := s.limit(limitserver.Park)
	floor, errFloor := s.limit(limitserver.Floor)
	return references{limit, floor}, errors.Join(errLimit, errFloor)
}

// record asks the subject once and makes the limits answer the same from then on. It
// returns the answer.
func (s *stage) record(ctx context.Context, refs references, method, path string, fields ...rawhttp.Field) (rawhttp.Response, error) {
	r, err := send(ctx, s.subject(), method, path, fields...)
	if err != nil {
		return r, err
	}
	for _, l := range refs.all() {
		if err := l.SetAnswer(limitserver.AnswerLike(r)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// send makes one request with further headers, which must succeed.
func send(ctx context.Context, t target.Target, method, path string, fields ...rawhttp.Field) (rawhttp.Response, error) {
	c, err := rawhttp.Dial(ctx, t.Addr)
	if err != nil {
		return rawhttp.Response{}, err
	}
	defer c.Close()
	r, err := c.Send(ctx, rawhttp.RequestWith(fields, method, path, t.Addr, nil))
	if err == nil {
		err = wantOK(r)
	}
	if err != nil {
		return r, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return r, nil
}

// put writes one key.
func put(ctx context.Context, t target.Target, key string, value []byte) error {
	r, err := t.Do(ctx, http.MethodPut, "/v1/kv/"+key, value)
	if err == nil {
		err = wantOK(r)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// fill writes n pairs in transactions and returns what that took.
func (s *stage) fill(ctx context.Context, t target.Target, n int, at func(i int) pair) (load.Result, error) {
	var requests [][]byte
	ops := s.opts.Sizes.TxnOps
	for from := 0; from < n; from += ops {
		pairs := make([]pair, 0, ops)
		for i := from; i < min(n, from+ops); i++ {
			pairs = append(pairs, at(i))
		}
		requests = append(requests, rawhttp.Request(http.MethodPut, "/v1/txn", t.Addr, txnBody(pairs)))
	}
	clients := min(s.opts.Sizes.TxnClients, len(requests))
	res, err := load.Plan{
		Addr: t.Addr, Conns: clients, Loops: s.opts.Loops, CPU: t.CPU(), Check: wantOK,
		Next: func(conn, n int) []byte {
			if i := n*clients + conn; i < len(requests) {
				return requests[i]
			}
			return nil
		},
	}.Run(ctx)
	if err != nil {
		return res, fmt.Errorf("write %d keys: %w", n, err)
	}
	return res, nil
}

// fillAll writes the same pairs to the subject and the peer.
func (s *stage) fillAll(ctx context.Context, n int, at func(i int) pair) error {
	for _, t := range s.targets() {
		if _, err := s.fill(ctx, t, n, at); err != nil {
			return fmt.Errorf("%s: %w", t.Addr, err)
		}
	}
	return nil
}

func wantOK(r rawhttp.Response) error {
	if r.Status != http.StatusOK {
		return r.Problem()
	}
	return nil
}
