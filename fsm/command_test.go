package fsm

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

func TestEncodedCommandsComeBackAsTheyWere(t *testing.T) {
	for _, c := range []Command{
		{Origin: kvs.Origin{Accessor: "a", Address: "10.0.0.1", Reason: "why, señor"}, Write: &kvs.Op{
			Verb: kvs.CheckSession, Key: "k\x00\xff", Value: []byte("v\x00\xff"), Flags: math.MaxUint64, Index: math.MaxUint64, Session: "s\xff",
		}},
		{Write: &kvs.Op{Verb: kvs.Set}},
		{Txn: []kvs.Op{{Verb: kvs.Set, Key: "a"}, {Verb: kvs.DeleteTree}, {Verb: kvs.GetOrEmpty, Key: "b", Flags: 1}}},
		{Prune: &kvs.Plan{
			Through: 7, Trims: []kvs.Trim{{Key: "a\xff", Keep: 64}, {Key: "", Keep: 1}}, Forgets: []kvs.Forget{{Key: "b", Index: math.MaxUint64}},
		}},
		{Restored: true},
		{Write: &kvs.Op{Verb: kvs.Set}, Origin: kvs.Origin{Accessor: "a"}, Checked: &acl.Checked{Accessor: "a"}},
		{Write: &kvs.Op{Verb: kvs.Set}, Origin: kvs.Origin{Accessor: "a"}, Checked: &acl.Checked{
			Accessor: "b", Index: 7, Default: acl.DefaultAllow, Expires: 1 << 62, Datacenter: "dc1", Trusted: true, Secret: math.MaxUint64,
			Links: &acl.Links{Policies: []string{"p"}, Roles: []string{"r"}}, Vars: map[string]string{"x": "1\xff", "y": ""},
		}},
		change(acl.Change{Init: &acl.Init{Key: theKey, Management: &acl.Token{Accessor: "m"}, Anonymous: &acl.Token{Accessor: "n"}}}),
		change(acl.Change{Init: &acl.Init{Key: theKey}}),
		change(acl.Change{Bootstrap: &acl.Bootstrap{Token: &acl.Token{Accessor: "m"}, Reset: 5}}),
		change(acl.Change{SetToken: &acl.SetToken{Token: &acl.Token{Accessor: "m"}, Create: true, Login: true, AccessorHash: "h\xff"}}),
		change(acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{"a", "b"}, Expired: time.Unix(-1, 2).UTC()}}),
		change(acl.Change{Rotate: &acl.Rotate{Accessor: "a", Hash: "h", Secret: "s", FormerUntil: time.Unix(5, 0).UTC()}}),
		change(acl.Change{SetPolicy: &acl.Policy{ID: "p", Rules: "r", CreateIndex: 1}}),
		change(acl.Change{DeletePolicy: "p"}),
		change(acl.Change{SetRole: &acl.Role{ID: "r", Name: "n", CreateIndex: 1}}),
		change(acl.Change{DeleteRole: "r"}),
		change(acl.Change{SetMethod: &acl.AuthMethod{Name: "m", Config: []byte("{}")}}),
		change(acl.Change{DeleteMethod: "m"}),
		change(acl.Change{SetBinding: &acl.BindingRule{ID: "b", BindVars: map[string]string{"name": "x"}}}),
		change(acl.Change{DelBinding: "b"}),
		change(acl.Change{Convert: &acl.Convert{Hashed: true}}),
		change(acl.Change{Convert: &acl.Convert{}}),
	} {
		data, err := Encode(&c, 1234567890)
		if err != nil {
			t.Fatalf("encode %+v: %v", c, err)
		}
		msg, err := decode(data[1:])
		if err != nil {
			t.Fatalf("decode %+v: %v", c, err)
		}
		h := msg.GetHeader()
		if h.GetTime() != 1234567890 || h.GetSkippable() {
			t.Errorf("header %v, want the time of the proposal and not skippable", h)
		}
		got := Command{
			Origin:  kvs.Origin{Accessor: h.GetAccessor(), Address: h.GetAddress(), Reason: h.GetReason()},
			Checked: checkedFromProto(h.GetChecked(), h.GetAccessor()),
		}
		switch kind := msg.GetKind().(type) {
		case *fsmpb.Command_Write:
			op, err := opFromProto(kind.Write.GetOp())
			if err != nil {
				t.Fatal(err)
			}
			got.Write = &op
		case *fsmpb.Command_Txn:
			for _, o := range kind.Txn.GetOps() {
				op, err := opFromProto(o)
				if err != nil {
					t.Fatal(err)
				}
				got.Txn = append(got.Txn, op)
			}
		case *fsmpb.Command_Prune:
			p := pruneFromProto(kind.Prune)
			got.Prune = &p
		case *fsmpb.Command_Restored:
			got.Restored = true
		case *fsmpb.Command_AclChange:
			if got.ACL, err = changeFromProto(kind.AclChange); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("came back as %+v, want %+v", got, c)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	if _, err := Encode(&Command{}, 1); err == nil {
		t.Error("a command that says nothing was encoded")
	}
	if _, err := Encode(&Command{ACL: &acl.Change{}}, 1); err == nil {
		t.Error("a change of ACLs that says nothing was encoded")
	}
	if _, err := Encode(&Command{Restored: true, Origin: kvs.Origin{Reason: "\xff"}}, 1); err == nil {
		t.Error("a reason that is not UTF-8 was encoded: no server could read it back")
	}
}

// future is a log entry of a kind that this version does not know.
func future(t tb, skippable bool) []byte {
	t.Helper()
	header, err := proto.Marshal(&fsmpb.Header{Time: 5e9, Skippable: skippable})
	if err != nil {
		t.Fatal(err)
	}
	data := protowire.AppendTag([]byte{formatCommand}, 1, protowire.BytesType)
	data = protowire.AppendBytes(data, header)
	data = protowire.AppendTag(data, 100, protowire.BytesType)
	return protowire.AppendBytes(data, []byte("something new"))
}

// message is the bytes of a log entry with the given message.
func message(t tb, msg *fsmpb.Command) []byte {
	t.Helper()
	data, err := proto.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{formatCommand}, data...)
}

// unreadable are entries at which the server must stop.
func unreadable(t tb) map[string]struct {
	data    []byte
	unknown bool // it is ErrUnknownCommand
} {
	verb := func(v fsmpb.Verb) *fsmpb.Op { return &fsmpb.Op{Verb: v, Key: []byte("k")} }
	good := message(t, &fsmpb.Command{Kind: &fsmpb.Command_Write{Write: &fsmpb.Write{Op: verb(fsmpb.Verb_VERB_SET)}}})
	return map[string]struct {
		data    []byte
		unknown bool
	}{
		"nothing":              {nil, true},
		"another format":       {append([]byte{formatStamped + 1}, good[1:]...), true},
		"a kind from later":    {future(t, false), true},
		"no kind":              {message(t, &fsmpb.Command{Header: &fsmpb.Header{Time: 1}}), true},
		"only the format":      {[]byte{formatCommand}, true},
		"a verb from later":    {message(t, &fsmpb.Command{Kind: &fsmpb.Command_Write{Write: &fsmpb.Write{Op: verb(99)}}}), true},
		"a verb that wraps":    {message(t, &fsmpb.Command{Kind: &fsmpb.Command_Write{Write: &fsmpb.Write{Op: verb(256 + 1)}}}), true},
		"a negative verb":      {message(t, &fsmpb.Command{Kind: &fsmpb.Command_Write{Write: &fsmpb.Write{Op: verb(-1)}}}), true},
		"no verb":              {message(t, &fsmpb.Command{Kind: &fsmpb.Command_Write{Write: &fsmpb.Write{Op: verb(0)}}}), true},
		"a write without one":  {message(t, &fsmpb.Command{Kind: &fsmpb.Command_Write{Write: &fsmpb.Write{}}}), true},
		"a verb within many":   {message(t, &fsmpb.Command{Kind: &fsmpb.Command_Txn{Txn: &fsmpb.Txn{Ops: []*fsmpb.Op{verb(1), verb(99)}}}}), true},
		"cut off":              {good[:len(good)-1], false},
		"no message at all":    {[]byte{formatCommand, 0xff, 0xff, 0xff}, false},
		"an accessor in bytes": {append([]byte{formatCommand}, 0x0a, 0x03, 0x12, 0x01, 0xff), false},
	}
}

func TestEntryThatCannotBeAppliedIsAnError(t *testing.T) {
	for what, tc := range unreadable(t) {
		t.Run(what, func(t *testing.T) {
			b := NewStore().begin()
			_, err := b.apply(1, tc.data)
			if err == nil || errors.Is(err, ErrUnknownCommand) != tc.unknown {
				t.Errorf("error %v, want one that is ErrUnknownCommand: %v", err, tc.unknown)
			}
		})
	}
}

// FuzzDecode gives any bytes to the state machine as a log entry between two good
// ones. It either applies it or stops at it; it never panics, and what it applies
// can be saved and restored.
func FuzzDecode(f *testing.F) {
	for _, tc := range unreadable(f) {
		f.Add(tc.data)
	}
	f.Add(future(f, true))
	for _, c := range []Command{
		write(set("k", "v")), write(del("k")), txn(set("a", "1"), get("a"), kvs.Op{Verb: kvs.GetTree}, kvs.Op{Verb: kvs.DeleteTree}),
		{Txn: []kvs.Op{}},
		prune(kvs.Plan{Through: 1 << 63, Trims: []kvs.Trim{{Key: "k", Keep: 1}}, Forgets: []kvs.Forget{{Key: "k", Index: 1}}}),
		{Restored: true},
		write(kvs.Op{Verb: kvs.Lock, Key: "k", Session: "s"}),
		with(write(set("k", "v")), &acl.Checked{Index: 1, Accessor: "a", Default: acl.DefaultAllow}),
		ending(with(write(kvs.Op{Verb: kvs.Lock, Key: "k", Session: "s"}), &acl.Checked{Index: 1, Accessor: "a"})),
		with(txn(set("k", "v"), get("k")), &acl.Checked{Index: 1, Accessor: "a", Links: &acl.Links{Policies: []string{"p"}}}),
		change(acl.Change{Init: &acl.Init{Key: theKey, Management: &acl.Token{Accessor: "m", Hash: "h", Links: acl.Links{Policies: []string{acl.ManagementID}}}}}),
		change(acl.Change{SetToken: &acl.SetToken{Token: &acl.Token{Accessor: "m", Secret: "s", Expires: time.Unix(1, 2)}, Create: true}}),
		change(acl.Change{SetPolicy: &acl.Policy{ID: "p", Name: "p", Rules: `key "k" { policy = "write" }`}}),
		change(acl.Change{SetMethod: &acl.AuthMethod{Name: "m", Config: []byte("{}")}}),
		change(acl.Change{Convert: &acl.Convert{Hashed: true}}),
	} {
		f.Add(entry(f, 1, 1, c).Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMachine(t)
		m.do(write(set("k", "old")))
		m.do(write(set("k", "v")))
		m.index++
		answers := m.fsm.ApplyBatch([]*raft.Log{
			{Index: m.index, Type: raft.LogCommand, Data: data},
			entry(t, m.index+1, 9, write(set("after", "x"))),
		})
		_, err := new(reader).parse(data)
		if len(m.stops) == 0 {
			if err != nil {
				t.Fatalf("applied what cannot be decoded: %v", err)
			}
			for i, a := range answers {
				if _, ok := a.(Result); !ok {
					t.Fatalf("answer %d is %v, want a result", i, a)
				}
			}
			other := newMachine(t)
			if err := other.restore(plain(t, m.store)); err != nil {
				t.Fatalf("the state that came of it cannot be restored: %v", err)
			}
			if !bytes.Equal(plain(t, other.store), plain(t, m.store)) {
				t.Fatal("restored, the state that came of it is another one")
			}
			return
		}
		for i, a := range answers {
			if a != m.stops[0] {
				t.Errorf("answer %d is %v, want the error that stopped the server, %v", i, a, m.stops[0])
			}
		}
		if got, want := content(m.store.View()), "k=v@2"; got != want {
			t.Errorf("after the stop the state is %q, want %q", got, want)
		}
	})
}
