package agent

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/agent/logstore"
)

func TestReadyWhenItLeadsAndHasApplied(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	status, _, body := m.ask(t, http.MethodGet, "/readyz?verbose", "")
	if status != 200 || !strings.Contains(body, "[+]raft ok: leader in term") || !strings.Contains(body, "[+]leader ok: 127.0.0.1:8300") {
		t.Errorf("%d\n%s", status, body)
	}
}

func TestNotReadyBefore(t *testing.T) {
	m := newInMemory(t, Options{}) // its duties have not begun: nothing says that all is applied
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	if c := m.checkApplied(); c.OK || !strings.Contains(c.Reason, "not all applied") {
		t.Errorf("check is %+v", c)
	}
}

func TestNotReadyAfterRaftHasStopped(t *testing.T) {
	m, stop := startInMemory(t, Options{})
	stop()
	if c := m.checkRaft(); c.OK || !strings.HasPrefix(c.Reason, "shutdown") {
		t.Errorf("raft: %+v", c)
	}
	if c := m.checkLeader(); c.OK || c.Reason != "no leader is known" {
		t.Errorf("leader: %+v", c)
	}
}

func TestDiskCheckSaysWhatToDo(t *testing.T) {
	room := uint64(1 << 40)
	a := &Agent{storage: logstore.Memory(), space: datadir.NewSpace("/data", 1<<30, func(string) (uint64, error) { return room, nil })}
	look := func() {
		t.Helper()
		if _, _, err := a.space.Check(); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if c := a.checkDisk(); !c.OK {
		t.Errorf("with room: %+v", c)
	}
	room = 1 << 20
	look()
	if c := a.checkDisk(); c.OK || !strings.Contains(c.Reason, "free some space") {
		t.Errorf("without room: %+v", c)
	}
	if c := (&Agent{}).checkDisk(); !c.OK {
		t.Errorf("in memory: %+v", c)
	}
}
