package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// ErrNotSent says that a command never left this server: it has certainly not
// happened.
var ErrNotSent = errors.New("the leader could not be reached")

// ErrUnknown says that a command was sent and nothing more was heard of it.
var ErrUnknown = errors.New("the connection to the leader was lost; whether the write happened is unknown")

// Forwarder sends commands to the leader. All that wait at the same time travel
// together on one stream.
type Forwarder struct {
	client *Client

	lanes sync.WaitGroup

	mu      sync.Mutex
	leader  string // as Reset said last; guarded by mu
	current *lane  // guarded by mu
	closed  bool   // guarded by mu
}

// NewForwarder returns a forwarder over a client's connections.
func NewForwarder(c *Client) *Forwarder { return &Forwarder{client: c} }

// Propose sends a command to the leader at an address and returns the bytes of its
// result. The error is ErrNotSent, ErrUnknown, or a *Refused. It does not end with a
// context: a command that was sent has an outcome, and Reset ends the wait for it.
//
// It is ErrNotSent, too, when Reset has named another leader meanwhile: who comes late
// must not break the stream that others wait on.
func (f *Forwarder) Propose(address string, entry []byte) ([]byte, error) {
	if len(entry) > mostEntryBytes { // it would break the stream for everybody on it
		return nil, &Refused{Why: rpcpb.Refusal_REFUSAL_FAILED, Text: fmt.Sprintf(
			"a command of %d bytes is larger than what servers send each other, %d bytes", len(entry), mostEntryBytes)}
	}
	l, err := f.lane(address)
	if err != nil {
		return nil, errors.Join(ErrNotSent, err)
	}
	w := &waiter{entry: entry, done: make(chan struct{})}
	if !l.out.add(w) {
		return nil, ErrNotSent
	}
	<-w.done
	return w.result, w.err
}

// Reset says who leads, or with an empty address that nobody is known to. It ends what
// waits for another: who was sent there will hear no more.
func (f *Forwarder) Reset(address string) {
	f.mu.Lock()
	f.leader = address
	l := f.current
	if l != nil && l.address != address {
		f.current = nil
	} else {
		l = nil
	}
	f.mu.Unlock()
	if l != nil {
		l.cancel()
	}
}

// Close ends everything and waits for it. What comes later is not sent.
func (f *Forwarder) Close() {
	f.mu.Lock()
	l := f.current
	f.current, f.closed = nil, true
	f.mu.Unlock()
	if l != nil {
		l.cancel()
	}
	f.lanes.Wait()
}

// lane returns the stream to an address, a new one if need be.
func (f *Forwarder) lane(address string) (*lane, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errClosed
	case f.leader != "" && f.leader != address:
		return nil, fmt.Errorf("%s does not lead any more", address)
	}
	if l := f.current; l != nil {
		select {
		case <-l.failed:
		default:
			if l.address == address {
				return l, nil
			}
			l.cancel()
		}
	}
	server, err := f.client.Server(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &lane{
		address: address, cancel: cancel, out: newPile[*waiter](),
		sent: make(chan *waiter, mostUnderWay), failed: make(chan struct{}),
	}
	f.current = l
	f.lanes.Go(func() { l.run(ctx, server) }) // ends with the stream; Close waits for it
	return l, nil
}

// waiter is a command and whoever waits for its outcome.
type waiter struct {
	entry  []byte
	done   chan struct{} // closed when the rest is set
	result []byte
	err    error
}

func (w *waiter) end(result []byte, err error) {
	w.result, w.err = result, err
	close(w.done)
}

// lane is one stream to the leader.
type lane struct {
	address string
	cancel  context.CancelFunc
	out     *pile[*waiter]
	sent    chan *waiter // in the order of their outcomes
	failed  chan struct{}
}

func (l *lane) run(ctx context.Context, server rpcpb.ServerServiceClient) {
	defer l.cancel()
	stream, err := server.Propose(ctx)
	if err != nil {
		l.end()
		return
	}
	var sender sync.WaitGroup
	sender.Go(func() { l.send(stream) })
	l.receive(stream)
	l.cancel()
	l.end()
	for w := range l.sent { // closed by the sender, which may wait for room in it
		w.end(nil, ErrUnknown)
	}
	sender.Wait()
}

// end refuses further commands and those that were not sent.
func (l *lane) end() {
	close(l.failed)
	l.out.end()
	list, _ := l.out.take()
	l.refuse(list)
}

// refuse ends the wait for what was not sent.
func (l *lane) refuse(list []*waiter) {
	for _, w := range list {
		w.end(nil, ErrNotSent)
	}
}

func (l *lane) send(stream grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse]) {
	defer close(l.sent)
	for {
		list, more := l.out.take()
		for len(list) > 0 {
			select {
			case <-l.failed: // nothing is sent any more
				l.refuse(list)
				return
			default:
			}
			var now []*waiter
			now, list = lot(list, func(w *waiter) int { return len(w.entry) })
			r := &rpcpb.ProposeRequest{}
			for _, w := range now {
				r.Commands = append(r.Commands, w.entry)
				l.sent <- w // room is made by outcomes, or at the stream's end
			}
			if stream.Send(r) != nil { // what it failed of, the receiver hears
				l.refuse(list)
				return
			}
		}
		if !more {
			return
		}
	}
}

func (l *lane) receive(stream grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse]) {
	for {
		r, err := stream.Recv()
		if err != nil {
			return
		}
		for _, o := range r.GetOutcomes() {
			var w *waiter
			select {
			case w = <-l.sent:
			default: // an outcome of nothing: which is whose is not known any more
				return
			}
			if o.GetRefusal() == rpcpb.Refusal_REFUSAL_UNSPECIFIED {
				w.end(o.GetResult(), nil)
			} else {
				w.end(nil, &Refused{Why: o.GetRefusal(), Text: o.GetText()})
			}
		}
	}
}
