package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what the load is. The zero value of a number is its default.
type Config struct {
	Servers []string // the base URL of each server, such as "http://127.0.0.1:8500"; its place is its number
	Seed    uint64

	Registers int // sets of clients, one client per server in each, that share keys; 2
	KeyOps    int // operations after which a set of clients goes on to its next key; 60
	Writers   int // per server, that note what was acknowledged; 2
	Ledger    int // keys of each such writer, which it then writes again; 2000
	Watched   int // keys that watchers on every server watch; 3

	// SettleLimit is how long Settle waits for the servers to be equal, and then as long
	// for the watchers: a minute.
	SettleLimit time.Duration

	// Dir, if set, is a folder on the disk of the servers, where a file is written beside them, to
	// see what the machine itself costs.
	Dir string

	// ReportDir, if set, is where a key whose record cannot be explained is drawn.
	ReportDir string
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Registers, 2}, {&c.KeyOps, 60}, {&c.Writers, 2}, {&c.Ledger, 2000}, {&c.Watched, 3}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.SettleLimit == 0 {
		c.SettleLimit = time.Minute
	}
	return c
}

// Load is clients at work. Its methods are for one goroutine, but Mark and Elapsed for any.
type Load struct {
	config  Config
	clients []*client
	begin   time.Time
	faults  faultLog
	witness *witness

	registers []*registerSet
	writers   []*writer
	watchers  []*watcher
	stale     []*staleReader
	locks     []*contender

	// Two contexts: writers end first, watchers and readers see what they wrote last.
	writing  context.Context
	reading  context.Context
	endWrite context.CancelFunc
	endRead  context.CancelFunc
	writes   sync.WaitGroup
	reads    sync.WaitGroup

	values atomic.Int64 // names given to writes of registers
	finals atomic.Int64 // rounds of last values of watched keys

	mu    sync.Mutex
	marks map[string]time.Duration // guarded by mu
}

// Start begins the load, which goes on until Settle or Close.
func Start(ctx context.Context, config Config) *Load {
	config = config.withDefaults()
	l := &Load{config: config, begin: time.Now(), marks: map[string]time.Duration{}}
	for id, url := range config.Servers {
		l.clients = append(l.clients, newClient(id, url))
	}
	l.writing, l.endWrite = context.WithCancel(ctx)
	l.reading, l.endRead = context.WithCancel(ctx)
	l.startWitness()
	seeds := rand.New(rand.NewPCG(config.Seed, 1))
	for set := range config.Registers {
		l.startRegisters(set, seeds)
	}
	for _, c := range l.clients {
		for range config.Writers {
			w := newWriter(l, len(l.writers), c)
			l.writers = append(l.writers, w)
			l.writes.Go(w.run)
		}
		l.startWatchers(c)
		l.startStale(c)
		l.startContender(c, seeds)
	}
	return l
}

// Close ends all that Start began. After Settle it does nothing.
func (l *Load) Close() {
	l.endWrite()
	l.writes.Wait()
	l.endRead()
	l.reads.Wait()
	for _, c := range l.clients {
		c.close()
	}
}

// Elapsed is the time since the load began: what all times of a Result count from.
func (l *Load) Elapsed() time.Duration { return time.Since(l.begin) }

// Clock is a time since the load began as the clock showed it: what servers' logs go by.
func (l *Load) Clock(at time.Duration) time.Time { return l.begin.Add(at) }

// Names of marks.
const (
	FaultBegins = "fault begins"
	FaultEnds   = "fault ends"
)

// Mark notes that something happened now.
func (l *Load) Mark(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks[name] = l.Elapsed()
}

// MarkedAt is when something happened, 0 if it did not.
func (l *Load) MarkedAt(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marks[name]
}

// AwaitWrites waits until a write begun after now has succeeded on every server, at
// most for limit.
func (l *Load) AwaitWrites(ctx context.Context, limit time.Duration) error {
	since := l.Elapsed()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		lagging := l.silentSince(since)
		if len(lagging) == 0 {
			return nil
		}
		if !rest(ctx, pollEvery) {
			return fmt.Errorf("no write succeeded within %s on server %v", limit, lagging)
		}
	}
}

// silentSince are the servers on which no write has succeeded that began after a time.
func (l *Load) silentSince(since time.Duration) []int {
	written := map[int]bool{}
	for _, w := range l.writers {
		if w.lastBegun() > since {
			written[w.client.id] = true
		}
	}
	var silent []int
	for _, c := range l.clients {
		if !written[c.id] {
			silent = append(silent, c.id)
		}
	}
	return silent
}

// Pace of the clients. They are slower than they could be, lest the load takes the
// processor from the servers, which share it.
const (
	pollEvery  = 10 * time.Millisecond
	afterError = 20 * time.Millisecond
)

// rest waits for a time, and reports false when ctx ends first.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// source is the randomness of one client.
func source(seeds *rand.Rand) *rand.Rand {
	return rand.New(rand.NewPCG(seeds.Uint64(), seeds.Uint64()))
}

// faultLog is what was found while the load ran. Bounded, per kind: one broken promise
// is enough, and a broken server breaks it all the time.
type faultLog struct {
	mu    sync.Mutex
	kept  []string       // guarded by mu
	total map[string]int // by kind, which is the format; guarded by mu
}

const keptOfAKind = 8

func (f *faultLog) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total == nil {
		f.total = map[string]int{}
	}
	f.total[format]++
	if f.total[format] <= keptOfAKind {
		f.kept = append(f.kept, fmt.Sprintf(format, args...))
	}
}

func (f *faultLog) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := append([]string(nil), f.kept...)
	more := -len(f.kept)
	for _, n := range f.total {
		more += n
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return list
}
