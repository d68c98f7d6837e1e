package fsm

import "github.com/holdfast-kv/holdfast/acl"

// TopicRules is the topic of changes that may concern the rights of everybody: of all
// that is not a single token.
const TopicRules = "acl-rules"

// TopicToken is the topic of changes of one token. With every login there is a new one,
// which must not wake those who wait with others.
func TopicToken(accessor string) string { return "acl-token/" + accessor }

// touchRights wakes those whose rights a change of the ACL tables may concern.
func (b *batch) touchRights(c *acl.Change) {
	switch {
	case c.SetToken != nil:
		b.touch(TopicToken(c.SetToken.Token.Accessor))
	case c.Rotate != nil:
		b.touch(TopicToken(c.Rotate.Accessor))
	case c.DeleteTokens != nil:
		for _, accessor := range c.DeleteTokens.Accessors {
			b.touch(TopicToken(accessor))
		}
	default:
		b.touch(TopicRules)
	}
}
