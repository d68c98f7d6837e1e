package cells

import (
	"context"
	"encoding/json"
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
	return group{name: "acl", setup: g.setup, cells: []cell{
		of(fmt.Sprintf("acl-get-c%d", aclClients), http.MethodGet, nil, b, false),
		of(fmt.Sprintf("acl-put-c%d", aclClients), http.MethodPut, value, b, false),
		// The worst case, for which there is no bar: nothing that a token needs is near.
		of("acl-get-all", http.MethodGet, nil, nil, true),
		of("acl-put-all", http.MethodPut, value, nil, true),
	}}
}

// setup starts the server that checks, and fills both.
func (g *guarded) setup(ctx context.Context, s *stage) error {
	if s.server == nil {
		return nil // not ours to start
	}
	root := uuid(0)
	// Requests without a token, such as those that wait for the start, have all rights.
	server, err := s.configured(ctx, "acl", fmt.Sprintf(
		"acl {\n  enabled = true\n  default_policy = \"deny\"\n  tokens {\n    initial_management = %q\n    default = %q\n  }\n}\n", root, root))
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

// meetAll asks once with each token: what a token's first request costs is not what is
// compared.
func (g *guarded) meetAll(ctx context.Context, s *stage) error {
	t := g.server.Target()
	_, err := load.Plan{
		Addr: t.Addr, Conns: aclClients, Loops: s.opts.Loops, Check: wantOK,
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
		return report.Row{Skipped: "the server has no access control"}, nil
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
