package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// kvPut is one run of "kv put".
type kvPut struct {
	*connection
	out *printer

	cas         bool
	modifyIndex uint64
	flags       uint64
	base64      bool
	acquire     bool
	release     bool
	session     string
	reason      string
}

// written is what the commands that write print as JSON and YAML.
type written struct {
	Key     string
	Applied bool
	Index   uint64 `json:",omitempty"` // of the write; absent when the server does not tell
}

func newKVPutCommand() *cobra.Command {
	p := &kvPut{}
	c := &cobra.Command{
		Use:   "put [flags] KEY [DATA]",
		Short: "Write a key",
		Long: `Write a key. DATA is the value; @FILE is the content of a file, - is standard input,
and without DATA the value is empty. It is stored byte for byte.` + slashNote,
		Example: `  holdfast kv put app/motd hello
  holdfast kv put app/config @config.yml
  openssl rand 32 | holdfast kv put app/secret -
  holdfast kv put -cas -modify-index=42 app/motd hi    # only if it is still as at index 42
  holdfast kv put -cas app/motd hi                     # only if it does not exist`,
		Annotations: exits("4 5 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return p.run(c, args) },
	}
	p.connection = connect(c, askTimeout)
	p.out = prints(c)
	fs := c.Flags()
	fs.BoolVar(&p.cas, "cas", false, "Write only if the key is as -modify-index says.")
	fs.Uint64Var(&p.modifyIndex, "modify-index", 0, "With -cas, the `index` the key must have; 0: it must not exist.")
	fs.Uint64Var(&p.flags, "flags", 0, "A `number` to store beside the value.")
	fs.BoolVar(&p.base64, "base64", false, "DATA is base64: store what it stands for.")
	fs.BoolVar(&p.acquire, "acquire", false, "Lock the key for -session.")
	fs.BoolVar(&p.release, "release", false, "Unlock the key, which -session holds.")
	fs.StringVar(&p.session, "session", "", "The `id` of the session for -acquire and -release.")
	fs.StringVar(&p.reason, "reason", "", "Why, as one line of `text` that is kept in the key's history.")
	c.ValidArgsFunction = completeKeys(p.connection, 1)
	return c
}

func (p *kvPut) run(c *cobra.Command, args []string) error {
	if err := operands(args, 1, "KEY", "DATA"); err != nil {
		return err
	}
	key := keyOperand(args[0])
	if err := p.check(key); err != nil {
		return err
	}
	var value []byte
	var err error
	if len(args) == 2 {
		if value, err = dataOperand(args[1], c.InOrStdin(), maxValueBytes); err != nil {
			return err
		}
	}
	if p.base64 {
		if value, err = decodeBase64(value); err != nil {
			return err
		}
	}
	client, ctx, cancel, err := p.open(c)
	if err != nil {
		return err
	}
	defer cancel()
	return p.write(ctx, client.KV(), key, value)
}

// check refuses combinations that mean nothing.
func (p *kvPut) check(key string) error {
	chosen := 0
	for _, on := range []bool{p.cas, p.acquire, p.release} {
		if on {
			chosen++
		}
	}
	switch {
	case key == "":
		return usagef("the argument KEY is empty")
	case chosen > 1:
		return usagef("-cas, -acquire and -release exclude each other")
	case p.modifyIndex != 0 && !p.cas:
		return usagef("-modify-index means nothing without -cas")
	case (p.acquire || p.release) && p.session == "":
		return usagef("-acquire and -release need -session")
	case p.session != "" && !p.acquire && !p.release:
		return usagef("-session means nothing without -acquire or -release")
	}
	_, err := p.out.chosen()
	return err
}

// write sends the value and says what became of it, in consul's words.
func (p *kvPut) write(ctx context.Context, kv api.KV, key string, value []byte) error {
	var opts []api.WriteOption
	if p.flags != 0 {
		opts = append(opts, api.Flags(p.flags))
	}
	if p.reason != "" {
		opts = append(opts, api.Reason(p.reason))
	}
	var res api.WriteResult
	var err error
	done, lost := "Success! Data written to: ", ""
	switch {
	case p.cas:
		lost = "CAS failed"
		res, err = kv.CAS(ctx, key, value, p.modifyIndex, opts...)
	case p.acquire:
		done, lost = "Success! Lock acquired on: ", "Lock is held by another session, or in its delay"
		res, err = kv.Acquire(ctx, key, value, p.session, opts...)
	case p.release:
		done, lost = "Success! Lock released on: ", "Lock is not held by this session"
		res, err = kv.Release(ctx, key, value, p.session, opts...)
	default:
		res, err = kv.Put(ctx, key, value, opts...)
	}
	if err != nil {
		return err
	}
	if !res.Applied {
		return &plainError{text: fmt.Sprintf("Error! Did not write to %s: %s", key, lost), err: errLostRace}
	}
	return p.out.print(written{Key: key, Applied: true, Index: res.Index}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, done+key)
		return err
	})
}
