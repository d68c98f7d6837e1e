package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
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
	f, err := os.CreateTemp(c.s.opts.Snapshots.ScratchDir(), "restore-*")
	if err != nil {
		return fmt.Errorf("keep the archive while it is checked: %w", err)
	}
	defer func() {
		_ = errors.Join(f.Close(), os.Remove(f.Name())) // a file of ours that nobody reads any more
	}()
	check := func(r io.Reader) (*fsm.Loaded, error) { return nil, fsm.CheckSnapshot(r) }
	if done, ok := c.s.opts.Snapshots.MayLoad(); ok {
		defer done()
		check = fsm.LoadSnapshot
	}
	meta, size, loaded, err := c.receive(f, check)
	if err != nil {
		return err
	}
	// It may have been sent for a long time.
	if err := c.needFresh(acl.ResourceACL, acl.AccessWrite, ""); err != nil {
		return err
	}
	if err := c.s.opts.Snapshots.Restore(c.r.Context(), meta, size, f, loaded); err != nil {
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

// receive reads the archive in the body, keeps its state in f, has it checked on the way,
// and leaves f at its beginning.
func (c *call) receive(f *os.File, check func(io.Reader) (*fsm.Loaded, error)) (meta SnapshotMeta, size int64, loaded *fsm.Loaded, err error) {
	body := &steadyReader{r: c.r.Body, deadline: *http.NewResponseController(c.w), pause: c.s.settings.Load().BodyTimeout}
	l := c.leash(func(error) { body.interrupt() })
	var broken error // what is wrong with the state; counts when the archive is what was saved
	m, err := throughArchive(body, func(state io.Reader) error {
		kept := &keepingReader{r: state, w: &carefulWriter{w: f, writable: c.s.opts.Snapshots.Writable}}
		loaded, broken = check(kept)
		n, err := io.Copy(io.Discard, kept)
		if broken == nil && n > 0 {
			broken = errors.New("something follows the state") // check has read to the end
		}
		size = kept.n
		return err
	})
	if refused, _ := l.release(); refused != nil {
		c.refused = &steadyReader{r: c.r.Body, deadline: body.deadline, pause: body.pause}
		c.w.Header()["Connection"] = []string{"close"}
		return meta, 0, nil, refused
	}
	if err != nil {
		return meta, 0, nil, serverError(err.Error())
	}
	body.disarm()
	if broken != nil {
		return meta, 0, nil, serverError("failed to read snapshot file: " + broken.Error())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return meta, 0, nil, fmt.Errorf("read the archive again: %w", err)
	}
	return SnapshotMeta{ID: m.ID, Index: m.Index, Term: m.Term, ConfigurationIndex: m.ConfigurationIndex}, size, loaded, nil
}

// keepingReader writes what is read from it to w. The first error of either is that of
// all further reads.
type keepingReader struct {
	r   io.Reader
	w   io.Writer
	n   int64
	err error
}

func (k *keepingReader) Read(p []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.r.Read(p)
	if n > 0 {
		if _, werr := k.w.Write(p[:n]); werr != nil {
			k.err = werr
			return 0, werr
		}
		k.n += int64(n)
	}
	k.err = err
	return n, err
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

// carefulWriter writes to a file as long as the disk has room for more than that.
type carefulWriter struct {
	w        io.Writer
	writable func() error
	since    int // bytes since it was asked
}

// careAfter is how much is written before it is asked again.
const careAfter = 8 << 20

func (c *carefulWriter) Write(p []byte) (int, error) {
	if c.since += len(p); c.since > careAfter {
		c.since = 0
		if err := c.writable(); err != nil {
			return 0, err
		}
	}
	return c.w.Write(p)
}
