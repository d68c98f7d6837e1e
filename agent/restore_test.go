package agent

import (
	"bytes"
	"io"
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
		{"one that was loaded", func(r io.Reader) io.Reader { return &archive{r, loaded} }, false, false, loaded},
		{"not without a state", func(r io.Reader) io.Reader { return &archive{r, nil} }, false, false, nil},
		{"not when anything else is written", func(r io.Reader) io.Reader { return r }, false, false, nil},
		{"not when writing was given up", func(r io.Reader) io.Reader { return &archive{r, loaded} }, true, false, nil},
		{"not when it is over", func(r io.Reader) io.Reader { return &archive{r, loaded} }, false, true, nil},
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
