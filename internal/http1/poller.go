//go:build linux

package http1

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// events is how many events are taken from the system at a time.
const events = 256

// armDelay is how long a request may take before its connection is watched for the client's
// leaving. Most are answered sooner, and cost the system nothing.
const armDelay = 10 * time.Millisecond

// poller tells connections that the system has something to say about them: one epoll set for
// all, edge-triggered, so that a connection is added once and costs no call after that.
//
// The runtime's own poller watches the set, so nobody but a goroutine waits for it. It does so by
// way of another set, the gate, with this one in it: while the lanes look for events themselves
// the gate is shut, or each event would wake a thread of the runtime that finds nothing to do.
//
// An event carries a place in a table and how often that place was taken, never a file
// descriptor, which might belong to another connection by then.
type poller struct {
	set, gate       *os.File
	rawSet, rawGate syscall.RawConn
	wg              sync.WaitGroup

	queue    *queue
	relieved chan struct{} // see run; has room for one

	mu    sync.Mutex
	slots []slot  // guarded by mu
	free  []int32 // places of slots that nobody has; guarded by mu

	late      []*conn // to be watched if their requests take long; guarded by mu
	lateTimer *time.Timer
}

type slot struct {
	conn *conn
	gen  uint32
}

func newPoller(q *queue) (*poller, error) {
	p := &poller{queue: q, relieved: make(chan struct{}, 1)}
	var err error
	if p.set, p.rawSet, err = epollSet("connections", false); err != nil {
		return nil, err
	}
	if p.gate, p.rawGate, err = epollSet("gate", true); err != nil {
		_ = p.set.Close()
		return nil, err
	}
	if err := p.open(unix.EPOLL_CTL_ADD, unix.EPOLLIN); err != nil {
		_ = p.gate.Close()
		_ = p.set.Close()
		return nil, fmt.Errorf("add an epoll set to another: %w", err)
	}
	p.wg.Go(p.run)
	return p, nil
}

// epollSet makes a set. The runtime watches it if it is not to block.
func epollSet(name string, watched bool) (*os.File, syscall.RawConn, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		if err = unix.SetNonblock(fd, watched); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make an epoll set: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, nil, fmt.Errorf("make an epoll set: %w", err)
	}
	return file, raw, nil
}

// open opens the gate or, with no events, shuts it. What has happened meanwhile is told when it is
// opened.
func (p *poller) open(op int, events uint32) (err error) {
	failed := p.rawGate.Control(func(gate uintptr) {
		failed := p.rawSet.Control(func(set uintptr) {
			err = unix.EpollCtl(int(gate), op, int(set), &unix.EpollEvent{Events: events, Fd: int32(set)})
		})
		err = errors.Join(err, failed)
	})
	return errors.Join(err, failed)
}

// close ends the poller. No connection may be watched after it.
func (p *poller) close() {
	p.mu.Lock()
	if p.lateTimer != nil {
		p.lateTimer.Stop()
	}
	p.late = nil
	p.mu.Unlock()
	_ = p.gate.Close()
	_ = p.set.Close()
	p.wg.Wait()
}

// crowded is how many events at a time are many.
const crowded = 4

// patience is how long a lane waits for events before it leaves that to the poller.
const patience = time.Millisecond

// checkEvery is how often the poller sees whether lanes that look for events get on.
const checkEvery = 2 * time.Millisecond

// run waits for events. As long as there are many, the lanes look for them on their own, whenever
// they have nothing else to do: then thousands of connections cost no switch to this goroutine
// and back, and the events that come together are taken together.
func (p *poller) run() {
	batch := make([]unix.EpollEvent, events)
	bored := time.NewTimer(checkEvery)
	defer bored.Stop()
	_ = p.rawGate.Read(func(uintptr) bool { // ends when the file is closed
		for {
			n, err := p.collect(batch)
			switch {
			case err != nil:
				return true
			case n == len(batch):
			case n < crowded || !p.rest(bored):
				return false // the runtime tells when there is more
			}
		}
	})
}

// rest leaves it to the lanes to look for events, if there are any, until they do so no more, or
// seem to be held up by something. It tells whether there were any.
func (p *poller) rest(bored *time.Timer) bool {
	select {
	case <-p.relieved: // of a time before
	default:
	}
	since, looks := p.queue.look()
	if !looks {
		return false
	}
	_ = p.open(unix.EPOLL_CTL_MOD, 0) // if it is closed, collect says so next
	for looks {
		bored.Reset(checkEvery)
		select {
		case <-p.relieved:
			looks = false
		case <-bored.C:
			looks = p.queue.goesOn(&since)
		}
	}
	_ = p.open(unix.EPOLL_CTL_MOD, unix.EPOLLIN)
	return true
}

// collect takes the events that are there and tells the connections.
func (p *poller) collect(batch []unix.EpollEvent) (n int, err error) {
	failed := p.rawSet.Control(func(set uintptr) {
		for {
			if n, err = epollNow(int(set), batch); err != unix.EINTR {
				break
			}
		}
	})
	p.tell(batch[:max(n, 0)])
	return n, errors.Join(err, failed)
}

// tell tells the connections what has happened to them, and has those served that can be read.
func (p *poller) tell(batch []unix.EpollEvent) {
	var about [lookEvents]*conn
	for len(batch) > 0 {
		some := batch[:min(len(batch), len(about))]
		batch = batch[len(some):]
		p.find(some, &about)
		var ready chain
		var left []departed
		for i := range some {
			if c := about[i]; c != nil {
				serve, gone := c.tell(some[i].Events)
				if serve {
					ready.add(c)
				}
				if gone != nil {
					left = append(left, departed{c, gone})
				}
			}
		}
		p.queue.push(ready) // first: to close a connection may take long, with TLS
		for _, d := range left {
			d.waiting.Gone()
			d.conn.close()
		}
	}
}

// look is collect for a lane. It tells whether there was anything.
func (p *poller) look(batch []unix.EpollEvent) bool {
	n, _ := p.collect(batch) // of a broken set, run hears
	return n > 0
}

// wait waits for events, for patience at most, and takes those that have come.
func (p *poller) wait(batch []unix.EpollEvent) (n int) {
	_ = p.rawSet.Control(func(set uintptr) { // of a broken set, run hears
		n, _ = unix.EpollWait(int(set), batch, int(patience.Milliseconds()))
	})
	return max(n, 0)
}

// relieve lets the poller wait for events again.
func (p *poller) relieve() {
	select {
	case p.relieved <- struct{}{}:
	default:
	}
}

// departed is a connection whose client has left while its request waited.
type departed struct {
	conn    *conn
	waiting Waiting
}

// find finds the connections that events are about; nil for one that is not watched any more.
func (p *poller) find(batch []unix.EpollEvent, about *[lookEvents]*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range batch {
		e := &batch[i]
		about[i] = nil
		if s := &p.slots[e.Fd]; s.gen == uint32(e.Pad) {
			about[i] = s.conn
		}
	}
}

// take gives a connection a place in the table.
func (p *poller) take(c *conn) (place int32, gen uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		place = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		place = int32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	s := &p.slots[place]
	s.conn = c
	return place, s.gen
}

// give takes the place back.
func (p *poller) give(place int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[place]
	s.conn = nil
	s.gen++
	p.free = append(p.free, place)
}

// watchLocked has the poller tell what is wanted of the connection; false if the system
// refuses.
func (c *conn) watchLocked(want watch) bool {
	p := c.s.poller
	if c.watch >= want {
		return true
	}
	op := unix.EPOLL_CTL_MOD
	if c.watch == watchNothing {
		op = unix.EPOLL_CTL_ADD
		c.slot, c.gen = p.take(c)
	}
	e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.slot, Pad: int32(c.gen)}
	if want == watchAll {
		e.Events |= unix.EPOLLIN
	}
	if !c.control(op, &e) {
		if c.watch == watchNothing { // it was never in
			p.give(c.slot)
		}
		return false
	}
	c.watch = want
	return true
}

// watchLessLocked has the poller tell only of the client's leaving: what can be read is waited for by a
// goroutine now, and would be told to two.
func (c *conn) watchLessLocked() {
	if c.watch != watchAll {
		return
	}
	c.control(unix.EPOLL_CTL_MOD, &unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.slot, Pad: int32(c.gen)})
	c.watch = watchHangUp
}

// unwatchLocked ends that. A socket that is closed next leaves the set by itself.
func (c *conn) unwatchLocked() {
	if c.watch == watchNothing {
		return
	}
	c.s.poller.give(c.slot)
	c.watch = watchNothing
}

// control changes what the poller knows of the connection.
func (c *conn) control(op int, e *unix.EpollEvent) (ok bool) {
	if c.fd >= 0 {
		return c.controlFd(c.fd, op, e)
	}
	_ = c.raw.Control(func(fd uintptr) { ok = c.controlFd(int(fd), op, e) }) // if it is closed, it is not done
	return ok
}

func (c *conn) controlFd(fd, op int, e *unix.EpollEvent) (ok bool) {
	_ = c.s.poller.rawSet.Control(func(epfd uintptr) { ok = unix.EpollCtl(int(epfd), op, fd, e) == nil })
	return ok
}

// tell is called by the poller. It tells whether the connection is to be served, or what is to be
// told that its client has left before the connection is closed.
func (c *conn) tell(event uint32) (serve bool, gone Waiting) {
	c.mu.Lock()
	if event&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.gone = true
	}
	switch {
	case c.state == quiet || c.state == fresh:
		c.state, c.readable = active, true
		c.mu.Unlock()
		return true, nil
	case c.state == waiting && c.gone:
		k := c.ticket
		k.over, c.ticket, c.text, c.rest = true, nil, "", nil
		c.state = active // ours
		c.mu.Unlock()
		return false, k.waiting
	}
	c.readable = true
	asked := c.asked
	left := c.gone
	c.mu.Unlock()
	if left && asked != nil {
		asked.end()
	}
	return false, nil
}

// watchLater has the connection watched if the request, whose context is asked for, takes
// long. Whoever asks is about to wait.
func (c *conn) watchLater(x *requestContext) {
	c.mayWait()
	if c.s.poller == nil {
		return
	}
	c.mu.Lock()
	gone, late := c.gone, c.watch == watchNothing && !c.late
	c.asked = x
	c.late = c.late || late
	c.mu.Unlock()
	if gone {
		x.end()
	} else if late {
		c.s.poller.add(c)
	}
}

// forget ends that: the request has ended.
func (c *conn) forget(x *requestContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == x {
		c.asked = nil
	}
}

func (p *poller) add(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late = append(p.late, c); len(p.late) > 1 {
		return
	}
	if p.lateTimer == nil {
		p.lateTimer = time.AfterFunc(armDelay, p.watchLate)
	} else {
		p.lateTimer.Reset(armDelay)
	}
}

func (p *poller) watchLate() {
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, c := range late {
		c.mu.Lock()
		c.late = false
		if c.asked != nil && c.state == active {
			c.watchLocked(watchHangUp) // if the system refuses, nobody hears of the client's leaving
		}
		c.mu.Unlock()
	}
}
