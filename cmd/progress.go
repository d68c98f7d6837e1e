package cmd

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// reportEvery is how often progress is told where there is no terminal.
const reportEvery = 10 * time.Second

// progress tells how far long work has come: a bar on a terminal, a line every ten
// seconds elsewhere, nothing when it is quiet.
type progress struct {
	bar *progressbar.ProgressBar // nil where there is no terminal

	w     io.Writer // nil when quiet or on a terminal
	what  string
	total int64 // -1 when it is not known
	bytes bool  // what is counted are bytes
	now   func() time.Time

	done int64
	next time.Time
}

// newProgress starts telling. The total may be -1 when it is not known.
func newProgress(w io.Writer, quiet bool, what string, total int64, bytes bool) *progress {
	p := &progress{what: what, total: total, bytes: bytes, now: time.Now}
	switch {
	case quiet:
	case isTerminal(w):
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(bytes),
			progressbar.OptionShowCount(),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own
			progressbar.OptionClearOnFinish(),
		)
	default:
		p.w = w
		p.next = p.now().Add(reportEvery)
	}
	return p
}

// add counts n more.
func (p *progress) add(n int) {
	p.done += int64(n)
	if p.bar != nil {
		_ = p.bar.Add(n) // a bar that cannot be drawn is no reason to stop
		return
	}
	if p.w == nil || p.now().Before(p.next) {
		return
	}
	p.next = p.now().Add(reportEvery)
	fmt.Fprintf(p.w, "%s: %s\n", p.what, p.text())
}

// text is how far the work has come.
func (p *progress) text() string {
	unit := ""
	if p.bytes {
		unit = " bytes"
	}
	if p.total < 0 {
		return fmt.Sprintf("%d%s", p.done, unit)
	}
	return fmt.Sprintf("%d of %d%s", p.done, p.total, unit)
}

// finish removes the bar.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish() // as in add
	}
}

// Write counts bytes that pass by, for io.TeeReader and io.MultiWriter.
func (p *progress) Write(b []byte) (int, error) {
	p.add(len(b))
	return len(b), nil
}
