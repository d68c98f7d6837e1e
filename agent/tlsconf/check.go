package tlsconf

import (
	"fmt"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// Names of the blocks.
const (
	httpsBlock = "tls.https"
	rpcBlock   = "tls.internal_rpc"
)

// ServerName is what a server's certificate is for, in a datacenter and domain.
func ServerName(datacenter, domain string) string {
	return "server." + datacenter + "." + domain
}

// Check says what is wrong with the TLS settings of cfg and with the files that they
// name: everything at once, nil if nothing is. It reads the files.
func Check(cfg *config.Config) []config.Fault {
	var faults []config.Fault
	for _, s := range sidesOf(cfg) {
		_, wrong := s.check(readFiles(s.from))
		faults = append(faults, wrong...)
	}
	return faults
}

// needs are the settings that mean nothing without certificates.
type needs struct {
	cert []need // why cert_file and key_file must be there
	ca   []need // why ca_file or ca_path must be
	name string // what the certificate must be for; "" for anything
}

// need is a setting, and what it is that the files are needed for.
type need struct{ key, what string }

func httpsNeeds(cfg *config.Config) needs {
	var n needs
	if cfg.Ports.HTTPS < 0 {
		return n
	}
	n.cert = append(n.cert, need{"ports.https", "to serve HTTPS"})
	if cfg.TLS.HTTPS.VerifyIncoming {
		n.ca = append(n.ca, need{httpsBlock + ".verify_incoming", "to verify the certificates of clients"})
	}
	return n
}

func rpcNeeds(cfg *config.Config) needs {
	var n needs
	for _, one := range []struct {
		on  bool
		key string
	}{
		{cfg.TLS.RPC.VerifyIncoming, "verify_incoming"},
		{cfg.TLS.RPC.VerifyOutgoing, "verify_outgoing"},
		{cfg.TLS.VerifyServerHostname, "verify_server_hostname"},
	} {
		if one.on {
			n.cert = append(n.cert, need{rpcBlock + "." + one.key, "to show to other servers"})
			n.ca = append(n.ca, need{rpcBlock + "." + one.key, "to verify the certificates of other servers"})
		}
	}
	if cfg.TLS.VerifyServerHostname {
		n.name = ServerName(cfg.Datacenter, cfg.Domain)
	}
	return n
}

// check makes material of the files of a block, or says what is wrong with them.
func (s *side) check(fs files) (*material, []config.Fault) {
	block, t, n := s.block, s.from, s.needs
	m, problems := fs.parse()
	if m != nil {
		if why := nameFault(m, n.name); why != "" {
			problems = append(problems, problem{"cert_file", t.CertFile + " " + why})
		}
	}
	var faults []config.Fault
	for _, p := range problems {
		faults = append(faults, config.Fault{Key: block + "." + p.key, Why: p.why})
	}
	if t.CertFile == "" && t.KeyFile == "" {
		for _, one := range n.cert {
			faults = append(faults, config.Fault{Key: one.key, Why: fmt.Sprintf(
				"needs a certificate %s: set cert_file and key_file in %s or in tls.defaults", one.what, block)})
		}
	}
	if t.CAFile == "" && t.CAPath == "" {
		for _, one := range n.ca {
			faults = append(faults, config.Fault{Key: one.key, Why: fmt.Sprintf(
				"needs an authority %s: set ca_file or ca_path in %s or in tls.defaults", one.what, block)})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return m, nil
}

// nameFault says why the certificate of m is not for name, which may be "".
func nameFault(m *material, name string) string {
	if m.cert == nil || name == "" || m.cert.Leaf.VerifyHostname(name) == nil {
		return ""
	}
	return fmt.Sprintf("is for %s: with verify_server_hostname it must be for %s", names(m.cert.Leaf), name)
}
