package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/acl/login"
)

// Options is what a Server is made of. All fields are required unless they say
// otherwise.
type Options struct {
	Node       Node
	Cluster    Cluster
	Membership Membership
	Snapshots  Snapshots
	Sessions   Sessions
	Agent      Agent
	Log        hclog.Logger

	// ACL finds who asks; nil: rights are not checked, and all is allowed.
	ACL *acl.Resolver

	// Unchecked says, without ACL, why nothing that needs a right may be answered all the
	// same; nil: it always may.
	Unchecked func() error

	// Tokens are those that this server was given for its own use; nil: none.
	Tokens Tokens

	// Resets is how another bootstrap is allowed; nil: never.
	Resets Resets

	// Audit takes down who did what; nil: nobody does.
	Audit Auditor

	Datacenter string
	NodeName   string
}

// Settings are what may change while the server runs.
type Settings struct {
	ValueBytes int64 // largest value of a key
	TxnBytes   int64 // largest body of a transaction
	TxnOps     int   // most operations of a transaction

	// ParkedPerClient and ParkedTotal bound the blocking queries that wait, for one
	// client address and together; 0 or below: no bound.
	ParkedPerClient, ParkedTotal int

	// AuthFailures is how many requests with unknown tokens, and failed logins, are
	// answered as what they are for one address, and AuthFailuresTime how long it takes
	// until they are so many again. More are answered 429; 0 or below is no bound.
	AuthFailures     int
	AuthFailuresTime time.Duration

	SessionTTLMin time.Duration // smallest TTL of a session
	SessionGrace  time.Duration // of sessions that do not say; negative: as existing clients expect

	DefaultQueryTime, MaxQueryTime time.Duration // of blocking queries
	HoldTime                       time.Duration // how long ?min-index waits
	BodyTimeout                    time.Duration // longest pause while a body is read

	Headers       http.Header    // sent with every answer, under canonical names
	Blocked       []string       // path prefixes that are refused
	WritersFrom   []netip.Prefix // addresses that may write; empty: all
	KeepRoot      bool           // refuse to delete every key at once
	AnyPath       bool           // let non-printable characters in paths through
	EnableDebug   bool           // serve /debug/pprof
	DefaultPolicy []string       // value of X-Consul-Default-ACL-Policy

	KeyList        bool // lists of keys need the right to list
	NoTokenInQuery bool // refuse tokens in the URL
	HideExistence  bool // transactions do not tell a missing key from one that may not be read

	AuditReads []string // prefixes of keys of which reads are audited too

	TokenMaxTTL time.Duration // longest life of a token; 0: any, and without end
	DownPolicy  string        // shown with tokens; it has no use on a server
}

// Server answers the HTTP API.
type Server struct {
	opts     Options
	node     Node
	log      hclog.Logger
	settings atomic.Pointer[Settings]
	mux      *chi.Mux

	endpoints []*endpoint
	kv        *endpoint // one of endpoints, asked without going through mux

	whoCan  sync.Mutex     // held while one request looks at all tokens
	methods *login.Methods // that logins go by
	uses    uses           // of tokens
	began   time.Time

	parked   parking
	waker    waker
	lists    *listCache
	packed   packedCache
	late     latecomers
	denials  denials
	attempts attempts
	refusals RefusalMetrics
	metrics  *requestMetrics
	wakeups  WakeupMetrics
	busy     atomic.Int64 // requests that are being answered, but for those to leave
	streams  atomic.Int64 // log and metrics streams that are open

	draining chan struct{} // closed by Drain

	// cutOff is closed, and replaced, by EndParked; from Drain on it is draining.
	cutOff atomic.Pointer[chan struct{}]

	drained atomic.Bool
}

// New returns a Server.
func New(opts Options, settings Settings) *Server {
	s := &Server{
		opts: opts, node: opts.Node, log: opts.Log,
		parked:    parking{by: map[netip.Addr]*int{}},
		lists:     newListCache(),
		draining:  make(chan struct{}),
		endpoints: table(),
		methods:   login.NewMethods(), began: time.Now(),
	}
	cut := make(chan struct{})
	s.cutOff.Store(&cut)
	s.waker.open(s)
	s.metrics = newRequestMetrics(s.endpoints)
	s.Configure(settings)
	s.mux = s.routes()
	return s
}

// Configure replaces the settings; requests under way keep those they began with.
func (s *Server) Configure(settings Settings) {
	if settings.DefaultPolicy == nil {
		settings.DefaultPolicy = []string{"allow"}
	}
	s.settings.Store(&settings)
}

// Drain answers every parked query with what there is, so that the server can
// stop. Later ones do not park.
func (s *Server) Drain() {
	if s.drained.CompareAndSwap(false, true) {
		close(s.draining)
		s.endParked(s.draining)
	}
}

// EndParked ends every parked query that wants fresh answers with an error, because
// this server is cut off from the cluster: what they wait for may have happened.
func (s *Server) EndParked() {
	if !s.drained.Load() {
		s.endParked(make(chan struct{}))
		if s.drained.Load() { // in between
			s.endParked(s.draining)
		}
	}
}

func (s *Server) endParked(next chan struct{}) {
	if old := *s.cutOff.Swap(&next); old != s.draining {
		close(old)
	}
	s.waker.end()
}

// Close is to be called when nothing is served any more. It returns when nothing of the
// Server runs.
func (s *Server) Close() { s.waker.close() }

// Busy is how many requests are being answered, the parked ones among them. Those that
// have this server leave are not: it waits for the others before it leaves.
func (s *Server) Busy() int { return int(s.busy.Load()) }

// Parked is how many blocking queries wait.
func (s *Server) Parked() int { return s.parked.waiting() }

const kvPrefix = "/v1/kv/"

// ServeHTTP examines a request in the order of the contract and hands it to its
// endpoint.
//
// Source: contract, README, section 2. (Its first step, the request line and the
// escapes in it, is net/http's.)
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	settings := s.settings.Load()
	if len(settings.Headers) > 0 {
		h := w.Header()
		for name, values := range settings.Headers {
			h[name] = values
		}
	}
	if r.ContentLength != 0 && settings.BodyTimeout > 0 {
		// Before an answer is sent, net/http waits for what is left of the body, and
		// by itself for ever. Whoever reads the body sets deadlines anew. Not every
		// ResponseWriter has them; then there is no bound to set.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(settings.BodyTimeout))
	}
	if r.URL.RawPath == "" && plainPath(r.URL.Path) && strings.HasPrefix(r.URL.Path, kvPrefix) {
		s.serveWith(settings, w, r, s.kv, r.URL.Path[len(kvPrefix):])
		return
	}
	raw := r.URL.EscapedPath()
	if !settings.AnyPath && !printable(r.URL.Path) && !isExact(r.URL.RawQuery) && !comesBack(w) {
		s.unrouted(http.StatusBadRequest)
		refusePath(w, r)
		return
	}
	if unclean(raw) && !isExact(r.URL.RawQuery) {
		if !s.hasToken(r.URL.RawQuery) {
			s.unrouted(http.StatusTemporaryRedirect)
			redirect(w, r, cleanPath(raw))
			return
		}
		r = cleaned(r, cleanPath(raw))
		raw = r.URL.EscapedPath()
	}
	if strings.HasPrefix(raw, kvPrefix) {
		s.serveWith(settings, w, r, s.kv, strings.TrimPrefix(r.URL.Path, kvPrefix))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// serve runs a request on its endpoint.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, e *endpoint, arg string) {
	s.serveWith(s.settings.Load(), w, r, e, arg)
}

func (s *Server) serveWith(settings *Settings, w http.ResponseWriter, r *http.Request, e *endpoint, arg string) {
	start := time.Now()
	h := w.Header()
	h["Vary"] = varyCoding
	if s.opts.ACL != nil {
		h["Vary"] = varyToken
	}
	h["X-Consul-Default-Acl-Policy"] = settings.DefaultPolicy

	c := calls.Get().(*call)
	c.one = one{s: s, w: w, r: r, endpoint: e, arg: arg, start: start, settings: settings}
	c.arrive()
	answered := false
	defer func() {
		if !answered { // the handler has panicked
			c.depart()
		}
	}()
	err := c.dispatch(settings)
	if c.parked {
		answered = true
		c.waiting.spent += time.Since(start)
		c.release()
		return
	}
	if err != nil {
		c.fail(err)
		if c.refused != nil {
			c.discard()
		}
	}
	came, spent := start, -c.waited
	if c.waiting != nil {
		came, spent = c.waiting.began(), c.waiting.spent
	}
	if who := c.rights.who; who != nil {
		s.uses.note(who, c.client(), came)
	}
	if s.opts.Audit != nil {
		c.auditAfter(err)
	}
	s.metrics.observe(e, c.status, time.Since(start)+spent)
	answered = true
	c.depart()
	c.release()
}

// dispatch does what comes before the endpoint's own checks, and calls it.
func (c *call) dispatch(settings *Settings) error {
	if raw := c.r.URL.RawQuery; raw != "" {
		if err := c.q.parse(raw); err != nil {
			return badRequest(err.Error())
		}
	}
	if err := c.mayAnswer(); err != nil {
		return err
	}
	if c.returning { // all that follows was checked when the request came
		return c.endpoint.handler(c.r.Method)(c)
	}
	for _, prefix := range settings.Blocked {
		if strings.HasPrefix(c.r.URL.Path, prefix) {
			return &statusError{http.StatusForbidden, "Endpoint is blocked by agent configuration"}
		}
	}
	method := c.r.Method
	if method == http.MethodOptions {
		c.w.Header()["Allow"] = c.endpoint.allow
		c.empty()
		return nil
	}
	handle := c.endpoint.handler(method)
	if handle == nil {
		c.w.Header()["Allow"] = c.endpoint.allow
		return &statusError{http.StatusMethodNotAllowed, "method " + method + " not allowed"}
	}
	if len(settings.WritersFrom) > 0 && method != http.MethodGet && method != http.MethodHead &&
		!within(settings.WritersFrom, c.client()) {
		return &statusError{http.StatusForbidden, "Access is restricted"}
	}
	if c.r.ContentLength != 0 && (method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete && !c.endpoint.deleteBody) {
		// Not looked at, but read: until then net/http does not see a client leave.
		if _, err := c.body(settings.ValueBytes, "kv_max_value_size"); err != nil {
			return err
		}
	}
	if c.s.opts.Audit != nil {
		if err := c.auditBefore(); err != nil {
			return err
		}
	}
	return handle(c)
}

func within(networks []netip.Prefix, client netip.Addr) bool {
	client = client.WithZone("") // a prefix has none and contains no address with one
	for _, n := range networks {
		if n.Contains(client) {
			return true
		}
	}
	return false
}

// isExact tells whether ?exact is given: the path is the key as it stands, with
// doubled slashes, dot segments and characters that cannot be printed.
func isExact(rawQuery string) bool {
	var q query
	return q.parse(rawQuery) == nil && q.has(pExact)
}

// printable tells whether the decoded path has only characters that the contract
// lets through. Bytes that are no UTF-8 pass.
//
// Source: contract, README, section 2, step 2.
func printable(path string) bool {
	for i := range len(path) {
		if c := path[i]; c < ' ' || c >= 0x7f {
			return printableRunes(path)
		}
	}
	return true
}

func printableRunes(path string) bool {
	for _, r := range path {
		if r != utf8.RuneError && !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// plainPath tells whether a decoded path, of which the escaped one is not known, is such as
// nearly all are: it has no character that cannot be printed, none that would be escaped,
// and nothing to be cleaned. It is one look at it instead of three.
func plainPath(path string) bool {
	slash := false
	for i := range len(path) {
		c := path[i]
		if !unreserved[c] || slash && (c == '/' || c == '.') {
			return false
		}
		slash = c == '/'
	}
	return true
}

// unreserved holds the bytes of paths that are never escaped.
var unreserved = func() (t [256]bool) {
	const others = "/-_.~"
	for c := range t {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(others, byte(c)) >= 0:
			t[c] = true
		}
	}
	return t
}()

func refusePath(w http.ResponseWriter, r *http.Request) {
	const text = "The path has a character that cannot be printed; such keys can be reached with ?exact or in a transaction"
	w.Header()["Content-Type"] = typeText
	w.WriteHeader(http.StatusBadRequest)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // the client may be gone
	}
}

// unclean tells whether the path, still escaped, must be cleaned.
//
// Source: contract, README, section 2, step 3.
func unclean(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		rest := path[i+1:]
		switch {
		case strings.HasPrefix(rest, "/"), strings.HasPrefix(rest, "./"), strings.HasPrefix(rest, "../"):
			return true
		case rest == "." || rest == "..":
			return true
		}
	}
	return false
}

// cleanPath removes doubled slashes and dot segments and keeps a final slash.
func cleanPath(path string) string {
	var out []string
	parts := strings.Split(path, "/")
	for i, part := range parts {
		switch part {
		case "", ".":
			if i == len(parts)-1 {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if i == len(parts)-1 {
				out = append(out, "")
			}
		default:
			out = append(out, part)
		}
	}
	return "/" + strings.Join(out, "/")
}

// hasToken tells whether a query has a token, which must not be sent back: a Location
// ends up in more logs than a request. Such a request is served where it would have been
// sent to.
func (s *Server) hasToken(rawQuery string) bool {
	if s.opts.ACL == nil || !strings.Contains(rawQuery, "token") && !strings.Contains(rawQuery, "%") {
		return false
	}
	var q query
	return q.parse(rawQuery) == nil && q.has(pToken)
}

// cleaned is the request with another path, given as it is escaped.
func cleaned(r *http.Request, raw string) *http.Request {
	path, err := url.PathUnescape(raw)
	if err != nil {
		return r // it was escaped well before it was cleaned
	}
	next, u := *r, *r.URL
	u.Path, u.RawPath = path, raw
	next.URL = &u
	return &next
}

// redirect sends the client to another path, with the query as it is. Always 307,
// so that a PUT stays a PUT.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, path, http.StatusTemporaryRedirect)
}
