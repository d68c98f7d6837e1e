package faultnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come; blink is how long it waits to
// see that something does not come.
const (
	patience = 10 * time.Second
	blink    = 150 * time.Millisecond
)

// echo is a server of a test: it sends back what it gets, streams and datagrams.
type echo struct {
	id       int
	endpoint Endpoint
	streams  net.Listener
	packets  *net.UDPConn
}

// startEcho starts a server on ports that the system chooses.
func startEcho(t *testing.T, id int) *echo {
	t.Helper()
	e := &echo{id: id}
	e.endpoint.Bind = netip.AddrFrom4([4]byte{127, 0, 2, byte(10 + id)})
	e.endpoint.Advertise = netip.AddrFrom4([4]byte{127, 0, 3, byte(10 + id)})
	var err error
	if e.streams, err = net.Listen("tcp", netip.AddrPortFrom(e.endpoint.Bind, 0).String()); err != nil {
		t.Fatal(err)
	}
	if e.packets, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(e.endpoint.Bind, 0))); err != nil {
		t.Fatal(err)
	}
	e.endpoint.TCP = []int{e.streams.Addr().(*net.TCPAddr).Port}
	e.endpoint.UDP = []int{e.packets.LocalAddr().(*net.UDPAddr).Port}
	t.Cleanup(func() {
		e.streams.Close()
		e.packets.Close()
	})
	go func() {
		for {
			conn, err := e.streams.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until the other side ends
			}()
		}
	}()
	return e
}

// network is a net of n servers, attached.
func network(t *testing.T, n int) (*Net, []*echo) {
	t.Helper()
	fn := New()
	t.Cleanup(fn.Close)
	var servers []*echo
	for id := range n {
		e := startEcho(t, id)
		servers = append(servers, e)
		if err := fn.Attach(id, e.endpoint); err != nil {
			t.Fatal(err)
		}
	}
	return fn, servers
}

// dial opens a stream from one server to another as the server would.
func dial(t *testing.T, from, to *echo) net.Conn {
	t.Helper()
	conn, err := tryDial(t, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func tryDial(t *testing.T, from, to *echo) (net.Conn, error) {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: from.endpoint.Bind.AsSlice()}}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to.endpoint.Advertise, uint16(to.endpoint.TCP[0])).String())
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// arrives sends a word on a stream and reports whether it came back within a time.
func arrives(t *testing.T, conn net.Conn, word string, within time.Duration) bool {
	t.Helper()
	if _, err := io.WriteString(conn, word); err != nil {
		t.Fatal(err)
	}
	return comes(t, conn, word, within)
}

func comes(t *testing.T, conn net.Conn, word string, within time.Duration) bool {
	t.Helper()
	buf := make([]byte, len(word))
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	k, err := io.ReadFull(conn, buf)
	if errors.Is(err, os.ErrDeadlineExceeded) && k == 0 {
		return false
	}
	if err != nil {
		t.Fatalf("after %d bytes: %v", k, err)
	}
	if string(buf) != word {
		t.Fatalf("got %q, want %q", buf, word)
	}
	return true
}

func TestStreamArrivesWhole(t *testing.T) {
	fn, s := network(t, 2)
	conn := dial(t, s[0], s[1])
	sent := make([]byte, 8<<20) // more than is held back anywhere
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(sent) // never fails
	go func() {
		_, _ = conn.Write(sent) // what is missing is found below
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn) // to the end: it is passed on in both directions
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes came back, which are not the %d sent", len(got), len(sent))
	}
	if tr := fn.Traffic(0, 1); tr.Streams != 1 || tr.Bytes != int64(len(sent)) {
		t.Errorf("traffic of the link is %+v", tr)
	}
}

func TestCutLinkLosesNothingOfAStreamForGood(t *testing.T) {
	for _, tc := range []struct {
		rule     string
		from, to int
	}{
		{"there", 0, 1},
		{"back", 1, 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			fn, s := network(t, 3)
			conn, other := dial(t, s[0], s[1]), dial(t, s[2], s[1])
			if !arrives(t, conn, "before", patience) {
				t.Fatal("nothing arrives on a whole link")
			}
			fn.Set(tc.from, tc.to, Condition{Drop: true})
			if arrives(t, conn, "during", blink) {
				t.Error("something arrives over a cut link")
			}
			if !arrives(t, other, "other", patience) {
				t.Error("the link of another server is cut too")
			}
			fn.Heal()
			if !comes(t, conn, "during", patience) {
				t.Error("what was held back does not arrive")
			}
			if !arrives(t, conn, "after", patience) {
				t.Error("nothing arrives on a link that was healed")
			}
		})
	}
}

func TestDialOverACutLink(t *testing.T) {
	fn, s := network(t, 2)
	fn.Isolate(1)
	patient, hasty := dial(t, s[0], s[1]), dial(t, s[0], s[1])
	if _, err := io.WriteString(hasty, "never"); err != nil {
		t.Fatal(err)
	}
	hasty.Close()
	if arrives(t, patient, "x", blink) {
		t.Error("something arrives over a cut link")
	}
	fn.Heal()
	if !comes(t, patient, "x", patience) {
		t.Error("the connection is not made when the link is healed")
	}
	if got := fn.Traffic(0, 1).Bytes; got != 1 {
		t.Errorf("%d bytes arrived: a connection that was given up arrives late", got)
	}
}

func TestRefusedLinkResets(t *testing.T) {
	fn, s := network(t, 2)
	resting := dial(t, s[0], s[1])
	if !arrives(t, resting, "x", patience) {
		t.Fatal("nothing arrives on a whole link")
	}
	fn.Between(0, 1, Condition{Refuse: true})
	expectReset(t, "a connection that rests", resting)
	if fresh, err := tryDial(t, s[0], s[1]); err == nil { // the reset may come before dial returns
		expectReset(t, "a new one", fresh)
	}
	fn.Heal()
	if !arrives(t, dial(t, s[0], s[1]), "again", patience) {
		t.Error("nothing arrives on a link that was healed")
	}
}

func expectReset(t *testing.T, rule string, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: %v, want a reset", rule, err)
	}
}

func TestDelay(t *testing.T) {
	fn, s := network(t, 2)
	conn := dial(t, s[0], s[1])
	const delay = 80 * time.Millisecond
	fn.Set(0, 1, Condition{Delay: delay})
	begin := time.Now()
	for i := range 3 {
		if !arrives(t, conn, fmt.Sprint("word", i), patience) {
			t.Fatal("nothing arrives on a slow link")
		}
	}
	if took := time.Since(begin); took < 3*delay {
		t.Errorf("three round trips took %s on a link that delays by %s", took, delay)
	}
	begin = time.Now() // many at once are delayed once
	if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < delay || took > 10*delay {
		t.Errorf("a megabyte took %s on a link that delays by %s", took, delay)
	}
}

func TestUnknownSenderIsOnTheWorstLink(t *testing.T) {
	fn, s := network(t, 3)
	stranger := &echo{endpoint: Endpoint{Bind: netip.MustParseAddr("127.0.0.1")}}
	conn := dial(t, stranger, s[1])
	if !arrives(t, conn, "x", patience) {
		t.Fatal("nothing arrives on a whole link")
	}
	fn.Set(2, 1, Condition{Drop: true})
	if arrives(t, conn, "y", blink) {
		t.Error("it passes a fault by")
	}
	fn.Heal()
	if !comes(t, conn, "y", patience) {
		t.Error("what was held back does not arrive")
	}
}

// send sends a datagram from one server to another.
func send(t *testing.T, from, to *echo, word string) {
	t.Helper()
	target := netip.AddrPortFrom(to.endpoint.Advertise, uint16(to.endpoint.UDP[0]))
	if _, err := from.packets.WriteToUDPAddrPort([]byte(word), target); err != nil {
		t.Fatal(err)
	}
}

// got is what arrives at a server within a time, "" if nothing does, and from where.
func got(t *testing.T, at *echo, within time.Duration) (string, netip.AddrPort) {
	t.Helper()
	if err := at.packets.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	k, from, err := at.packets.ReadFromUDPAddrPort(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", from
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:k]), from
}

func TestDatagrams(t *testing.T) {
	fn, s := network(t, 3)
	send(t, s[0], s[1], "a")
	word, from := got(t, s[1], patience)
	if want := netip.AddrPortFrom(s[0].endpoint.Advertise, uint16(s[0].endpoint.UDP[0])); word != "a" || from != want {
		t.Errorf("%q came from %s, want \"a\" from the sender's advertised %s", word, from, want)
	}
	if _, err := s[1].packets.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if word, _ := got(t, s[0], patience); word != "answer" {
		t.Errorf("got %q, want the answer", word)
	}

	fn.Set(0, 1, Condition{Drop: true})
	send(t, s[0], s[1], "lost")
	if word, _ := got(t, s[1], blink); word != "" {
		t.Errorf("%q arrives over a cut link", word)
	}
	send(t, s[1], s[0], "other way")
	if word, _ := got(t, s[0], patience); word != "other way" {
		t.Errorf("got %q: the other direction is cut too", word)
	}
	send(t, s[2], s[1], "other server")
	if word, _ := got(t, s[1], patience); word != "other server" {
		t.Errorf("got %q: the link of another server is cut too", word)
	}
	if tr := fn.Traffic(0, 1); tr.Lost != 1 || tr.Packets != 1 {
		t.Errorf("traffic is %+v", tr)
	}

	const delay = 60 * time.Millisecond
	fn.Set(0, 1, Condition{Delay: delay})
	begin := time.Now()
	for i := range 3 {
		send(t, s[0], s[1], fmt.Sprint(i))
	}
	for i := range 3 {
		if word, _ := got(t, s[1], patience); word != fmt.Sprint(i) {
			t.Errorf("got %q, want %d", word, i)
		}
	}
	if took := time.Since(begin); took < delay || took > 10*delay {
		t.Errorf("three datagrams took %s on a link that delays by %s", took, delay)
	}
}

// TestMovedServer: a server that comes back elsewhere is known by its new address.
func TestMovedServer(t *testing.T) {
	fn, s := network(t, 2)
	next := startEcho(t, 2) // another place
	next.endpoint.TCP[0] = next.streams.Addr().(*net.TCPAddr).Port
	if err := fn.Attach(1, next.endpoint); err != nil {
		t.Fatal(err)
	}
	if !arrives(t, dial(t, s[0], next), "x", patience) {
		t.Error("nothing arrives at the new address")
	}
	fn.Set(1, 0, Condition{Drop: true})
	if arrives(t, dial(t, next, s[0]), "x", blink) {
		t.Error("the new address is not known as the server's")
	}
	if _, err := net.Dial("tcp", netip.AddrPortFrom(s[1].endpoint.Advertise, uint16(s[1].endpoint.TCP[0])).String()); err == nil {
		t.Error("somebody still listens at the old address")
	}
}

func TestCloseEndsWhatIsHeldBack(t *testing.T) {
	fn, s := network(t, 2)
	conn := dial(t, s[0], s[1])
	fn.All(Condition{Drop: true})
	if arrives(t, conn, "x", blink) {
		t.Error("something arrives over a cut link")
	}
	waiting := dial(t, s[1], s[0])
	fn.All(Condition{Delay: time.Hour})
	send(t, s[0], s[1], "in an hour")
	if arrives(t, waiting, "in an hour", blink) {
		t.Error("something arrives early")
	}
	fn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Close: %v, want the end of the connection", err)
	}
	if err := fn.Attach(0, s[0].endpoint); !errors.Is(err, net.ErrClosed) {
		t.Errorf("attach after Close: %v", err)
	}
	fn.Close() // once more is not an error
}
