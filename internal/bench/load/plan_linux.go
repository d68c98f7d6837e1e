package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

// Plan describes a closed loop: Conns clients, each of which sends its next
// request as soon as the last one is answered.
type Plan struct {
	Addr  string
	Conns int

	// Loops is how many threads share the connections; 0 is 1.
	Loops int

	// Duration is for how long new requests are sent. 0 means until Next says
	// that there are no more.
	Duration time.Duration

	// Next returns the n-th request (from 0) of client conn; nil when there are
	// no more. It is called from several threads if Loops is above 1, for one
	// client always from the same.
	Next func(conn, n int) []byte

	// Reply, if set, is asked instead of Next for all but a client's first request: what
	// it sends after the answer r. It is called as Next is, and hears of the last answers
	// too, after which nothing is sent any more.
	Reply func(conn int, r rawhttp.Response) []byte

	// Check refuses a wrong answer, which ends the run.
	Check func(r rawhttp.Response) error

	// CPU reads the CPU time that the server has used; nil if nobody knows.
	CPU func() (time.Duration, error)
}

// Result is what one run of a Plan gave. Requests that were sent before the
// time was over are all waited for and counted, and so is the time and CPU that
// they took: the parts belong together exactly.
type Result struct {
	Ops     int64
	Elapsed time.Duration
	Latency *Latency
	CPU     time.Duration // of the server; 0 when Plan.CPU is nil
}

// Add counts another run of the same plan in.
func (r *Result) Add(o Result) {
	r.Ops += o.Ops
	r.Elapsed += o.Elapsed
	r.CPU += o.CPU
	if r.Latency == nil {
		r.Latency = NewLatency()
	}
	r.Latency.Add(o.Latency)
}

// Run connects, runs the plan and disconnects. Connecting is not timed.
func (p Plan) Run(ctx context.Context) (Result, error) {
	c, err := p.Connect(ctx)
	if err != nil {
		return Result{}, err
	}
	res, err := c.Run(ctx)
	return res, errors.Join(err, c.Close())
}

// Crew is the clients of a Plan, connected. Close must be called.
type Crew struct {
	plan  Plan
	loops []*Loop
}

// Connect makes the connections of a plan that is run more than once with the same ones.
func (p Plan) Connect(ctx context.Context) (*Crew, error) {
	loops, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &Crew{p, loops}, nil
}

// Run runs the plan. After an error the crew can only be closed.
func (c *Crew) Run(ctx context.Context) (Result, error) { return c.plan.drive(ctx, c.loops) }

// Close disconnects.
func (c *Crew) Close() error {
	var errs []error
	for _, l := range c.loops {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// dial spreads the connections evenly over the loops.
func (p Plan) dial(ctx context.Context) ([]*Loop, error) {
	n := min(max(p.Loops, 1), p.Conns)
	var loops []*Loop
	for i := range n {
		l, err := Dial(ctx, p.Addr, (p.Conns+i)/n)
		if err != nil {
			for _, l := range loops {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		loops = append(loops, l)
	}
	return loops, nil
}

func (p Plan) drive(ctx context.Context, loops []*Loop) (Result, error) {
	before, err := p.cpu()
	if err != nil {
		return Result{}, err
	}
	parts := make([]*part, len(loops))
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	first := 0
	for i, l := range loops {
		parts[i] = &part{plan: p, loop: l, first: first, latency: NewLatency()}
		if p.Duration > 0 {
			parts[i].end = start.Add(p.Duration)
		}
		first += len(l.Conns())
		g.Go(func() error { return parts[i].run(ctx) })
	}
	if err := g.Wait(); err != nil {
		return Result{}, err
	}
	res := Result{Elapsed: time.Since(start), Latency: NewLatency()}
	after, err := p.cpu()
	if err != nil {
		return Result{}, err
	}
	res.CPU = after - before
	for _, part := range parts {
		res.Ops += part.latency.Count()
		res.Latency.Add(part.latency)
	}
	if res.Ops == 0 {
		return Result{}, errors.New("not one request was answered")
	}
	return res, nil
}

func (p Plan) cpu() (time.Duration, error) {
	if p.CPU == nil {
		return 0, nil
	}
	d, err := p.CPU()
	if err != nil {
		return 0, fmt.Errorf("CPU time of the server: %w", err)
	}
	return d, nil
}

// part is the share of a Plan that one Loop drives.
type part struct {
	plan    Plan
	loop    *Loop
	first   int       // the plan's number of the loop's connection 0
	end     time.Time // no new requests from here on; zero: no end
	sent    []int     // by connection
	latency *Latency
}

func (p *part) run(ctx context.Context) error {
	p.sent = make([]int, len(p.loop.Conns()))
	for _, c := range p.loop.Conns() {
		if b := p.next(c); b != nil {
			if err := p.loop.Send(c, b); err != nil {
				return err
			}
		}
	}
	return p.loop.Run(ctx, time.Time{}, p.answered)
}

func (p *part) next(c *Conn) []byte {
	n := p.sent[c.ID]
	p.sent[c.ID]++
	return p.plan.Next(p.first+c.ID, n)
}

func (p *part) answered(c *Conn, r rawhttp.Response, at time.Time) ([]byte, error) {
	if err := p.plan.Check(r); err != nil {
		return nil, err
	}
	p.latency.Record(at.Sub(c.Sent()))
	var reply []byte
	if p.plan.Reply != nil {
		reply = p.plan.Reply(p.first+c.ID, r)
	}
	switch {
	case !p.end.IsZero() && !at.Before(p.end):
		return nil, nil
	case p.plan.Reply != nil:
		return reply, nil
	default:
		return p.next(c), nil
	}
}
