package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// File says where an audit log lies and when it begins anew.
type File struct {
	Path string

	RotateBytes    int64         // 0: never for its size
	RotateDuration time.Duration // 0: never for its age
	RotateMaxFiles int           // of those put away; 0: all are kept
}

const (
	fileMode   = 0o600 // who did what is not for everybody
	folderMode = 0o700

	// stamp is between name and extension of a file that was put away. It sorts by
	// time.
	stamp = "20060102T150405.000000000Z"
)

// fileSink is a file that begins anew when it is too large or too old. Only Run
// touches it, and before that Open.
type fileSink struct {
	conf File
	now  func() time.Time
	log  hclog.Logger

	file   *os.File // nil when it could not be opened, or what is in it is not certain
	size   int64    // of what is certainly in it
	since  time.Time
	end    chain  // where the chain was when it was opened
	before string // name of the file before, when this one was empty
	torn   int    // bytes of half a line in it, which the next line must admit
	ended  bool   // its last byte is a line end, or there is none
}

// openFile opens the file and finds the end of the chain: in it, or in the last one
// that was put away.
func openFile(conf File, now func() time.Time, log hclog.Logger) (*fileSink, error) {
	if err := os.MkdirAll(filepath.Dir(conf.Path), folderMode); err != nil {
		return nil, err
	}
	f := &fileSink{conf: conf, now: now, log: log}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, f.findEnd()
}

// findEnd finds the end of the chain, once the file is open.
func (f *fileSink) findEnd() error {
	f.end, f.torn, f.ended, f.before = chain{}, 0, true, ""
	name := f.conf.Path
	if f.size == 0 {
		old, err := f.putAway()
		if err != nil || len(old) == 0 {
			return err
		}
		name = old[len(old)-1]
		f.before = filepath.Base(name)
	}
	end, torn, ended, err := endOf(name)
	if err != nil {
		return errors.Join(err, f.close())
	}
	f.end = end
	if f.size > 0 {
		f.torn, f.ended = torn, ended
	}
	return nil
}

func (f *fileSink) open() error {
	file, err := os.OpenFile(f.conf.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&^fileMode != 0 {
		err = file.Chmod(fileMode)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size, f.since = file, info.Size(), f.now()
	if f.size > 0 {
		f.since = info.ModTime()
	}
	return nil
}

// endOf finds the last line of a file, how many bytes of half a line stand behind it,
// and whether the file ends with a line end. The error also says that the last line is
// none of ours: to go on would hide that somebody was there.
func endOf(name string) (end chain, torn int, ended bool, err error) {
	file, err := os.Open(name)
	if err != nil {
		return chain{}, 0, false, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return chain{}, 0, false, err
	}
	from := max(0, info.Size()-2*limit.AuditLineBytes)
	text, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return chain{}, 0, false, err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	rest := text[len(whole):]
	if l, err := readLine(rest); err == nil { // only its end is missing
		return chain{l.n, l.hash}, 0, false, nil
	}
	ended = len(rest) == 0
	whole = bytes.TrimSuffix(whole, []byte("\n"))
	last := whole[bytes.LastIndexByte(whole, '\n')+1:]
	if len(last) == 0 {
		return chain{}, len(rest), ended, nil
	}
	l, err := readLine(last)
	if err != nil {
		return chain{}, 0, false, fmt.Errorf("%s: the last line is not as it was written (%w): look into it, and move the file away to begin a new chain", name, err)
	}
	return chain{l.n, l.hash}, len(rest), ended, nil
}

// write adds lines, or none. Half a line that stands in the file is ended; the first
// of the lines must admit it.
func (f *fileSink) write(lines [][]byte) (int, error) {
	if f.file == nil {
		return 0, os.ErrClosed
	}
	var all []byte
	if !f.ended {
		all = append(all, '\n')
	}
	for _, line := range lines {
		all = append(all, line...)
	}
	n, err := f.file.Write(all)
	if err != nil {
		f.undo()
		return 0, err
	}
	f.size += int64(n)
	f.torn, f.ended = 0, true
	return len(lines), nil
}

// undo takes back what a failed write has left. When that fails too, the file is
// closed, to be looked at anew.
func (f *fileSink) undo() {
	if err := f.file.Truncate(f.size); err != nil {
		f.log.Warn("what is left of an audit line cannot be taken back", "error", err)
		f.drop()
	}
}

// drop closes the file of which it is not certain what is in it.
func (f *fileSink) drop() {
	_ = f.file.Close() // it failed before
	f.file = nil
}

func (f *fileSink) sync() error {
	if f.file == nil {
		return os.ErrClosed
	}
	if err := f.file.Sync(); err != nil {
		f.drop() // nobody knows what reached the disk
		return err
	}
	return nil
}

func (f *fileSink) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// reopen opens the file that has the name now.
func (f *fileSink) reopen() error {
	if f.file != nil {
		if err := errors.Join(f.file.Sync(), f.close()); err != nil {
			return err
		}
	}
	if err := f.open(); err != nil {
		return err
	}
	return f.findEnd()
}

// due tells whether another file has to be begun for so many bytes more.
func (f *fileSink) due(more int) bool {
	if f.file == nil || f.size == 0 {
		return false
	}
	bySize := f.conf.RotateBytes > 0 && f.size+int64(more) > f.conf.RotateBytes
	byAge := f.conf.RotateDuration > 0 && f.now().Sub(f.since) >= f.conf.RotateDuration
	return bySize || byAge
}

// rotate puts the file away under the time, begins the next one and removes those that
// are too many. When the file cannot be put away it goes on in it.
func (f *fileSink) rotate() error {
	if err := errors.Join(f.file.Sync(), f.close()); err != nil {
		return err
	}
	stem, ext := f.stem()
	away := stem + "-" + f.now().UTC().Format(stamp) + ext
	if _, err := os.Lstat(away); err == nil { // the clock was set back; never replace one
		return fmt.Errorf("put the audit log away: %s exists", away)
	}
	if err := os.Rename(f.conf.Path, away); err != nil {
		return err
	}
	if err := f.open(); err != nil {
		return err
	}
	f.before = filepath.Base(away)
	if err := syncFolder(filepath.Dir(f.conf.Path)); err != nil {
		return err
	}
	return f.prune()
}

// prune removes the oldest files that were put away, beyond how many are kept.
func (f *fileSink) prune() error {
	if f.conf.RotateMaxFiles <= 0 {
		return nil
	}
	old, err := f.putAway()
	if err != nil {
		return err
	}
	for _, name := range old[:max(len(old)-f.conf.RotateMaxFiles, 0)] {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.log.Warn("old audit log cannot be removed", "error", err)
		}
	}
	return nil
}

func (f *fileSink) stem() (stem, ext string) {
	ext = filepath.Ext(f.conf.Path)
	return strings.TrimSuffix(f.conf.Path, ext), ext
}

// putAway lists the files that were put away, oldest first. Others whose names look
// like it are left alone.
func (f *fileSink) putAway() ([]string, error) {
	stem, ext := f.stem()
	entries, err := os.ReadDir(filepath.Dir(f.conf.Path))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(stem)+"-")
		if !ok {
			continue
		}
		if rest, ok = strings.CutSuffix(rest, ext); !ok {
			continue
		}
		if _, err := time.Parse(stamp, rest); err == nil && e.Type().IsRegular() {
			names = append(names, filepath.Join(filepath.Dir(f.conf.Path), e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// syncFolder makes new names in a folder survive a loss of power.
func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
