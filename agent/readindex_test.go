package agent

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

// TestRoundsAreShared: whoever asks while a round is under way gets the next one, and all of
// them the same.
func TestRoundsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds, goOn := uint64(0), make(chan struct{})
		v := newVerifier(func(context.Context) (uint64, error) {
			rounds++
			n := rounds
			<-goOn
			return n, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = v.run(ctx) })
		ask := func(want uint64) {
			all.Go(func() {
				if got, err := v.verify(ctx); got != want || err != nil {
					t.Errorf("round %d, %v, want round %d", got, err, want)
				}
			})
		}
		ask(1)
		synctest.Wait()
		for range 100 {
			ask(2)
		}
		synctest.Wait()
		goOn <- struct{}{}
		goOn <- struct{}{}
		synctest.Wait()
		if rounds != 2 {
			t.Errorf("%d rounds were made, want 2", rounds)
		}
		cancel()
		all.Wait()
	})
}

// TestNoRoundAfterTheEnd: who waits for a round when the server ends is told so, and so is
// whoever asks after that; neither needs a timer of its own.
func TestNoRoundAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		v := newVerifier(func(ctx context.Context) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		var all sync.WaitGroup
		all.Go(func() { _ = v.run(ctx) })
		ask := func() {
			all.Go(func() {
				if _, err := v.verify(t.Context()); err == nil {
					t.Error("a round is made by a server that has ended")
				}
			})
		}
		ask()
		synctest.Wait()
		ask()
		synctest.Wait()
		cancel()
		synctest.Wait()
		ask()
		all.Wait()
	})
}
