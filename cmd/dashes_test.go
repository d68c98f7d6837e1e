package cmd

import (
	"slices"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, tc := range []struct{ rule, line, want string }{
		{"one dash becomes two", "kv get -recurse a", "kv get --recurse a"},
		{"two stay two", "kv get --recurse a", "kv get --recurse a"},
		{"a value behind = stays with its flag", "kv get -http-addr=h:1 a", "kv get --http-addr=h:1 a"},
		{"a value of its own word is taken", "kv get -http-addr h:1 -keys a", "kv get --http-addr h:1 --keys a"},
		{"a value may look like a flag", "kv get -separator -keys a", "kv get --separator -keys a"},
		{"a switch takes no value", "kv get -keys -recurse a", "kv get --keys --recurse a"},
		{"a switch may be set to false", "kv get -keys=false a", "kv get --keys=false a"},
		{"the first operand ends the flags", "kv put a -recurse", "kv put a -recurse"},
		{"data may be a negative number", "kv put a -1", "kv put a -1"},
		{"a dash alone is an operand", "kv put a -", "kv put a -"},
		{"a dash alone ends the flags too", "kv import - -quiet", "kv import - -quiet"},
		{"two dashes end the flags", "kv put -- -a -b", "kv put -- -a -b"},
		{"a key that has a command's name is an operand", "kv get get -keys", "kv get get -keys"},
		{"help keeps its letter", "kv get -h", "kv get -h"},
		{"and has a long name", "kv get -help", "kv get --help"},
		{"a long flag of one letter", "kv history -n 5 a", "kv history --n 5 a"},
		{"an unknown flag is still one flag", "kv get -recurs a", "kv get --recurs a"},
		{"an unknown letter stays", "kv get -x a", "kv get -x a"},
		{"a handler's flags are its own", "watch -type key -key k nginx -s reload", "watch --type key --key k nginx -s reload"},
		{"consul's flags of lock", "lock -n 2 -try 1s -monitor-retry=3 -name x -pass-stdin -child-exit-code -verbose p make -n", "lock --n 2 --try 1s --monitor-retry=3 --name x --pass-stdin --child-exit-code --verbose p make -n"},
		{"an unknown command ends the walk", "kvv get -recurse", "kvv get -recurse"},
		{"a flag without its value", "kv get -http-addr", "kv get --http-addr"},
		{"nothing is nothing", "", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got := strings.Join(normalize(newRoot(), strings.Fields(tc.line)), " ")
			if got != tc.want {
				t.Errorf("normalize(%s)\n   = %s\nwant %s", tc.line, got, tc.want)
			}
		})
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"kv\nget\n-recurse\na", "kv\nput\n--\n-x", "-\n--\n-=\n-==", "watch\n-key\n-h"} {
		f.Add(seed)
	}
	root := newRoot() // it is only read
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		before := slices.Clone(args)
		got := normalize(root, args)
		if !slices.Equal(args, before) {
			t.Fatalf("normalize changed its argument %q to %q", before, args)
		}
		if len(got) != len(args) {
			t.Fatalf("normalize(%q) has %d words, not %d", args, len(got), len(args))
		}
		for i := range got {
			if got[i] != args[i] && got[i] != "-"+args[i] {
				t.Fatalf("normalize(%q): word %d became %q", args, i, got[i])
			}
		}
		if again := normalize(root, got); !slices.Equal(again, got) {
			t.Fatalf("normalize(%q) = %q, and that again is %q", args, got, again)
		}
	})
}
