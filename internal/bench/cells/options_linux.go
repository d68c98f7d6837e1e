package cells

import (
	"regexp"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// Options say what is run and how.
type Options struct {
	Dir    string               // an existing folder on a real disk; nothing stays in it
	Server target.ServerOptions // how the server under test is started; its Dir is ignored

	// Subject, if set, is measured instead of servers started here. Cells that
	// need a fresh or a restarted server are skipped.
	Subject *target.Target

	// Peer is a further server that speaks the same API; nil if there is none.
	// It gets the same data, under a prefix that is deleted afterwards.
	Peer        *target.Target
	PeerRestore bool // restore the peer's snapshot too, which undoes what others wrote meanwhile

	Rounds int           // at least 1
	Round  time.Duration // how long each side has in a round of a closed loop
	Loops  int           // threads that generate load
	Rest   time.Duration // before memory or disk usage is read
	Listen time.Duration // for false wake-ups after each write

	Cell  *regexp.Regexp // which cells; nil: all
	Sizes Sizes
}

// Sizes are how much of everything there is. The bars hold for DefaultSizes.
type Sizes struct {
	Clients     []int // concurrent clients of single reads and writes
	ValueBytes  int   // of single reads and writes, of lists and of watched keys
	ListClients int   // of lists
	Entries     int   // in a list of entries
	Names       int   // in a list of key names
	Trees       int   // of Entries each, of which one at random is listed
	Scattered   int   // keys of which single ones are read at random
	TxnOps      int
	TxnBytes    int   // of one value in a transaction
	TxnClients  int   // of transactions, in the load too
	Watchers    []int // parked on one key
	Deliveries  int   // that a round aims at: with few watchers there are several writes in it
	WakeKeys    int   // with one parked query each
	Parked      int   // whose memory is measured
	ParkedTLS   int   // and of how many with TLS
	Multitude   int   // that are parked on one server together, as far as there may be connections

	Rearming    int // watchers that ask again as soon as they are answered
	RearmWrites int // a second, to the key of all of them
	RearmFor    time.Duration

	LoadKeys int // in the store, with TxnBytes each

	Readers      int           // of a cell on three servers
	Spread       int           // watchers spread over three servers
	SpreadKeys   int           // that these watch, each as many as the next
	SpreadWrites int           // a second, to one key after the other
	SpreadFor    time.Duration // so long

	Failovers int // leaders that are killed

	Sessions       int           // that are made, renewed and destroyed as quickly as can be
	SessionClients int           // who do that, and who write meanwhile when sessions run out
	LiveSessions   int           // that are renewed every LiveTTL/2
	LiveTTL        time.Duration // at least the server's session_ttl_min
	Expiring       int           // sessions that run out together, ExpiringTTL after their renewal
	ExpiringTTL    time.Duration

	Policies int // of 20 rules each, where rights are checked
	Tokens   int
}

// DefaultSizes are those of the bars.
func DefaultSizes() Sizes {
	return Sizes{
		Clients:     []int{1, 16, 64, 256},
		ValueBytes:  1024,
		ListClients: 16,
		Entries:     1000,
		Names:       10_000,
		Trees:       50,
		Scattered:   100_000,
		TxnOps:      64,
		TxnBytes:    512,
		TxnClients:  16,
		Watchers:    []int{1, 1000, 5000},
		Deliveries:  2000,
		WakeKeys:    1000,
		Parked:      10_000,
		ParkedTLS:   3000,
		Multitude:   100_000,
		LoadKeys:    200_000,

		Rearming: 1000, RearmWrites: 100, RearmFor: 10 * time.Second,

		Failovers: 10,

		Readers: 64, Spread: 1000, SpreadKeys: 100, SpreadWrites: 100, SpreadFor: 10 * time.Second,

		Sessions: 5000, SessionClients: 16,
		LiveSessions: 10_000, LiveTTL: 30 * time.Second,
		Expiring: 5000, ExpiringTTL: 10 * time.Second,

		Policies: 1000, Tokens: 10_000,
	}
}
