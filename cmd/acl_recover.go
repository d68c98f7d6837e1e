package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// resetFile is where a server looks for the permission to bootstrap once more.
const resetFile = "acl-bootstrap-reset"

func newACLRecoverCommand() *cobra.Command {
	v := newACLVerb("recover -data-dir=DIR [flags]", "Make a new token that may do everything, after the last one was lost",
		`Make another first token, on the host of a server that runs, as the user whose files the
server's are, or as root. Who can write there has the whole state anyway: no token is
needed. The file `+resetFile+` in the data directory tells the server that this is allowed,
once; the server removes it. Tokens that exist stay as they are: delete those that were
stolen, with the new one.

The server is the one that -http-addr names, 127.0.0.1:8500 if nothing does.`,
		"  sudo -u holdfast holdfast acl recover -data-dir=/var/lib/holdfast").prints()
	var dir string
	v.c.Flags().StringVar(&dir, "data-dir", "", "The data `directory` of the server.")
	return v.does(func(ctx context.Context, client *api.Client) error {
		if err := checkDataDir(dir); err != nil {
			return err
		}
		token, err := recoverACLs(ctx, client, filepath.Join(dir, resetFile))
		if err != nil {
			return err
		}
		return v.print(token, func(b *strings.Builder) { writeToken(b, token, false) })
	}, v.requires("data-dir"))
}

// checkDataDir refuses a directory in which the server would not find the file, or not
// be able to remove it.
func checkDataDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return notOwner(dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	_, err = os.Stat(filepath.Join(dir, "raft"))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return notOwner(dir)
	case errors.Is(err, fs.ErrNotExist):
		return &hintError{
			err: fmt.Errorf("%s is not the data directory of a server: there is no folder raft in it", dir),
			try: "the value of data_dir in the server's configuration",
		}
	case err != nil:
		return err
	}
	if uid, known := ownerOf(info); known && os.Geteuid() != 0 && uid != os.Geteuid() {
		return notOwner(dir)
	}
	return nil
}

func notOwner(dir string) error {
	return &hintError{
		err: fmt.Errorf("%s belongs to another user: %w", dir, fs.ErrPermission),
		try: "the same as the user that the server runs as, or as root",
	}
}

// resetIndex finds the number that allows another bootstrap in the refusal of one.
//
// Source: contract, ACL API, section 1.
var resetIndex = regexp.MustCompile(`reset index: (\d+)\)`)

// recoverACLs asks for a first token and, when that was done before, allows it in file
// and asks once more. The file is gone when it returns.
func recoverACLs(ctx context.Context, client *api.Client, file string) (token *api.ACLToken, err error) {
	token, err = client.ACL().Bootstrap(ctx, "", api.Token(""))
	if err == nil {
		return token, nil // nobody had done it
	}
	index, found := indexIn(err)
	if !found {
		return nil, aclError(err, "Failed ACL bootstrapping")
	}
	if err := writeReset(file, index); err != nil {
		return nil, err
	}
	defer func() {
		if failed := os.Remove(file); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}()
	token, err = client.ACL().Bootstrap(ctx, "", api.Token(""))
	if again, known := indexIn(err); known && again == index {
		return nil, &hintError{
			err: fmt.Errorf("the server at %s did not find %s", client.Address(), file),
			why: "the server that answers there keeps its data elsewhere",
			try: "-data-dir and -http-addr of the same server",
		}
	}
	return token, aclError(err, "Failed ACL bootstrapping")
}

// indexIn finds the index that a refusal names.
func indexIn(err error) (uint64, bool) {
	var status *api.StatusError
	if !errors.As(err, &status) {
		return 0, false
	}
	found := resetIndex.FindStringSubmatch(status.Body)
	if found == nil {
		return 0, false
	}
	index, err := strconv.ParseUint(found[1], 10, 64)
	return index, err == nil
}

// writeReset writes the file for its owner alone. The owner is that of the directory, so
// that the server can read what root has written.
func writeReset(file string, index uint64) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+resetFile+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, index)
	if err = errors.Join(err, f.Close()); err == nil {
		err = giveToOwner(f.Name(), filepath.Dir(file))
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error before it is the one that matters
	}
	return err
}
