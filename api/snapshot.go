package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Snapshot saves and restores the whole state of a cluster. It is a view of a
// [Client]; copies are free.
type Snapshot struct{ c *Client }

// Snapshot gives access to snapshots.
func (c *Client) Snapshot() Snapshot { return Snapshot{c} }

// Save writes a snapshot archive to w while its hashes are checked. When it fails,
// what w has got is of no use: ErrSnapshot when the archive was not whole. With
// [Stale] any server answers, even without a leader.
//
// The archive holds everything, tokens included: keep it as safe as the servers'
// disks.
func (s Snapshot) Save(ctx context.Context, w io.Writer, opts ...ReadOption) (SnapshotInfo, error) {
	res, err := s.c.call(ctx, newRequest(http.MethodGet, "/v1/snapshot").reads(opts))
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("save snapshot: %w", err)
	}
	defer closeBody(res)
	// The check reads the answer, and what it reads is written.
	info, err := VerifySnapshot(io.TeeReader(res.Body, w))
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("save snapshot: %w", err)
	}
	return info, nil
}

// Restore replaces the whole state of the cluster by the archive in r. Everything
// that was written since the snapshot was taken is lost. The server checks the
// archive before it changes anything. The size in bytes may be -1 when it is not
// known.
func (s Snapshot) Restore(ctx context.Context, r io.Reader, size int64, opts ...CallOption) error {
	req := newRequest(http.MethodPut, "/v1/snapshot").calls(opts)
	req.body, req.size = r, size
	res, err := s.c.call(ctx, req)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	closeBody(res)
	return nil
}
