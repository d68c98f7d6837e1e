package cells

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// secureDiallers is how many connect at the same time: a handshake takes a server's time, and
// who waits for it too long is turned away.
const secureDiallers = 8

// secureMemory is parkedMemory of clients that speak TLS. There is no limit: what TLS keeps of a
// connection is part of the figure, and depends on the library and not on the server.
func (s *stage) secureMemory(ctx context.Context) (report.Row, error) {
	n := within(s.opts.Sizes.ParkedTLS)
	c := contest{columns: parkColumns}
	c.subject = &side{round: func(ctx context.Context) (values, error) {
		o := s.opts.Server
		o.Dir, o.TLS = s.opts.Dir, true
		server, err := target.StartServer(ctx, o)
		if err != nil {
			return nil, err
		}
		v, err := s.secureMemoryOf(ctx, server, n)
		return v, errors.Join(err, server.Close())
	}}
	row, err := c.run(ctx, min(s.opts.Rounds, memoryRounds))
	row.Note = fmt.Sprintf("%d queries parked by HTTP/1.1 over TLS on one key of a fresh server, one connection each", n)
	return row, err
}

func (s *stage) secureMemoryOf(ctx context.Context, server *target.Server, n int) (values, error) {
	const few = 50 // the first handshakes cost memory that is nobody's who waits
	t := server.Target()
	if err := s.warmTLS(ctx, server, few); err != nil {
		return nil, err
	}
	v, err := s.eve(ctx, t, nil, n)
	if err != nil {
		return nil, err
	}
	c, err := gatherSecurely(ctx, server.SecureAddr(), v)
	var taken values
	if err == nil {
		err = c.rest(ctx, t)
	}
	if err == nil {
		taken, err = s.taken(ctx, v)
	}
	if err == nil {
		err = put(ctx, t, v.key, text(90_001, s.opts.Sizes.ValueBytes))
	}
	if err == nil {
		err = c.served(v.index)
	}
	return taken, errors.Join(err, c.close())
}

// warmTLS makes some connections and ends them.
func (s *stage) warmTLS(ctx context.Context, server *target.Server, n int) error {
	c, err := gatherSecurely(ctx, server.SecureAddr(), vigil{n: n, key: s.prefix + "warm"})
	if err == nil {
		err = c.served(0)
	}
	return errors.Join(err, c.close())
}

// secureCrowd is clients that wait, each on a connection with TLS of its own. Package load, whose
// sockets are bare, does not do that; here it suffices to ask once and to hear one answer.
type secureCrowd []*tls.Conn

// gatherSecurely connects the clients, each of which asks as soon as it is there. After an error
// those that are there are to be closed.
func gatherSecurely(ctx context.Context, addr string, v vigil) (secureCrowd, error) {
	c := make(secureCrowd, v.n)
	request := query{key: v.key}.render(addr, v.index)
	// Who issued the certificate is not what is measured.
	dialler := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
	g, ctx := errgroup.WithContext(ctx)
	for first := range min(secureDiallers, v.n) {
		g.Go(func() error {
			for i := first; i < v.n; i += secureDiallers {
				conn, err := dialler.DialContext(ctx, "tcp", addr)
				if err != nil {
					return fmt.Errorf("connection %d of %d with TLS: %w", i+1, v.n, err)
				}
				c[i] = conn.(*tls.Conn)
				if _, err := conn.Write(request); err != nil {
					return fmt.Errorf("connection %d of %d with TLS: %w", i+1, v.n, err)
				}
			}
			return nil
		})
	}
	return c, g.Wait()
}

// rest waits until the server has nothing to do any more: then all are parked.
func (c secureCrowd) rest(ctx context.Context, t target.Target) error {
	done := (&crowd{target: t, n: len(c)}).atRest()
	for start := time.Now(); time.Since(start) < settleLimit+time.Duration(len(c))*settleEach; {
		if err := pause(ctx, settleStep); err != nil {
			return err
		}
		if rest, err := done(0); err != nil || rest {
			return err
		}
	}
	return nil
}

// served hears everybody's answer, which must tell of a change after the index: who has been
// answered before had not been parked.
func (c secureCrowd) served(after uint64) error {
	for i, conn := range c {
		if err := conn.SetReadDeadline(time.Now().Add(serveLimit)); err != nil {
			return err
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return fmt.Errorf("watcher %d: %w", i, err)
		}
		index, err := strconv.ParseUint(r.Header.Get("X-Consul-Index"), 10, 64)
		if err != nil || index <= after || r.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("watcher %d was answered with status %d and index %d although nothing had changed after %d: %v", i, r.StatusCode, index, after, err)
		}
	}
	return nil
}

func (c secureCrowd) close() error {
	var errs []error
	for _, conn := range c {
		if conn != nil {
			errs = append(errs, conn.NetConn().Close()) // without a farewell: it may be busy
		}
	}
	return errors.Join(errs...)
}
