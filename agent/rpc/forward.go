package rpc

import (
	"context"
	"errors"
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

	mu      sync.Mutex
	current *lane // guarded by mu
}

// NewForwarder returns a forwarder over a client's connections.
func NewForwarder(c *Client) *Forwarder { return &Forwarder{client: c} }

// Propose sends a command to the leader at an address and returns the bytes of its
// result. The error is ErrNotSent, ErrUnknown, or a *Refused. It does not end with a
// context: a command that was sent has an outcome, and Reset ends the wait for it.
func (f *Forwarder) Propose(address string, entry []byte) ([]byte, error) {
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

// Reset ends what waits for a leader other than the one at an address: who was sent
// to another will hear no more.
func (f *Forwarder) Reset(address string) {
	f.mu.Lock()
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

// Close ends everything and waits for it.
func (f *Forwarder) Close() {
	f.mu.Lock()
	l := f.current
	f.current = nil
	f.mu.Unlock()
	if l != nil {
		l.cancel()
		<-l.ended
	}
}

// lane returns the stream to an address, a new one if need be.
func (f *Forwarder) lane(address string) (*lane, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
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
		sent: make(chan *waiter, mostUnderWay), failed: make(chan struct{}), ended: make(chan struct{}),
	}
	f.current = l
	go l.run(ctx, server) // ends with the stream; Close waits for it
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
	ended   chan struct{}
}

func (l *lane) run(ctx context.Context, server rpcpb.ServerServiceClient) {
	defer close(l.ended)
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
	for _, w := range list {
		w.end(nil, ErrNotSent)
	}
}

// lotBytes is about how much is sent in one message, so that no message is too large.
const lotBytes = 4 << 20

func (l *lane) send(stream grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse]) {
	defer close(l.sent)
	for {
		list, more := l.out.take()
		for len(list) > 0 {
			r, n := &rpcpb.ProposeRequest{}, 0
			for _, w := range list {
				if n > 0 && n+len(w.entry) > lotBytes {
					break
				}
				r.Commands = append(r.Commands, w.entry)
				n += len(w.entry)
			}
			lot := list[:len(r.GetCommands())]
			list = list[len(lot):]
			for _, w := range lot {
				l.sent <- w // room is made by outcomes, or at the stream's end
			}
			if stream.Send(r) != nil { // what it failed of, the receiver hears
				for _, w := range list {
					w.end(nil, ErrNotSent)
				}
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
			w := <-l.sent
			if o.GetRefusal() == rpcpb.Refusal_REFUSAL_UNSPECIFIED {
				w.end(o.GetResult(), nil)
			} else {
				w.end(nil, &Refused{Why: o.GetRefusal(), Text: o.GetText()})
			}
		}
	}
}
