package api

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Prefixes of the environment variables. The first one that is set and not
// empty wins, name by name.
var envPrefixes = []string{"HOLDFAST_", "CONSUL_"}

// Environment variables that [New] reads, without their prefix: each exists as
// HOLDFAST_NAME, which wins, and as CONSUL_NAME.
const (
	EnvAddress    = "HTTP_ADDR"       // as in WithAddress
	EnvToken      = "HTTP_TOKEN"      // as in WithToken
	EnvTokenFile  = "HTTP_TOKEN_FILE" // as in WithTokenFile; wins over EnvToken of the same prefix
	EnvAuth       = "HTTP_AUTH"       // "user:password", as in WithBasicAuth
	EnvSSL        = "HTTP_SSL"        // a boolean; true makes an address without scheme https
	EnvSSLVerify  = "HTTP_SSL_VERIFY" // a boolean; false accepts any certificate
	EnvCAFile     = "CACERT"          // as in TLS.CAFile
	EnvCAPath     = "CAPATH"          // as in TLS.CAPath
	EnvCertFile   = "CLIENT_CERT"     // as in TLS.CertFile
	EnvKeyFile    = "CLIENT_KEY"      // as in TLS.KeyFile
	EnvServerName = "TLS_SERVER_NAME" // as in TLS.ServerName
	EnvNamespace  = "NAMESPACE"       // sent as ?ns=; a server without namespaces refuses it
	EnvPartition  = "PARTITION"       // sent as ?partition=; likewise
)

// readEnvironment fills in what no option has set.
func (s *settings) readEnvironment() error {
	fill := func(field *string, name string) {
		if *field == "" {
			*field, _ = s.env(name)
		}
	}
	fill(&s.address, EnvAddress)
	fill(&s.tls.CAFile, EnvCAFile)
	fill(&s.tls.CAPath, EnvCAPath)
	fill(&s.tls.CertFile, EnvCertFile)
	fill(&s.tls.KeyFile, EnvKeyFile)
	fill(&s.tls.ServerName, EnvServerName)
	fill(&s.namespace, EnvNamespace)
	fill(&s.partition, EnvPartition)

	if s.user == "" && s.password == "" {
		if auth, ok := s.env(EnvAuth); ok {
			s.user, s.password, _ = strings.Cut(auth, ":")
		}
	}
	for name, field := range map[string]**bool{EnvSSL: &s.ssl, EnvSSLVerify: &s.sslVerify} {
		value, ok := s.env(name)
		if !ok {
			continue
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("environment variable %s: %q is not a boolean", s.envName(name), value)
		}
		*field = &on
	}
	return s.readToken()
}

// readToken decides which token is sent: the option WithToken, the option
// WithTokenFile, then the environment, our own prefix before Consul's. Under one
// prefix the file wins over the plain value, as Consul has it.
func (s *settings) readToken() error {
	if s.token != "" {
		return nil
	}
	file := s.tokenFile
	if file == "" {
		for _, prefix := range envPrefixes {
			if f, ok := s.lookup(prefix + EnvTokenFile); ok {
				file = f
				break
			}
			if token, ok := s.lookup(prefix + EnvToken); ok {
				s.token = token
				return nil
			}
		}
	}
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read token file: %w", err)
	}
	s.token = strings.TrimSpace(string(data))
	if s.token == "" {
		return fmt.Errorf("token file %s is empty", file)
	}
	return nil
}

// env gives the value of the first prefix under which name is set.
func (s *settings) env(name string) (string, bool) {
	for _, prefix := range envPrefixes {
		if v, ok := s.lookup(prefix + name); ok {
			return v, true
		}
	}
	return "", false
}

// envName gives the full name under which env found its value.
func (s *settings) envName(name string) string {
	for _, prefix := range envPrefixes {
		if _, ok := s.lookup(prefix + name); ok {
			return prefix + name
		}
	}
	return name
}

// lookup treats an empty variable as one that is not set.
func (s *settings) lookup(full string) (string, bool) {
	v, ok := s.getenv(full)
	return v, ok && v != ""
}
