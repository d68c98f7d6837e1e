package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// fake is a server behind a port that does what a test says.
type fake struct {
	Backend
	accept  func(entry []byte) func() Outcome
	restore func(m *rpcpb.RestoreMeta, r io.Reader) (uint64, error)
	index   func(context.Context) (uint64, error)
}

func (f *fake) Accept(entry []byte) func() Outcome { return f.accept(entry) }

func (f *fake) ReadIndex(ctx context.Context, _ Asker) (uint64, bool, error) {
	index, err := f.index(ctx)
	return index, true, err
}

func (f *fake) Restore(_ context.Context, m *rpcpb.RestoreMeta, r io.Reader) (uint64, error) {
	return f.restore(m, r)
}

// echo answers each command with itself.
func echo(entry []byte) func() Outcome {
	return func() Outcome { return Outcome{Result: entry} }
}

// startServer answers on a port until the end of the test, or until stop.
func startServer(t *testing.T, p *Port, b Backend) (stop func()) {
	t.Helper()
	s := NewServer(p, b)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	stop = sync.OnceFunc(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// startForwarder makes one that is closed at the end of the test.
func startForwarder(t *testing.T) (*Forwarder, *Client) {
	t.Helper()
	p, _, _ := startPort(t, Options{})
	c := NewClient(p)
	t.Cleanup(c.Close)
	f := NewForwarder(c)
	t.Cleanup(f.Close)
	return f, c
}

// leaderWith starts a server that accepts commands in a way, and returns its address.
func leaderWith(t *testing.T, accept func([]byte) func() Outcome) (address string, p *Port) {
	t.Helper()
	p, _, _ = startPort(t, Options{})
	startServer(t, p, &fake{accept: accept})
	return p.Addr().String(), p
}

func TestOutcomesGoToWhoAsked(t *testing.T) {
	for _, tc := range []struct {
		rule string
		n    int
	}{
		{"of one", 1},
		{"of a thousand at once", 1000},
		{"of more at once than may be under way", mostUnderWay + 500},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			release := make(chan struct{})
			address, _ := leaderWith(t, func(entry []byte) func() Outcome {
				return func() Outcome {
					<-release
					if n, _ := strconv.Atoi(string(entry)); n%3 == 1 {
						return Outcome{Err: &Refused{Why: rpcpb.Refusal_REFUSAL_READ_ONLY, Text: "disk " + string(entry)}}
					}
					return Outcome{Result: append([]byte("did "), entry...)}
				}
			})
			f, _ := startForwarder(t)
			var asked sync.WaitGroup
			for i := range tc.n {
				asked.Go(func() {
					got, err := f.Propose(address, []byte(strconv.Itoa(i)))
					var refused *Refused
					switch {
					case i%3 == 1 && (!errors.As(err, &refused) || refused.Why != rpcpb.Refusal_REFUSAL_READ_ONLY || refused.Text != fmt.Sprint("disk ", i)):
						t.Errorf("command %d: %v", i, err)
					case i%3 != 1 && (err != nil || string(got) != fmt.Sprint("did ", i)):
						t.Errorf("command %d: %q, %v", i, got, err)
					}
				})
			}
			close(release)
			asked.Wait()
		})
	}
}

// lots is a stub that counts the messages of commands.
type lots struct {
	rpcpb.ServerServiceClient
	messages atomic.Int64
}

func (l *lots) Propose(ctx context.Context, o ...grpc.CallOption) (grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse], error) {
	s, err := l.ServerServiceClient.Propose(ctx, o...)
	return &lotStream{s, l}, err
}

type lotStream struct {
	grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse]
	l *lots
}

func (s *lotStream) Send(r *rpcpb.ProposeRequest) error {
	s.l.messages.Add(1)
	return s.BidiStreamingClient.Send(r)
}

// newLane is a stream to a server that nobody has begun to serve.
func newLane(address string) (*lane, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	return &lane{
		address: address, cancel: cancel, out: newPile[*waiter](), sent: make(chan *waiter, mostUnderWay), failed: make(chan struct{}),
	}, ctx
}

func TestCommandsThatWaitTravelTogether(t *testing.T) {
	for _, tc := range []struct {
		rule          string
		n, size, most int
	}{
		{"a thousand small ones in one message", 1000, 10, 1},
		{"more than fit into what may be under way, in several", mostUnderWay + 1, 10, 9},
		{"large ones in messages of a bounded size", 12, 1 << 20, 3},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			address, _ := leaderWith(t, echo)
			_, c := startForwarder(t)
			server, err := c.Server(address)
			if err != nil {
				t.Fatal(err)
			}
			l, ctx := newLane(address)
			waiters := make([]*waiter, tc.n)
			for i := range waiters {
				waiters[i] = &waiter{entry: bytes.Repeat([]byte{byte(i)}, tc.size), done: make(chan struct{})}
				l.out.add(waiters[i])
			}
			counted := &lots{ServerServiceClient: server}
			ran := make(chan struct{})
			go func() {
				l.run(ctx, counted)
				close(ran)
			}()
			for i, w := range waiters {
				if <-w.done; w.err != nil || !bytes.Equal(w.result, w.entry) {
					t.Fatalf("command %d: %d bytes, %v", i, len(w.result), w.err)
				}
			}
			if n := int(counted.messages.Load()); n < 1 || n > tc.most {
				t.Errorf("%d messages, want at most %d", n, tc.most)
			}
			l.cancel()
			<-ran
		})
	}
}

func TestRefusalsKeepTheirMeaning(t *testing.T) {
	for _, tc := range []struct {
		rule string
		err  error
		want Refused
	}{
		{"not the leader", &Refused{Why: rpcpb.Refusal_REFUSAL_NOT_LEADER, Text: "no"}, Refused{rpcpb.Refusal_REFUSAL_NOT_LEADER, "no"}},
		{"unknown", &Refused{Why: rpcpb.Refusal_REFUSAL_UNKNOWN_OUTCOME, Text: "lost"}, Refused{rpcpb.Refusal_REFUSAL_UNKNOWN_OUTCOME, "lost"}},
		{"read only", &Refused{Why: rpcpb.Refusal_REFUSAL_READ_ONLY, Text: "full"}, Refused{rpcpb.Refusal_REFUSAL_READ_ONLY, "full"}},
		{"one of a later version", &Refused{Why: 77, Text: "later"}, Refused{77, "later"}},
		{"any other error is its text", errors.New("some text"), Refused{rpcpb.Refusal_REFUSAL_FAILED, "some text"}},
		{"also without a text", errors.New(""), Refused{rpcpb.Refusal_REFUSAL_FAILED, ""}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var got *Refused
			if err := AsError(asStatus(tc.err)); !errors.As(err, &got) || *got != tc.want {
				t.Errorf("as a status: %v, want %+v", err, tc.want)
			}
			address, _ := leaderWith(t, func([]byte) func() Outcome { return func() Outcome { return Outcome{Err: tc.err} } })
			f, _ := startForwarder(t)
			if _, err := f.Propose(address, []byte("x")); !errors.As(err, &got) || *got != tc.want {
				t.Errorf("as an outcome: %v, want %+v", err, tc.want)
			}
		})
	}
}

func TestOtherErrorsAreNoRefusals(t *testing.T) {
	for _, tc := range []struct {
		rule string
		err  error
	}{
		{"none", nil},
		{"a server that is not there", status.Error(codes.Unavailable, "gone")},
		{"a request that took too long", status.Error(codes.DeadlineExceeded, "late")},
		{"a request that an older server does not know", status.Error(codes.Unimplemented, "what?")},
		{"an error of this server", io.ErrClosedPipe},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := AsError(tc.err); !errors.Is(got, tc.err) {
				t.Errorf("%v became %v", tc.err, got)
			}
		})
	}
}

// propose begins one and returns where its error comes.
func propose(f *Forwarder, address, entry string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := f.Propose(address, []byte(entry))
		done <- err
	}()
	return done
}

// heldLeader starts a server whose outcomes wait until the test ends, but for "echo".
// It tells of each command that comes.
func heldLeader(t *testing.T) (address string, p *Port, came chan string) {
	t.Helper()
	end := make(chan struct{})
	came = make(chan string, 100)
	address, p = leaderWith(t, func(entry []byte) func() Outcome {
		if string(entry) == "echo" {
			return echo(entry)
		}
		came <- string(entry)
		return func() Outcome {
			<-end
			return Outcome{}
		}
	})
	t.Cleanup(func() { close(end) }) // before the server is stopped, which waits for it
	return address, p, came
}

func TestWhatWasNotSentIsCertain(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	there, _ := leaderWith(t, echo)
	for _, tc := range []struct {
		rule    string
		address string
		before  func(*Forwarder, *Client)
	}{
		{"a connection that is refused", nobody.Addr().String(), func(*Forwarder, *Client) {}},
		{"a forwarder that is closed", there, func(f *Forwarder, _ *Client) { f.Close() }},
		{"connections that are closed", there, func(_ *Forwarder, c *Client) { c.Close() }},
		{"a leader that is none any more", there, func(f *Forwarder, _ *Client) { f.Reset("127.0.0.1:1") }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f, c := startForwarder(t)
			tc.before(f, c)
			if _, err := f.Propose(tc.address, []byte("x")); !errors.Is(err, ErrNotSent) {
				t.Errorf("error %v, want %v", err, ErrNotSent)
			}
		})
	}
}

// breakAll ends the connections of a port under its users.
func breakAll(p *Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func TestWhatWasSentAndNotAnsweredIsUnknown(t *testing.T) {
	for _, tc := range []struct {
		rule string
		cut  func(f *Forwarder, leader *Port)
	}{
		{"when the connection breaks", func(_ *Forwarder, p *Port) { breakAll(p) }},
		{"when another leads", func(f *Forwarder, _ *Port) { f.Reset("127.0.0.1:1") }},
		{"when nobody leads", func(f *Forwarder, _ *Port) { f.Reset("") }},
		{"when this server stops", func(f *Forwarder, _ *Port) { f.Close() }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f, _ := startForwarder(t)
			address, leader, came := heldLeader(t)
			f.Reset(address)
			first, second := propose(f, address, "1"), propose(f, address, "2")
			<-came
			<-came
			tc.cut(f, leader)
			for _, done := range []<-chan error{first, second} {
				if err := <-done; !errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotSent) {
					t.Errorf("error %v, want %v", err, ErrUnknown)
				}
			}
		})
	}
}

func TestResetToTheSameLeaderEndsNothing(t *testing.T) {
	f, _ := startForwarder(t)
	release, came := make(chan struct{}), make(chan struct{})
	address, _ := leaderWith(t, func(entry []byte) func() Outcome {
		close(came)
		return func() Outcome {
			<-release
			return Outcome{Result: entry}
		}
	})
	done := propose(f, address, "x")
	<-came
	f.Reset(address)
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestANewAddressOfTheLeaderIsGoneTo(t *testing.T) {
	f, _ := startForwarder(t)
	old, _, came := heldLeader(t)
	next, _ := leaderWith(t, echo)
	f.Reset(old)
	under := propose(f, old, "x")
	<-came
	f.Reset(next)
	if err := <-under; !errors.Is(err, ErrUnknown) {
		t.Errorf("under way at the former address: %v", err)
	}
	if got, err := f.Propose(next, []byte("y")); err != nil || string(got) != "y" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhoComesLateForTheFormerLeaderBreaksNothing(t *testing.T) {
	f, _ := startForwarder(t)
	release, came := make(chan struct{}), make(chan struct{})
	former, _ := leaderWith(t, echo)
	leader, _ := leaderWith(t, func(entry []byte) func() Outcome {
		close(came)
		return func() Outcome {
			<-release
			return Outcome{Result: entry}
		}
	})
	f.Reset(leader)
	under := propose(f, leader, "x")
	<-came
	if _, err := f.Propose(former, []byte("late")); !errors.Is(err, ErrNotSent) {
		t.Errorf("error %v, want %v", err, ErrNotSent)
	}
	close(release)
	if err := <-under; err != nil {
		t.Errorf("under way at the leader: %v", err)
	}
}

func TestAStreamThatBrokeIsFollowedByAnother(t *testing.T) {
	f, _ := startForwarder(t)
	address, p, came := heldLeader(t)
	done := propose(f, address, "x")
	<-came
	breakAll(p)
	if err := <-done; !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
	await(t, "commands go through again", func() bool {
		_, err := f.Propose(address, []byte("echo"))
		if err != nil && !errors.Is(err, ErrNotSent) {
			t.Errorf("error %v", err)
		}
		return err == nil
	})
}

func TestACommandThatIsTooLargeHurtsNobodyElse(t *testing.T) {
	f, _ := startForwarder(t)
	release, came := make(chan struct{}), make(chan struct{})
	address, _ := leaderWith(t, func(entry []byte) func() Outcome {
		close(came)
		return func() Outcome {
			<-release
			return Outcome{Result: entry}
		}
	})
	under := propose(f, address, "x")
	<-came
	var refused *Refused
	if _, err := f.Propose(address, make([]byte, messageBytes)); !errors.As(err, &refused) || refused.Why != rpcpb.Refusal_REFUSAL_FAILED {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := <-under; err != nil {
		t.Errorf("the other: %v", err)
	}
}

// scriptedStream is a stream that a test answers.
type scriptedStream struct {
	grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse]
	sent chan *rpcpb.ProposeRequest
	recv chan *rpcpb.ProposeResponse
	ctx  context.Context
}

func (s *scriptedStream) Send(r *rpcpb.ProposeRequest) error {
	s.sent <- r
	return nil
}

func (s *scriptedStream) Recv() (*rpcpb.ProposeResponse, error) {
	select {
	case r := <-s.recv:
		return r, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

type scriptedServer struct {
	rpcpb.ServerServiceClient
	stream *scriptedStream
}

func (s *scriptedServer) Propose(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[rpcpb.ProposeRequest, rpcpb.ProposeResponse], error) {
	s.stream.ctx = ctx
	return s.stream, nil
}

func TestAnOutcomeOfNothingEndsTheStream(t *testing.T) {
	s := &scriptedStream{sent: make(chan *rpcpb.ProposeRequest, 1), recv: make(chan *rpcpb.ProposeResponse, 1)}
	l, ctx := newLane("x")
	w := &waiter{entry: []byte("x"), done: make(chan struct{})}
	l.out.add(w)
	ran := make(chan struct{})
	go func() {
		l.run(ctx, &scriptedServer{stream: s})
		close(ran)
	}()
	<-s.sent
	s.recv <- &rpcpb.ProposeResponse{Outcomes: []*rpcpb.Outcome{{Result: []byte("1")}, {Result: []byte("2")}}}
	if <-w.done; w.err != nil || string(w.result) != "1" {
		t.Errorf("%q, %v", w.result, w.err)
	}
	<-ran
	if l.out.add(&waiter{}) {
		t.Error("it takes further commands, whose outcomes would be others'")
	}
}

func TestCommandsWithoutReadOutcomesAreHeldBack(t *testing.T) {
	var accepted atomic.Int64
	large := make([]byte, 4<<10)
	address, _ := leaderWith(t, func([]byte) func() Outcome {
		accepted.Add(1)
		return func() Outcome { return Outcome{Result: large} }
	})
	_, c := startForwarder(t)
	server, err := c.Server(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := server.Propose(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &rpcpb.ProposeRequest{Commands: make([][]byte, 4*mostUnderWay)}
	if err := stream.Send(r); err != nil {
		t.Fatal(err)
	}
	await(t, "as many are accepted as may be", func() bool { return accepted.Load() >= mostUnderWay })
	// What else it takes is what the connection's window holds in outcomes.
	window := int64(2 * windowBytes / len(large))
	if n := accepted.Load(); n > 2*mostUnderWay+window {
		t.Errorf("%d commands were accepted of a client that reads no outcomes", n)
	}
	for got := 0; got < 4*mostUnderWay; {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got += len(r.GetOutcomes())
	}
}

func TestARestoreArrivesAsItWasSent(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		chunks []string
		err    error
		code   codes.Code // 0: it is done
		cut    bool
	}{
		{"in several messages", []string{"ab", "", "cde"}, nil, 0, false},
		{"with nothing in it", nil, nil, 0, false},
		{"unless the server refuses", []string{"ab"}, &Refused{Why: rpcpb.Refusal_REFUSAL_READ_ONLY, Text: "full"}, codes.Code(firstRefusal + 3), false},
		{"and what is cut off has no end", []string{"ab"}, nil, codes.Canceled, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			type read struct {
				data string
				err  error
			}
			reads, began := make(chan read, 1), make(chan struct{})
			p, _, _ := startPort(t, Options{})
			startServer(t, p, &fake{restore: func(m *rpcpb.RestoreMeta, r io.Reader) (uint64, error) {
				close(began)
				data, err := io.ReadAll(r)
				reads <- read{m.GetId() + string(data), err}
				return 7, errors.Join(tc.err, err)
			}})
			_, c := startForwarder(t)
			server, err := c.Server(p.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := server.Restore(ctx)
			if err != nil {
				t.Fatal(err)
			}
			want := "id"
			if err := stream.Send(&rpcpb.RestoreRequest{Meta: &rpcpb.RestoreMeta{Id: "id"}, Data: []byte("0")}); err != nil {
				t.Fatal(err)
			}
			want += "0"
			for _, d := range tc.chunks {
				if err := stream.Send(&rpcpb.RestoreRequest{Data: []byte(d)}); err != nil {
					t.Fatal(err)
				}
				want += d
			}
			<-began
			r := &rpcpb.RestoreResponse{}
			if tc.cut {
				cancel()
				err = stream.RecvMsg(r)
			} else {
				r, err = stream.CloseAndRecv()
			}
			if status.Code(err) != tc.code || err == nil && r.GetIndex() != 7 {
				t.Errorf("answer %v, %v; want code %v", r, err, tc.code)
			}
			got := <-reads
			if (got.err != nil) != tc.cut || !tc.cut && got.data != want {
				t.Errorf("read %q, %v; want %q", got.data, got.err, want)
			}
		})
	}
}

func TestARestoreBeginsWithWhatItIs(t *testing.T) {
	p, _, _ := startPort(t, Options{})
	startServer(t, p, &fake{})
	_, c := startForwarder(t)
	server, err := c.Server(p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := server.Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&rpcpb.RestoreRequest{Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("error %v", err)
	}
}

func TestKeepClosesTheOtherConnections(t *testing.T) {
	index := &fake{index: func(context.Context) (uint64, error) { return 3, nil }}
	var ports []*Port
	_, c := startForwarder(t)
	for range 2 {
		p, _, _ := startPort(t, Options{})
		startServer(t, p, index)
		server, err := c.Server(p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if r, err := server.ReadIndex(t.Context(), &rpcpb.ReadIndexRequest{}); err != nil || r.GetIndex() != 3 {
			t.Fatal(r, err)
		}
		ports = append(ports, p)
	}
	c.Keep(map[string]bool{ports[1].Addr().String(): true})
	await(t, "the first connection ends", func() bool { return ports[0].openConns() == 0 })
	if n := ports[1].openConns(); n != 1 {
		t.Errorf("the second has %d connections", n)
	}
}
