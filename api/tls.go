package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// config turns the settings into what crypto/tls takes. Files are read once.
func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, fmt.Errorf("a client certificate needs both a certificate and a key")
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load client certificate %s: %w", t.CertFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	files, err := t.authorityFiles()
	if err != nil || len(files) == 0 {
		return config, err
	}
	config.RootCAs = x509.NewCertPool()
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read authority: %w", err)
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority file %s holds no PEM certificate", file)
		}
	}
	return config, nil
}

// authorityFiles lists CAFile and every file in CAPath.
func (t TLS) authorityFiles() ([]string, error) {
	var files []string
	if t.CAFile != "" {
		files = append(files, t.CAFile)
	}
	if t.CAPath == "" {
		return files, nil
	}
	entries, err := os.ReadDir(t.CAPath)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	for _, entry := range entries {
		// Folders that are mounted into containers have their versions behind such names.
		if !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			files = append(files, filepath.Join(t.CAPath, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("authority folder %s is empty", t.CAPath)
	}
	return files, nil
}
