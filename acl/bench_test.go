package acl

import (
	"fmt"
	"strings"
	"testing"
)

// policyOf writes a policy of 20 rules, as different from its siblings as those of
// different services are.
func policyOf(i int) string {
	var b strings.Builder
	for j := range 20 {
		word, level := "key_prefix", "write"
		switch j % 4 {
		case 1:
			word, level = "key", "read"
		case 2:
			word = "session_prefix"
		case 3:
			level = "read"
		}
		fmt.Fprintf(&b, "%s \"team-%d/service-%d/%d/\" { policy = %q }\n", word, i%40, i, j, level)
	}
	return b.String()
}

func sourcesOf(b testing.TB, policies int) []Source {
	var sources []Source
	for i := range policies {
		sources = append(sources, Source{Rules: mustParse(b, policyOf(i)), Name: fmt.Sprint(i)})
	}
	return sources
}

func BenchmarkParse(b *testing.B) {
	text := policyOf(7)
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewAuthorizer(b *testing.B) {
	for _, policies := range []int{1, 4, 1000} {
		b.Run(fmt.Sprintf("policies=%d", policies), func(b *testing.B) {
			sources := sourcesOf(b, policies)
			b.ReportAllocs()
			for b.Loop() {
				NewAuthorizer(DefaultDeny, sources)
			}
		})
	}
}

func BenchmarkAllow(b *testing.B) {
	for _, policies := range []int{1, 1000} {
		a := NewAuthorizer(DefaultDeny, sourcesOf(b, policies))
		for _, name := range []string{"team-0/service-0/4/some/key", "nobody/key"} {
			b.Run(fmt.Sprintf("policies=%d/%s", policies, name[:strings.IndexByte(name, '/')]), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					a.Allow(ResourceKey, AccessWrite, name)
				}
			})
		}
	}
}

// BenchmarkAllowInTurn asks many tokens in turn, as a server does that has as many
// clients: what an answer costs is then mostly the way to memory that no cache has.
func BenchmarkAllowInTurn(b *testing.B) {
	const policies, each, keys = 1000, 4, 256
	all := make([]*Rules, policies)
	for i := range all {
		all[i] = mustParse(b, "key_prefix \"shared/\" { policy = \"write\" }\n"+policyOf(i))
	}
	for _, tokens := range []int{64, 1000, 8000} {
		authorizers := make([]*Authorizer, tokens)
		var under []string
		for i := range authorizers {
			var sources []Source
			for j := range each {
				sources = append(sources, Source{Rules: all[(i*7+j)%policies]})
			}
			authorizers[i] = NewAuthorizer(DefaultDeny, sources)
			for range oftenAsked {
				authorizers[i].Allow(ResourceKey, AccessWrite, "shared/key")
			}
			of := (i*7 + i%each) % policies
			under = append(under, fmt.Sprintf("team-%d/service-%d/%d/some/key", of%40, of, i%5*4))
		}
		shared := make([]string, keys)
		for i := range shared {
			shared[i] = fmt.Sprintf("shared/acl/%04d", i)
		}
		for what, names := range map[string][]string{"shared": shared, "own": under} {
			b.Run(fmt.Sprintf("tokens=%d/%s", tokens, what), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if i += 7; i >= tokens {
						i -= tokens
					}
					if !authorizers[i].Allow(ResourceKey, AccessWrite, names[i%len(names)]) {
						b.Fatal("not allowed")
					}
				}
			})
		}
	}
}
