package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-kv/holdfast/internal/certs"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// patience is how long a script waits for something that must come.
const patience = 20 * time.Second

// until asks done every few milliseconds, until it is true or patience is over.
func until(done func() bool) bool {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}

// cmdAgent is "agent [FLAGS...]": it starts "holdfast agent -dev FLAGS..." on free
// ports, or with -data-dir=DIR a server that is alone and no development server, waits until it leads, and points HOLDFAST_HTTP_ADDR at it. The server is
// asked to stop at the end of the script, and must do so. Its log is $WORK/agent.log.
func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! agent")
	}
	log := ts.MkAbs("agent.log")
	for try := 0; ; try++ {
		// Another process may take a port between the choice and the use.
		err := startAgent(ts, log, args)
		if err == nil {
			return
		}
		if try == 2 {
			text, _ := os.ReadFile(log)
			ts.Fatalf("start agent: %v\n%s", err, text)
		}
	}
}

func startAgent(ts *testscript.TestScript, log string, flags []string) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	kind := []string{"-dev"}
	if slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "-data-dir=") }) {
		kind = []string{"-server", "-bootstrap", "-bind=127.0.0.1"} // one that keeps what it has
	}
	args := slices.Concat([]string{"agent"}, kind, []string{
		"-http-port=" + ports[0], "-server-port=" + ports[1], "-serf-lan-port=" + ports[2],
	}, flags)
	agent := exec.Command(binary(ts), args...)
	agent.Stdout, agent.Stderr = out, out
	agent.Dir = ts.Getenv("WORK")
	agent.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	agent.Env = append(agent.Env, testcluster.HTTPServerEnv()...)
	if err := agent.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- errors.Join(agent.Wait(), out.Close())
		close(ended)
	}()
	url := "http://127.0.0.1:" + ports[0]
	gone := false
	ready := until(func() bool {
		select {
		case <-ended:
			gone = true
			return true
		default:
			return leads(url)
		}
	})
	if gone {
		return errors.New("it ended")
	}
	if !ready {
		_ = agent.Process.Kill()
		<-ended
		return fmt.Errorf("it did not lead within %s", patience)
	}
	ts.Setenv("HOLDFAST_HTTP_ADDR", url)
	ts.Setenv("AGENT_PID", strconv.Itoa(agent.Process.Pid))
	ts.Defer(func() { stopAgent(ts, agent, ended) })
	return nil
}

// stopAgent asks the server to stop and fails the script if it does not do so in
// good order.
func stopAgent(ts *testscript.TestScript, agent *exec.Cmd, ended <-chan error) {
	_ = agent.Process.Signal(syscall.SIGTERM) // it may have ended, which is found below
	select {
	case err := <-ended:
		if err != nil {
			ts.Logf("the agent ended with %v; its log:\n%s", err, ts.ReadFile("agent.log"))
			ts.Fatalf("the agent did not stop in good order")
		}
	case <-time.After(patience):
		_ = agent.Process.Kill()
		<-ended
		ts.Fatalf("the agent did not stop within %s of SIGTERM", patience)
	}
}

// leads says whether the server at url knows a leader.
func leads(url string) bool {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url + "/v1/status/leader")
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	var leader string
	return json.NewDecoder(res.Body).Decode(&leader) == nil && leader != ""
}

// freePorts finds ports that nobody listens on.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all are held until all are found
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// binary finds the holdfast that scripts run.
func binary(ts *testscript.TestScript) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, "holdfast")
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	ts.Fatalf("there is no holdfast in PATH")
	return ""
}

// cmdExits is "exits CODE COMMAND...": the command must end with the code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdAwait is "await COMMAND...": the command is run again until it succeeds.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: await COMMAND...")
	}
	if !until(func() bool { return ts.Exec(args[0], args[1:]...) == nil }) {
		ts.Fatalf("it did not succeed within %s", patience)
	}
}

// cmdAwaitFile is "awaitfile FILE REGEXP": the file must come to match.
func cmdAwaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaitfile FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	var last []byte
	if !until(func() bool {
		last, err = os.ReadFile(path)
		return err == nil && want.Match(last)
	}) {
		ts.Fatalf("%s did not come to match %s within %s: %v\n%s", args[0], args[1], patience, err, last)
	}
}

// cmdBlackhole is "blackhole": HOLDFAST_HTTP_ADDR becomes an address that takes
// connections and never answers.
func cmdBlackhole(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: blackhole")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv("HOLDFAST_HTTP_ADDR", "http://"+l.Addr().String())
}

// cmdRandom is "random FILE BYTES": it makes a file of random bytes.
func cmdRandom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: random FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var seed [32]byte
	data, err := io.ReadAll(io.LimitReader(rand.NewChaCha8(seed), int64(n)))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// cmdDamage is "damage FILE NEW cut|flip": NEW is FILE without its last bytes, or
// with one bit in its middle flipped.
func cmdDamage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: damage FILE NEW cut|flip")
	}
	data := bytes.Clone([]byte(ts.ReadFile(args[0])))
	switch args[2] {
	case "cut":
		data = data[:len(data)-len(data)/3]
	case "flip":
		data[len(data)/2] ^= 1
	default:
		ts.Fatalf("%s is no damage", strings.TrimSpace(args[2]))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// cmdServedAt is "servedat SCHEME VARIABLE": the variable becomes the host and port
// that the agent's log names for the scheme.
func cmdServedAt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: servedat SCHEME VARIABLE")
	}
	found := regexp.MustCompile(`API: +` + regexp.QuoteMeta(args[0]) + `://(\S+)`).FindStringSubmatch(ts.ReadFile("agent.log"))
	if found == nil {
		ts.Fatalf("the agent does not say where it serves %s", args[0])
	}
	ts.Setenv(args[1], found[1])
}

// cmdExpired is "expired CERT KEY [server]": it makes a certificate for localhost that has
// expired, of the authority that "holdfast tls ca create" made.
func cmdExpired(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: expired CERT KEY [server]")
	}
	authority, err := certs.ReadAuthority(certs.Pair{
		Cert: []byte(ts.ReadFile("consul-agent-ca.pem")), Key: []byte(ts.ReadFile("consul-agent-ca-key.pem")),
	})
	ts.Check(err)
	pair, err := authority.Issue(certs.Request{
		Name: "localhost", DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Client: true, Server: len(args) > 2,
		Validity: certs.Validity{From: time.Now().Add(-2 * time.Minute), Until: time.Now().Add(-time.Minute)},
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pair.Cert, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pair.Key, 0o600))
}

// cmdField is "field NAME FILE NEW": NEW holds the text of one field of the JSON object in
// FILE.
func cmdField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field NAME FILE NEW")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	text, isText := object[args[0]].(string)
	if !isText {
		ts.Fatalf("%s has no text %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text), 0o600))
}

// cmdProvider is "provider CONFIG BEARER CLAIM=VALUE...": it makes the configuration of an
// auth method of type jwt, which maps the claims to names like theirs, and a token that
// counts there.
func cmdProvider(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: provider CONFIG BEARER CLAIM=VALUE...")
	}
	provider, err := testcluster.NewIdentity()
	ts.Check(err)
	key, err := provider.PublicKey()
	ts.Check(err)
	now := time.Now()
	claims := map[string]any{"iss": "me", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	mappings := map[string]string{}
	for _, pair := range args[2:] {
		claim, value, _ := strings.Cut(pair, "=")
		claims[claim], mappings[claim] = value, claim
	}
	config, err := json.Marshal(map[string]any{"JWTValidationPubKeys": []string{key}, "BoundIssuer": "me", "ClaimMappings": mappings})
	ts.Check(err)
	bearer, err := provider.Token(claims)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), config, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(bearer+"\n"), 0o600))
}
