package limitserver

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	floorReadBytes = 64 << 10 // at once from one socket; a request must fit, body and all
	floorEvents    = 512      // taken from epoll at once
	floorBacklog   = 4096     // connections that wait to be accepted
)

// FloorServer is the limit of kind Floor: what parked queries cost when there is nothing
// but the sockets. One thread reads requests by epoll; a query that has to wait is a
// number in a list, without goroutine or buffer; a write goes through the list.
//
// One thread is the point of comparison, not the most that could be done: on a machine
// with many cores, a server that writes from several may be quicker than it.
type FloorServer struct {
	addr    string
	listen  int // file descriptors
	epoll   int
	stop    int // an eventfd that ends the loop
	serving sync.WaitGroup
	parked  atomic.Int64

	mu      sync.Mutex // held by the loop while it works, so that answers can be set
	like    Answer     // to reads, before it is rendered; guarded by mu
	index   uint64     // of what there is to read; guarded by mu
	now     []byte     // the rendered answer to reads; guarded by mu
	written []byte     // and to writes; guarded by mu

	// What follows belongs to the loop.
	conns   []floorConn // by file descriptor
	waiting []int32     // the file descriptors of those that are parked
	buf     []byte
}

// floorConn is one connection.
type floorConn struct {
	open  bool
	at    int32  // its place in waiting, counted from 1; 0: not parked
	above uint64 // the index it waits above, while it is parked
	in    []byte // the beginning of a request that has not arrived completely
	out   []byte // the end of an answer that the socket has not taken
}

// StartFloor listens on a free loopback port and serves. Close ends it.
func StartFloor() (*FloorServer, error) {
	f := &FloorServer{listen: -1, epoll: -1, stop: -1, buf: make([]byte, floorReadBytes)}
	f.SetAnswer(True())
	f.SetWriteAnswer(True())
	if err := f.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("floor: %w", err), f.closeFiles())
	}
	f.serving.Go(f.loop)
	return f, nil
}

// open makes the descriptors that are not of clients.
func (f *FloorServer) open() (err error) {
	if f.listen, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	if err := unix.Bind(f.listen, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(f.listen, floorBacklog); err != nil {
		return err
	}
	name, err := unix.Getsockname(f.listen)
	if err != nil {
		return err
	}
	f.addr = fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if f.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	return errors.Join(f.watch(unix.EPOLL_CTL_ADD, f.listen, unix.EPOLLIN), f.watch(unix.EPOLL_CTL_ADD, f.stop, unix.EPOLLIN))
}

func (f *FloorServer) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(f.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Addr is where it listens, "127.0.0.1:port".
func (f *FloorServer) Addr() string { return f.addr }

// SetAnswer makes a what there is to read, and counts on from its index.
func (f *FloorServer) SetAnswer(a Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.like, f.index = a, a.index()
	f.now = render(a.withIndex(f.index))
}

// SetWriteAnswer makes a the answer to all writes from now on.
func (f *FloorServer) SetWriteAnswer(a Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written = render(a)
}

// Parked is how many queries wait.
func (f *FloorServer) Parked() int { return int(f.parked.Load()) }

// Reset has nothing to do: no file is written.
func (f *FloorServer) Reset() error { return nil }

// Close breaks all connections and waits until the loop has ended.
func (f *FloorServer) Close() error {
	one := [8]byte{1} // what an eventfd takes is a number of 8 bytes, none of them 0 altogether
	_, err := unix.Write(f.stop, one[:])
	f.serving.Wait()
	return errors.Join(err, f.closeFiles())
}

func (f *FloorServer) closeFiles() error {
	var errs []error
	for fd := range f.conns {
		if f.conns[fd].open {
			errs = append(errs, unix.Close(fd))
		}
	}
	for _, fd := range []int{f.listen, f.epoll, f.stop} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}

// render is the answer as it goes over the wire.
func render(a Answer) []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	for _, f := range a.Fields {
		b = append(b, f.Name+": "+f.Value+"\r\n"...)
	}
	b = append(b, "Content-Length: "+strconv.Itoa(len(a.Body))+"\r\n\r\n"...)
	return append(b, a.Body...)
}

// loop serves until stop is written to. What goes wrong on a connection ends that
// connection; the load generator notices.
func (f *FloorServer) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, floorEvents)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if !f.work(events[:max(n, 0)]) {
			return
		}
	}
}

// work does what the events ask for and says whether to go on.
func (f *FloorServer) work(events []unix.EpollEvent) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range events {
		switch fd := int(events[i].Fd); {
		case fd == f.stop:
			return false
		case fd == f.listen:
			f.accept()
		case f.conns[fd].open: // else it was closed by an event before this one
			f.turn(fd, events[i].Events)
		}
	}
	return true
}

func (f *FloorServer) accept() {
	for {
		fd, _, err := unix.Accept4(f.listen, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // all are accepted, or there are no more descriptors: the client waits
		}
		// Without it an answer in two parts would wait for the client's acknowledgement.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		for len(f.conns) <= fd {
			f.conns = append(f.conns, floorConn{})
		}
		f.conns[fd] = floorConn{open: true}
		if f.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
			f.drop(fd)
		}
	}
}

// drop ends a connection, parked or not.
func (f *FloorServer) drop(fd int) {
	f.unpark(fd)
	f.conns[fd] = floorConn{}
	_ = unix.Close(fd) // there is nobody to tell
}

// turn reads from a connection and answers the requests that are complete.
func (f *FloorServer) turn(fd int, events uint32) {
	c := &f.conns[fd]
	if events&unix.EPOLLOUT != 0 && !f.flush(fd, c.out) {
		return
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	n, err := unix.Read(fd, f.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil || n == 0:
		f.drop(fd)
		return
	}
	b := f.buf[:n]
	if len(c.in) > 0 {
		b = append(c.in, b...)
		c.in = nil
	}
	for len(b) > 0 {
		size, ok := requestSize(b)
		switch {
		case !ok || len(b) > floorReadBytes:
			f.drop(fd)
			return
		case size == 0 || size > len(b):
			c.in = bytes.Clone(b)
			return
		}
		f.serve(fd, b[:size])
		b = b[size:]
		if !f.conns[fd].open {
			return
		}
	}
}

// requestSize is how many bytes the first request in b has, 0 if its head is not
// complete; it is not ok if that cannot be told.
func requestSize(b []byte) (size int, ok bool) {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return 0, true
	}
	size = head + 4
	if b[0] == 'G' {
		return size, true
	}
	_, rest, found := bytes.Cut(b[:head+2], []byte("\r\nContent-Length: "))
	if !found {
		return size, true
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	return size + n, err == nil && n >= 0 && n <= floorReadBytes
}

// serve answers one request, or parks it. Whatever is no GET is a write.
func (f *FloorServer) serve(fd int, request []byte) {
	if request[0] != 'G' {
		f.write(fd)
		return
	}
	line, _, _ := bytes.Cut(request, []byte(" HTTP/"))
	_, query, _ := strings.Cut(string(line), "?")
	if above, waits := waitsAbove(query); waits && above >= f.index {
		f.park(fd, above)
		return
	}
	f.send(fd, f.now)
}

func (f *FloorServer) park(fd int, above uint64) {
	f.waiting = append(f.waiting, int32(fd))
	f.conns[fd].at, f.conns[fd].above = int32(len(f.waiting)), above
	f.parked.Store(int64(len(f.waiting)))
}

// unpark takes a connection out of the list; the last one takes its place there.
func (f *FloorServer) unpark(fd int) {
	at := f.conns[fd].at
	if at == 0 {
		return
	}
	last := f.waiting[len(f.waiting)-1]
	f.waiting[at-1] = last
	f.conns[last].at = at
	f.conns[fd].at = 0
	f.waiting = f.waiting[:len(f.waiting)-1]
	f.parked.Store(int64(len(f.waiting)))
}

// write counts the index up, answers the writer, and then all who wait for that index.
func (f *FloorServer) write(writer int) {
	f.index++
	f.now = render(f.like.withIndex(f.index))
	f.send(writer, f.written)
	woken := f.waiting
	f.waiting = nil
	for _, fd := range woken {
		c := &f.conns[fd]
		c.at = 0
		if c.above >= f.index {
			f.park(int(fd), c.above)
			continue
		}
		f.send(int(fd), f.now)
	}
	f.parked.Store(int64(len(f.waiting)))
}

// send writes b, or keeps what the socket does not take.
func (f *FloorServer) send(fd int, b []byte) {
	c := &f.conns[fd]
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	f.flush(fd, b)
}

// flush writes b and remembers what is left of it. It says whether the connection is
// still there.
func (f *FloorServer) flush(fd int, b []byte) bool {
	c := &f.conns[fd]
	waited := len(c.out) > 0
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			f.drop(fd)
			return false
		}
		b = b[max(n, 0):]
	}
	switch {
	case len(b) > 0 && !waited:
		_ = f.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN|unix.EPOLLOUT)
	case len(b) == 0 && waited:
		_ = f.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
	}
	c.out = bytes.Clone(b)
	if len(b) == 0 {
		c.out = nil
	}
	return true
}
