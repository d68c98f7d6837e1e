package cmd

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// gossipKeyBytes is the length of a key that keygen makes: AES-256.
const gossipKeyBytes = 32

func newKeygenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keygen [flags]",
		Short: "Make a key to encrypt the gossip with",
		Long: `Make a random key of 32 bytes and print it in base64. It is what "encrypt" in the
configuration takes, the same for every server, and what "holdfast keyring -install" takes.
No server is asked.`,
		Example: "  holdfast keygen",
	}
	out := prints(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		if _, err := out.chosen(); err != nil {
			return err
		}
		var key [gossipKeyBytes]byte
		if _, err := rand.Read(key[:]); err != nil {
			return fmt.Errorf("make a random key: %w", err)
		}
		text := base64.StdEncoding.EncodeToString(key[:])
		return out.print(struct{ Key string }{text}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, text)
			return err
		})
	}
	return c
}

// keyring is one run of "keyring".
type keyring struct {
	*connection
	out *printer

	list, listPrimary    bool
	install, use, remove string
	relayFactor          int
	localOnly            bool
}

func newKeyringCommand() *cobra.Command {
	k := &keyring{}
	c := &cobra.Command{
		Use:   "keyring [flags]",
		Short: "List or change the keys that the gossip is encrypted with",
		Long: `List or change the keys that the gossip is encrypted with, on all servers at once. To
replace a key: install the new one, see in -list that every server has it, use it, and
remove the old one. The gossip must have been encrypted when the cluster was started.`,
		Example: `  holdfast keyring -list
  holdfast keyring -install="$(holdfast keygen)"
  holdfast keyring -use=8YNGNBtrv/phbaxyRBBLs44SRD+ELjzZqvkmP1ZIlO4=`,
		Annotations: exits("4 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return k.run(c, args) },
	}
	k.connection = connect(c, askTimeout)
	k.out = prints(c)
	fs := c.Flags()
	fs.BoolVar(&k.list, "list", false, "List all keys, and how many servers have each.")
	fs.BoolVar(&k.listPrimary, "list-primary", false, "List only the keys that servers encrypt with.")
	fs.StringVar(&k.install, "install", "", "Make all servers accept this `key`: 16, 24 or 32 bytes in base64.")
	fs.StringVar(&k.use, "use", "", "Make all servers encrypt with this `key`, which they must accept already.")
	fs.StringVar(&k.remove, "remove", "", "Make all servers forget this `key`, with which none may encrypt.")
	fs.IntVar(&k.relayFactor, "relay-factor", 0, "How many servers pass on each answer, as a `number` from 0 to 5, for networks that lose messages.")
	fs.BoolVar(&k.localOnly, "local-only", false, "With -list: only the own datacenter, which for servers of Holdfast is all there is.")
	for _, name := range []string{"use", "remove"} {
		_ = c.RegisterFlagCompletionFunc(name, k.completeKeys) // the flags exist
	}
	return c
}

// check refuses what means nothing.
func (k *keyring) check(c *cobra.Command, args []string) error {
	if err := operands(args, 0); err != nil {
		return err
	}
	actions := 0
	for _, name := range []string{"list", "list-primary", "install", "use", "remove"} {
		if c.Flags().Changed(name) {
			actions++
		}
	}
	changes := k.install != "" || k.use != "" || k.remove != ""
	switch {
	case actions != 1 || !changes && !k.list && !k.listPrimary:
		return usagef("exactly one of -list, -list-primary, -install, -use and -remove must be given")
	case k.relayFactor < 0 || k.relayFactor > 5:
		return usagef("-relay-factor must be from 0 to 5")
	case k.localOnly && changes:
		return usagef("-local-only means nothing without -list")
	}
	_, err := k.out.chosen()
	return err
}

func (k *keyring) run(c *cobra.Command, args []string) error {
	if err := k.check(c, args); err != nil {
		return err
	}
	client, ctx, cancel, err := k.open(c)
	if err != nil {
		return err
	}
	defer cancel()
	var opts []api.CallOption
	if k.relayFactor > 0 {
		opts = append(opts, api.RelayFactor(k.relayFactor))
	}
	keys, key, done := client.Operator(), "", ""
	says := func(what string) { fmt.Fprintln(c.ErrOrStderr(), "==> "+what) }
	switch {
	case k.install != "":
		says("Installing new gossip encryption key...")
		key, done = k.install, "Installed"
		err = keys.InstallKey(ctx, key, opts...)
	case k.use != "":
		says("Changing primary gossip encryption key...")
		key, done = k.use, "Now encrypting with"
		err = keys.UseKey(ctx, key, opts...)
	case k.remove != "":
		says("Removing gossip encryption key...")
		key, done = k.remove, "Removed"
		err = keys.RemoveKey(ctx, key, opts...)
	default:
		says("Gathering installed encryption keys...")
		return k.show(ctx, keys, opts)
	}
	if err != nil {
		return err
	}
	return k.out.print(struct{ Key string }{key}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Success! %s key: %s\n", done, key)
		return err
	})
}

// show prints the keys of every ring.
func (k *keyring) show(ctx context.Context, keys api.Operator, opts []api.CallOption) error {
	rings, err := keys.Keyrings(ctx, opts...)
	if err != nil {
		return err
	}
	return k.out.print(orEmpty(rings), func(w io.Writer) error {
		for i, ring := range rings {
			if i > 0 {
				fmt.Fprintln(w)
			}
			name := ring.Datacenter + " (LAN)"
			if ring.WAN {
				name = "WAN"
			}
			fmt.Fprintln(w, name+":")
			of := ring.Keys
			if k.listPrimary {
				of = ring.PrimaryKeys
			}
			for _, key := range slices.Sorted(maps.Keys(of)) {
				if _, err := fmt.Fprintf(w, "  %s [%d/%d]\n", key, of[key], ring.NumNodes); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// completeKeys offers the keys that servers have.
func (k *keyring) completeKeys(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return offered(c, k.connection, func(ctx context.Context, client *api.Client) (keys []string, err error) {
		rings, err := client.Operator().Keyrings(ctx)
		for _, ring := range rings {
			keys = slices.AppendSeq(keys, maps.Keys(ring.Keys))
		}
		slices.Sort(keys)
		return slices.Compact(keys), err
	})
}
