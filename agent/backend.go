package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/logstore"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// backend answers the requests of other servers.
type backend struct{ a *Agent }

func notLeader() error {
	return &rpc.Refused{Why: rpcpb.Refusal_REFUSAL_NOT_LEADER, Text: "this server does not lead"}
}

// refusal gives an error the meaning that other servers know.
func refusal(err error) error {
	var readOnly *httpapi.ReadOnlyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*rpc.Refused)): // it has its meaning
		return err
	case errors.Is(err, errNotThere), errors.Is(err, httpapi.ErrNoLeader):
		return notLeader()
	case errors.Is(err, httpapi.ErrUnknownOutcome):
		return &rpc.Refused{Why: rpcpb.Refusal_REFUSAL_UNKNOWN_OUTCOME, Text: err.Error()}
	case errors.As(err, &readOnly):
		return &rpc.Refused{Why: rpcpb.Refusal_REFUSAL_READ_ONLY, Text: readOnly.Reason}
	case errors.Is(err, acl.ErrNotFound), errors.As(err, new(*acl.PermissionError)):
		return &rpc.Refused{Why: rpcpb.Refusal_REFUSAL_DENIED, Text: err.Error()}
	}
	return &rpc.Refused{Why: rpcpb.Refusal_REFUSAL_FAILED, Text: err.Error()}
}

// Accept is part of rpc.Backend.
func (b *backend) Accept(entry []byte) func() rpc.Outcome {
	a := b.a
	refuse := func(err error) func() rpc.Outcome {
		return func() rpc.Outcome { return rpc.Outcome{Err: refusal(err)} }
	}
	if !a.leading.Load() {
		return refuse(errNotThere)
	}
	if err := a.writable(); err != nil {
		return refuse(err)
	}
	if a.acl != nil && !fsm.IsChecked(entry) {
		return refuse(errUnchecked)
	}
	needs, ok := fsm.Needs(entry)
	if !ok { // in the log it would stop this server, and all like it
		return refuse(fmt.Errorf("the leader, %s, runs an older version that does not know this kind of write: upgrade all servers first", a.config().NodeName))
	}
	if err := a.heldBack(needs); err != nil {
		return refuse(&rpc.Refused{Why: rpcpb.Refusal_REFUSAL_NOT_UNDERSTOOD, Text: err.Error()})
	}
	if err := fsm.Stamp(entry, a.now().UnixNano()); err != nil {
		return refuse(err)
	}
	future := a.enqueue(entry)
	return func() rpc.Outcome {
		res, err := a.outcome(future)
		if err != nil {
			return rpc.Outcome{Err: refusal(err)}
		}
		data, err := fsm.EncodeResult(&res)
		return rpc.Outcome{Result: data, Err: err}
	}
}

// ReadIndex is part of rpc.Backend.
func (b *backend) ReadIndex(ctx context.Context, asks rpc.Asker) (index uint64, checksRights bool, err error) {
	switch {
	case !b.a.leading.Load():
		return 0, false, notLeader()
	case b.a.confirms(asks):
		index, err = b.a.reached(ctx, b.a.raft.CommitIndex()) // ctx has the asking server's bound
	default:
		index, err = b.a.verifier.verify(ctx)
	}
	return index, b.a.acl != nil, refusal(err)
}

// RenewSession is part of rpc.Backend.
func (b *backend) RenewSession(ctx context.Context, id string, m *rpcpb.Given) (uint64, bool, error) {
	if !b.a.leading.Load() {
		return 0, false, notLeader()
	}
	given, err := givenFromProto(m)
	if err != nil {
		return 0, false, refusal(err)
	}
	s, err := b.a.RenewSession(ctx, id, given)
	return b.a.store.Applied(), s != nil, refusal(err)
}

// Restore is part of rpc.Backend.
func (b *backend) Restore(ctx context.Context, m *rpcpb.RestoreMeta, r io.Reader) (uint64, error) {
	if !b.a.leading.Load() {
		return 0, notLeader()
	}
	given, err := givenFromProto(m.GetGiven())
	if err == nil {
		err = b.a.stillGiven(ctx, given) // before all of it is taken
	}
	if err != nil {
		return 0, refusal(err)
	}
	kept, err := b.a.keep()
	if err != nil {
		return 0, refusal(fmt.Errorf("keep the archive: %w", err))
	}
	defer kept.Discard()
	// Raft does nothing else while it reads an archive, so this must not wait for another
	// server then.
	broken, err := kept.Take(&wholeReader{r: r, left: m.GetSize()})
	if err = cmp.Or(err, broken); err != nil {
		return 0, refusal(fmt.Errorf("receive the archive: %w", err))
	}
	meta := httpapi.SnapshotMeta{ID: m.GetId(), Index: m.GetIndex(), Term: m.GetTerm()}
	err = b.a.restoreHere(ctx, meta, kept, given)
	return b.a.store.Applied(), refusal(err)
}

// wholeReader reads as many bytes as were announced, no fewer and no more.
type wholeReader struct {
	r    io.Reader
	left int64
}

// Read is part of io.Reader.
func (w *wholeReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.left -= int64(n)
	switch {
	case w.left < 0:
		return 0, errors.New("the archive is longer than was announced")
	case err == io.EOF && w.left > 0:
		return n, fmt.Errorf("%d bytes before its end: %w", w.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// TransferLeader is part of rpc.Backend.
func (b *backend) TransferLeader(ctx context.Context, id string, m *rpcpb.Given) error {
	if !b.a.leading.Load() {
		return notLeader()
	}
	given, err := givenFromProto(m)
	if err == nil {
		err = b.a.transferHere(ctx, id, given)
	}
	return refusal(err)
}

// RemovePeer is part of rpc.Backend.
func (b *backend) RemovePeer(ctx context.Context, id, address string, m *rpcpb.Given) error {
	if !b.a.leading.Load() {
		return notLeader()
	}
	given, err := givenFromProto(m)
	if err == nil {
		err = b.a.removeHere(ctx, id, address, given)
	}
	return refusal(err)
}

// Status is part of rpc.Backend.
func (b *backend) Status() *rpcpb.StatusResponse { return b.a.status() }

func (a *Agent) status() *rpcpb.StatusResponse {
	stats := a.raft.Stats()
	term, _ := strconv.ParseUint(stats["last_log_term"], 10, 64) // Raft's own figure, always a number
	contact := time.Duration(0)
	if a.raft.State() != raft.Leader {
		contact = -1
		if last := a.raft.LastContact(); !last.IsZero() {
			contact = a.now().Sub(last)
		}
	}
	run, removed := a.place.look(a.configuration().Servers)
	return &rpcpb.StatusResponse{
		NodeId: a.nodeID, HasState: a.hasPeers(), LastContact: int64(contact), LastTerm: term,
		LastIndex: a.raft.LastIndex(), AppliedIndex: a.store.Applied(), EntryVersion: fsm.EntryVersion, Hashes: hashesToProto(a.store.HashMarks()),
		Run: run, Removed: removed,
	}
}

// Health is part of rpc.Backend.
func (b *backend) Health() ([]byte, error) {
	if !b.a.leading.Load() {
		return nil, notLeader()
	}
	return b.a.pilot.encodeState()
}

// Found is part of rpc.Backend.
func (b *backend) Found(ids []string, by string) error { return b.a.founding.promise(ids, by) }

// LeaderDied is part of rpc.Backend.
func (b *backend) LeaderDied(ctx context.Context, id string) *rpcpb.LeaderDiedResponse {
	a := b.a
	r := &rpcpb.LeaderDiedResponse{Agreed: a.diedAsSeenHere(ctx, id), NodeId: a.nodeID}
	r.LastTerm, r.LastIndex = a.logEnd()
	return r
}

// askLeader sends a request to the leader, until one was there to take it. A request
// that ends because the leader is none any more is repeated: askLeader is for what may
// happen twice.
func (a *Agent) askLeader(ctx context.Context, here func() error, there func(context.Context, rpcpb.ServerServiceClient) error) error {
	held, cancel := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer cancel()
	for {
		if err := a.awaitLeader(held, always); err != nil {
			return err
		}
		err := a.askOnce(ctx, here, there)
		if !errors.Is(err, errNotThere) {
			return err
		}
		if err := a.pause(held); err != nil {
			return err
		}
	}
}

func (a *Agent) askOnce(ctx context.Context, here func() error, there func(context.Context, rpcpb.ServerServiceClient) error) error {
	if a.leading.Load() {
		return here()
	}
	_, reign := a.leader.get() // first, so that it is not a later one than that at the address
	address := a.otherLeader()
	if address == "" {
		return errNotThere
	}
	server, err := a.peers.client.Server(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(reign, cancel)()
	var refused *rpc.Refused
	var silent *unanswered
	err = there(ctx, server)
	if errors.As(err, &silent) {
		return err
	}
	err = rpc.AsError(err)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return meaning(err)
	}
	return errNotThere
}

// askLeaderOnce is askLeader for what must not happen twice. It is repeated only when
// the asked server says that it does not lead.
func (a *Agent) askLeaderOnce(ctx context.Context, here func() error, there func(context.Context, rpcpb.ServerServiceClient) error) error {
	return a.askLeader(ctx, here, func(ctx context.Context, server rpcpb.ServerServiceClient) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), onceTimeout) // the reign may end with it
		defer cancel()
		err := rpc.AsError(there(ctx, server))
		var refused *rpc.Refused
		if err == nil || errors.As(err, &refused) {
			return err
		}
		return &unanswered{err}
	})
}

// unanswered says that the leader was asked and did not answer.
type unanswered struct{ cause error }

func (e *unanswered) Error() string {
	return fmt.Sprintf("the leader did not answer; whether it did what was asked is unknown: %v", e.cause)
}

func (e *unanswered) Unwrap() error { return e.cause }

// onceTimeout bounds the wait for what a leader does once.
const onceTimeout = 10 * time.Second

// restoreChunk is how much of an archive travels in one message.
const restoreChunk = 256 << 10

// restoreThere hands a restore to the leader. It is not repeated: the leader may have
// taken it.
func (a *Agent) restoreThere(ctx context.Context, address string, meta httpapi.SnapshotMeta, kept *logstore.Kept, given *acl.Given) error {
	asked, err := givenToProto(given)
	if err != nil {
		return err
	}
	server, err := a.peers.client.Server(address)
	if err != nil {
		return err
	}
	sending, cancel := context.WithCancel(ctx) // ends the stream wherever this returns
	defer cancel()
	// Of a leader that is none any more nothing is heard. It is looked up again: the one
	// at the address may have gone meanwhile.
	now, reign := a.leader.get()
	if now.address != address {
		return httpapi.ErrNoLeader
	}
	defer context.AfterFunc(reign, cancel)()
	stream, err := server.Restore(sending)
	if err != nil {
		return fmt.Errorf("hand the restore to the leader: %w", err)
	}
	first := &rpcpb.RestoreRequest{Meta: &rpcpb.RestoreMeta{Id: meta.ID, Index: meta.Index, Term: meta.Term, Size: kept.Size(), Given: asked}}
	err = stream.Send(first)
	r, buf := kept.Reader(), make([]byte, restoreChunk)
	for err == nil {
		n, readErr := io.ReadFull(r, buf)
		if n > 0 {
			err = stream.Send(&rpcpb.RestoreRequest{Data: bytes.Clone(buf[:n])})
		}
		if errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF) {
			break
		}
		if readErr != nil {
			return fmt.Errorf("read the archive: %w", readErr)
		}
	}
	done, err := stream.CloseAndRecv() // tells why a Send failed, too
	if err != nil {
		var refused *rpc.Refused
		if !errors.As(rpc.AsError(err), &refused) { // nothing more was heard of it
			return httpapi.ErrUnknownOutcome
		}
		if err = meaning(refused); errors.Is(err, errNotThere) {
			return httpapi.ErrNoLeader
		}
		return err
	}
	held, ready := context.WithTimeout(ctx, a.config().RPCHoldTimeout)
	defer ready()
	if err := a.store.WaitApplied(held, done.GetIndex()); err != nil {
		return fmt.Errorf("the leader restored the archive; wait for it here: %w", err)
	}
	return nil
}
