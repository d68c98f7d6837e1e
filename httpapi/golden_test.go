package httpapi

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

var rewriteGolden = flag.Bool("update", false, "rewrite the golden files of this package")

// step is one request of a golden script.
type step struct {
	send    string   // method and target
	headers []string // names and values in turn
	body    string
	shown   string // stands for body in the golden file
	brief   bool   // neither body is shown
	during  []step // sent while this one waits; it must still wait before the last of them
}

// TestGolden sends the scripts and compares every answer, as it is on the wire,
// with the golden file of its area. The answers must be the same on a server that
// has been running since the beginning and on one that came to its state anew
// before each request.
func TestGolden(t *testing.T) {
	for _, area := range goldenScripts() {
		for _, life := range lives {
			if *rewriteGolden && life.name != "single" {
				continue
			}
			t.Run(area.name+"/"+life.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := &golden{t: t, node: newLocalNode(t), next: life.next}
					g.run(area.steps(t))
					checkGolden(t, area.name, g.out.Bytes())
				})
			})
		}
	}
}

func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *rewriteGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s differs (-golden +answers); if that is meant, run with -update:\n%s", path, diff)
	}
}

// goldenFiles lists the names of the golden files.
func goldenFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(p), ".golden")
	}
	return paths
}

type golden struct {
	t    *testing.T
	node *localNode
	next func(*localNode, testing.TB) *localNode
	out  bytes.Buffer
}

func (g *golden) run(steps []step) {
	for _, st := range steps {
		g.node = g.next(g.node, g.t)
		l := newPipes()
		stop := serveOn(g.t, newServerWith(g.t, g.node, func(s *Settings) {
			s.Headers = http.Header{"Access-Control-Allow-Origin": {"*"}}
		}), l)
		fmt.Fprint(&g.out, g.do(l, st))
		stop()
	}
}

// do sends one request and those that come while it waits.
func (g *golden) do(l *pipes, st step) string {
	method, target, _ := strings.Cut(st.send, " ")
	conn := l.dial(g.t)
	defer conn.Close()
	type result struct {
		answer wireAnswer
		err    error
	}
	done := make(chan result, 1)
	sent := make(chan error, 1)
	go func() { sent <- send(conn, method, target, st.body, st.headers...) }()
	go func() {
		answer, err := receive(conn, method)
		done <- result{answer, err}
	}()
	var meanwhile strings.Builder
	for _, other := range st.during {
		synctest.Wait()
		select {
		case <-done:
			g.t.Errorf("%s has been answered before %s", st.send, other.send)
		default:
		}
		fmt.Fprint(&meanwhile, g.do(l, other))
	}
	got := <-done
	if got.err != nil {
		g.t.Errorf("%s: %v", st.send, got.err)
	}
	_ = conn.Close() // ends the sending too, where the server did not read to the end
	<-sent
	return showStep(st, got.answer, meanwhile.String())
}

// showStep is a request and its answer as golden files hold them.
func showStep(st step, a wireAnswer, meanwhile string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "=== %s\n", st.send)
	for i := 0; i+1 < len(st.headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\n", st.headers[i], st.headers[i+1])
	}
	switch {
	case st.shown != "":
		fmt.Fprintf(&b, "\n%s\n", st.shown)
	case st.body != "":
		fmt.Fprintf(&b, "\n%s\n", brief(st, st.body))
	}
	if meanwhile != "" {
		fmt.Fprintf(&b, "--- waits; meanwhile\n%s--- and then it is answered\n", meanwhile)
	}
	if a.header.Get("Content-Encoding") == "gzip" {
		// Compressed bytes depend on the compressor; what they stand for does not.
		a.body = "(compressed) " + gunzipped(a.body)
		a.header.Set("Content-Length", "(compressed)")
	}
	if st.brief {
		a.header.Set("Content-Length", "(long)")
	}
	a.body = brief(st, a.body)
	fmt.Fprintf(&b, "---\n%s\n\n", strings.TrimRight(a.String(), "\n"))
	return b.String()
}

func brief(st step, s string) string {
	if st.brief {
		return "(long)"
	}
	return strings.ReplaceAll(s, "\n", "⏎\n")
}

func gunzipped(body string) string {
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return err.Error()
	}
	return string(plain)
}
