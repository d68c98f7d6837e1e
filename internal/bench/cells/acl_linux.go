package cells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	aclClients       = 64
	policyRules      = 20 // in each policy
	policiesPerToken = 4
	aclShare         = 0.9 // of what the server does that checks nothing
	aclWatchers      = 1000
	parkTokens       = 1000 // of those who are parked
	parkPolicies     = 10

	noACL = "the server has no access control"
)

// guarded is a server that checks rights, beside the one of the stage that does not:
// here the limit is what the same server does without.
type guarded struct {
	o       *Options
	server  *target.Server // nil: none; the stage closes it
	secrets []string       // of the tokens, which have rights on the keys of the stage
}

// aclGroup measures what it costs to check rights.
func aclGroup(o *Options) group {
	g := &guarded{o: o}
	value := text(70_000, o.Sizes.ValueBytes)
	of := func(name, method string, body []byte, b bars, all bool) cell {
		return cell{name: name, bars: b, ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) {
			return g.compare(ctx, s, all, func(i int) (string, string, []byte) {
				return method, fmt.Sprintf("/v1/kv/%sacl/%04d", s.prefix, i%putKeys), body
			})
		}}
	}
	b := bars{opsPerSecond: report.RatioAtLeast(aclShare)}
	// As much above the server that checks nothing as a read may cost above the bare limit. That
	// server takes some 0.7 of the limit, so a read stays below it with rights checked, too.
	gets := bars{opsPerSecond: report.RatioAtLeast(aclShare), cpuPerOp: report.RatioAtMost(1.25)}
	waiting := func(name string, b bars, run func(context.Context, *stage) (report.Row, error)) cell {
		return cell{name: name, bars: b, ours: true, run: func(ctx context.Context, s *stage) (report.Row, error) {
			if g.server == nil {
				return report.Row{Skipped: noACL}, nil
			}
			return run(ctx, s)
		}}
	}
	return group{name: "acl", setup: g.setup, cells: []cell{
		of(fmt.Sprintf("acl-get-c%d", aclClients), http.MethodGet, nil, gets, false),
		of(fmt.Sprintf("acl-put-c%d", aclClients), http.MethodPut, value, b, false),
		// The worst case, for which there is no bar: nothing that a token needs is near.
		of("acl-get-all", http.MethodGet, nil, nil, true),
		of("acl-put-all", http.MethodPut, value, nil, true),
		waiting(fmt.Sprintf("acl-fanout-%d", aclWatchers), nil, g.fanout),
		waiting("acl-park-rss", bars{kibPerQuery: parkBars[kibPerQuery], goroutinesPerQuery: parkBars[goroutinesPerQuery]}, g.parkedMemory),
	}}
}

// setup starts the server that checks, and fills both.
func (g *guarded) setup(ctx context.Context, s *stage) error {
	if s.server == nil {
		return nil // not ours to start
	}
	server, err := s.configured(ctx, "acl", aclConfig())
	if err != nil {
		return err
	}
	r, err := server.Target().Do(ctx, http.MethodGet, "/v1/acl/policies", nil)
	if err != nil {
		return err
	}
	if r.Status == http.StatusNotFound {
		return nil // it has no access control
	}
	g.server = server
	if err := g.fillTables(ctx, s); err != nil {
		return err
	}
	for _, t := range []target.Target{server.Target(), s.subject()} {
		if _, err := s.fill(ctx, t, putKeys, func(i int) pair {
			return pair{fmt.Sprintf("%sacl/%04d", s.prefix, i), text(71_000+uint64(i), g.o.Sizes.ValueBytes)}
		}); err != nil {
			return err
		}
	}
	return g.meetAll(ctx, s)
}

// aclConfig lets a server check rights. Requests without a token, such as those that wait for the
// start, have all of them.
func aclConfig() string {
	root := uuid(0)
	return fmt.Sprintf("acl {\n  enabled = true\n  default_policy = \"deny\"\n  tokens {\n    initial_management = %q\n    default = %q\n  }\n}\n", root, root)
}

// asker is the client with a token of his own, as far as there are so many.
func (g *guarded) asker(key string) func(id int) query {
	return func(id int) query { return query{key, g.secrets[id%len(g.secrets)]} }
}

// fanout has clients wait for one key, each with a token of his own, so that no two ask with the same
// bytes. They are compared with the limits that the same clients without rights have.
func (g *guarded) fanout(ctx context.Context, s *stage) (report.Row, error) {
	o := *s.opts
	o.Peer = nil // it knows none of the tokens
	checks := &stage{opts: &o, prefix: s.prefix, server: g.server, limits: s.limits}
	return checks.fanout(ctx, min(aclWatchers, len(g.secrets)), g.asker(s.prefix+"watched"))
}

// parkedMemory is stage.parkedMemory of queries with tokens.
func (g *guarded) parkedMemory(ctx context.Context, s *stage) (report.Row, error) {
	n := within(s.opts.Sizes.Parked)
	o := *g.o
	o.Sizes.Policies, o.Sizes.Tokens = min(parkPolicies, o.Sizes.Policies), min(parkTokens, o.Sizes.Tokens)
	c := contest{columns: parkColumns}
	c.subject = &side{round: func(ctx context.Context) (v values, err error) {
		options, remove, err := s.withConfig("acl-park", aclConfig())
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, remove()) }()
		server, err := target.StartServer(ctx, options)
		if err != nil {
			return nil, err
		}
		fresh := &guarded{o: &o, server: server}
		v, err = fresh.memory(ctx, s, n)
		return v, errors.Join(err, server.Close())
	}}
	row, err := c.run(ctx, min(s.opts.Rounds, memoryRounds))
	row.Note = fmt.Sprintf("%d queries with %d tokens parked on one key, one connection each", n, o.Sizes.Tokens)
	return row, err
}

// memory parks the queries. The server is started anew when it has its tables, which are small:
// what it took to make them, and is free again, would be taken by the queries and not be seen. That
// a token is met for the first time is part of what they take.
func (g *guarded) memory(ctx context.Context, s *stage, n int) (values, error) {
	if err := g.fillTables(ctx, s); err != nil {
		return nil, err
	}
	if err := g.server.Kill(); err != nil {
		return nil, err
	}
	if err := g.server.Start(ctx); err != nil {
		return nil, err
	}
	if err := g.server.AwaitRead(ctx, "bench/ready", http.StatusOK, http.StatusNotFound); err != nil {
		return nil, err
	}
	v, err := s.eve(ctx, g.server.Target(), nil, n)
	if err != nil {
		return nil, err
	}
	return s.memoryOfCrowd(ctx, v, g.asker(v.key))
}

// meetAll asks once with each token, for a key that need not be there: what a token's first request
// costs is not what is compared.
func (g *guarded) meetAll(ctx context.Context, s *stage) error {
	t := g.server.Target()
	_, err := load.Plan{
		Addr: t.Addr, Conns: aclClients, Loops: s.opts.Loops,
		Check: func(r rawhttp.Response) error {
			if r.Status == http.StatusNotFound {
				return nil
			}
			return wantOK(r)
		},
		Next: func(conn, n int) []byte {
			if i := n*aclClients + conn; i < len(g.secrets) {
				return rawhttp.RequestAs(g.secrets[i], http.MethodGet, fmt.Sprintf("/v1/kv/%sacl/%04d", s.prefix, i%putKeys), t.Addr, nil)
			}
			return nil
		},
	}.Run(ctx)
	return err
}

// fillTables makes the policies and the tokens.
func (g *guarded) fillTables(ctx context.Context, s *stage) error {
	t := g.server.Target()
	var policies, tokens [][]byte
	for i := range g.o.Sizes.Policies {
		var rules strings.Builder
		fmt.Fprintf(&rules, "key_prefix %q { policy = \"write\" }\n", s.prefix)
		for j := 1; j < policyRules; j++ {
			fmt.Fprintf(&rules, "key_prefix \"team-%d/service-%d/%d/\" { policy = %q }\n", i%40, i, j, []string{"write", "read"}[j%2])
		}
		policies = append(policies, bodyOf(t, "/v1/acl/policy", map[string]any{"Name": fmt.Sprintf("policy-%d", i), "Rules": rules.String()}))
	}
	g.secrets = nil
	for i := range g.o.Sizes.Tokens {
		var links []map[string]string
		for j := range policiesPerToken {
			links = append(links, map[string]string{"Name": fmt.Sprintf("policy-%d", (i*7+j)%g.o.Sizes.Policies)})
		}
		g.secrets = append(g.secrets, uuid(i+1))
		tokens = append(tokens, bodyOf(t, "/v1/acl/token", map[string]any{"SecretID": g.secrets[i], "Policies": links}))
	}
	for _, requests := range [][][]byte{policies, tokens} {
		clients := min(aclClients, len(requests))
		if _, err := (load.Plan{
			Addr: t.Addr, Conns: clients, Loops: s.opts.Loops, Check: wantOK,
			Next: func(conn, n int) []byte {
				if i := n*clients + conn; i < len(requests) {
					return requests[i]
				}
				return nil
			},
		}).Run(ctx); err != nil {
			return fmt.Errorf("make policies and tokens: %w", err)
		}
	}
	return nil
}

func bodyOf(t target.Target, path string, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and maps of them
	}
	return rawhttp.Request(http.MethodPut, path, t.Addr, body)
}

// perClient is how many requests are ready for each client.
const perClient = 256

// compare lets both servers take turns with the same requests: a few percent are looked for,
// so they fight a [duel]. Every client has its token, or else all of them take turns with
// all tokens.
func (g *guarded) compare(ctx context.Context, s *stage, all bool, request func(i int) (method, path string, body []byte)) (report.Row, error) {
	if g.server == nil {
		return report.Row{Skipped: noACL}, nil
	}
	maker := func(t target.Target) load.Plan {
		n := perClient
		if all {
			n = max(1, len(g.secrets)/aclClients)
		}
		rings := make([][][]byte, aclClients)
		for conn := range rings {
			for i := range n {
				at := conn * n
				secret := g.secrets[at%len(g.secrets)]
				if all {
					secret = g.secrets[(at+i)%len(g.secrets)]
				}
				method, path, body := request(at + i)
				rings[conn] = append(rings[conn], rawhttp.RequestAs(secret, method, path, t.Addr, body))
			}
		}
		sent := make([]int, aclClients) // by client, over all rounds; each is used by one thread at a time
		return s.aimed(t, load.Plan{
			Conns: aclClients,
			Check: wantOK,
			Next: func(conn, _ int) []byte {
				sent[conn]++
				return rings[conn][sent[conn]%n]
			},
		})
	}
	return s.duel(ctx, closedColumns, duelist{maker(g.server.Target())}, duelist{maker(s.subject())})
}

// uuid makes the secrets of one run: the same number gives the same one.
func uuid(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 72_000))
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.Uint32()>>16, r.Uint32()>>20, r.Uint32()>>20, r.Uint64()>>16)
}
