package acl

// Resource is a kind of thing that rules are about.
type Resource uint8

// The resources. The numbers are internal: they are neither stored nor sent.
const (
	ResourceACL Resource = iota + 1
	ResourceAgent
	ResourceEvent
	ResourceIntention
	ResourceKey
	ResourceKeyring
	ResourceMesh
	ResourceNode
	ResourceOperator
	ResourcePeering
	ResourceQuery
	ResourceService
	ResourceSession
)

// Access is what somebody wants to do with a resource.
type Access uint8

// The accesses. AccessList, AccessWritePrefix, AccessDelete and AccessHistory exist
// for keys only.
const (
	AccessRead Access = iota + 1
	AccessList
	AccessWrite

	// AccessWritePrefix is writing to every key below a prefix, those to come too.
	AccessWritePrefix

	// AccessDelete is removing one key, or writing it so that it ends by itself: as write,
	// unless a rule says otherwise.
	AccessDelete

	// AccessHistory is reading earlier versions of a key, deleted ones too: as read,
	// unless a rule says otherwise.
	AccessHistory
)

// Level is what a rule gives.
type Level uint8

// The levels, from the weakest; deny wins every merge all the same.
const (
	LevelNone Level = iota // no rule
	LevelDeny
	LevelRead
	LevelList
	LevelWrite
)

// Default is what holds where no rule says anything.
type Default bool

// The defaults. DefaultAllow never opens the ACL tables.
const (
	DefaultDeny  Default = false
	DefaultAllow Default = true
)
