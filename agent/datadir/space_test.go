package datadir

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSpaceHysteresis(t *testing.T) {
	free := uint64(0)
	s := NewSpace("/data", 1000, func(string) (uint64, error) { return free, nil })
	for _, step := range []struct {
		free uint64
		low  bool
	}{
		{5000, false}, {1000, false}, {999, true}, {1000, true}, {1249, true}, {1250, false}, {1001, false}, {0, true},
	} {
		free = step.free
		got, low, err := s.Check()
		if err != nil || got != step.free || low != step.low {
			t.Errorf("free %d: got %d, low %v, %v, want low %v", step.free, got, low, err, step.low)
		}
		if isErr := s.Err() != nil; isErr != step.low {
			t.Errorf("free %d: Err = %v", step.free, s.Err())
		}
	}
}

func TestSpaceErrSaysWhatToDo(t *testing.T) {
	s := NewSpace("/data", 128<<20, func(string) (uint64, error) { return 12 << 20, nil })
	if err := s.Err(); err != nil {
		t.Errorf("before the first check: %v", err)
	}
	if _, _, err := s.Check(); err != nil {
		t.Fatal(err)
	}
	mustSay(t, s.Err(), "12 MiB free at /data", "writes need 128 MiB", "resume by themselves")
	var low *LowSpaceError
	if !errors.As(s.Err(), &low) || low.Free != 12<<20 {
		t.Errorf("Err = %#v", s.Err())
	}
}

func TestSpaceBoundMayChange(t *testing.T) {
	s := NewSpace("/data", 0, func(string) (uint64, error) { return 10, nil })
	if _, low, _ := s.Check(); low {
		t.Error("low although the bound is off")
	}
	s.SetMinFree(100)
	if _, low, _ := s.Check(); !low {
		t.Error("the new bound does not count")
	}
}

func TestReportFullCountsUntilTheNextCheck(t *testing.T) {
	s := NewSpace("/data", 1000, func(string) (uint64, error) { return 5000, nil })
	if _, _, err := s.Check(); err != nil {
		t.Fatal(err)
	}
	s.ReportFull()
	mustSay(t, s.Err(), "no room for writes at /data although", "a quota")
	if _, low, _ := s.Check(); low || s.Err() != nil {
		t.Errorf("after a check that found room: low %v, %v", low, s.Err())
	}
}

func TestSpaceKeepsItsDecisionWhenItCannotLook(t *testing.T) {
	var fail error
	s := NewSpace("/data", 1000, func(string) (uint64, error) { return 10, fail })
	if _, low, _ := s.Check(); !low {
		t.Fatal("not low")
	}
	fail = errors.New("stale file handle")
	_, low, err := s.Check()
	if !low || err == nil || !strings.Contains(err.Error(), "stale file handle") {
		t.Errorf("low %v, %v", low, err)
	}
}

func TestSpaceRunReportsChangesOnly(t *testing.T) {
	type answer struct {
		free uint64
		err  error
	}
	answers := make(chan answer, 1)
	s := NewSpace("/data", 1000, func(string) (uint64, error) { a := <-answers; return a.free, a.err })

	ticks := make(chan time.Time)
	type change struct {
		low    bool
		failed bool
	}
	var got []change
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, ticks, func(_ uint64, low bool, err error) { got = append(got, change{low, err != nil}) })
	}()
	gone := errors.New("gone")
	for _, a := range []answer{{5000, nil}, {10, nil}, {11, nil}, {0, gone}, {0, gone}, {5000, nil}, {5000, nil}} {
		answers <- a
		ticks <- time.Time{}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	want := []change{{true, false}, {true, true}, {false, false}}
	if len(got) != len(want) {
		t.Fatalf("changes = %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("changes = %v, want %v", got, want)
			break
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1023 << 10: "1023 KiB", 12 << 20: "12 MiB", 1 << 63: "8 EiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d = %q, want %q", n, got, want)
		}
	}
}
