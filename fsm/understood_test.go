package fsm

import (
	"testing"
)

// TestUnderstood: a leader takes from other servers only what it can apply.
func TestUnderstood(t *testing.T) {
	for _, c := range []Command{write(set("k", "v")), txn(set("a", "1")), {Restored: true}, {Autopilot: &SetAutopilot{}}} {
		data, err := EncodeToStamp(&c)
		if err != nil {
			t.Fatal(err)
		}
		if !Understood(data) {
			t.Errorf("%+v is not understood", c)
		}
		if plain := entry(t, 1, 1, c).Data; !Understood(plain) {
			t.Errorf("%+v is not understood when it is stamped already", c)
		}
	}
	stamped := func(plain []byte) []byte {
		return append(append([]byte{formatStamped}, make([]byte, stampBytes)...), plain[1:]...)
	}
	if !Understood(stamped(future(t, true))) {
		t.Error("what may be skipped is refused")
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "a kind from later": stamped(future(t, false)), "another format": {9, 1, 2, 3}, "cut off": {formatStamped, 0},
		"no message": append(append([]byte{formatStamped}, make([]byte, stampBytes)...), 0xff),
	} {
		if Understood(data) {
			t.Errorf("%s is understood", name)
		}
	}
}
