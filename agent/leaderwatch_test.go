package agent

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAReignEndsWithItsLeader(t *testing.T) {
	a, b, none := leader{"a", "1"}, leader{"b", "2"}, leader{}
	for _, tc := range []struct {
		rule     string
		from, to leader
		ends     bool
	}{
		{"when another leads", a, b, true},
		{"when nobody does", a, none, true},
		{"when somebody does again", none, a, true},
		{"when the address is another", a, leader{"a", "3"}, true},
		{"not when nothing changes", a, a, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := newLeaderWatch(t.Context(), time.Unix(0, 0))
			w.set(tc.from, time.Unix(1, 0))
			_, reign := w.get()
			w.set(tc.to, time.Unix(2, 0))
			if ended := reign.Err() != nil; ended != tc.ends {
				t.Errorf("ended = %v", ended)
			}
			if now, reign := w.get(); now != tc.to || reign.Err() != nil {
				t.Errorf("now %+v, %v", now, reign.Err())
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := newLeaderWatch(ctx, time.Unix(0, 0))
	cancel()
	if _, reign := w.get(); reign.Err() == nil {
		t.Error("a reign goes on after the watch has ended")
	}
}

func TestTheTimeWithoutALeader(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	w := newLeaderWatch(t.Context(), at(10))
	for i, step := range []struct {
		set  *leader
		now  int
		want time.Duration
	}{
		{nil, 10, 1}, // never 0 without a leader
		{nil, 13, 3 * time.Second},
		{&leader{"a", "1"}, 14, 0},
		{nil, 20, 0},
		{&leader{"b", "1"}, 21, 0},
		{&leader{}, 30, 1},
		{&leader{}, 35, 5 * time.Second},
		{nil, 36, 6 * time.Second},
	} {
		if step.set != nil {
			w.set(*step.set, at(step.now))
		}
		if got := w.without(at(step.now)); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

func TestReadersShareRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began, end := make(chan uint64), make(chan error)
		rounds := uint64(0)
		v := newVerifier(func(context.Context) (uint64, error) {
			rounds++
			began <- rounds
			return rounds, <-end
		})
		go func() { _ = v.run(ctx) }()
		type answer struct {
			index uint64
			err   error
		}
		ask := func(ctx context.Context) <-chan answer {
			got := make(chan answer, 1)
			go func() {
				index, err := v.verify(ctx)
				got <- answer{index, err}
			}()
			return got
		}
		first := ask(ctx)
		<-began
		var late []<-chan answer
		for range 10 {
			late = append(late, ask(ctx))
		}
		gone, leave := context.WithCancelCause(ctx)
		left := ask(gone)
		synctest.Wait()
		why := errors.New("the client went")
		leave(why)
		if got := <-left; !errors.Is(got.err, why) {
			t.Errorf("who went: %+v", got)
		}
		end <- nil
		if got := <-first; got != (answer{1, nil}) {
			t.Errorf("the first: %+v", got)
		}
		synctest.Wait()
		for _, l := range late {
			select {
			case got := <-l:
				t.Fatalf("who came during a round was answered by it: %+v", got)
			default:
			}
		}
		if n := <-began; n != 2 {
			t.Fatalf("round %d", n)
		}
		fault := errors.New("no majority")
		end <- fault
		for _, l := range late {
			if got := <-l; got != (answer{2, fault}) {
				t.Errorf("who came during the first round: %+v", got)
			}
		}
		synctest.Wait()
		if rounds != 2 {
			t.Errorf("%d rounds, though nobody waits", rounds)
		}
		again := ask(ctx)
		<-began
		end <- nil
		if got := <-again; got != (answer{3, nil}) {
			t.Errorf("the next: %+v", got)
		}
	})
}

func TestSnapshotsAreSentAtABoundedSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		began := time.Now()
		r := &slowReader{r: strings.NewReader(strings.Repeat("x", 1000)), speed: 100, began: began, stop: stop}
		n, err := io.Copy(io.Discard, io.LimitReader(onlyReader{r, 50}, 1000))
		if n != 1000 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if took := time.Since(began); took < 10*time.Second-10*time.Millisecond || took > 10*time.Second+10*time.Millisecond {
			t.Errorf("1000 bytes at 100 a second took %s", took)
		}
		r = &slowReader{r: strings.NewReader(strings.Repeat("x", 1000)), speed: 1, began: time.Now(), stop: stop}
		close(stop)
		if _, err := r.Read(make([]byte, 1000)); err == nil {
			t.Error("it goes on when the server stops")
		}
	})
}

// onlyReader reads a few bytes at a time.
type onlyReader struct {
	r io.Reader
	n int
}

func (o onlyReader) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), o.n)]) }
