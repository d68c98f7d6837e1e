package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/backup"
)

// newSnapshotCommand holds the commands on snapshots.
func newSnapshotCommand() *cobra.Command {
	return group("snapshot", "Save, look into and restore the state of the whole cluster",
		newSnapshotAgentCommand(),
		newSnapshotInspectCommand(),
		newSnapshotRestoreCommand(),
		newSnapshotSaveCommand(),
	)
}

func newSnapshotSaveCommand() *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use:   "save [flags] FILE",
		Short: "Save the state of the whole cluster to a file",
		Long: `Save a snapshot: keys, history, sessions, everything the servers agree on. Its hashes are
checked while it arrives, and FILE appears only when all of it has. It holds secrets if the
store does: it is created for its owner alone.`,
		Example:     "  holdfast snapshot save backup.snap\n  holdfast snapshot save -stale backup.snap     # also without a leader",
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, noTimeout)
	out := prints(c)
	c.Flags().BoolVar(&quiet, "quiet", false, "Show no progress.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 1, "FILE"); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		bar := newProgress(c.ErrOrStderr(), quiet, "Saving", -1, true)
		info, err := saveSnapshot(ctx, client, args[0], bar, conn.reads())
		bar.finish()
		if err != nil {
			return err
		}
		return out.print(info, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "Saved and verified snapshot to index %d\n", info.Index)
			return err
		})
	}
	return c
}

// saveSnapshot writes to a file beside path that takes its place at the end, so that
// what is at path is whole at any time, also after a crash.
func saveSnapshot(ctx context.Context, client *api.Client, path string, bar io.Writer, opts []api.ReadOption) (info api.SnapshotInfo, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return info, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error before it is the one that matters
		}
	}()
	info, err = client.Snapshot().Save(ctx, io.MultiWriter(f, bar), opts...)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return info, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return info, err
	}
	return info, backup.SyncFolder(filepath.Dir(path))
}

func newSnapshotInspectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:         "inspect [flags] FILE",
		Short:       "Check a snapshot file and show what it says about itself",
		Long:        "Check that a snapshot file is whole, hashes included, and show its index. No server is asked.",
		Example:     "  holdfast snapshot inspect backup.snap",
		Annotations: exits(""),
	}
	out := prints(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := operands(args, 1, "FILE"); err != nil {
			return err
		}
		info, err := inspectSnapshot(args[0])
		if err != nil {
			return err
		}
		return out.print(info, func(w io.Writer) error { return writeSnapshotInfo(w, info) })
	}
	return c
}

// inspectSnapshot checks a file.
func inspectSnapshot(path string) (info api.SnapshotInfo, err error) {
	f, err := os.Open(path)
	if err != nil {
		return info, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err = api.VerifySnapshot(f); err != nil {
		return info, fmt.Errorf("inspect %s: %w", path, err)
	}
	return info, nil
}

func writeSnapshotInfo(w io.Writer, info api.SnapshotInfo) error {
	for _, row := range [][2]string{
		{"ID", info.ID},
		{"Size", strconv.FormatInt(info.Size, 10)},
		{"Index", strconv.FormatUint(info.Index, 10)},
		{"Term", strconv.FormatUint(info.Term, 10)},
		{"Version", strconv.Itoa(info.Version)},
	} {
		if _, err := fmt.Fprintf(w, "%-10s%s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

func newSnapshotRestoreCommand() *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use:   "restore [flags] FILE",
		Short: "Replace the state of the whole cluster by a snapshot file",
		Long: `Replace everything in the cluster by what a snapshot file holds. What was written since it
was taken is lost. The file is checked before it is sent and again by the servers before
anything changes.`,
		Example:     "  holdfast snapshot restore backup.snap",
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, noTimeout)
	out := prints(c)
	c.Flags().BoolVar(&quiet, "quiet", false, "Show no progress.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 1, "FILE"); err != nil {
			return err
		}
		if _, err := out.chosen(); err != nil {
			return err
		}
		info, err := inspectSnapshot(args[0])
		if err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		if err := restoreSnapshot(ctx, client, args[0], c.ErrOrStderr(), quiet); err != nil {
			return err
		}
		return out.print(info, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, "Restored snapshot")
			return err
		})
	}
	return c
}

// restoreSnapshot sends a file.
func restoreSnapshot(ctx context.Context, client *api.Client, path string, stderr io.Writer, quiet bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	bar := newProgress(stderr, quiet, "Restoring", stat.Size(), true)
	defer bar.finish()
	return client.Snapshot().Restore(ctx, io.TeeReader(f, bar), stat.Size())
}
