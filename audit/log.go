package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// ErrUnwritable says that there is no line, and so there shall be no deed.
var ErrUnwritable = errors.New("the audit log cannot be written")

// Options say where an audit log is written and what holds when it cannot be.
type Options struct {
	Sink string // SinkFile, SinkStdout or SinkSyslog
	File File   // of SinkFile

	// Refuse wants a line on the device before each deed; see [Log.Commit].
	Refuse bool

	// Sync makes Commit wait until the disk says that the line is on it, not only
	// until the operating system has it.
	Sync bool

	Server string // named in each line
	Log    hclog.Logger
	Now    func() time.Time

	sink sink // a test's
}

// Sinks are the kinds of devices.
const (
	SinkFile   = "file"
	SinkStdout = "stdout"
	SinkSyslog = "syslog"
)

// A sink is a device that takes lines.
type sink interface {
	// write adds lines, each with its line end, and returns how many are certainly
	// on the device. None of the others is, or the next one to be written admits
	// that there is half of one.
	write(lines [][]byte) (int, error)

	// sync waits until what was written survives a loss of power.
	sync() error

	close() error
}

// Log is the audit log of one server. Goroutines may share it.
type Log struct {
	opts   Options
	sink   sink
	file   *fileSink     // the sink, when it is a file
	most   int           // bytes of an event from which it is told in several lines; 0: any
	wake   chan struct{} // of capacity 1: something waits, or the file shall be opened anew
	reopen atomic.Bool

	mu      sync.Mutex
	waiting []entry // guarded by mu
	size    int     // bytes of the events in waiting; guarded by mu
	dropped uint64  // lines that found no room since the last one was written; guarded by mu
	failing error   // the device does not work; guarded by mu
	closed  bool    // guarded by mu

	chain chain // Run's, and before it Open's

	lines, lostLines, failures atomic.Uint64
}

// linkBytes is how much a line is longer than its event, about.
const linkBytes = 180

// retryBytes is how much is written at once to a device that did not work before.
const retryBytes = 16 << 10

// An entry is an event on its way to the device.
type entry struct {
	event []byte
	done  chan error // of capacity 1; nil when nobody waits
}

// Open opens the device and finds where the chain goes on. Nothing is written before
// Run. The error says what is wrong with the device.
func Open(opts Options) (*Log, error) {
	l := &Log{opts: opts, sink: opts.sink, wake: make(chan struct{}, 1)}
	if l.sink == nil {
		var err error
		if l.sink, l.chain, err = openSink(&opts); err != nil {
			return nil, fmt.Errorf("open the audit log: %w", err)
		}
	}
	l.file, _ = l.sink.(*fileSink)
	if opts.Sink == SinkSyslog {
		l.most = limit.AuditSyslogBytes
	}
	first := &Event{Kind: start}
	if l.file != nil {
		first.File = l.file.before
	}
	l.Note(first)
	return l, nil
}

func openSink(opts *Options) (sink, chain, error) {
	switch opts.Sink {
	case SinkFile:
		f, err := openFile(opts.File, opts.Now, opts.Log)
		if err != nil {
			return nil, chain{}, err
		}
		return f, f.end, nil
	case SinkStdout:
		return newStdout(), chain{}, nil
	case SinkSyslog:
		s, err := openSyslog(opts.Now, syslogPlaces...)
		return s, chain{}, err
	}
	return nil, chain{}, fmt.Errorf("there is no sink %q", opts.Sink)
}

// Refuses tells whether there is to be no deed without a line.
func (l *Log) Refuses() bool { return l.opts.Refuse }

// Ready returns nil unless the device is known not to work and no deed is to be done
// without a line; then it is ErrUnwritable.
func (l *Log) Ready() error {
	if !l.opts.Refuse {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing != nil || l.closed {
		return ErrUnwritable
	}
	return nil
}

// Note leaves a line to be written soon. When there is no room for it, it is counted.
func (l *Log) Note(e *Event) { l.add(e, nil) }

// Commit returns when the line is on the device, with an error when it is not: an
// ErrUnwritable, or that of the context. With the latter, and where the device was to be
// certain that the line lasts, the line may be there.
func (l *Log) Commit(ctx context.Context, e *Event) error {
	if err := l.Ready(); err != nil {
		return err
	}
	done := make(chan error, 1)
	if !l.add(e, done) {
		return ErrUnwritable
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// add puts an event into the queue; false when there is no room.
func (l *Log) add(e *Event, done chan error) bool {
	e.Server = l.opts.Server
	if e.Time.IsZero() {
		e.Time = l.opts.Now()
	}
	events, err := l.parts(e)
	if err != nil {
		l.opts.Log.Error("audit line cannot be encoded", "error", err) // of texts and numbers: cannot be
		return false
	}
	size := 0
	for _, event := range events {
		size += len(event)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.size+size > limit.AuditQueueBytes {
		if done == nil {
			l.dropped += uint64(len(events))
			l.lostLines.Add(uint64(len(events)))
		}
		return false
	}
	for _, event := range events {
		l.waiting = append(l.waiting, entry{event: event})
	}
	l.waiting[len(l.waiting)-1].done = done
	l.size += size
	l.kick()
	return true
}

// parts encodes an event, in several parts if it is too long for the device and has
// several operations. All but the last say that there is more.
func (l *Log) parts(e *Event) ([][]byte, error) {
	event, err := e.encode()
	if err != nil || l.most == 0 || len(event) <= l.most || len(e.Ops) < 2 {
		return [][]byte{event}, err
	}
	first, rest := *e, *e
	first.Ops, first.More = e.Ops[:len(e.Ops)/2], true
	rest.Ops = e.Ops[len(e.Ops)/2:]
	events, err := l.parts(&first)
	if err != nil {
		return nil, err
	}
	more, err := l.parts(&rest)
	return append(events, more...), err
}

func (l *Log) kick() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Reopen makes Run go on in the file that has the name now, for tools that move files
// away.
func (l *Log) Reopen() {
	l.reopen.Store(true)
	l.kick()
}

// Run writes until ctx ends, then what is left, and closes the device. There must be
// one.
func (l *Log) Run(ctx context.Context) error {
	retry := time.NewTimer(limit.AuditRetry)
	defer retry.Stop()
	retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.end()
		case <-l.wake:
			if l.isFailing() && !l.reopen.Load() {
				continue // the timer runs
			}
		case <-retry.C:
		}
		if !l.flush() {
			retry.Reset(limit.AuditRetry)
		}
	}
}

// end writes what is left, once, and closes the device.
func (l *Log) end() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.flush()
	l.mu.Lock()
	left := l.waiting
	l.waiting, l.size = nil, 0
	l.mu.Unlock()
	for _, e := range left {
		e.tell(ErrUnwritable)
	}
	if len(left) > 0 {
		l.opts.Log.Error("audit lines are lost: the server ends", "lines", len(left))
	}
	l.opts.Log.Info("audit log ends", "lines", l.chain.n, "hash", l.chain.head)
	return errors.Join(l.sink.sync(), l.sink.close())
}

func (l *Log) isFailing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failing != nil
}

// flush writes all that waits; false when the device does not work.
func (l *Log) flush() bool {
	for {
		if err := l.refile(); err != nil {
			l.failed(nil, err)
			return false
		}
		batch, dropped, after := l.take()
		if len(batch) == 0 && after == nil {
			return true
		}
		if err := l.writeBatch(batch, dropped, after); err != nil {
			return false
		}
	}
}

// refile opens the file where that has to be done anew: because somebody has moved it
// away, or because what is in it is not certain after an error.
func (l *Log) refile() error {
	if asked := l.reopen.Swap(false); l.file == nil || !asked && l.file.file != nil {
		return nil
	}
	if err := l.file.reopen(); err != nil {
		return err
	}
	if l.file.size == 0 {
		return l.beginFile()
	}
	l.chain = l.file.end
	return nil
}

// beginFile writes the first line of a file, which ties it to the one before.
func (l *Log) beginFile() error {
	next := l.chain
	first := l.own(&Event{Kind: file, File: l.file.before})
	if _, err := l.file.write([][]byte{next.seal(first.event)}); err != nil {
		return err
	}
	l.chain = next
	l.lines.Add(1)
	return nil
}

// take takes entries off the queue, as many as are written at once.
func (l *Log) take() (batch []entry, dropped uint64, after error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := limit.AuditBatchBytes
	if l.file != nil && l.file.conf.RotateBytes > 0 { // a file has room for no more
		most = int(min(int64(most), l.file.conf.RotateBytes))
	}
	if l.failing != nil { // there may be room for some
		most = min(most, retryBytes)
	}
	n, size, room := 0, 0, 0
	for n < len(l.waiting) && (n == 0 || room+len(l.waiting[n].event)+linkBytes <= most) {
		size += len(l.waiting[n].event)
		room += len(l.waiting[n].event) + linkBytes
		n++
	}
	batch = l.waiting[:n:n]
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	l.size -= size
	dropped, l.dropped = l.dropped, 0
	return batch, dropped, l.failing
}

// writeBatch writes entries, after lines that say what had gone wrong. What cannot be
// written and nobody waits for goes back into the queue.
func (l *Log) writeBatch(batch []entry, dropped uint64, after error) error {
	var own []entry
	if l.file != nil && l.file.torn > 0 || after != nil {
		e := &Event{Kind: resumed}
		if l.file != nil {
			e.Torn = l.file.torn
			if l.file.size == 0 { // its own first line failed
				e.File = l.file.before
			}
		}
		if after != nil {
			e.Error = after.Error()
		}
		own = append(own, l.own(e))
	}
	if dropped > 0 {
		own = append(own, l.own(&Event{Kind: lost, Lost: dropped}))
	}
	batch = append(own, batch...)
	size, awaited := 0, false
	for _, e := range batch {
		size += len(e.event) + linkBytes
		awaited = awaited || e.done != nil
	}
	if l.file != nil && l.file.due(size) {
		err := l.file.rotate()
		if err == nil {
			err = l.beginFile()
		}
		if err != nil {
			l.unsaid(dropped)
			l.failed(batch[len(own):], err)
			return err
		}
		l.opts.Log.Info("audit log goes on in a new file", "before", l.file.before, "lines", l.chain.n, "hash", l.chain.head)
	}
	next, ends := l.chain, make([]chain, 0, len(batch))
	lines := make([][]byte, 0, len(batch))
	for _, e := range batch {
		lines = append(lines, next.seal(e.event))
		ends = append(ends, next)
	}
	n, err := l.sink.write(lines)
	if err == nil && awaited && l.opts.Sync {
		err = l.sink.sync()
	}
	if n > 0 {
		l.chain = ends[n-1]
		l.lines.Add(uint64(n))
	}
	if err != nil {
		if n < len(own) {
			l.unsaid(dropped)
		}
		l.failed(batch[max(n, len(own)):], err)
		var told error
		if l.opts.Sync { // nobody knows whether the line lasts
			told = ErrUnwritable
		}
		for _, e := range batch[:n] {
			e.tell(told)
		}
		return err
	}
	l.works() // before somebody hears that it does
	for _, e := range batch {
		e.tell(nil)
	}
	return nil
}

// unsaid keeps the number of lost lines for the next line that can say it.
func (l *Log) unsaid(dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped += dropped
}

// own makes an entry of what the log says itself.
func (l *Log) own(e *Event) entry {
	e.Server, e.Time = l.opts.Server, l.opts.Now()
	event, err := e.encode()
	if err != nil {
		l.opts.Log.Error("audit line cannot be encoded", "error", err)
	}
	return entry{event: event}
}

// failed notes that the device does not work, and loudly. Who waits is told after it is
// noted, so that nobody who was told finds the log ready.
func (l *Log) failed(batch []entry, err error) {
	l.failures.Add(1)
	l.mu.Lock()
	first := l.failing == nil
	l.failing = err
	var keep, told []entry
	size := 0
	for _, e := range append(batch[:len(batch):len(batch)], l.waiting...) {
		if e.done != nil {
			told = append(told, e)
			continue
		}
		keep = append(keep, e)
		size += len(e.event)
	}
	l.waiting, l.size = keep, size
	l.mu.Unlock()
	for _, e := range told {
		e.tell(ErrUnwritable)
	}
	what := "the server goes on without it"
	if l.opts.Refuse {
		what = "requests that would change something are refused"
	}
	if first {
		l.opts.Log.Error("audit log cannot be written: "+what, "error", err)
	}
}

// works notes that the device works.
func (l *Log) works() {
	l.mu.Lock()
	was := l.failing
	l.failing = nil
	l.mu.Unlock()
	if was != nil {
		l.opts.Log.Info("audit log is written again")
	}
}

func (e entry) tell(err error) {
	if e.done != nil {
		e.done <- err
	}
}

// Figures are counted since the log was opened.
type Figures struct {
	Lines    uint64 // written
	Lost     uint64 // that found no room while the device did not work
	Failures uint64 // attempts to write that failed
	Failing  bool   // the last one did
}

// Figures returns what was counted.
func (l *Log) Figures() Figures {
	return Figures{Lines: l.lines.Load(), Lost: l.lostLines.Load(), Failures: l.failures.Load(), Failing: l.isFailing()}
}
