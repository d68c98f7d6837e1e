package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
)

// Backend is the server that requests are for. Errors reach the asking server as
// their text alone; a [Refused] keeps its meaning.
type Backend interface {
	// Accept puts a command of another server into the log and returns a function that
	// waits for what became of it. It may change entry.
	Accept(entry []byte) (wait func() Outcome)

	ReadIndex(ctx context.Context, asks Asker) (index uint64, checksRights bool, err error)
	RenewSession(ctx context.Context, id string, given *rpcpb.Given) (index uint64, found bool, err error)
	Restore(ctx context.Context, meta *rpcpb.RestoreMeta, r io.Reader) (index uint64, err error)
	TransferLeader(ctx context.Context, id string, given *rpcpb.Given) error
	RemovePeer(ctx context.Context, id, address string, given *rpcpb.Given) error
	Status() *rpcpb.StatusResponse
	Health() ([]byte, error)
	Found(ids []string, by string) error
	LeaderDied(ctx context.Context, id string) *rpcpb.LeaderDiedResponse
}

// Asker is a server that asks, and its term of Raft when it did. The zero value is one that
// does not say, as servers of before.
type Asker struct {
	ID   string
	Term uint64
}

// Outcome is what became of a command of another server: the bytes of its result, or
// why there is none.
type Outcome struct {
	Result []byte
	Err    error
}

// Refused is an error with a meaning that both servers know.
type Refused struct {
	Why  rpcpb.Refusal
	Text string
}

func (e *Refused) Error() string { return e.Text }

// Server answers the requests of other servers.
type Server struct {
	rpcpb.UnimplementedServerServiceServer
	backend Backend
	grpc    *grpc.Server
	port    *Port
}

// NewServer returns what serves the gRPC side of a port.
func NewServer(p *Port, b Backend) *Server {
	s := &Server{backend: b, port: p, grpc: grpc.NewServer(
		grpc.InitialWindowSize(windowBytes), grpc.InitialConnWindowSize(windowBytes),
		grpc.MaxRecvMsgSize(messageBytes), grpc.MaxSendMsgSize(messageBytes),
		grpc.WaitForHandlers(true), grpc.ConnectionTimeout(p.opts.HandshakeTimeout),
	)}
	rpcpb.RegisterServerServiceServer(s.grpc, s)
	return s
}

// Serve answers until Stop.
func (s *Server) Serve() error {
	if err := s.grpc.Serve(s.port.grpc); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Stop ends all requests and waits for their handlers.
func (s *Server) Stop() { s.grpc.Stop() }

// asStatus gives an error a code from which asError makes the same error again.
func asStatus(err error) error {
	var refused *Refused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return status.Error(codes.Code(firstRefusal+uint32(refused.Why)), err.Error())
	}
	return status.Error(codes.Unknown, err.Error())
}

// firstRefusal is the first of gRPC's status codes that stand for a Refusal.
const firstRefusal = 100

// AsError returns the error that the other server meant. Whether the request reached
// it is not known of other errors than [Refused].
func AsError(err error) error {
	s, ok := status.FromError(err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return err
	case uint32(s.Code()) > firstRefusal:
		return &Refused{Why: rpcpb.Refusal(uint32(s.Code()) - firstRefusal), Text: s.Message()}
	case s.Code() == codes.Unknown:
		return &Refused{Why: rpcpb.Refusal_REFUSAL_FAILED, Text: s.Message()}
	}
	return err
}

// ReadIndex is part of the service.
func (s *Server) ReadIndex(ctx context.Context, r *rpcpb.ReadIndexRequest) (*rpcpb.ReadIndexResponse, error) {
	index, checks, err := s.backend.ReadIndex(ctx, Asker{ID: r.GetId(), Term: r.GetTerm()})
	return &rpcpb.ReadIndexResponse{Index: index, ChecksRights: checks}, asStatus(err)
}

// RenewSession is part of the service.
func (s *Server) RenewSession(ctx context.Context, r *rpcpb.RenewSessionRequest) (*rpcpb.RenewSessionResponse, error) {
	index, found, err := s.backend.RenewSession(ctx, r.GetId(), r.GetGiven())
	return &rpcpb.RenewSessionResponse{Index: index, Found: found}, asStatus(err)
}

// TransferLeader is part of the service.
func (s *Server) TransferLeader(ctx context.Context, r *rpcpb.TransferLeaderRequest) (*rpcpb.TransferLeaderResponse, error) {
	return &rpcpb.TransferLeaderResponse{}, asStatus(s.backend.TransferLeader(ctx, r.GetId(), r.GetGiven()))
}

// RemovePeer is part of the service.
func (s *Server) RemovePeer(ctx context.Context, r *rpcpb.RemovePeerRequest) (*rpcpb.RemovePeerResponse, error) {
	return &rpcpb.RemovePeerResponse{}, asStatus(s.backend.RemovePeer(ctx, r.GetId(), r.GetAddress(), r.GetGiven()))
}

// Status is part of the service.
func (s *Server) Status(context.Context, *rpcpb.StatusRequest) (*rpcpb.StatusResponse, error) {
	return s.backend.Status(), nil
}

// Health is part of the service.
func (s *Server) Health(context.Context, *rpcpb.HealthRequest) (*rpcpb.HealthResponse, error) {
	state, err := s.backend.Health()
	return &rpcpb.HealthResponse{State: state}, asStatus(err)
}

// Found is part of the service.
func (s *Server) Found(_ context.Context, r *rpcpb.FoundRequest) (*rpcpb.FoundResponse, error) {
	if err := s.backend.Found(r.GetIds(), r.GetBy()); err != nil {
		return &rpcpb.FoundResponse{Reason: err.Error()}, nil
	}
	return &rpcpb.FoundResponse{Agreed: true}, nil
}

// LeaderDied is part of the service.
func (s *Server) LeaderDied(ctx context.Context, r *rpcpb.LeaderDiedRequest) (*rpcpb.LeaderDiedResponse, error) {
	return s.backend.LeaderDied(ctx, r.GetId()), nil
}

// Restore is part of the service.
func (s *Server) Restore(stream grpc.ClientStreamingServer[rpcpb.RestoreRequest, rpcpb.RestoreResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetMeta() == nil {
		return status.Error(codes.InvalidArgument, "the first message of a restore describes it")
	}
	index, err := s.backend.Restore(stream.Context(), first.GetMeta(), &restoreReader{stream: stream, rest: first.GetData()})
	if err != nil {
		return asStatus(err)
	}
	return stream.SendAndClose(&rpcpb.RestoreResponse{Index: index})
}

type restoreReader struct {
	stream grpc.ClientStreamingServer[rpcpb.RestoreRequest, rpcpb.RestoreResponse]
	rest   []byte
}

// Read is part of io.Reader.
func (r *restoreReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		m, err := r.stream.Recv()
		if err != nil {
			return 0, err // io.EOF at the end
		}
		r.rest = m.GetData()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// mostUnderWay bounds the commands of one server that wait for their outcome.
const mostUnderWay = 8192

// Propose is part of the service: commands in, outcomes out, in the same order. As
// many outcomes as there are go out together.
func (s *Server) Propose(stream grpc.BidiStreamingServer[rpcpb.ProposeRequest, rpcpb.ProposeResponse]) error {
	waits := make(chan func() Outcome, mostUnderWay)
	room := make(chan struct{}, mostUnderWay) // one for each that has no outcome sent
	out := newPile[*rpcpb.Outcome]()
	var ends sync.WaitGroup
	ends.Go(func() { // waits for one outcome after the other
		defer out.end()
		for wait := range waits {
			out.add(toProto(wait()))
		}
	})
	var sendErr error
	ends.Go(func() {
		for {
			list, more := out.take()
			for len(list) > 0 {
				var now []*rpcpb.Outcome
				now, list = lot(list, func(o *rpcpb.Outcome) int { return len(o.GetResult()) })
				if sendErr == nil {
					sendErr = stream.Send(&rpcpb.ProposeResponse{Outcomes: now})
				}
				for range now {
					<-room
				}
			}
			if !more {
				return
			}
		}
	})
	err := s.receive(stream, room, waits)
	close(waits)
	ends.Wait()
	return errors.Join(err, sendErr)
}

func (s *Server) receive(
	stream grpc.BidiStreamingServer[rpcpb.ProposeRequest, rpcpb.ProposeResponse], room chan<- struct{}, waits chan<- func() Outcome,
) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, entry := range r.GetCommands() {
			room <- struct{}{} // its bound holds the sender back, also one that reads no outcomes
			waits <- s.backend.Accept(entry)
		}
	}
}

func toProto(o Outcome) *rpcpb.Outcome {
	if o.Err == nil && len(o.Result) > mostEntryBytes { // it would break the stream for everybody on it
		o.Err = fmt.Errorf("the command was performed, but its answer of %d bytes is larger than what servers send each other, %d bytes",
			len(o.Result), mostEntryBytes)
	}
	if o.Err == nil {
		return &rpcpb.Outcome{Result: o.Result}
	}
	var refused *Refused
	if errors.As(o.Err, &refused) {
		return &rpcpb.Outcome{Refusal: refused.Why, Text: refused.Text}
	}
	return &rpcpb.Outcome{Refusal: rpcpb.Refusal_REFUSAL_FAILED, Text: o.Err.Error()}
}
