package fsm

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
)

// EntryVersion grows with each kind of log entry that older versions of this program
// do not understand. Servers tell each other theirs.
//
// An entry of a kind from later stops a server that applies it. So no server proposes
// one before all of the cluster understand it; see [Needs]. Version 2 came with ACLs:
// changes of their tables, and commands that say who was found to have the right. Version
// 3 came with [Command].Ending: older servers apply such a command without what it asks.
const EntryVersion = 3 + beyond

// firstVersion is what every server understands.
const firstVersion = 1

// aclVersion is what servers understand that know ACLs.
const aclVersion = 2

// endingVersion is what servers understand that know [Command].Ending.
const endingVersion = 3

// headerField is the number of the header in a Command.
const headerField = 1

// Needs returns the EntryVersion that a server must have to apply a log entry; ok is
// false when this one does not know the kind and may not skip it. It looks at no more
// than that.
func Needs(entry []byte) (version uint32, ok bool) {
	var data []byte
	switch {
	case len(entry) >= 1 && entry[0] == formatCommand:
		data = entry[1:]
	case len(entry) >= 1+stampBytes && entry[0] == formatStamped:
		data = entry[1+stampBytes:]
	default:
		return 0, false
	}
	kinds := (&fsmpb.Command{}).ProtoReflect().Descriptor().Fields()
	version = firstVersion
	known, skippable := false, false
	for len(data) > 0 {
		n, _, size := protowire.ConsumeTag(data)
		if size < 0 {
			return 0, false
		}
		length := protowire.ConsumeFieldValue(n, protowire.BytesType, data[size:])
		if length < 0 {
			return 0, false
		}
		switch {
		case n == headerField:
			header := &fsmpb.Header{}
			value, _ := protowire.ConsumeBytes(data[size:])
			if proto.Unmarshal(value, header) == nil {
				skippable = header.GetSkippable()
				switch checked := header.GetChecked(); { // older servers would not look again
				case checked.GetEnding():
					version = max(version, endingVersion)
				case checked != nil:
					version = max(version, aclVersion)
				}
			}
		case isNext(n):
			known, version = true, EntryVersion
		case kinds.ByNumber(n) != nil:
			known, version = true, max(version, kindVersion(n))
		}
		data = data[size+length:]
	}
	if skippable {
		return firstVersion, true
	}
	return version, known
}

// checkedField is the number of what says who was found to have the right, in a header.
const checkedField = 6

// IsChecked tells whether a log entry says who was found to have the right to it: then its
// rights are looked at again where it is applied.
func IsChecked(entry []byte) bool {
	var data []byte
	switch {
	case len(entry) >= 1 && entry[0] == formatCommand:
		data = entry[1:]
	case len(entry) >= 1+stampBytes && entry[0] == formatStamped:
		data = entry[1+stampBytes:]
	}
	return hasField(fieldBytes(data, headerField), checkedField)
}

// fieldBytes returns a field of a message that is a message itself; nil when it is not there.
func fieldBytes(data []byte, field protowire.Number) []byte {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeField(data)
		if size < 0 {
			return nil
		}
		if n == field && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(data)
			value, _ := protowire.ConsumeBytes(data[tag:])
			return value
		}
		data = data[size:]
	}
	return nil
}

// hasField tells whether a message has a field.
func hasField(data []byte, field protowire.Number) bool { return fieldBytes(data, field) != nil }

// kindVersion is the EntryVersion with which a kind of command came.
func kindVersion(n protowire.Number) uint32 {
	if n == aclField {
		return aclVersion
	}
	return firstVersion
}

// aclField is the number of a change of ACLs in a Command.
const aclField = 22

// Needs returns the EntryVersion that a server must have to apply the command.
func (c *Command) Needs() uint32 {
	switch {
	case c.Event != nil && beyond > 0:
		return EntryVersion
	case c.Ending && c.Checked != nil:
		return endingVersion
	case c.ACL != nil, c.Checked != nil:
		return aclVersion
	}
	return firstVersion
}

// needs is the same of a command that was read from the log.
func (p *parsed) needs() uint32 {
	switch {
	case p.other.GetHeader().GetSkippable():
		return firstVersion
	case p.next:
		return EntryVersion
	case p.ending:
		return endingVersion
	case p.other.GetAclChange() != nil, p.checked != nil:
		return aclVersion
	}
	return firstVersion
}

// Used is the highest EntryVersion that a command in this state has needed: every server
// of the cluster has it, or has stopped.
func (v *View) Used() uint32 { return max(v.state.Used, firstVersion) }
