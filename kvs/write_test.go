package kvs

import (
	"slices"
	"strings"
	"testing"
	"unique"
)

// TestVerbs performs commands, each in a batch of its own, and looks at the answer
// of the last one and at what the store holds afterwards. The first command has
// index 1.
func TestVerbs(t *testing.T) {
	for _, tc := range []struct {
		rule     string
		commands [][]Op
		shown    string // entries in the answer
		refused  string // number and text of each refused operation
		after    string // every key
		index    uint64 // of the store
	}{
		// Plain put: contract, KV, sections 4 and 6.
		{
			rule:     "a put creates a key",
			commands: commands(one(set("k", "a"))),
			shown:    "k@1/1", after: "k=a@1/1", index: 1,
		},
		{
			rule:     "a put replaces the value and keeps the index of creation",
			commands: commands(one(set("k", "a")), one(set("k", "b"))),
			shown:    "k@1/2", after: "k=b@1/2", index: 2,
		},
		{
			rule:     "a put without flags resets them",
			commands: commands(one(withFlags(set("k", "a"), 1<<63)), one(set("k", "a"))),
			shown:    "k@1/2", after: "k=a@1/2", index: 2,
		},
		{
			rule:     "other flags alone are a change",
			commands: commands(one(set("k", "a")), one(withFlags(set("k", "a"), 42))),
			shown:    "k@1/2 flags=42", after: "k=a@1/2 flags=42", index: 2,
		},
		{
			rule:     "an unchanged put keeps the index of the key and of the store",
			commands: commands(one(withFlags(set("k", "a"), 7)), one(withFlags(set("k", "a"), 7))),
			shown:    "k@1/1 flags=7", after: "k=a@1/1 flags=7", index: 1,
		},
		{
			rule:     "no value and an empty value are the same",
			commands: commands(one(Op{Verb: Set, Key: "k"}), one(Op{Verb: Set, Key: "k", Value: []byte{}})),
			shown:    "k@1/1", after: "k=@1/1", index: 1,
		},
		{
			rule:     "keys are bytes: case, slashes and odd bytes matter",
			commands: commands(together(set("a", "1"), set("A", "2"), set("a/", "3"), set("/a", "4"), set("a\x00", "5"), set("\xff", "6"))),
			shown:    "a@1/1; A@1/1; a/@1/1; /a@1/1; a\x00@1/1; \xff@1/1",
			after:    "/a=4@1/1; A=2@1/1; a=1@1/1; a\x00=5@1/1; a/=3@1/1; \xff=6@1/1", index: 1,
		},
		{
			rule:     "deleting and creating again begins a new incarnation",
			commands: commands(one(set("k", "a")), one(del("k")), one(set("k", "a"))),
			shown:    "k@3/3", after: "k=a@3/3", index: 3,
		},

		// Check-and-set.
		{
			rule:     "cas 0 creates a missing key",
			commands: commands(one(cas("k", "a", 0))),
			shown:    "k@1/1", after: "k=a@1/1", index: 1,
		},
		{
			rule:     "cas 0 never replaces",
			commands: commands(one(set("k", "a")), one(cas("k", "b", 0))),
			refused:  `0: failed to set key "k", index is stale`, after: "k=a@1/1", index: 1,
		},
		{
			rule:     "cas 0 creates a key that was deleted",
			commands: commands(one(set("k", "a")), one(del("k")), one(cas("k", "b", 0))),
			shown:    "k@3/3", after: "k=b@3/3", index: 3,
		},
		{
			rule:     "cas with the right index replaces",
			commands: commands(one(set("k", "a")), one(cas("k", "b", 1))),
			shown:    "k@1/2", after: "k=b@1/2", index: 2,
		},
		{
			rule:     "cas with an older index does not",
			commands: commands(one(set("k", "a")), one(set("k", "b")), one(cas("k", "c", 1))),
			refused:  `0: failed to set key "k", index is stale`, after: "k=b@1/2", index: 2,
		},
		{
			rule:     "cas with a future index does not",
			commands: commands(one(set("k", "a")), one(cas("k", "c", 2))),
			refused:  `0: failed to set key "k", index is stale`, after: "k=a@1/1", index: 1,
		},
		{
			rule:     "cas with an index does not create a missing key",
			commands: commands(one(cas("k", "a", 1))),
			refused:  `0: failed to set key "k", index is stale`, index: 1,
		},
		{
			rule:     "cas with the index of the deletion does not bring a key back",
			commands: commands(one(set("k", "a")), one(del("k")), one(cas("k", "b", 2))),
			refused:  `0: failed to set key "k", index is stale`, index: 2,
		},
		{
			rule:     "an unchanged cas succeeds and can be repeated with the same index",
			commands: commands(one(set("k", "a")), one(cas("k", "a", 1)), one(cas("k", "a", 1))),
			shown:    "k@1/1", after: "k=a@1/1", index: 1,
		},
		{
			rule:     "an unchanged cas with a stale index is refused all the same",
			commands: commands(one(set("k", "a")), one(cas("k", "a", 9))),
			refused:  `0: failed to set key "k", index is stale`, after: "k=a@1/1", index: 1,
		},

		// Delete.
		{
			rule:     "a delete removes the key and moves the index of the store",
			commands: commands(one(set("k", "a")), one(set("k2", "a")), one(del("k"))),
			after:    "k2=a@2/2", index: 3,
		},
		{
			rule:     "deleting a missing key succeeds and changes nothing",
			commands: commands(one(set("k", "a")), one(del("none"))),
			after:    "k=a@1/1", index: 1,
		},
		{
			rule:     "deleting twice counts once",
			commands: commands(one(set("k", "a")), one(del("k")), one(del("k"))),
			index:    2,
		},
		{
			rule:     "a locked key can be deleted by anybody, and the lock goes with it",
			commands: commands(one(lock("k", "a", "s1")), one(del("k")), one(lock("k", "b", "s2"))),
			shown:    "k@3/3 lock=1 held=s2", after: "k=b@3/3 lock=1 held=s2", index: 3,
		},
		{
			rule:     "delete-cas with the right index deletes",
			commands: commands(one(set("k", "a")), one(delCAS("k", 1))),
			index:    2,
		},
		{
			rule:     "delete-cas with another index does not",
			commands: commands(one(set("k", "a")), one(delCAS("k", 2))),
			refused:  `0: failed to delete key "k", index is stale`, after: "k=a@1/1", index: 1,
		},
		{
			rule:     "delete-cas 0 never deletes an existing key",
			commands: commands(one(set("k", "a")), one(delCAS("k", 0))),
			refused:  `0: failed to delete key "k", index is stale`, after: "k=a@1/1", index: 1,
		},
		{
			rule:     "delete-cas of a missing key succeeds with any index",
			commands: commands(one(set("k", "a")), together(delCAS("none", 0), delCAS("none", 1), delCAS("none", 99))),
			after:    "k=a@1/1", index: 1,
		},
		{
			rule:     "delete-cas of a key that was deleted succeeds with any index",
			commands: commands(one(set("k", "a")), one(del("k")), one(delCAS("k", 1))),
			index:    2,
		},
		{
			rule:     "delete-tree removes every key with the prefix, and the key that is the prefix",
			commands: commands(together(set("p", "1"), set("p/", "2"), set("p/a", "3"), set("p0", "4"), set("o", "5"), set("q", "6")), one(delTree("p/"))),
			after:    "o=5@1/1; p=1@1/1; p0=4@1/1; q=6@1/1", index: 2,
		},
		{
			rule:     "delete-tree with the empty prefix removes everything",
			commands: commands(together(set("a", "1"), set("\xff\xff", "2")), one(delTree(""))),
			index:    2,
		},
		{
			rule:     "delete-tree without a match changes nothing",
			commands: commands(one(set("a", "1")), one(delTree("b"))),
			after:    "a=1@1/1", index: 1,
		},

		// Locks: contract, KV, section 7.
		{
			rule:     "acquiring a new key gives it the lock count 1",
			commands: commands(one(withFlags(lock("k", "a", "s1"), 4))),
			shown:    "k@1/1 flags=4 lock=1 held=s1", after: "k=a@1/1 flags=4 lock=1 held=s1", index: 1,
		},
		{
			rule:     "acquiring a free existing key adds one",
			commands: commands(one(set("k", "a")), one(lock("k", "b", "s1"))),
			shown:    "k@1/2 lock=1 held=s1", after: "k=b@1/2 lock=1 held=s1", index: 2,
		},
		{
			rule:     "acquiring what one holds already keeps the count and takes the new content",
			commands: commands(one(lock("k", "a", "s1")), one(withFlags(lock("k", "b", "s1"), 5))),
			shown:    "k@1/2 flags=5 lock=1 held=s1", after: "k=b@1/2 flags=5 lock=1 held=s1", index: 2,
		},
		{
			rule:     "acquiring what one holds already with the same content changes nothing",
			commands: commands(one(lock("k", "a", "s1")), one(lock("k", "a", "s1"))),
			shown:    "k@1/1 lock=1 held=s1", after: "k=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "acquiring with the same content is a change when the key was free",
			commands: commands(one(set("k", "a")), one(lock("k", "a", "s1"))),
			shown:    "k@1/2 lock=1 held=s1", after: "k=a@1/2 lock=1 held=s1", index: 2,
		},
		{
			rule:     "a key held by another session is refused",
			commands: commands(one(lock("k", "a", "s1")), one(lock("k", "b", "s2"))),
			refused:  `0: failed to lock key "k", lock is already held`, after: "k=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "releasing replaces the content and keeps the count",
			commands: commands(one(withFlags(lock("k", "a", "s1"), 4)), one(unlock("k", "", "s1"))),
			shown:    "k@1/2 lock=1", after: "k=@1/2 lock=1", index: 2,
		},
		{
			rule:     "releasing with the same content is a change",
			commands: commands(one(lock("k", "a", "s1")), one(unlock("k", "a", "s1"))),
			shown:    "k@1/2 lock=1", after: "k=a@1/2 lock=1", index: 2,
		},
		{
			rule:     "the next holder has the next count",
			commands: commands(one(lock("k", "a", "s1")), one(unlock("k", "a", "s1")), one(lock("k", "a", "s2"))),
			shown:    "k@1/3 lock=2 held=s2", after: "k=a@1/3 lock=2 held=s2", index: 3,
		},
		{
			rule:     "only the holder releases",
			commands: commands(one(lock("k", "a", "s1")), one(unlock("k", "b", "s2"))),
			refused:  `0: failed to unlock key "k", lock isn't held, or is held by another session`,
			after:    "k=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "a free key is not released",
			commands: commands(one(set("k", "a")), one(unlock("k", "b", "s1"))),
			refused:  `0: failed to unlock key "k", lock isn't held, or is held by another session`,
			after:    "k=a@1/1", index: 1,
		},
		{
			rule:     "a missing key is not released, and not created",
			commands: commands(one(unlock("k", "b", "s1"))),
			refused:  `0: failed to unlock key "k", lock isn't held, or is held by another session`, index: 1,
		},
		{
			rule:     "an unknown session does not release either",
			commands: commands(one(lock("k", "a", "s1")), one(unlock("k", "b", "nobody"))),
			refused:  `0: failed to unlock key "k", lock isn't held, or is held by another session`,
			after:    "k=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "an unknown session cannot acquire",
			commands: commands(one(lock("k", "a", "nobody"))),
			refused:  `0: invalid session "nobody"`, index: 1,
		},
		{
			rule:     "without a session nothing is acquired or released",
			commands: commands(together(lock("k", "a", ""), unlock("k", "a", ""))),
			refused:  "0: missing session; 1: missing session", index: 1,
		},
		{
			rule:     "an id in another case is stored as the session spells it",
			commands: commands(one(lock("k", "a", "S1")), one(lock("k", "b", "s1"))),
			shown:    "k@1/2 lock=1 held=s1", after: "k=b@1/2 lock=1 held=s1", index: 2,
		},
		{
			rule:     "an id in another case releases",
			commands: commands(one(lock("k", "a", "s1")), one(unlock("k", "b", "S1"))),
			shown:    "k@1/2 lock=1", after: "k=b@1/2 lock=1", index: 2,
		},
		{
			rule:     "an id in another case is the holder for a check too",
			commands: commands(one(lock("k", "a", "s1")), one(checkSession("k", "S1"))),
			shown:    "k@1/1 lock=1 held=s1", after: "k=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "a plain put keeps the lock and its count",
			commands: commands(one(lock("k", "a", "s1")), one(set("k", "b"))),
			shown:    "k@1/2 lock=1 held=s1", after: "k=b@1/2 lock=1 held=s1", index: 2,
		},
		{
			rule:     "a cas put keeps the lock and its count",
			commands: commands(one(lock("k", "a", "s1")), one(cas("k", "b", 1))),
			shown:    "k@1/2 lock=1 held=s1", after: "k=b@1/2 lock=1 held=s1", index: 2,
		},
		{
			rule:     "the count is kept by puts while the key is free",
			commands: commands(one(lock("k", "a", "s1")), one(unlock("k", "a", "s1")), one(set("k", "b")), one(lock("k", "b", "s2"))),
			shown:    "k@1/4 lock=2 held=s2", after: "k=b@1/4 lock=2 held=s2", index: 4,
		},

		// Transactions: contract, transactions, sections 1 and 2.
		{
			rule: "all writes of a transaction have the same index, and each shows what it made",
			commands: commands(
				one(set("x", "0")),
				together(set("t", "1"), withFlags(set("t", "2"), 3), get("t"), set("u", "1"))),
			shown: "t@2/2; t@2/2 flags=3; t=2@2/2 flags=3; u@2/2",
			after: "t=2@2/2 flags=3; u=1@2/2; x=0@1/1", index: 2,
		},
		{
			rule: "reads between writes see what came before them, and only that",
			commands: commands(
				one(set("t", "0")),
				together(get("t"), set("t", "1"), get("t"), del("t"), getOrEmpty("t"), checkNotExists("t"), cas("t", "2", 0), get("t"))),
			shown: "t=0@1/1; t@1/2; t=1@1/2; t=@0/0; t@2/2; t=2@2/2",
			after: "t=2@2/2", index: 2,
		},
		{
			rule: "several locks and unlocks of one key each count",
			commands: commands(together(
				lock("t", "", "s1"), unlock("t", "", "s1"), lock("t", "", "s2"), checkSession("t", "s2"))),
			shown: "t@1/1 lock=1 held=s1; t@1/1 lock=1; t@1/1 lock=2 held=s2; t@1/1 lock=2 held=s2",
			after: "t=@1/1 lock=2 held=s2", index: 1,
		},
		{
			rule: "a later cas must know the index of this same command",
			commands: commands(
				one(set("t", "0")),
				together(cas("t", "1", 1), cas("t", "2", 2), checkIndex("t", 2))),
			shown: "t@1/2; t@1/2; t@1/2", after: "t=2@1/2", index: 2,
		},
		{
			rule: "get-tree sees staged changes, in order, among keys that were there",
			commands: commands(
				together(set("p/b", "1"), set("p/d", "1"), set("p/f", "1"), set("q", "1")),
				together(set("p/a", "2"), set("p/d", "2"), set("p/e", "2"), set("p/z", "2"), del("p/f"), set("p", "2"), getTree("p/"))),
			shown: "p/a@2/2; p/d@1/2; p/e@2/2; p/z@2/2; p@2/2; " +
				"p/a=2@2/2; p/b=1@1/1; p/d=2@1/2; p/e=2@2/2; p/z=2@2/2",
			after: "p=2@2/2; p/a=2@2/2; p/b=1@1/1; p/d=2@1/2; p/e=2@2/2; p/z=2@2/2; q=1@1/1", index: 2,
		},
		{
			rule: "get-tree without a match shows nothing and never fails",
			commands: commands(
				one(set("p/b", "1")),
				together(del("p/b"), getTree("p/"), getTree("none"))),
			index: 2,
		},
		{
			rule: "delete-tree deletes staged keys too and leaves what is written after it",
			commands: commands(
				together(set("p/b", "1"), set("q", "1")),
				together(set("p/a", "2"), delTree("p/"), set("p/c", "2"))),
			shown: "p/a@2/2; p/c@2/2", after: "p/c=2@2/2; q=1@1/1", index: 2,
		},
		{
			rule: "every refused operation is reported, and what is not refused has no effect either",
			commands: commands(
				one(set("t/a", "hello")),
				together(cas("t/a", "a", 9), set("t/b", "a"), checkNotExists("t/a"), get("t/none"), checkNotExists("t/b"))),
			shown: "t/b@2/2",
			refused: `0: failed to set key "t/a", index is stale; 2: key "t/a" exists; ` +
				`3: key "t/none" doesn't exist; 4: key "t/b" exists`,
			after: "t/a=hello@1/1", index: 1,
		},
		{
			rule:     "get shows the entry with its value",
			commands: commands(one(withFlags(set("t", "a"), 3)), one(get("t"))),
			shown:    "t=a@1/1 flags=3", after: "t=a@1/1 flags=3", index: 1,
		},
		{
			rule:     "get of a missing key is refused",
			commands: commands(one(get("t"))),
			refused:  `0: key "t" doesn't exist`, index: 1,
		},
		{
			rule:     "get-or-empty of a missing key shows zeros and the flags that were sent",
			commands: commands(one(withFlags(getOrEmpty("t"), 6))),
			shown:    "t=@0/0 flags=6", index: 1,
		},
		{
			rule:     "get-or-empty of an existing key is a get",
			commands: commands(one(withFlags(set("t", "a"), 3)), one(withFlags(getOrEmpty("t"), 6))),
			shown:    "t=a@1/1 flags=3", after: "t=a@1/1 flags=3", index: 1,
		},
		{
			rule:     "check-index shows the entry without its value",
			commands: commands(one(set("t", "a")), one(checkIndex("t", 1))),
			shown:    "t@1/1", after: "t=a@1/1", index: 1,
		},
		{
			rule:     "check-index with another index names both",
			commands: commands(one(set("t", "a")), together(checkIndex("t", 9), checkIndex("t", 0))),
			refused: `0: failed index check for key "t", current modify index 1 != 9; ` +
				`1: failed index check for key "t", current modify index 1 != 0`,
			after: "t=a@1/1", index: 1,
		},
		{
			rule:     "check-index of a missing key is refused, also with 0",
			commands: commands(together(checkIndex("t", 1), checkIndex("t", 0))),
			refused: `0: failed to check index, key "t" doesn't exist; ` +
				`1: failed to check index, key "t" doesn't exist`, index: 1,
		},
		{
			rule:     "check-session compares the holder",
			commands: commands(one(lock("t", "a", "s1")), one(checkSession("t", "s1"))),
			shown:    "t@1/1 lock=1 held=s1", after: "t=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "check-session with another holder names both",
			commands: commands(one(lock("t", "a", "s1")), together(checkSession("t", "s2"), checkSession("t", ""))),
			refused: `0: failed session check for key "t", current session "s1" != "s2"; ` +
				`1: failed session check for key "t", current session "s1" != ""`,
			after: "t=a@1/1 lock=1 held=s1", index: 1,
		},
		{
			rule:     "check-session with an empty session wants a free key",
			commands: commands(one(set("t", "a")), one(checkSession("t", ""))),
			shown:    "t@1/1", after: "t=a@1/1", index: 1,
		},
		{
			rule:     "check-session of a missing key is refused, also with an empty session",
			commands: commands(together(checkSession("t", "s1"), checkSession("t", ""))),
			refused: `0: failed to check session, key "t" doesn't exist; ` +
				`1: failed to check session, key "t" doesn't exist`, index: 1,
		},
		{
			rule:     "check-not-exists passes for a deleted key and shows nothing",
			commands: commands(one(set("t", "a")), one(del("t")), one(checkNotExists("t"))),
			index:    2,
		},
		{
			rule:     "checks alone change nothing",
			commands: commands(one(set("t", "a")), together(checkIndex("t", 1), get("t"), getTree(""), getOrEmpty("u"))),
			shown:    "t@1/1; t=a@1/1; t=a@1/1; u=@0/0", after: "t=a@1/1", index: 1,
		},
		{
			rule:     "a verb that is none is refused",
			commands: commands(one(Op{Verb: 99, Key: "k"})),
			refused:  "0: unknown KV operation: 99", index: 1,
		},
		{
			rule:     "keys in texts are quoted",
			commands: commands(one(get("a\n\"b"))),
			refused:  `0: key "a\n\"b" doesn't exist`, index: 1,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFixture(t)
			var last answer
			for _, ops := range tc.commands {
				last = f.do(ops...)
			}
			if got := shown(last.outcomes); got != tc.shown {
				t.Errorf("shown\n%s, want\n%s", got, tc.shown)
			}
			if got := refusals(last.outcomes); got != tc.refused {
				t.Errorf("refused\n%s, want\n%s", got, tc.refused)
			}
			if got := f.all(); got != tc.after {
				t.Errorf("after it the store holds\n%s, want\n%s", got, tc.after)
			}
			if got := f.view().Index(); got != tc.index {
				t.Errorf("index of the store = %d, want %d", got, tc.index)
			}
			f.checkMeta()
		})
	}
}

func TestInvalidIsOnlyWhatCannotBeJudged(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		op      Op
		invalid bool
	}{
		{"an unknown session", lock("k", "", "nobody"), true},
		{"no session to acquire", lock("k", "", ""), true},
		{"no session to release", unlock("k", "", ""), true},
		{"a held key is a refusal", lock("held", "", "s2"), false},
		{"a release by an unknown session is a refusal", unlock("held", "", "nobody"), false},
		{"a stale index is a refusal", cas("held", "", 99), false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFixture(t)
			f.do(lock("held", "", "s1"))
			out := f.do(tc.op).outcomes[0]
			if out.Applied || out.Invalid != tc.invalid {
				t.Errorf("%+v: applied = %v, invalid = %v, want refused with invalid = %v", tc.op, out.Applied, out.Invalid, tc.invalid)
			}
		})
	}
}

func TestNobodyHoldsAFreeKey(t *testing.T) {
	// The rules of a missing session are Do's; a caller that goes past it must not
	// take the empty holder of a free key for a session.
	f := newFixture(t)
	f.do(set("k", "a"))
	tx := Begin(f.view())
	tx.Command(2, 2*second, Nobody)
	if v := tx.Unlock("k", []byte("b"), 0, ""); v != nil {
		t.Errorf("a free key was released by no session: %s", show(v, true))
	}
}

func TestRowsAreAsTheCommandLeftThem(t *testing.T) {
	f := newFixture(t)
	f.do(set("k", "before"))
	tx := Begin(f.view())
	is := func(when, want string) {
		t.Helper()
		got := "nothing"
		if v := tx.Read("k"); v != nil {
			got = string(v.Value)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	tx.Command(2, 2*second, Nobody)
	tx.Set("k", []byte("within"), 0)
	is("staged last", "within")
	tx.Set("other", nil, 0)
	is("staged before", "within")
	tx.Delete("k")
	is("ended", "nothing")
	tx.Set("k", []byte("rejected"), 0)
	tx.Reject()
	is("rejected", "before")
	tx.Command(3, 3*second, Nobody)
	tx.Set("k", []byte("accepted"), 0)
	tx.Accept()
	is("accepted", "accepted")
	tx.Command(4, 4*second, Nobody)
	is("the next command", "accepted")
}

func TestVersionsSayWhatMadeThem(t *testing.T) {
	f := newFixture(t)
	for _, op := range []Op{set("k", "a"), lock("k", "a", "s1"), unlock("k", "a", "s1"), cas("k", "b", 3), del("k")} {
		f.do(op)
	}
	tx := Begin(f.view())
	tx.Command(6, 6*second, unique.Make(Origin{Reason: "why"}))
	tx.Set("k", nil, 0)
	tx.Accept()
	tx.Command(7, 7*second, Nobody)
	tx.Expire("k")
	tx.Accept()
	f.flush(tx)
	f.index = 7

	var got []string
	for _, v := range f.view().History("k", 99) {
		got = append(got, v.Kind.String())
		if v.Time != int64(v.ModifyIndex)*second {
			t.Errorf("version %d has time %d, want that of its command, %d", v.ModifyIndex, v.Time, int64(v.ModifyIndex)*second)
		}
		want := Origin{Address: "10.0.0." + string(rune('0'+v.ModifyIndex%3))}
		switch v.ModifyIndex {
		case 6:
			want = Origin{Reason: "why"}
		case 7:
			want = Origin{}
		}
		if v.By.Value() != want {
			t.Errorf("version %d is by %+v, want %+v", v.ModifyIndex, v.By.Value(), want)
		}
		if v.Deleted() && (len(v.Value) > 0 || v.Session != "" || v.Flags != 0) {
			t.Errorf("deletion %d still carries content: %+v", v.ModifyIndex, v)
		}
	}
	if want := "expire set delete set unlock lock set"; strings.Join(got, " ") != want {
		t.Errorf("history is %q, want %q", strings.Join(got, " "), want)
	}
}

func TestOneCommandMakesOneVersionOfAKey(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		before  []Op // one command, index 1
		ops     []Op // the command at index 2
		history string
		changed string // keys the command reports
	}{
		{"several puts", one(set("k", "a")), together(set("k", "b"), set("k", "c")), "k=c@1/2; k=a@1/1", "k"},
		{"there and back", one(set("k", "a")), together(set("k", "b"), set("k", "a")), "k=a@1/2; k=a@1/1", "k"},
		{"deleted and made again", one(set("k", "a")), together(del("k"), set("k", "b")), "k=b@2/2; k=a@1/1", "k"},
		{"deleted and made again the same", one(set("k", "a")), together(del("k"), set("k", "a")), "k=a@2/2; k=a@1/1", "k"},
		{"made and deleted", nil, together(set("k", "a"), del("k")), "k delete@2/2", "k"},
		{"changed and deleted", one(set("k", "a")), together(set("k", "b"), del("k")), "k delete@1/2; k=a@1/1", "k"},
		{"locked and freed", one(set("k", "a")), together(lock("k", "b", "s1"), unlock("k", "a", "s1")), "k=a@1/2 lock=1; k=a@1/1", "k"},
		{"unchanged", one(set("k", "a")), together(set("k", "a"), set("k", "a")), "k=a@1/1", ""},
		{"several keys", one(set("k", "a")), together(set("z", "1"), set("k", "b"), set("c", "1"), set("z", "2")), "k=b@1/2; k=a@1/1", "c k z"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFixture(t)
			f.do(tc.before...)
			got := f.do(tc.ops...)
			if keys := strings.Join(got.changed, " "); keys != tc.changed {
				t.Errorf("reported as changed: %q, want %q", keys, tc.changed)
			}
			var history []string
			for _, v := range f.view().History("k", 99) {
				history = append(history, show(v, true))
			}
			if h := strings.Join(history, "; "); h != tc.history {
				t.Errorf("history\n%s, want\n%s", h, tc.history)
			}
			var logged []string
			f.view().Changes(1, func(v *Version) bool { logged = append(logged, v.Key); return true })
			if l := strings.Join(logged, " "); l != tc.changed {
				t.Errorf("change log after 1 has %q, want %q", l, tc.changed)
			}
			f.checkMeta()
		})
	}
}

// TestRejectedCommandLeavesNoTrace performs commands in one batch, once with and once
// without a command that is refused after it has staged much.
func TestRejectedCommandLeavesNoTrace(t *testing.T) {
	before := []Op{set("p/a", "1"), set("p/b", "1"), set("q", "1"), lock("l", "", "s1"), del("q")}
	for _, tc := range []struct {
		rule    string
		ops     []Op
		refused bool
	}{
		{rule: "writes", ops: together(set("p/a", "x"), set("new", "x"), set("p/a", "y"), get("none"))},
		{rule: "deletes", ops: together(del("p/a"), delTree("p/"), set("p/a", "x"), delTree(""), get("none"))},
		{rule: "locks", ops: together(unlock("l", "x", "s1"), lock("l", "x", "s2"), lock("l", "x", "s1"))},
		{rule: "keys that come back", ops: together(set("q", "x"), del("q"), set("q", "y"), get("none"))},
		{rule: "nothing but a refusal", ops: together(get("none"))},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			later := commands(
				together(checkIndex("p/a", 1), checkNotExists("new"), checkNotExists("q"), checkSession("l", "s1"), set("p/a", "2")),
				together(getTree(""), delTree("p/"), set("new", "3")),
				one(unlock("l", "4", "s1")))
			outcome := func(ops []Op) (string, []answer) {
				f := newFixture(t)
				for _, op := range before {
					f.do(op)
				}
				f.index = 10
				// The refused command, alone or after one of the same batch, uses up an index.
				answers := f.batch(append([][]Op{one(set("first", "1")), ops}, later...)...)
				f.checkMeta()
				return dump(f.view()), answers
			}
			// A command that does nothing at all stands in for the refused one.
			want, _ := outcome(nil)
			got, answers := outcome(tc.ops)
			if answers[1].accepted || answers[1].changed != nil {
				t.Fatalf("the command was accepted: %+v", answers[1])
			}
			for i, a := range answers {
				if i != 1 && !a.accepted {
					t.Errorf("command %d was refused because of it: %s", i, refusals(a.outcomes))
				}
			}
			if got != want {
				t.Errorf("state\n%s\nwithout the refused command it is\n%s", got, want)
			}
		})
	}
}

func TestBatchBoundariesDoNotMatter(t *testing.T) {
	list := commands(
		together(set("a", "1"), set("b", "1")),
		one(set("a", "2")),
		together(del("a"), get("none")),
		one(del("a")),
		one(set("a", "3")),
		together(set("c", "1"), del("c")),
		one(delTree("")),
		together(lock("a", "4", "s1"), set("b", "5")),
		one(lock("a", "4", "s2")))
	dumps := map[string]int{}
	for size := 1; size <= len(list); size++ {
		f := newFixture(t)
		for chunk := range slices.Chunk(list, size) {
			f.batch(chunk...)
		}
		f.checkMeta()
		dumps[dump(f.view())] = size
	}
	if len(dumps) != 1 {
		t.Errorf("%d different states come from the same commands: %v", len(dumps), dumps)
	}
}

func TestParseVerb(t *testing.T) {
	writes := map[string]bool{
		"set": true, "cas": true, "lock": true, "unlock": true, "delete": true, "delete-cas": true, "delete-tree": true,
		"get": false, "get-or-empty": false, "get-tree": false, "check-index": false, "check-session": false, "check-not-exists": false, "check-fence": false,
	}
	seen := map[Verb]bool{}
	for name, want := range writes {
		v, ok := ParseVerb(name)
		if !ok || !v.Valid() || v.Writes() != want || seen[v] {
			t.Errorf("%q is verb %d (known %v, valid %v, seen before %v), writes = %v, want %v", name, v, ok, v.Valid(), seen[v], v.Writes(), want)
		}
		seen[v] = true
	}
	for _, name := range []string{"", "SET", "Set", "set ", "delete_tree", "update"} {
		if v, ok := ParseVerb(name); ok {
			t.Errorf("%q is taken for verb %d", name, v)
		}
	}
	for _, v := range []Verb{0, CheckFence + 1, 255} {
		if v.Valid() || v.Writes() {
			t.Errorf("verb %d: valid = %v, writes = %v, want neither", v, v.Valid(), v.Writes())
		}
	}
}
