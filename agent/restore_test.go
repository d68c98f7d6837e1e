package agent

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm"
)

func TestALoadedStateGoesWithItsSnapshot(t *testing.T) {
	var state bytes.Buffer
	if _, err := fsm.NewStore().Snapshot().WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	loaded, err := fsm.LoadSnapshot(bytes.NewReader(state.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule   string
		from   func(r io.Reader) io.Reader
		cancel bool
		forget bool
		want   *fsm.Loaded
	}{
		{"one that was loaded", func(r io.Reader) io.Reader { return &archive{Reader: r, loaded: loaded} }, false, false, loaded},
		{"not without a state", func(r io.Reader) io.Reader { return &archive{Reader: r, loaded: nil} }, false, false, nil},
		{"not when anything else is written", func(r io.Reader) io.Reader { return r }, false, false, nil},
		{"not when writing was given up", func(r io.Reader) io.Reader { return &archive{Reader: r, loaded: loaded} }, true, false, nil},
		{"not when it is over", func(r io.Reader) io.Reader { return &archive{Reader: r, loaded: loaded} }, false, true, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := &restoringSnapshots{SnapshotStore: raft.NewInmemSnapshotStore()}
			_, trans := raft.NewInmemTransport("here")
			sink, err := s.Create(raft.SnapshotVersionMax, 7, 1, raft.Configuration{}, 1, trans)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(sink, tc.from(strings.NewReader(state.String())))
			if err != nil || n != int64(state.Len()) {
				t.Fatalf("%d bytes of %d, %v", n, state.Len(), err)
			}
			end := sink.Close
			if tc.cancel {
				end = sink.Cancel
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if tc.forget {
				s.keep("", nil)
			}
			_, content, err := s.Open(sink.ID())
			if err != nil {
				t.Fatal(err)
			}
			var got *fsm.Loaded
			if l, ok := content.(fsm.LoadedReader); ok {
				got = l.Loaded()
			}
			if got != tc.want {
				t.Errorf("the snapshot comes with the state %p, want %p", got, tc.want)
			}
			if data, err := io.ReadAll(content); err != nil || !bytes.Equal(data, state.Bytes()) {
				t.Errorf("its content is another: %d bytes, %v", len(data), err)
			}
		})
	}
}

func TestAnArchiveIsReceivedAsAWhole(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		data  string
		size  int64
		taken bool
	}{
		{"as long as announced", "abc", 3, true},
		{"also empty", "", 0, true},
		{"not when it is cut off", "ab", 3, false},
		{"nor with something behind it", "abcd", 3, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, from := range []io.Reader{strings.NewReader(tc.data), onlyReader{strings.NewReader(tc.data), 1}} {
				got, err := io.ReadAll(&wholeReader{r: from, left: tc.size})
				if (err == nil) != tc.taken {
					t.Errorf("error %v", err)
				}
				if tc.taken && string(got) != tc.data {
					t.Errorf("received %q", got)
				}
			}
		})
	}
}

// TestOnlyWhileThereIsRoom: a disk that has no room for more is not filled further.
func TestOnlyWhileThereIsRoom(t *testing.T) {
	full := errors.New("full")
	var kept bytes.Buffer
	k := &keepingReader{
		r: io.LimitReader(zeros{}, 3*careAfter),
		w: &carefulWriter{w: &kept, writable: func() error { return full }},
	}
	n, err := io.Copy(io.Discard, k)
	if !errors.Is(err, full) || n > careAfter || int64(kept.Len()) != n {
		t.Errorf("%d bytes were read and %d kept, %v", n, kept.Len(), err)
	}
	if _, err := k.Read(make([]byte, 1)); !errors.Is(err, full) {
		t.Errorf("it is read on: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestOneArchiveIsLoadedAtATime: each takes the memory of a state; another is only
// checked. Both can be restored, and what is broken is found either way.
func TestOneArchiveIsLoadedAtATime(t *testing.T) {
	m, stop := startInMemory(t, Options{})
	defer stop()
	if status, _, body := m.ask(t, http.MethodPut, "/v1/kv/a", "value"); status != http.StatusOK {
		t.Fatalf("put: %d %s", status, body)
	}
	var state bytes.Buffer
	snap := m.store.Snapshot()
	if _, err := snap.WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	meta, err := m.SnapshotMeta(snap)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(state []byte, broken bool) *keptState {
		t.Helper()
		k, err := m.keep()
		if err != nil {
			t.Fatal(err)
		}
		why, err := k.Take(bytes.NewReader(state))
		if err != nil || (why != nil) != broken {
			t.Fatalf("it is said to be broken since %v, %v", why, err)
		}
		return k
	}
	for range 2 { // the one that loads gives others leave when it is done
		first, second := keep(state.Bytes(), false), keep(state.Bytes(), false)
		if first.loaded == nil || second.loaded != nil {
			t.Errorf("the first is loaded: %v; the second: %v; want the first alone", first.loaded != nil, second.loaded != nil)
		}
		for _, k := range []*keptState{first, second} {
			if status, _, body := m.ask(t, http.MethodDelete, "/v1/kv/a", ""); status != http.StatusOK {
				t.Fatalf("delete: %d %s", status, body)
			}
			if err := m.Restore(t.Context(), meta, k, nil); err != nil {
				t.Fatal(err)
			}
			k.Discard()
			if status, _, body := m.ask(t, http.MethodGet, "/v1/kv/a?raw", ""); status != http.StatusOK || body != "value" {
				t.Errorf("after the restore: %d %q", status, body)
			}
		}
	}
	for _, state := range [][]byte{state.Bytes()[:state.Len()-1], append(state.Bytes(), 0), nil} {
		first := keep(state, true)
		keep(state, true).Discard()
		first.Discard()
	}
}
