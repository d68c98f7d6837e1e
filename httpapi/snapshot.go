package httpapi

import (
	"fmt"
	"io"
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
)

var typeArchive = []string{"application/x-gzip"}

// snapshotSave answers GET /v1/snapshot with an archive, as a stream.
//
// Source: contract, snapshot, section 6.
func (c *call) snapshotSave() error {
	mode, err := c.consistency()
	if err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	contact := c.s.node.Contact()
	if mode != Stale {
		if !contact.KnownLeader { // not held, unlike other reads
			return ErrNoLeader
		}
		if contact, err = c.s.node.ReadIndex(c.r.Context(), Consistent); err != nil {
			return err
		}
	}
	snap := c.s.node.Store().Snapshot()
	if err := c.need(acl.ResourceACL, acl.AccessWrite, ""); err != nil {
		return err
	}
	meta, err := c.s.opts.Snapshots.SnapshotMeta(snap)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h["Content-Type"] = typeArchive
	setIndex(h, meta.Index)
	setContact(h, contact)
	c.status = http.StatusOK
	if c.r.Method == http.MethodHead {
		return nil
	}
	l := c.leash(nil)
	err = writeArchive(&steadyWriter{c.w, l}, meta, snap)
	switch refused, began := l.release(); {
	case refused != nil && !began:
		return refused
	case refused != nil && err != nil:
		c.cutOff(refused)
	case err != nil:
		if c.r.Context().Err() == nil {
			c.s.log.Warn("snapshot was not sent to its end", "error", err)
		}
		panic(http.ErrAbortHandler) // so that the client sees that it is cut off
	}
	return nil
}

// snapshotRestore answers PUT /v1/snapshot. The archive is read to its end and
// checked before anything is changed.
func (c *call) snapshotRestore() error {
	mode, err := c.consistency()
	if err != nil {
		return err
	}
	if mode == Stale {
		return serverError("stale not allowed for restore")
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.needFresh(acl.ResourceACL, acl.AccessWrite, ""); err != nil {
		return err
	}
	if err := c.s.opts.Snapshots.Writable(); err != nil {
		return err
	}
	kept, err := c.s.opts.Snapshots.Keep()
	if err != nil {
		return fmt.Errorf("keep the archive while it is checked: %w", err)
	}
	defer kept.Discard()
	meta, err := c.receive(kept)
	if err != nil {
		return err
	}
	// It may have been sent for a long time.
	if err := c.needFresh(acl.ResourceACL, acl.AccessWrite, ""); err != nil {
		return err
	}
	if err := c.s.opts.Snapshots.Restore(c.r.Context(), meta, kept, c.granted()); err != nil {
		return err
	}
	// Who asked after the state had been replaced and before the log said so did
	// not know that his index was an old one.
	c.s.node.Store().Hub().Reset()
	h := c.w.Header()
	h["Content-Type"] = []string{"application/octet-stream"}
	h["Content-Length"] = headerZero
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// receive reads the archive in the body to its end, has its state kept and checks it all.
func (c *call) receive(kept Kept) (SnapshotMeta, error) {
	body := &steadyReader{r: c.r.Body, deadline: *http.NewResponseController(c.w), pause: c.s.settings.Load().BodyTimeout}
	l := c.leash(func(error) { body.interrupt() })
	var broken error // what is wrong with the state; counts when the archive is what was saved
	m, err := throughArchive(body, func(state io.Reader) (err error) {
		broken, err = kept.Take(state)
		return err
	})
	if refused, _ := l.release(); refused != nil {
		c.refused = &steadyReader{r: c.r.Body, deadline: body.deadline, pause: body.pause}
		c.w.Header()["Connection"] = []string{"close"}
		return SnapshotMeta{}, refused
	}
	if err != nil {
		return SnapshotMeta{}, serverError(err.Error())
	}
	body.disarm()
	if broken != nil {
		return SnapshotMeta{}, serverError("failed to read snapshot file: " + broken.Error())
	}
	return SnapshotMeta{ID: m.ID, Index: m.Index, Term: m.Term, ConfigurationIndex: m.ConfigurationIndex}, nil
}

// steadyWriter writes to a client that must keep reading, and keep the right to it.
type steadyWriter struct {
	w io.Writer
	l *leash
}

func (s *steadyWriter) Write(p []byte) (int, error) {
	if err := s.l.bound(writeTimeout); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
