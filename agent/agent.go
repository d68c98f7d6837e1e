package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/logstore"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
	"github.com/holdfast-kv/holdfast/audit"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/metrics"
	"github.com/holdfast-kv/holdfast/internal/run"
)

// Options is what an Agent is made of.
type Options struct {
	Loaded *config.Loaded

	// Reload reads the configuration again; nil: a reload changes nothing.
	Reload func() (*config.Loaded, error)

	Log *Logs

	Systemd Systemd // zero: no service manager is told

	// Now is the clock; nil: the system's.
	Now func() time.Time
}

// Agent is one server.
type Agent struct {
	opts   Options
	now    func() time.Time
	logs   *Logs
	log    hclog.Logger
	loaded atomic.Pointer[config.Loaded]

	nodeID  string
	dir     *datadir.Dir   // nil in memory
	space   *datadir.Space // nil in memory
	storage *logstore.Store
	pidFile string // written, to be removed; empty: none

	store     *fsm.Store
	machine   *fsm.FSM
	raft      *raft.Raft
	address   raft.ServerAddress // that others reach the server port by
	leaderCh  chan bool
	leader    *leaderWatch
	heard     atomic.Pointer[heardLeader]
	verifier  *verifier
	contest   *contest
	expirer   *expirer
	checks    *localChecks
	restoring *restoringSnapshots
	loading   sync.Mutex    // held while a request loads an archive for a restore
	leading   atomic.Bool   // leads, and has applied what was committed before
	ledTerm   atomic.Uint64 // of Raft, in which it did so last
	alone     atomic.Bool   // leads a cluster of one
	applying  atomic.Int64  // entries that were given to Raft and have no outcome yet
	followers *followers
	ledSince  atomic.Int64 // when it began to lead the last time, Unix nanoseconds
	caughtUp  chan struct{}
	catchOnce sync.Once
	thawed    atomic.Int64 // when the process last went on after it had stood still, Unix nanoseconds

	peers    *peers         // nil for a server that nobody can join
	gossip   *gossip.Gossip // nil without one
	founding *founding
	place    *place
	removed  removals
	pilot    *pilot

	left       atomic.Bool   // the cluster, by request
	leavingNow atomic.Bool   // the cluster
	leave      chan struct{} // of capacity 1: the server left and must end
	keeping    sync.Mutex
	transfers  int // followers that get a snapshot, or catch up behind one; guarded by keeping

	fatal  chan error  // of capacity 1: why the server must stop
	broken atomic.Bool // the files of the log store are damaged

	acl       *acl.Resolver // nil: ACLs are off
	api       *httpapi.Server
	audit     *audit.Log // nil without one
	auditing  *run.Group // what writes it: ends when nothing is served any more
	tokens    *ownTokens
	servers   []httpServer
	listeners []net.Listener
	certs     *tlsconf.Keeper
	conns     *connLimit
	metrics   *metrics.Registry
	logWrites *metrics.Histogram // how long the log store takes
	scheduled scheduleFigures
	reloads   reloads
	untold    atomic.Bool // the service manager did not hear the last message

	group   *run.Group
	closing chan struct{} // closed when the server begins to stop
	started time.Time
}

// New opens everything a server stands on. After an error nothing is left open.
func New(opts Options) (a *Agent, err error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	a = &Agent{
		opts: opts, now: opts.Now, logs: opts.Log, log: opts.Log.Named("agent"),
		store: fsm.NewStore(), leaderCh: make(chan bool, 16),
		caughtUp: make(chan struct{}), fatal: make(chan error, 1), closing: make(chan struct{}), leave: make(chan struct{}, 1),
		group: run.New(context.Background()), started: opts.Now(),
	}
	a.loaded.Store(opts.Loaded)
	a.leader = newLeaderWatch(a.group.Context(), opts.Now())
	a.logWrites = metrics.NewHistogram(raftLogWrite, metrics.TimeBounds)
	a.followers = newFollowers(opts.Now)
	fresh := func(ctx context.Context) error {
		_, err := a.ReadIndex(ctx, httpapi.Consistent)
		return err
	}
	a.contest = newContest(a.store, a.closing, fresh, a.throughLog)
	a.expirer = &expirer{
		store: a.store, deadlines: newDeadlines(opts.Now), propose: a.Propose, now: opts.Now, log: a.log, closing: a.closing,
		leads: a.leading.Load,
		ready: func() bool { return a.leading.Load() && a.writable() == nil },
		fresh: fresh,
	}
	a.checks = newLocalChecks(a.selfRegistration, a.store, a.Propose, opts.Now, opts.Log.Named("checks"))
	a.store.OnSessions(a.expirer.sessionsChanged)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
			a = nil
		}
	}()
	if err := a.openTLS(); err != nil {
		return a, err
	}
	if err := a.openStorage(); err != nil {
		return a, err
	}
	if err := a.openPeers(); err != nil {
		return a, err
	}
	if err := a.openRaft(); err != nil {
		return a, err
	}
	a.founding = &founding{now: opts.Now, self: a.nodeID, hasState: a.hasPeers}
	a.pilot = newPilot(a)
	a.place = newPlace(a.nodeID)
	if err := a.openGossip(); err != nil {
		return a, err
	}
	if err := a.openAudit(); err != nil {
		return a, err
	}
	if err := a.openHTTP(); err != nil {
		return a, err
	}
	if err := a.openMetrics(); err != nil {
		return a, err
	}
	return a, a.writePidFile()
}

func (a *Agent) config() *config.Config { return a.loaded.Load().Config }

// openStorage opens the data dir and what is in it, or memory.
func (a *Agent) openStorage() error {
	cfg := a.config()
	if cfg.DataDir == "" {
		a.nodeID = cfg.NodeID
		if a.nodeID == "" {
			id, err := uuid.GenerateUUID()
			if err != nil {
				return fmt.Errorf("make a node id: %w", err)
			}
			a.nodeID = id
		}
		a.storage = logstore.Memory()
		return nil
	}
	dir, err := datadir.Open(cfg.DataDir, datadir.Options{Logger: a.logs.Named("datadir")})
	if err != nil {
		return err
	}
	a.dir = dir
	if a.nodeID, err = dir.NodeID(cfg.NodeID); err != nil {
		return err
	}
	a.space = datadir.NewSpace(cfg.DataDir, uint64(cfg.Disk.MinFree), nil)
	if _, _, err := a.space.Check(); err != nil {
		return err
	}
	a.storage, err = a.openDisk(dir, a.loaded.Load())
	return err
}

// Run serves until ctx ends or the server must stop, then closes everything. It
// returns nil for an orderly end.
func (a *Agent) Run(ctx context.Context) error {
	a.startDuties()
	a.startHTTP()
	if err := a.joinAtStart(); err != nil {
		return errors.Join(err, a.close())
	}
	a.group.Go("metrics", a.metrics.Run)
	a.group.Go("certificates", a.certs.Run)
	a.group.Go("service manager", a.serveManager)
	var err error
	select {
	case <-ctx.Done():
		a.log.Info("stopping")
	case <-a.leave:
		a.log.Info("stopping: this server has left the cluster")
	case err = <-a.fatal:
	case <-a.group.Context().Done():
		err = context.Cause(a.group.Context())
	}
	a.tell("STOPPING=1")
	if err == nil {
		a.goodbye(context.Cause(ctx))
	}
	return errors.Join(err, a.close())
}

// goodbye is what an orderly end begins with, while requests are still answered:
// leadership is handed over, and the cluster is left if the configuration says so.
func (a *Agent) goodbye(why error) {
	leave := &a.config().Leave
	leaves := leave.OnTerminate
	if why != nil && strings.HasPrefix(why.Error(), os.Interrupt.String()) { // as signal.NotifyContext says it
		leaves = !leave.SkipOnInterrupt
	}
	if !leaves || a.left.Load() {
		a.handOver()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.config().Leave.Timeout)
	defer cancel()
	if err := a.Leave(ctx); err != nil {
		a.log.Warn("leave the cluster", "error", err)
	}
}

// stop makes Run end with an error.
func (a *Agent) stop(err error) {
	select {
	case a.fatal <- err:
	default: // it is stopping already
	}
}

// close ends what New and Run have begun, in the opposite order.
func (a *Agent) close() error {
	err := errors.Join(a.closeHTTP(), a.closeAudit())
	close(a.closing)
	if a.peers != nil {
		err = errors.Join(err, a.peers.stop(a.config().Leave.Timeout))
	}
	if a.gossip != nil {
		err = errors.Join(err, a.gossip.Close())
	}
	// While Raft runs it answers whom it has taken something from. Afterwards it may
	// not.
	duties := make(chan error, 1)
	go func() { duties <- a.group.Close() }() // ends with the duties, or with the process
	var dutiesErr error
	select {
	case dutiesErr = <-duties:
	case <-time.After(a.config().Leave.Timeout):
		dutiesErr = errors.New("stop: not everything ended in time; what was acknowledged is on disk")
	}
	if dutiesErr != nil && !errors.Is(dutiesErr, context.Canceled) {
		err = errors.Join(err, dutiesErr)
	}
	if a.raft != nil {
		err = errors.Join(err, a.stopRaft())
	}
	if a.peers != nil {
		err = errors.Join(err, a.peers.close(a.config().Leave.Timeout))
	}
	if a.storage != nil {
		if !a.broken.Load() {
			err = errors.Join(err, a.storage.Close())
		}
	}
	if a.dir != nil {
		err = errors.Join(err, a.dir.Close())
	}
	return errors.Join(err, a.removePidFile())
}

// damaged ends the server because its files are not what was stored. Raft panics
// once it hears of it, so it never does: the goroutine that met the damage stays
// here until the process is gone, and nothing is waited for.
func (a *Agent) damaged(err error) {
	a.broken.Store(true)
	a.stop(err)
	select {}
}

// stopRaft waits for Raft to end, but not for ever: on a full disk it may wait for
// room to write its term.
func (a *Agent) stopRaft() error {
	if a.broken.Load() {
		return nil
	}
	ended := make(chan error, 1)
	future := a.raft.Shutdown()
	go func() { ended <- future.Error() }() // ends with Raft, or with the process
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("stop raft: %w", err)
		}
		return nil
	case <-time.After(a.config().Leave.Timeout):
		return errors.New("stop raft: it did not end in time; what was acknowledged is on disk")
	}
}

// Store is the local state.
func (a *Agent) Store() *fsm.Store { return a.store }

// stalled is how long a write to the log may take before further writes are refused:
// a disk that hangs does not answer with an error.
const stalled = time.Second

// writable returns the error to answer a write with while the disk is nearly full,
// or does not answer.
func (a *Agent) writable() error {
	if a.space == nil {
		return nil
	}
	if err := a.space.Err(); err != nil {
		return &httpapi.ReadOnlyError{Reason: err.Error()}
	}
	if took := a.storage.Stalled(); took > stalled && time.Since(time.Unix(0, a.thawed.Load())) > stalled {
		return &httpapi.ReadOnlyError{Reason: fmt.Sprintf(
			"the disk of %s has not answered for %s; writes resume by themselves when it does", a.dir.Path(), took.Round(time.Second))}
	}
	return nil
}

// storeFailed is what a write is answered with that the log store did not take.
func (a *Agent) storeFailed(err error) error {
	a.log.Error("log store did not take a write", "error", err)
	var failed *logstore.WriteError
	if !errors.As(err, &failed) {
		return fmt.Errorf("write was not stored: %w", err)
	}
	if failed.Full() && a.space != nil {
		a.space.ReportFull()
	}
	if !failed.Absent {
		return fmt.Errorf("whether the write happened is unknown: %w", err)
	}
	if err := a.writable(); err != nil {
		return err
	}
	return fmt.Errorf("write was not stored: %w", err)
}
