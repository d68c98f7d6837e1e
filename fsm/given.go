package fsm

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
)

// StillGiven returns why somebody no longer has a right that another server has found them
// to have, in the words of the wire; nil when they have it.
func (s *Store) StillGiven(g *acl.Given, now time.Time) error {
	return g.Still(s.View().ACL(), now, s.compiler)
}

// EncodeChecked makes bytes of who was asked for, as another server gets them; none for nil.
func EncodeChecked(c *acl.Checked) ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	data, err := proto.Marshal(checkedToProto(c, ""))
	if err != nil {
		return nil, fmt.Errorf("encode who asked: %w", err)
	}
	return data, nil
}

// DecodeChecked reads what EncodeChecked has made: nil of no bytes.
func DecodeChecked(data []byte) (*acl.Checked, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var m fsmpb.Checked
	if err := proto.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("decode who asked: %w", err)
	}
	return checkedFromProto(&m, ""), nil
}
