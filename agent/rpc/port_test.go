package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// logBuffer keeps a log for a test to look at.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// certificate returns both sides of an encrypted connection to 127.0.0.1.
func certificate(t *testing.T) (incoming *tls.Config, outgoing func(string) *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	transport, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	roots := transport.TLSClientConfig.RootCAs
	return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: Protocols()}, func(protocol string) *tls.Config {
		return &tls.Config{RootCAs: roots, NextProtos: []string{protocol}}
	}
}

// startPort opens a port and serves it until the end of the test, or until stop.
func startPort(t *testing.T, o Options) (p *Port, log *logBuffer, stop func()) {
	t.Helper()
	log = &logBuffer{}
	o.Listen, o.Log = "127.0.0.1:0", hclog.New(&hclog.LoggerOptions{Output: log})
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = time.Minute
	}
	p, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(context.Background()) }()
	stop = sync.OnceFunc(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, log, stop
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// accepted returns the next connection of an inlet.
func accepted(t *testing.T, in interface{ Accept() (net.Conn, error) }) net.Conn {
	t.Helper()
	got := make(chan net.Conn, 1)
	go func() {
		if c, err := in.Accept(); err == nil {
			got <- c
		}
	}()
	select {
	case c := <-got:
		t.Cleanup(func() { _ = c.Close() })
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("the connection was not handed on")
		return nil
	}
}

func dialPort(t *testing.T, p *Port) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ended tells how a connection's other side ended it: it must.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection was not closed")
	}
}

func TestAConnectionSaysWhatItIsFor(t *testing.T) {
	incoming, outgoing := certificate(t)
	for _, tc := range []struct {
		rule    string
		opts    Options
		encrypt func(string) *tls.Config // of the client
		alpn    string
		say     string
		raft    bool   // goes to Raft
		grpc    bool   // goes to gRPC
		read    string // what whoever gets it reads
		logged  string // why it is refused
	}{
		{rule: "a plain one whose first byte is 1 is Raft's, which does not see that byte", say: "\x01abc", raft: true, read: "abc"},
		{rule: "one for Raft of this server is Raft's, which does not see whom it is for", opts: Options{ID: "me"}, say: "\x02\x02meabc", raft: true, read: "abc"},
		{rule: "so is an encrypted one", opts: Options{ID: "me", Incoming: incoming}, encrypt: outgoing, alpn: alpnRaftTo, say: "\x02mex", raft: true, read: "x"},
		{rule: "one for another server is refused", opts: Options{ID: "me"}, say: "\x02\x03youabc", logged: `it is for another server, which had this address before: for \"you\", and this is me`},
		{rule: "also one for nobody", opts: Options{ID: "me"}, say: "\x02\x00abc", logged: "it is for another server"},
		{rule: "or for one whose id begins like this one's", opts: Options{ID: "me"}, say: "\x02\x03me2", logged: "it is for another server"},
		{rule: "and an encrypted one", opts: Options{ID: "me", Incoming: incoming}, encrypt: outgoing, alpn: alpnRaftTo, say: "\x03you", logged: "it is for another server"},
		{rule: "a plain one that begins like HTTP/2 is gRPC's, which sees all of it", say: "PRI * HTTP/2.0", grpc: true, read: "PRI * HTTP/2.0"},
		{rule: "another first byte is refused", say: "GET / HTTP/1.1\r\n\r\n", logged: "HTTP port"},
		{rule: "a plain one is refused when encryption is required", opts: Options{Incoming: incoming, RequireTLS: true}, say: "\x01abc", logged: "verify_incoming"},
		{rule: "a plain one is taken when encryption is possible only", opts: Options{Incoming: incoming}, say: "\x01abc", raft: true, read: "abc"},
		{rule: "an encrypted one is refused without a certificate", say: "\x16\x03\x01", logged: "no certificate"},
		{rule: "a broken handshake is refused", opts: Options{Incoming: incoming}, say: "\x16\x03\x01\x00\x04\x02\x00\x00\x00", logged: "TLS handshake"},
		{rule: "an encrypted one for Raft is Raft's", opts: Options{Incoming: incoming, RequireTLS: true}, encrypt: outgoing, alpn: alpnRaft, say: "\x16x", raft: true, read: "\x16x"},
		{rule: "an encrypted one for gRPC is gRPC's", opts: Options{Incoming: incoming}, encrypt: outgoing, alpn: alpnGRPC, say: "\x01x", grpc: true, read: "\x01x"},
		{rule: "an encrypted one for nothing is refused", opts: Options{Incoming: incoming}, encrypt: outgoing, logged: "ALPN"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			p, log, _ := startPort(t, tc.opts)
			c := dialPort(t, p)
			if tc.encrypt != nil {
				conf := tc.encrypt(tc.alpn)
				conf.ServerName = "127.0.0.1"
				if tc.alpn == "" {
					conf.NextProtos = nil
				}
				secure := tls.Client(c, conf)
				if err := secure.HandshakeContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				c = secure
			}
			if _, err := io.WriteString(c, tc.say); err != nil {
				t.Fatal(err)
			}
			if tc.logged != "" {
				ended(t, c)
				await(t, "a line in the log with "+tc.logged, func() bool { return strings.Contains(log.String(), tc.logged) })
				return
			}
			in := p.raft
			if tc.grpc {
				in = p.grpc
			}
			got := make([]byte, len(tc.read))
			if _, err := io.ReadFull(accepted(t, in), got); err != nil || string(got) != tc.read {
				t.Errorf("read %q (%v), want %q", got, err, tc.read)
			}
		})
	}
}

func TestASilentConnectionIsDropped(t *testing.T) {
	incoming, _ := certificate(t)
	for _, tc := range []struct {
		rule string
		say  string
	}{
		{"that says nothing", ""},
		{"that begins to encrypt and says no more", "\x16\x03\x01"},
		{"that begins like HTTP/2 and says no more", "P"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			p, _, _ := startPort(t, Options{Incoming: incoming, HandshakeTimeout: 50 * time.Millisecond})
			startServer(t, p, &fake{})
			c := dialPort(t, p)
			if _, err := io.WriteString(c, tc.say); err != nil {
				t.Fatal(err)
			}
			ended(t, c)
			await(t, "its place is given back", func() bool { return p.openConns() == 0 })
		})
	}
}

func TestAConnectionOfRaftMayBeSilent(t *testing.T) {
	p, _, _ := startPort(t, Options{HandshakeTimeout: 50 * time.Millisecond})
	c := dialPort(t, p)
	if _, err := c.Write([]byte{firstRaft}); err != nil {
		t.Fatal(err)
	}
	in := accepted(t, p.raft)
	read := make(chan error, 1)
	go func() {
		_, err := in.Read(make([]byte, 1))
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("ended while nobody spoke: %v", err)
	case <-time.After(200 * time.Millisecond): // four times the bound
	}
	if _, err := c.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func (p *Port) openConns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if (len(p.by) == 0) != (len(p.open) == 0) {
		return -1
	}
	return len(p.open)
}

func TestOneAddressHasABoundedNumberOfConnections(t *testing.T) {
	p, log, _ := startPort(t, Options{MostPerClient: 2})
	var held []net.Conn
	for range 2 {
		c := dialPort(t, p)
		if _, err := c.Write([]byte{firstRaft}); err != nil {
			t.Fatal(err)
		}
		held = append(held, accepted(t, p.raft))
	}
	ended(t, dialPort(t, p))
	if !strings.Contains(log.String(), "too many") {
		t.Errorf("log: %s", log)
	}
	if err := held[0].Close(); err != nil {
		t.Fatal(err)
	}
	_ = held[0].Close() // the second time gives nothing back
	c := dialPort(t, p)
	if _, err := c.Write([]byte{firstRaft}); err != nil {
		t.Fatal(err)
	}
	accepted(t, p.raft)
	ended(t, dialPort(t, p))
}

func TestCloseEndsAllConnections(t *testing.T) {
	p, _, stop := startPort(t, Options{})
	handed, waiting, silent := dialPort(t, p), dialPort(t, p), dialPort(t, p)
	if _, err := handed.Write([]byte{firstRaft}); err != nil {
		t.Fatal(err)
	}
	accepted(t, p.raft)
	if _, err := waiting.Write([]byte{firstGRPC}); err != nil { // nobody accepts it
		t.Fatal(err)
	}
	await(t, "all three are there", func() bool { return p.openConns() == 3 })
	stop()
	for _, c := range []net.Conn{handed, waiting, silent} {
		ended(t, c)
	}
	if _, err := p.raft.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed port: %v", err)
	}
	if _, err := net.Dial("tcp", p.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestStreamsOfRaftReachRaft(t *testing.T) {
	incoming, outgoing := certificate(t)
	for _, tc := range []struct {
		rule string
		opts Options
	}{
		{"plain", Options{ID: "me"}},
		{"encrypted", Options{ID: "me", Incoming: incoming, RequireTLS: true, Outgoing: outgoing}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			p, _, _ := startPort(t, tc.opts)
			advertised := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8300}
			ends := make(chan struct{}, 1)
			s := p.Streams(advertised, func() { ends <- struct{}{} })
			if s.Addr() != net.Addr(advertised) {
				t.Errorf("address %v", s.Addr())
			}
			address := raft.ServerAddress(p.Addr().String())
			for _, bad := range []raft.ServerAddress{address, To(raft.ServerID(strings.Repeat("x", 256)), address), To("me", Nowhere("me"))} {
				if c, err := s.Dial(bad, time.Minute); err == nil {
					t.Errorf("it connects to %s", bad)
					_ = c.Close()
				}
			}
			c, err := s.Dial(To("me", address), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "hello"); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			in := accepted(t, s)
			if _, err := io.ReadFull(in, got); err != nil || string(got) != "hello" {
				t.Errorf("read %q: %v", got, err)
			}
			select {
			case <-ends:
				t.Error("an end is told of a connection that lives")
			default:
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			for range 2 { // the second time it is known
				if _, err := in.Read(got); err == nil {
					t.Error("it is read from after its end")
				}
			}
			if <-ends; len(ends) > 0 {
				t.Error("its end is told twice")
			}
		})
	}
}

func TestOnlyADeadProcessRefuses(t *testing.T) {
	asks, _, _ := startPort(t, Options{})
	p, _, stop := startPort(t, Options{})
	address := p.Addr().String()
	if asks.Refused(t.Context(), address) {
		t.Error("a server that listens")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	stop()
	if !asks.Refused(t.Context(), address) {
		t.Error("one whose port is closed does not refuse")
	}
	if asks.Refused(gone, address) {
		t.Error("a question that was not asked has an answer")
	}
}

// FuzzFirstBytes says anything to a port that encrypts, and to one that does not.
func FuzzFirstBytes(f *testing.F) {
	for _, s := range []string{
		"", "\x01", "\x01abc", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x00",
		"\x02", "\x02\x03", "\x02\x03abc", "\x02\x03abcdef", "\x02\x03abd", "\x02\x00", "\x02\xffabc",
		"\x16", "\x16\x03\x01", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "\x16\xff\xff\xff\xff", "\x80",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	server := httptest.NewTLSServer(nil)
	certs := server.TLS.Certificates
	server.Close()
	f.Fuzz(func(t *testing.T, said []byte, encrypts bool) {
		o := Options{ID: "abc", HandshakeTimeout: time.Minute, Log: hclog.NewNullLogger()}
		if encrypts {
			o.Incoming = &tls.Config{Certificates: certs, NextProtos: Protocols()}
		}
		client, c := net.Pipe()
		p := &Port{opts: o, raft: newInlet(nil), grpc: newInlet(nil), by: map[netip.Addr]int{}, open: map[net.Conn]struct{}{}}
		if !p.enter(c) {
			t.Fatal("not let in")
		}
		forUs := bytes.HasPrefix(said, []byte("\x02\x03abc"))
		plain := len(said) > 0 && (said[0] == firstRaft || said[0] == firstGRPC || forUs)
		handed := make(chan struct{})
		var sides sync.WaitGroup
		sides.Go(func() { p.sort(c) })
		sides.Go(func() {
			_, _ = client.Write(said) // as far as it is read
			if plain {
				<-handed // a pipe that the other side has closed takes no deadline
			}
			_ = client.Close()
		})
		sides.Go(func() { _, _ = io.Copy(io.Discard, client) }) // what a handshake answers
		done := make(chan struct{})
		go func() {
			sides.Wait()
			close(done)
		}()
		var got net.Conn
		select {
		case got = <-p.raft.conns:
			if len(said) == 0 || said[0] != firstRaft && !forUs {
				t.Errorf("Raft got what began with %q", said)
			}
		case got = <-p.grpc.conns:
			if len(said) == 0 || said[0] != firstGRPC {
				t.Errorf("gRPC got what began with %q", said)
			}
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%q was neither handed on nor refused", said)
		}
		close(handed)
		if (got != nil) != plain {
			t.Errorf("%q was handed on: %v", said, got != nil)
		}
		if got != nil {
			data, _ := io.ReadAll(got)
			want := said
			switch {
			case said[0] == firstRaft:
				want = said[1:]
			case forUs:
				want = said[len("\x02\x03abc"):]
			}
			if !bytes.Equal(data, want) {
				t.Errorf("read %q of %q", data, said)
			}
			_ = got.Close()
		}
		<-done
		if n := p.openConns(); n != 0 {
			t.Errorf("%d connections are left open", n)
		}
	})
}
