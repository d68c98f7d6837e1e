package run_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/run"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// untilDone is a well-behaved goroutine: it returns its context's error.
func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCloseEndsAndWaits(t *testing.T) {
	g := run.New(t.Context())
	ended := make(chan string, 2)
	for _, name := range []string{"gossip", "telemetry"} {
		if !g.Go(name, func(ctx context.Context) error {
			<-ctx.Done()
			ended <- name
			return ctx.Err()
		}) {
			t.Fatalf("%s was not started", name)
		}
	}
	if got, want := g.Running(), []string{"gossip", "telemetry"}; !slices.Equal(got, want) {
		t.Errorf("running = %v, want %v", got, want)
	}
	if err := g.Close(); err != nil {
		t.Errorf("close: %v; the context's own error is not a failure", err)
	}
	if len(ended) != 2 {
		t.Errorf("%d goroutines had ended when Close returned, want 2", len(ended))
	}
	if got := g.Running(); len(got) != 0 {
		t.Errorf("running after Close = %v", got)
	}
	if err := g.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestGoAfterCloseRunsNothing(t *testing.T) {
	g := run.New(t.Context())
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if g.Go("late", func(context.Context) error { t.Error("late ran"); return nil }) {
		t.Error("Go after Close reports a start")
	}
}

func TestFailureEndsTheGroupAndIsNamed(t *testing.T) {
	for _, tc := range []struct {
		rule string
		fn   func(context.Context) error
		want string
		is   error
	}{
		{"an error", func(context.Context) error { return io.ErrUnexpectedEOF }, "leader duties: unexpected EOF", io.ErrUnexpectedEOF},
		{"a panic with a value", func(context.Context) error { panic("no such table") }, "leader duties: panic: no such table", nil},
		{"a panic with an error", func(context.Context) error { panic(io.ErrNoProgress) }, "leader duties: panic:", io.ErrNoProgress},
		{"another context's end", func(context.Context) error { return context.DeadlineExceeded }, "leader duties: context deadline exceeded", context.DeadlineExceeded},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			g := run.New(t.Context())
			g.Go("bystander", untilDone)
			g.Go("leader duties", tc.fn)
			err := g.Wait()
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("wait = %v, want it to start with %q", err, tc.want)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("errors.Is(%v, %v) = false", err, tc.is)
			}
			if strings.Contains(err.Error(), "bystander") {
				t.Errorf("wait = %v: the bystander did not fail", err)
			}
			if cause := context.Cause(g.Context()); cause == nil || !strings.HasPrefix(cause.Error(), tc.want) {
				t.Errorf("cause = %v, want the failure", cause)
			}
			if g.Go("late", untilDone) {
				t.Error("a goroutine was started in a group that had failed")
			}
			if err := g.Close(); err == nil {
				t.Error("Close forgot the failure")
			}
		})
	}
}

func TestPanicKeepsItsStack(t *testing.T) {
	g := run.New(t.Context())
	g.Go("raft", func(context.Context) error { panic("boom") })
	var p *run.PanicError
	if err := g.Close(); !errors.As(err, &p) {
		t.Fatalf("close = %v, want a PanicError", err)
	}
	if p.Name != "raft" || p.Value != "boom" || !strings.Contains(string(p.Stack), "run_test.go") {
		t.Errorf("panic error = %q %v, stack:\n%s", p.Name, p.Value, p.Stack)
	}
}

func TestNilReturnEndsOnlyThatGoroutine(t *testing.T) {
	g := run.New(t.Context())
	g.Go("short", func(context.Context) error { return nil })
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := g.Context().Err(); err != nil {
		t.Errorf("the group ended with its goroutine: %v", err)
	}
	if !g.Go("next", untilDone) {
		t.Error("the group takes no more")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestParentContextEndsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := run.New(ctx)
	g.Go("gossip", untilDone)
	cancel()
	if err := g.Wait(); err != nil {
		t.Errorf("wait: %v", err)
	}
}
