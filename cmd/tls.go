package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/internal/certs"
)

// newTLSCommand holds the commands that make certificates. They write files and speak
// to no server; flags, files and output are those of consul tls.
func newTLSCommand() *cobra.Command {
	return group("tls", "Make an authority of your own, and certificates",
		group("ca", "Make an authority", newCACreateCommand()),
		group("cert", "Make certificates", newCertCreateCommand()),
	)
}

// clockSkew is how long before now a certificate begins, for hosts whose clock is
// behind.
const clockSkew = 5 * time.Minute

// maxDays bounds how long a certificate may be asked to live.
const maxDays = 100 * 365

// validity is the time from now for some days.
func validity(days int, now time.Time) (certs.Validity, error) {
	if days < 1 || days > maxDays {
		return certs.Validity{}, usagef("-days=%d: want 1 to %d", days, maxDays)
	}
	return certs.Validity{From: now.Add(-clockSkew), Until: now.AddDate(0, 0, days)}, nil
}

// nameForm is what may be part of the name of a file and of a certificate.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_-])?$`)

func checkNameFlag(flag, value string) error {
	if !nameForm.MatchString(value) {
		return usagef("-%s=%q: want letters, digits, -, _ and dots in between", flag, value)
	}
	return nil
}

// savePair writes a certificate, readable to all, and its key, readable to the owner.
// It never replaces a file: the error is fs.ErrExist then, and nothing is left behind.
func savePair(certFile, keyFile string, p certs.Pair) (err error) {
	if err := saveNew(keyFile, p.Key, 0o600); err != nil {
		return err
	}
	if err := saveNew(certFile, p.Cert, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

// saveNew writes a file that must not exist yet.
func saveNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w, and is not overwritten", name, errExists)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(name))
	}
	return nil
}

// errExists says that a file is there already.
var errExists = errors.New("it exists already")
