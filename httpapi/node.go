package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
)

// Errors of a Node that have a meaning on the wire.
var (
	// ErrNoLeader says that no leader is known, or became known in time. The
	// write has certainly not happened.
	//lint:ignore ST1005 the text is the wire's
	ErrNoLeader = errors.New("No cluster leader")

	// ErrUnknownOutcome says that leadership was lost while the write was in
	// flight: it may or may not have happened.
	ErrUnknownOutcome = errors.New("raft apply failed: leadership lost while committing log; whether the write happened is unknown")

	// ErrNotReady says that this server has not applied yet what is known to be
	// committed.
	//lint:ignore ST1005 the text is the wire's
	ErrNotReady = errors.New("Not ready to serve consistent reads")
)

// ReadOnlyError says that the server takes no writes because its disk is nearly
// full or failing.
type ReadOnlyError struct {
	Reason string // a sentence that says what is wrong and what to do
}

func (e *ReadOnlyError) Error() string { return "server is read-only: " + e.Reason }

// Mode is how fresh a read must be.
type Mode uint8

// The modes. Default and Consistent are both linearizable here.
const (
	Default Mode = iota
	Consistent
	Stale
)

// Contact is what a server knows of the leader.
type Contact struct {
	KnownLeader bool
	LastContact time.Duration // since the leader was heard from; 0 on the leader
}

// Node is the server behind the API, as far as keys are concerned.
type Node interface {
	// Propose puts a command through the log and returns what became of it. The
	// command is the caller's again then: nothing of it may be kept.
	Propose(ctx context.Context, c *fsm.Command) (fsm.Result, error)

	// ReadIndex returns when the local state is fresh enough for a read in the
	// given mode.
	ReadIndex(ctx context.Context, mode Mode) (Contact, error)

	// Contact tells what is known of the leader right now.
	Contact() Contact

	// Store is the local state.
	Store() *fsm.Store
}

// RaftServer is one member of the Raft configuration.
type RaftServer struct {
	ID, Node, Address, ProtocolVersion string
	Leader, Voter                      bool
	LastIndex                          uint64
}

// Cluster is the server as a member of a cluster.
type Cluster interface {
	// LeaderAddress is the server address of the leader; empty when unknown.
	LeaderAddress() string

	// PeerAddresses are the server addresses of all members.
	PeerAddresses() []string

	// RaftConfiguration returns the members and the index of the configuration. With
	// Stale it asks nobody.
	RaftConfiguration(ctx context.Context, mode Mode) ([]RaftServer, uint64, error)

	// TransferLeader hands leadership to the server with that id, or to one of the
	// cluster's choice when it is empty. The leader looks again whether the right to it
	// is given, and the error is a [DeniedError] or package acl's when not; nil: nobody
	// has looked. So with RemovePeer.
	TransferLeader(ctx context.Context, id string, given *acl.Given) error

	// RemovePeer takes a member out, named by its id or its address.
	RemovePeer(ctx context.Context, id, address string, given *acl.Given) error
}

// AutopilotServer is one server as autopilot sees it.
type AutopilotServer struct {
	ID, Name, Address      string
	NodeStatus, SerfStatus string // alive, failed, left; as the gossip says: also leaving, none
	Version                string
	Status                 string // leader, voter, non-voter, staging, none
	NodeType               string // voter, read-replica
	Leader, Voter, Healthy bool
	ReadReplica            bool
	LastContact            time.Duration
	LastTerm, LastIndex    uint64
	StableSince            time.Time // of Healthy
	Meta                   map[string]string
}

// AutopilotState is what autopilot knows of the servers.
type AutopilotState struct {
	Known                      bool // false before the first look
	Healthy                    bool
	FailureTolerance           int // servers that may fail without loss of quorum
	OptimisticFailureTolerance int
	Leader                     string
	Voters                     []string
	Servers                    []AutopilotServer // by id
}

// Membership is the server among the others.
type Membership interface {
	// Join meets another server at an address.
	Join(ctx context.Context, address string) error

	// Leave takes this server out of the cluster for good, and then ends it.
	LeaveAndStop(ctx context.Context) error

	// ForceLeave makes a failed server count as one that left; with prune it is
	// forgotten.
	ForceLeave(ctx context.Context, node string, prune bool) error

	// AutopilotConfig is the configuration of autopilot: that of the state, or, while a
	// server is alone and nobody has set one, what its own configuration says.
	AutopilotConfig() *fsm.Autopilot

	// AutopilotState is what autopilot knows of the servers.
	AutopilotState(ctx context.Context, mode Mode) (AutopilotState, error)

	// Keyring lists or changes the keys of the gossip; see KeyringRequest.
	Keyring(ctx context.Context, r KeyringRequest) ([]KeyringMembers, error)
}

// KeyringRequest is what shall happen to the keys of the gossip.
type KeyringRequest struct {
	Op    KeyringOp
	Key   string // in base64; for all but KeyringList
	Relay uint8  // 0 to 5: members that pass answers on
}

// KeyringOp is an operation on the keys of the gossip.
type KeyringOp uint8

// The operations.
const (
	KeyringList KeyringOp = iota
	KeyringInstall
	KeyringUse
	KeyringRemove
)

// KeyringMembers are the keys that members have.
type KeyringMembers struct {
	Datacenter        string
	Keys, PrimaryKeys map[string]int // how many have each
	NumNodes          int
}

// A KeyringError says which members did not do as they were asked.
type KeyringError struct {
	Datacenter      string
	Members, Failed int
	Messages        map[string]string // by member
}

func (e *KeyringError) Error() string {
	return fmt.Sprintf("%d/%d nodes reported failure", e.Failed, e.Members)
}

// SnapshotMeta describes the state in an archive.
type SnapshotMeta struct {
	ID                 string
	Index, Term        uint64
	Peers              []string
	Servers            []RaftServer
	ConfigurationIndex uint64
}

// Kept is the state of an archive between its arrival and its use.
type Kept interface {
	// Take reads the state to its end, checks it and keeps it. broken says why it could
	// not be restored, and err why it was not read or kept.
	Take(state io.Reader) (broken, err error)

	// Discard gives up what is kept. It is called once, behind all else.
	Discard()
}

// Snapshots saves and restores the whole state.
type Snapshots interface {
	// SnapshotMeta describes the state in s.
	SnapshotMeta(s *fsm.Snapshot) (SnapshotMeta, error)

	// Keep begins to receive the state of an archive, for Restore.
	Keep() (Kept, error)

	// Restore replaces the state of the cluster by the one that was kept, and returns
	// when it is in use. For given see [Cluster].
	Restore(ctx context.Context, meta SnapshotMeta, kept Kept, given *acl.Given) error

	// Writable returns why the server takes no writes now, a *ReadOnlyError; nil when
	// it does.
	Writable() error
}
