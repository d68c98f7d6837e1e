//go:build linux

package http1

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStorm has many clients do everything at once, some of them rudely: each answer must be the one
// to its request, and nothing may be left in the end.
func TestStorm(t *testing.T) {
	const clients, turns = 40, 60
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			l.ServeHTTP(w, r)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %d", r.URL.Path, len(b))
	}), IdleTimeout: time.Minute, ReadHeaderTimeout: time.Minute}, true)

	over := make(chan struct{})
	var resumer, all sync.WaitGroup
	resumer.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(200 * time.Microsecond):
			}
			var share *Share
			if rand.IntN(2) == 0 {
				share = &Share{}
			}
			l.resume(share)
		}
	})
	for i := range clients {
		all.Go(func() {
			c := dial(t, addr)
			for turn := range turns {
				name := fmt.Sprintf("/%d-%d", i, turn)
				switch rand.IntN(8) {
				case 0, 1:
					c.send("/wait")
					c.wants("woken")
				case 2:
					c.send(name)
					c.wants(name)
				case 3:
					c.send("/wait", name, "/wait?x=1", "/wait", name)
					c.wants("woken", name, "woken", "woken", name)
				case 4:
					n := rand.IntN(20_000)
					_, _ = fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", name, n, strings.Repeat("b", n))
					c.send("/wait")
					c.wants(fmt.Sprint(name, " ", n), "woken")
				case 5: // from here on the connection is net/http's
					c.send("/wait")
					_, _ = fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", name)
					c.send(name)
					c.wants("woken", name+" 3", name)
					_ = c.Close()
					c = dial(t, addr)
				case 6:
					c.send("/wait", name)
					if rand.IntN(2) == 0 {
						_ = c.Conn.(*net.TCPConn).SetLinger(0)
					}
					_ = c.Close()
					c = dial(t, addr)
				case 7:
					c.send(name)
					_, _ = io.WriteString(c, "GET /wai")
					c.wants(name)
					_, _ = io.WriteString(c, "t HTTP/1.1\r\nHost: a\r\n\r\n")
					c.wants("woken")
				}
			}
			_ = c.Close()
		})
	}
	all.Wait()
	close(over)
	resumer.Wait()
	await(t, "nobody is parked", func() bool { return l.parked() == 0 })
	await(t, "no connection is left", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.conns == nil
	})
	await(t, "no place in the poller's table is taken", func() bool {
		s.poller.mu.Lock()
		defer s.poller.mu.Unlock()
		return len(s.poller.free) == len(s.poller.slots)
	})
	await(t, "no lane is left", func() bool {
		s.ready.mu.Lock()
		defer s.ready.mu.Unlock()
		return s.ready.first == nil && s.ready.lanes == 0
	})
}
