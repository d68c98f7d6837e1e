package cmd

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/internal/certs"
)

// caRequest is what the flags of "tls ca create" ask for.
type caRequest struct {
	domain     string
	commonName string
	days       int
	constrain  bool
	more       []string // domains besides those that constrain means
}

func newCACreateCommand() *cobra.Command {
	var r caRequest
	c := &cobra.Command{
		Use:   "create [flags]",
		Short: "Make an authority that issues certificates",
		Long: `Make an authority: the file DOMAIN-agent-ca.pem, which every server and client trusts, and
DOMAIN-agent-ca-key.pem, which makes certificates and belongs where nobody else can read
it. Files that exist are never overwritten.`,
		Example: `  holdfast tls ca create
  holdfast tls ca create -days=3650 -name-constraint`,
		Annotations: exits(""),
	}
	fs := c.Flags()
	fs.StringVar(&r.domain, "domain", "consul", "The `domain` of the certificates, as in the setting domain of the servers.")
	fs.StringVar(&r.commonName, "common-name", "Holdfast Agent CA", "The `name` of the authority; a number is put behind it.")
	fs.IntVar(&r.days, "days", 1825, "For how many `days` it counts.")
	fs.BoolVar(&r.constrain, "name-constraint", false, "Let it make certificates for nothing but localhost and names below the domain.")
	fs.StringArrayVar(&r.more, "additional-name-constraint", nil, "With -name-constraint, another `domain` that it may make certificates for; may be given several times.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		return r.create(c.OutOrStdout(), time.Now())
	}
	return c
}

// create makes the authority in the working directory.
func (r *caRequest) create(out io.Writer, now time.Time) error {
	if err := checkNameFlag("domain", r.domain); err != nil {
		return err
	}
	if len(r.more) > 0 && !r.constrain {
		return usagef("-additional-name-constraint means nothing without -name-constraint")
	}
	counts, err := validity(r.days, now)
	if err != nil {
		return err
	}
	req := certs.AuthorityRequest{Name: r.commonName, Validity: counts}
	if r.constrain {
		req.OnlyDomains = append([]string{"localhost", r.domain}, r.more...)
	}
	authority, err := certs.NewAuthority(req)
	if err != nil {
		return err
	}
	cert, key := caFiles(r.domain)
	if err := savePair(cert, key, authority.Pair()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "==> Saved %s\n==> Saved %s\n", cert, key)
	return err
}

// caFiles are the names of an authority's files.
func caFiles(domain string) (cert, key string) {
	return domain + "-agent-ca.pem", domain + "-agent-ca-key.pem"
}
