package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// Bounds of what is read. The certificates of all public authorities together are
// about 200 kB.
const (
	maxFileBytes = 4 << 20
	maxCAFiles   = 1000 // in a folder
)

// problem is one thing that is wrong with the files of a block.
type problem struct {
	key string // of the setting, without the block
	why string
}

// file is a file as it was read.
type file struct {
	key  string // of the setting that names it
	path string
	data []byte
	err  error
}

// files are all files of one block, in a fixed order: certificate, key, authorities.
type files []file

// readFiles reads what t names.
func readFiles(t config.TLSListener) files {
	var out files
	for _, one := range []struct{ key, path string }{{"cert_file", t.CertFile}, {"key_file", t.KeyFile}, {"ca_file", t.CAFile}} {
		if one.path != "" {
			out = append(out, readFile(one.key, one.path))
		}
	}
	if t.CAPath != "" {
		out = append(out, readFolder(t.CAPath)...)
	}
	return out
}

func readFile(key, path string) file {
	f := file{key: key, path: path}
	in, err := os.Open(path)
	if err != nil {
		f.err = plainError(err)
		return f
	}
	defer func() { _ = in.Close() }() // it was only read
	switch f.data, err = io.ReadAll(io.LimitReader(in, maxFileBytes+1)); {
	case err != nil:
		f.err = plainError(err)
	case len(f.data) > maxFileBytes:
		f.err = fmt.Errorf("is larger than %d bytes", maxFileBytes)
	}
	return f
}

// plainError is err without the path, which the sentence around it names.
func plainError(err error) error {
	var path *os.PathError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("does not exist")
	case errors.Is(err, os.ErrPermission):
		return errors.New("may not be read by this user")
	case errors.As(err, &path):
		return fmt.Errorf("cannot be read: %w", path.Err)
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// readFolder reads the files of a folder of authorities. Names that begin with a dot
// are left out: folders that are mounted into containers have their versions there.
func readFolder(path string) files {
	entries, err := os.ReadDir(path)
	if err != nil {
		return files{{key: "ca_path", path: path, err: plainError(err)}}
	}
	var out files
	for _, e := range entries {
		full := filepath.Join(path, e.Name())
		if info, err := os.Stat(full); strings.HasPrefix(e.Name(), ".") || err == nil && info.IsDir() {
			continue
		}
		if len(out) == maxCAFiles {
			return append(out, file{key: "ca_path", path: path, err: fmt.Errorf("has more than %d files", maxCAFiles)})
		}
		out = append(out, readFile("ca_path", full))
	}
	if out == nil {
		return files{{key: "ca_path", path: path, err: errors.New("is empty")}}
	}
	return out
}

// sum tells one state of the files from another.
func (fs files) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, f := range fs {
		fmt.Fprintf(h, "%q %d %v\n", f.path, len(f.data), f.err)
		h.Write(f.data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// material is what the files of one block hold. It is never changed.
type material struct {
	sum   [sha256.Size]byte   // of the files it was made from
	cert  *tls.Certificate    // nil without cert_file
	roots *x509.CertPool      // nil without ca_file and ca_path
	chain []*x509.Certificate // cert and what it hangs on, as far as that is known
}

// parse makes material of files; with any problem there is none.
func (fs files) parse() (*material, []problem) {
	var problems []problem
	m := &material{sum: fs.sum()}
	var cert, key *file
	for i := range fs {
		f := &fs[i]
		switch {
		case f.err != nil:
			problems = append(problems, problem{f.key, fmt.Sprintf("%s %v", f.path, f.err)})
		case f.key == "cert_file":
			cert = f
		case f.key == "key_file":
			key = f
		default:
			if m.roots == nil {
				m.roots = x509.NewCertPool()
			}
			if why := f.addTo(m.roots); why != "" {
				problems = append(problems, problem{f.key, f.path + " " + why})
			}
		}
	}
	if cert != nil && key != nil {
		pair, p := parsePair(cert, key)
		if p != nil {
			problems = append(problems, *p)
		}
		m.cert = pair
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if m.cert != nil {
		m.chain = chainOf(m.cert, m.roots)
	}
	return m, nil
}

// addTo puts the certificates of f into pool, or says why that cannot be done.
func (f *file) addTo(pool *x509.CertPool) (why string) {
	n := 0
	for rest := f.data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Sprintf("has a certificate that cannot be read: %v", err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return "holds no certificate in PEM"
	}
	return ""
}

// parsePair makes sure that certificate and key belong together.
func parsePair(cert, key *file) (*tls.Certificate, *problem) {
	if !bytes.Contains(cert.data, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil, &problem{cert.key, cert.path + " holds no certificate in PEM"}
	}
	if !bytes.Contains(key.data, []byte("PRIVATE KEY-----")) {
		return nil, &problem{key.key, key.path + " holds no private key in PEM"}
	}
	pair, err := tls.X509KeyPair(cert.data, key.data)
	if err != nil {
		why := strings.TrimPrefix(err.Error(), "tls: ")
		return nil, &problem{key.key, fmt.Sprintf("%s and %s do not make a pair: %s", cert.path, key.path, why)}
	}
	return &pair, nil
}

// chainOf is the certificate with the intermediate ones of its file and the
// authority it comes from, if roots has it. When there are several ways up, it is the one
// that lasts longest.
func chainOf(pair *tls.Certificate, roots *x509.CertPool) []*x509.Certificate {
	own := []*x509.Certificate{pair.Leaf}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // else it is of no use to the other side either
			own = append(own, c)
			between.AddCert(c)
		}
	}
	if roots == nil {
		return own
	}
	chains, err := pair.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		CurrentTime: pair.Leaf.NotBefore.Add(1), // whether it has expired meanwhile is not the question here
	})
	if err != nil {
		return own
	}
	best := chains[0]
	for _, c := range chains[1:] {
		if firstToExpire(c).NotAfter.After(firstToExpire(best).NotAfter) {
			best = c
		}
	}
	return best
}

// firstToExpire is that certificate of a chain, which has at least one.
func firstToExpire(chain []*x509.Certificate) *x509.Certificate {
	first := chain[0]
	for _, c := range chain[1:] {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	return first
}
