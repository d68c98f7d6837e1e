package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/backup"
)

func newLoginCommand() *cobra.Command {
	v := newACLVerb("login [flags]", "Get a token for a credential of somebody else",
		`Get a token from an auth method, and write its secret to a file, for its owner alone and
without a newline. The method knows who you are by the bearer token in a file or, with
-type=cert, by the certificate of -client-cert. "holdfast logout" deletes the token.`,
		`  holdfast login -method=ci -bearer-token-file=ci.jwt -token-sink-file=holdfast.token
  HOLDFAST_HTTP_TOKEN_FILE=holdfast.token holdfast kv get app/motd
  HOLDFAST_HTTP_TOKEN_FILE=holdfast.token holdfast logout`)
	var (
		login            api.Login
		kind             string
		bearerFile, sink string
		meta             []string
	)
	fs := v.c.Flags()
	fs.StringVar(&login.AuthMethod, "method", "", "The `name` of the auth method.")
	fs.StringVar(&kind, "type", "", "The `type` of the auth method; cert shows the client's certificate in place of a bearer token.")
	fs.StringVar(&bearerFile, "bearer-token-file", "", "The `file` with what the method verifies.")
	fs.StringVar(&sink, "token-sink-file", "", "The `file` that the secret of the token is written to.")
	fs.StringArrayVar(&meta, "meta", nil, "A KEY=VALUE `pair` for the description of the token; may be given several times.")
	check := func() error {
		if kind != "cert" && bearerFile == "" {
			return usagef("Missing required '-bearer-token-file' flag")
		}
		for _, pair := range meta {
			key, value, found := strings.Cut(pair, "=")
			if !found || key == "" {
				return usagef("-meta: %q is not of the form KEY=VALUE", pair)
			}
			if login.Meta == nil {
				login.Meta = map[string]string{}
			}
			login.Meta[key] = value
		}
		return nil
	}
	return v.does(func(ctx context.Context, client *api.Client) error {
		if bearerFile != "" {
			bearer, err := readFile(bearerFile, maxRulesBytes)
			if err != nil {
				return err
			}
			if login.BearerToken = strings.TrimSpace(string(bearer)); login.BearerToken == "" {
				return usagef("No bearer token found in %s", bearerFile)
			}
		}
		token, err := client.ACL().Login(ctx, login)
		if err != nil {
			return aclError(err, "Error logging in")
		}
		return writeSecret(sink, token.SecretID)
	}, v.requires("method", "token-sink-file"), check)
}

// writeSecret puts a secret into a file that only its owner can read, whole or not at
// all. What was there goes.
func writeSecret(path, secret string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error before it is the one that matters
		return err
	}
	return backup.SyncFolder(filepath.Dir(path))
}

func newLogoutCommand() *cobra.Command {
	v := newACLVerb("logout [flags]", "Delete the token of a login",
		"Delete the token in use, which must come from a login.",
		"  HOLDFAST_HTTP_TOKEN_FILE=holdfast.token holdfast logout")
	return v.does(func(ctx context.Context, client *api.Client) error {
		if err := client.ACL().Logout(ctx); err != nil {
			return aclError(err, "Error destroying token")
		}
		return nil
	})
}
