package cmd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/internal/certs"
)

// certRequest is what the flags of "tls cert create" ask for.
type certRequest struct {
	server, client, cli bool

	domain, dc, node string
	days             int
	caFile, keyFile  string // "" means those of the domain
	names            []string
	addresses        []string
}

func newCertCreateCommand() *cobra.Command {
	var r certRequest
	c := &cobra.Command{
		Use:   "create -server|-client|-cli [flags]",
		Short: "Make a certificate",
		Long: `Make a certificate and its key with the authority of "holdfast tls ca create", in the files
DC-KIND-DOMAIN-N.pem and DC-KIND-DOMAIN-N-key.pem. N counts up: files that exist are never
overwritten.

A certificate made with -server is for server.DC.DOMAIN, and whoever has it may join the
cluster as a server. One made with -client or -cli is for clients of the HTTP API.`,
		Example: `  holdfast tls cert create -server -additional-ipaddress=10.0.0.5
  holdfast tls cert create -server -dc=eu -node=kv1 -additional-dnsname=kv1.example.com
  holdfast tls cert create -cli -days=30`,
		Annotations: exits(""),
	}
	fs := c.Flags()
	fs.BoolVar(&r.server, "server", false, "Make a certificate for a server.")
	fs.BoolVar(&r.client, "client", false, "Make a certificate for a client that may serve something itself.")
	fs.BoolVar(&r.cli, "cli", false, "Make a certificate for a command line.")
	fs.StringVar(&r.dc, "dc", "dc1", "The `datacenter`.")
	fs.StringVar(&r.domain, "domain", "consul", "The `domain`, as in the setting domain of the servers.")
	fs.StringVar(&r.node, "node", "", "With -server, the `name` of the node, for NODE.server.DC.DOMAIN too.")
	fs.IntVar(&r.days, "days", 365, "For how many `days` it counts.")
	fs.StringVar(&r.caFile, "ca", "", "The `file` of the authority's certificate; else DOMAIN-agent-ca.pem.")
	fs.StringVar(&r.keyFile, "key", "", "The `file` of the authority's key; else DOMAIN-agent-ca-key.pem.")
	fs.StringArrayVar(&r.names, "additional-dnsname", nil, "Another DNS `name` that it is for; may be given several times.")
	fs.StringArrayVar(&r.addresses, "additional-ipaddress", nil, "Another IP `address` that it is for; may be given several times.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		return r.create(c.OutOrStdout(), c.ErrOrStderr(), time.Now())
	}
	return c
}

// serverWarning is said with every certificate of a server, in the words that users
// of consul know.
const serverWarning = `==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys.
`

// create makes the certificate in the working directory.
func (r *certRequest) create(out, warn io.Writer, now time.Time) error {
	kind, err := r.check()
	if err != nil {
		return err
	}
	counts, err := validity(r.days, now)
	if err != nil {
		return err
	}
	req, err := r.request(kind, counts)
	if err != nil {
		return err
	}
	authority, err := r.authority()
	if err != nil {
		return err
	}
	if r.server {
		fmt.Fprint(warn, serverWarning)
	}
	pair, err := authority.Issue(req)
	if err != nil {
		return err
	}
	cert, key, err := saveNumbered(fmt.Sprintf("%s-%s-%s", r.dc, kind, r.domain), pair)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "==> Using %s and %s\n==> Saved %s\n==> Saved %s\n", r.caFile, r.keyFile, cert, key)
	return err
}

// check finds what kind of certificate is meant, and fills in the names of files.
func (r *certRequest) check() (kind string, err error) {
	for _, one := range []struct {
		on   bool
		name string
	}{{r.server, "server"}, {r.client, "client"}, {r.cli, "cli"}} {
		switch {
		case one.on && kind != "":
			return "", usagef("-%s and -%s exclude each other", kind, one.name)
		case one.on:
			kind = one.name
		}
	}
	if kind == "" {
		return "", usagef("one of -server, -client and -cli is needed")
	}
	if r.node != "" && !r.server {
		return "", usagef("-node means nothing without -server")
	}
	flags := []struct{ name, value string }{{"dc", r.dc}, {"domain", r.domain}, {"node", r.node}}
	for _, f := range flags[:2] {
		if err := checkNameFlag(f.name, f.value); err != nil {
			return "", err
		}
	}
	if r.node != "" {
		if err := checkNameFlag("node", r.node); err != nil {
			return "", err
		}
	}
	cert, key := caFiles(r.domain)
	r.caFile, r.keyFile = firstOf(r.caFile, cert), firstOf(r.keyFile, key)
	return kind, nil
}

// request says what the certificate is for.
func (r *certRequest) request(kind string, counts certs.Validity) (certs.Request, error) {
	name := fmt.Sprintf("%s.%s.%s", kind, r.dc, r.domain)
	req := certs.Request{Name: name, Validity: counts, Client: true, Server: !r.cli, DNSNames: append([]string(nil), r.names...)}
	if r.node != "" {
		req.DNSNames = append(req.DNSNames, r.node+"."+name)
	}
	req.DNSNames = append(req.DNSNames, name, "localhost")
	for _, text := range r.addresses {
		ip := net.ParseIP(text)
		if ip == nil {
			return req, usagef("-additional-ipaddress=%q is no IP address", text)
		}
		req.IPs = append(req.IPs, ip)
	}
	if !r.cli {
		req.IPs = append(req.IPs, net.IPv4(127, 0, 0, 1))
	}
	return req, nil
}

// authority reads the files of the authority.
func (r *certRequest) authority() (*certs.Authority, error) {
	var p certs.Pair
	for _, one := range []struct {
		name string
		to   *[]byte
	}{{r.caFile, &p.Cert}, {r.keyFile, &p.Key}} {
		data, err := os.ReadFile(one.name)
		if err != nil {
			return nil, &hintError{
				err: fmt.Errorf("read authority: %w", err),
				try: "holdfast tls ca create                    to make one\n" +
					"-ca and -key                              to name its files",
			}
		}
		*one.to = data
	}
	a, err := certs.ReadAuthority(p)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", r.caFile, r.keyFile, err)
	}
	return a, nil
}

// maxNumber bounds how many certificates of one kind a folder may hold.
const maxNumber = 10_000

// saveNumbered writes a pair under the first number that is free.
func saveNumbered(prefix string, p certs.Pair) (cert, key string, err error) {
	for n := range maxNumber {
		cert, key = fmt.Sprintf("%s-%d.pem", prefix, n), fmt.Sprintf("%s-%d-key.pem", prefix, n)
		if err = savePair(cert, key, p); !errors.Is(err, errExists) {
			return cert, key, err
		}
	}
	return "", "", fmt.Errorf("there are %d certificates %s-N.pem here already", maxNumber, prefix)
}
