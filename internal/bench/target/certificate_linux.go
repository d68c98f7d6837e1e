package target

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/holdfast-kv/holdfast/internal/certs"
)

// writeCertificate makes a certificate for 127.0.0.1 that outlives any run.
func writeCertificate(certFile, keyFile string) error {
	now := time.Now()
	valid := certs.Validity{From: now.Add(-time.Hour), Until: now.Add(24 * time.Hour)}
	authority, err := certs.NewAuthority(certs.AuthorityRequest{Name: "bench", Validity: valid})
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	pair, err := authority.Issue(certs.Request{Name: "bench", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Validity: valid})
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return errors.Join(os.WriteFile(certFile, pair.Cert, 0o600), os.WriteFile(keyFile, pair.Key, 0o600))
}
