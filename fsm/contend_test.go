package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

const theLock = kvs.LockPrefix + "jobs/nightly"

// contest is a state machine with a clock, and sessions by short names.
type contest struct {
	*machine
	second int64 // proposal time of the next command
}

func newContest(t tb) *contest {
	c := &contest{machine: newMachine(t)}
	c.at(Command{Register: &catalog.Registration{Node: catalog.Node{Name: "alpha", Address: "127.0.0.1"}}})
	return c
}

// at applies one command at the present second.
func (c *contest) at(cmd Command) Result {
	c.t.Helper()
	c.index++
	res, ok := c.fsm.ApplyBatch([]*raft.Log{entry(c.t, c.index, c.second, cmd)})[0].(Result)
	if !ok {
		c.t.Fatalf("command %+v: no result", cmd)
	}
	return res
}

func (c *contest) born(id string, lockDelay time.Duration, behavior session.Behavior) {
	c.t.Helper()
	res := c.at(Command{Session: &session.Session{ID: id, Node: "alpha", LockDelay: lockDelay, Behavior: behavior}})
	if !res.Applied {
		c.t.Fatalf("create session %s: %s", id, res.Invalid)
	}
}

func (c *contest) enter(id string, slots uint64, patience time.Duration) Result {
	c.t.Helper()
	return c.at(Command{Contend: &Contend{Action: Enter, Contender: kvs.Contender{
		Queue: theLock, Session: id, Slots: slots, Patience: patience, Value: []byte(id),
	}}})
}

func (c *contest) leave(id string) Result {
	c.t.Helper()
	return c.at(Command{Contend: &Contend{Action: Leave, Contender: kvs.Contender{Queue: theLock, Session: id}}})
}

func (c *contest) end(id string) Result {
	c.t.Helper()
	return c.at(Command{EndSession: &EndSession{IDs: []string{id}}})
}

// expire ends what is due, as the leader does.
func (c *contest) expire() {
	c.t.Helper()
	if keys, _ := c.store.View().Due(c.second*1e9, 256); len(keys) > 0 {
		c.at(Command{Expire: keys})
	}
}

// queue writes the places of the lock, in order; those that hold in capitals.
func (c *contest) queue() string { return c.queueOf(theLock) }

func (c *contest) queueOf(queue string) string {
	var out []string
	c.store.View().Places(queue, func(p *kvs.Place) bool {
		name := p.Session
		if p.Held {
			name = strings.ToUpper(name)
		}
		out = append(out, name)
		return true
	})
	return strings.Join(out, " ")
}

func (c *contest) want(rule, queue string) {
	c.t.Helper()
	if got := c.queue(); got != queue {
		c.t.Errorf("%s: queue is %q, want %q", rule, got, queue)
	}
}

// TestQueueOrder: who holds after a conversation. a, b and so on are sessions with a
// lock-delay of 15 seconds; +a asks to exclude, &a to share, 2a for one of two slots,
// ?a once without waiting; -a gives back; !a ends the session; >20 lets that many
// seconds pass.
func TestQueueOrder(t *testing.T) {
	for _, tc := range []struct{ rule, talk, queue string }{
		{"the first holds", "+a", "A"},
		{"one excludes the others", "+a +b +c", "A b c"},
		{"who comes next holds after a release", "+a +b +c -a", "B c"},
		{"who leaves the middle of the queue changes nothing for the others", "+a +b +c -b", "A c"},
		{"a session has one place", "+a +b +b +a", "A b"},
		{"who asks without waiting and cannot hold takes no place", "+a ?b", "A"},
		{"who asks without waiting and can hold does", "?a +b", "A b"},
		{"all who share hold", "&a &b &c", "A B C"},
		{"who excludes waits for all who share", "&a &b +c -a", "B c"},
		{"who excludes holds when the last who shares has left", "&a &b +c -a -b", "C"},
		{"who shares waits behind an earlier one who excludes", "&a +b &c &d", "A b c d"},
		{"all who share up to the next who excludes hold together", "+a &b &c +d &e -a", "B C d e"},
		{"who waits to exclude and leaves lets those behind it hold", "&a +b &c -b", "A C"},
		{"so many hold as there are slots", "2a 2b 2c 2d", "A B c d"},
		{"each slot goes to the next", "2a 2b 2c 2d -a", "B C d"},
		{"without a session there is no place", "+z", ""},
		{"another number of slots is refused", "2a 3b +c &d", "A"},
		{"another number of slots is fine once nobody is there", "2a -a 3b 3c 3d", "B C D"},
		{"a session that has a place cannot ask for another kind", "&a +a", "A"},
		{"after the end of a holder's session nobody holds for the lock-delay", "+a +b +c !a >14", "b c"},
		{"after the lock-delay the next holds", "+a +b +c !a >15", "B c"},
		{"the lock-delay of who shared lets others share", "&a &b !a &c", "B C"},
		{"the lock-delay of who shared keeps out who excludes", "&a +b !a >14", "b"},
		{"the lock-delay of who excluded keeps out who shares", "+a &b !a >14", "b"},
		{"a lock-delay takes one slot, not all", "2a 2b 2c 2d !a -b", "C d"},
		{"a lock-delay is over for its slot", "2a 2b 2c !a >15", "B C"},
		{"the end of the session of who waits is no matter for the others", "+a +b +c !b", "A c"},
		{"who waits is forgotten when it does not ask again", "+a +b +c >30", "A"},
		{"who asks again is not", "+a +b +c >20 +b >20", "A b"},
		{"a holder that has not heard of it is forgotten as well", "+a +b +c >20 +c -a >15", "C"},
		{"a holder that has heard of it is not", "+a +b -a +b >99", "B"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := newContest(t)
			for _, id := range strings.Split("abcdefgh", "") {
				c.born(id, 15*time.Second, session.Release)
			}
			for step := range strings.FieldsSeq(tc.talk) {
				id, wait := step[1:], 30*time.Second
				switch step[0] {
				case '+':
					c.enter(id, 1, wait)
				case '&':
					c.enter(id, 0, wait)
				case '?':
					c.enter(id, 1, 0)
				case '2', '3':
					c.enter(id, uint64(step[0]-'0'), wait)
				case '-':
					c.leave(id)
				case '!':
					c.end(id)
				case '>':
					var n int64
					if _, err := fmt.Sscan(id, &n); err != nil {
						t.Fatal(err)
					}
					for range n {
						c.second++
						c.expire()
					}
				}
			}
			c.want(tc.talk, tc.queue)
		})
	}
}

// TestPlacesAreKeys: what others see of a queue, and may do to it.
func TestPlacesAreKeys(t *testing.T) {
	c := newContest(t)
	for _, id := range []string{"a", "b"} {
		c.born(id, 0, session.Delete)
	}
	first := c.enter("a", 1, time.Minute).Standing
	second := c.enter("b", 1, time.Minute).Standing
	place := func(n uint64) *kvs.Version {
		cur, _ := c.store.View().Get(kvs.PlaceKey(theLock, n))
		return cur
	}
	if cur := place(first.Number); cur == nil || cur.Session != "a" || string(cur.Value) != "a" || cur.Flags != 1 {
		t.Errorf("the place that holds is %+v, want it locked by a, with its value and 1 slot", cur)
	}
	if cur := place(second.Number); cur == nil || cur.Session != "" {
		t.Errorf("the place that waits is %+v, want it locked by nobody", cur)
	}
	if _, owned := c.store.View().HeldBy("b"); !slices.Equal(owned, []string{kvs.PlaceKey(theLock, second.Number)}) {
		t.Errorf("session b owns %q, want its place", owned)
	}
	for _, verb := range []kvs.Verb{kvs.Lock, kvs.Unlock} {
		if res := c.at(write(kvs.Op{Verb: verb, Key: kvs.PlaceKey(theLock, second.Number), Session: "b"})); res.Applied {
			t.Errorf("verb %d on a place was applied", verb)
		}
	}
	c.want("places cannot be locked by hand", "A b")
	c.at(write(del(kvs.PlaceKey(theLock, first.Number))))
	c.want("to delete a place is to give it back", "B")
	c.at(write(set(kvs.PlaceKey(theLock, 9), "x")))
	c.want("a key that ends with no session is no place", "B")
	c.at(Command{Txn: []kvs.Op{{Verb: kvs.DeleteTree, Key: "_holdfast/"}}})
	c.want("so is to delete all of them", "")
}

// TestFenceOfAQueue: a number is good as long as its place holds.
func TestFenceOfAQueue(t *testing.T) {
	c := newContest(t)
	for _, id := range []string{"a", "b", "c"} {
		c.born(id, 0, session.Release)
	}
	fenced := func(rule string, n uint64, want bool) {
		t.Helper()
		op := set("result", fmt.Sprint(c.index))
		res := c.at(Command{Write: &op, Ties: Ties{FenceKey: theLock, Fence: n}})
		if refused := res.Fenced != nil; refused != want || res.Applied == want {
			t.Errorf("%s: refused %v (%v), want %v", rule, refused, res.Fenced, want)
		}
		if txn := c.at(txn(kvs.Op{Verb: kvs.CheckFence, Key: theLock, Index: n})); txn.Applied == want {
			t.Errorf("%s: a transaction says %v", rule, txn.Errors)
		}
	}
	a := c.enter("a", 2, time.Minute).Standing.Number
	b := c.enter("b", 2, time.Minute).Standing.Number
	w := c.enter("c", 2, time.Minute).Standing.Number
	if a >= b || b >= w {
		t.Errorf("numbers are %d, %d, %d, want them to grow", a, b, w)
	}
	fenced("a holder may write", a, false)
	fenced("so may one beside it", b, false)
	fenced("who waits may not", w, true)
	fenced("nobody has this number", w+100, true)
	c.leave("b")
	fenced("who has left may not", b, true)
	fenced("who has come in may", w, false)
	c.end("a")
	fenced("whose session has ended may not", a, true)
}

// TestElectionLeader: the key of the leader follows the queue in the same command.
func TestElectionLeader(t *testing.T) {
	c := newContest(t)
	for _, id := range []string{"a", "b"} {
		c.born(id, 15*time.Second, session.Release)
	}
	const election = kvs.ElectionPrefix + "db"
	do := func(action Action, id, value string) kvs.Standing {
		t.Helper()
		return c.at(Command{Contend: &Contend{Action: action, Contender: kvs.Contender{
			Queue: election, Session: id, Slots: 1, Patience: time.Hour, Value: []byte(value),
		}}}).Standing
	}
	leader := func(rule, session, value string, number uint64) {
		t.Helper()
		cur, changed := c.store.View().Get(kvs.LeaderKey(election))
		got := fmt.Sprint(cur == nil)
		if cur != nil {
			got = fmt.Sprintf("%s %s %d", cur.Session, cur.Value, cur.Flags)
		}
		want := fmt.Sprintf("%s %s %d", session, value, number)
		if session == "" {
			want = "true"
		}
		if got != want || changed != c.index {
			t.Errorf("%s: leader is %s at %d, want %s at %d", rule, got, changed, want, c.index)
		}
	}
	a := do(Enter, "a", "one")
	leader("the first leads", "a", "one", a.Number)
	do(Enter, "a", "two")
	leader("it may say something else", "a", "two", a.Number)
	b := do(Enter, "b", "three")
	if _, changed := c.store.View().Get(kvs.LeaderKey(election)); changed != c.index-1 {
		t.Error("another candidate changes the key of the leader")
	}
	do(Leave, "a", "")
	leader("the next leads", "b", "three", b.Number)
	c.end("b")
	leader("nobody does after the end of the leader's session", "", "", 0)
	a = do(Enter, "a", "four")
	if cur, _ := c.store.View().Get(kvs.LeaderKey(election)); cur != nil {
		t.Error("somebody leads during the lock-delay")
	}
	c.second += 15
	c.expire()
	leader("the next leads after it", "a", "four", a.Number)
	c.at(write(del(kvs.LeaderKey(election))))
	leader("who deletes the key", "", "", 0)
	do(Enter, "a", "five")
	leader("does not depose the leader", "a", "five", a.Number)
}

// TestForsaken: a place whose client has left is kept for a short while, unless the
// client has come back.
func TestForsaken(t *testing.T) {
	c := newContest(t)
	c.born("a", 0, session.Release)
	c.born("b", 0, session.Release)
	c.enter("a", 1, time.Hour)
	forsake := func(at int64) bool {
		return c.at(Command{Contend: &Contend{
			Action: Forsake, ExpireAt: at, Contender: kvs.Contender{Queue: theLock, Session: "b"},
		}}).Applied
	}
	s := c.enter("b", 1, time.Hour).Standing
	c.second++
	if c.enter("b", 1, time.Hour); forsake(s.ExpireAt) {
		t.Error("a place that was asked for again is forsaken by an earlier request")
	}
	s = c.enter("b", 1, time.Hour).Standing
	if !forsake(s.ExpireAt) {
		t.Error("a place is not forsaken")
	}
	c.second += 14
	c.expire()
	c.want("for a while it is kept", "A b")
	c.second++
	c.expire()
	c.want("then it is not", "A")
	if forsake(s.ExpireAt) {
		t.Error("a place that is gone is forsaken")
	}
}

// TestOwnSessionEnds: a session that was made for a place ends when that is given back.
func TestOwnSessionEnds(t *testing.T) {
	c := newContest(t)
	c.born("a", 15*time.Second, session.Release)
	c.born("b", 15*time.Second, session.Release)
	c.at(Command{Contend: &Contend{Action: Enter, Contender: kvs.Contender{Queue: theLock, Session: "a", Slots: 1, Own: true}}})
	c.enter("b", 1, time.Minute)
	if res := c.leave("a"); !res.Applied || res.Ended != 1 {
		t.Errorf("release says %+v, want one session ended", res)
	}
	c.want("a release is followed by no lock-delay", "B")
	if res := c.leave("b"); !res.Applied || res.Ended != 0 {
		t.Errorf("release of a session of its own says %+v", res)
	}
}

// TestPlaceEndsNoSessionThatWasNotMadeForIt: a key can be written that looks like a place
// whose session was made for it. Somebody whose rights are looked at does not end that
// session by giving the place back, unless it is called as such sessions are; entries of
// before do.
func TestPlaceEndsNoSessionThatWasNotMadeForIt(t *testing.T) {
	for _, queue := range []string{theLock, kvs.ElectionPrefix + "e"} {
		for _, tc := range []struct {
			rule, name string
			ending     bool
			ends       int
		}{
			{"made for it", kvs.SessionName(queue), true, 1},
			{"another's", "mine", true, 0},
			{"without a name", "", true, 0},
			{"made for another", kvs.SessionName(queue + "x"), true, 0},
			{"another's, in an entry of before", "mine", false, 1},
		} {
			m := newMachine(t)
			m.must(Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}}})
			m.must(Command{Session: &session.Session{ID: releaser, Name: tc.name, Node: "n1", Behavior: session.Release}})
			m.must(Command{
				Write: &kvs.Op{Verb: kvs.Set, Key: kvs.PlaceKey(queue, 1), Flags: kvs.OwnSession | 1}, Ties: Ties{Owner: releaser},
			})
			leave := Command{Contend: &Contend{Action: Leave, Contender: kvs.Contender{Queue: queue, Session: releaser}}}
			leave.Checked, leave.Ending = &acl.Checked{Accessor: "a"}, tc.ending
			if !leave.MayEnd(m.store.View().Behavior) {
				t.Error("it is proposed as what ends nothing")
			}
			if res := m.do(leave); !res.Applied || res.Ended != tc.ends {
				t.Errorf("%s: %+v, want %d sessions ended", tc.rule, res, tc.ends)
			}
			sessions, _ := m.store.View().Sessions()
			if lives := sessions.Get(releaser) != nil; lives == (tc.ends > 0) {
				t.Errorf("%s: the session lives: %v", tc.rule, lives)
			}
		}
	}
}

// TestFullQueue: a queue has a bound, which counts who is there and not who was.
func TestFullQueue(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a queue")
	}
	const most = limit.QueuePlaces
	c := newContest(t)
	c.born("holder", 0, session.Release)
	c.enter("holder", 2, time.Hour)
	c.born("busy", 0, session.Release)
	for range 5 { // who comes and goes does not count
		c.enter("busy", 2, 0)
		c.leave("busy")
	}
	for i := range most - 1 {
		c.born(fmt.Sprintf("s%d", i), 0, session.Release)
		if res := c.enter(fmt.Sprintf("s%d", i), 2, time.Hour); !res.Applied {
			t.Fatalf("place %d is refused: %s", i, res.Invalid)
		}
	}
	c.born("late", 0, session.Release)
	if res := c.enter("late", 2, time.Hour); res.Applied || res.Refusal != kvs.QueueFull {
		t.Errorf("one more is %+v, want it refused", res)
	}
	c.leave("s5")
	if res := c.enter("late", 2, time.Hour); !res.Applied {
		t.Errorf("once there is room it is refused: %s", res.Invalid)
	}
}

// queueModel is what a queue is, in plain terms.
type queueModel struct {
	line   []modelPlace
	delays []modelDelay
}

type modelPlace struct {
	session string
	slots   uint64
	held    bool
	expire  int64 // second; 0: never
}

type modelDelay struct {
	until int64
	slots uint64
}

// free tells whether a place with that many slots could hold beside those before it.
func (m *queueModel) free(i int, now int64) bool {
	var sharing, excluding uint64
	count := func(slots uint64) {
		if slots == 0 {
			sharing++
		} else {
			excluding++
		}
	}
	for _, p := range m.line[:i] {
		if !p.held {
			return false // nobody is passed
		}
		count(p.slots)
	}
	for _, d := range m.delays {
		if d.until > now {
			count(d.slots)
		}
	}
	if m.line[i].slots == 0 {
		return excluding == 0
	}
	return sharing == 0 && excluding < m.line[i].slots
}

func (m *queueModel) settle(now int64) {
	for i := range m.line {
		if !m.line[i].held && m.free(i, now) {
			m.line[i].held = true
		}
	}
}

func (m *queueModel) find(session string) int {
	return slices.IndexFunc(m.line, func(p modelPlace) bool { return p.session == session })
}

func (m *queueModel) remove(i int) { m.line = slices.Delete(m.line, i, i+1) }

func (m *queueModel) String() string {
	var out []string
	for _, p := range m.line {
		if p.held {
			p.session = strings.ToUpper(p.session)
		}
		out = append(out, p.session)
	}
	return strings.Join(out, " ")
}

// TestQueueModel: random conversations end as the plain model says; nobody holds who
// must not; the same log gives the same bytes, in one batch or in many, and through a
// snapshot.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, m := newContest(t), &queueModel{}
		var log []Command
		var seconds []int64
		do := func(cmd Command) Result {
			log, seconds = append(log, cmd), append(seconds, c.second)
			return c.at(cmd)
		}
		living := map[string]int64{} // lock-delay in seconds
		names := rapid.SampledFrom(strings.Split("abcdef", ""))
		last := uint64(0) // the highest number that was handed out
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := names.Draw(t, "session")
			_, lives := living[name]
			i := m.find(name)
			switch rapid.SampledFrom([]string{"born", "enter", "enter", "enter", "leave", "end", "time", "delete", "restore"}).Draw(t, "step") {
			case "born":
				if !lives {
					living[name] = rapid.Int64Range(0, 20).Draw(t, "delay")
					do(Command{Session: &session.Session{
						ID: name, Node: "alpha", LockDelay: time.Duration(living[name]) * time.Second,
						Behavior: rapid.SampledFrom([]session.Behavior{session.Release, session.Delete}).Draw(t, "behavior"),
					}})
				}
			case "enter":
				slots := rapid.SampledFrom([]uint64{0, 0, 1, 1, 2, 3}).Draw(t, "slots")
				patience := rapid.SampledFrom([]int64{0, 5, 30}).Draw(t, "patience")
				res := do(Command{Contend: &Contend{Action: Enter, Contender: kvs.Contender{
					Queue: theLock, Session: name, Slots: slots, Patience: time.Duration(patience) * time.Second,
				}}})
				before := slices.Clone(m.line)
				want := lives && (i >= 0 && m.line[i].slots == slots ||
					i < 0 && (len(m.line) == 0 || max(m.line[0].slots, 1) == max(slots, 1)))
				if want {
					if i < 0 {
						m.line = append(m.line, modelPlace{session: name, slots: slots})
						i = len(m.line) - 1
					}
					m.settle(c.second)
					switch p := &m.line[i]; {
					case p.held:
						p.expire = 0
					case patience == 0:
						want, m.line = false, before
					default:
						p.expire = c.second + patience
					}
				}
				if res.Applied != want || want && res.Standing.Held != m.line[i].held {
					t.Fatalf("%s enters for %d slots: %+v, want %v; %s", name, slots, res, want, m)
				}
				if want && res.Standing.Number > last {
					last = res.Standing.Number
				}
			case "leave":
				if res := do(Command{Contend: &Contend{Action: Leave, Contender: kvs.Contender{Queue: theLock, Session: name}}}); res.Applied != (i >= 0) {
					t.Fatalf("%s leaves: %+v", name, res)
				}
				if i >= 0 {
					m.remove(i)
				}
			case "end":
				do(Command{EndSession: &EndSession{IDs: []string{name}}})
				if i >= 0 {
					if p := m.line[i]; p.held && living[name] > 0 {
						m.delays = append(m.delays, modelDelay{c.second + living[name], p.slots})
					}
					m.remove(i)
				}
				delete(living, name)
			case "time":
				for range rapid.IntRange(1, 20).Draw(t, "seconds") {
					c.second++
					if keys, _ := c.store.View().Due(c.second*1e9, 256); len(keys) > 0 {
						do(Command{Expire: keys})
					}
					m.line = slices.DeleteFunc(m.line, func(p modelPlace) bool { return p.expire > 0 && p.expire <= c.second })
					m.settle(c.second)
				}
			case "delete":
				if i >= 0 {
					var key string
					c.store.View().Places(theLock, func(p *kvs.Place) bool {
						if p.Session == name {
							key = p.Key()
						}
						return true
					})
					do(write(del(key)))
					m.remove(i)
				}
			case "restore":
				if err := c.restore(compressed(t, c.store)); err != nil {
					t.Fatal(err)
				}
			}
			m.settle(c.second)
			if got := c.queue(); got != m.String() {
				t.Fatalf("queue is %q, want %q", got, m)
			}
			checkHolders(t, c.store.View())
		}
		again := newContest(t)
		for i := range log {
			again.second = seconds[i]
			again.at(log[i])
		}
		batched := newMachine(t)
		all := []*raft.Log{entry(t, 1, 0, Command{Register: &catalog.Registration{Node: catalog.Node{Name: "alpha", Address: "127.0.0.1"}}})}
		for i := range log {
			all = append(all, entry(t, uint64(i+2), seconds[i], log[i]))
		}
		batched.fsm.ApplyBatch(all)
		want := plain(t, c.store)
		if !bytes.Equal(plain(t, again.store), want) || !bytes.Equal(plain(t, batched.store), want) {
			t.Fatal("the same log gives another state")
		}
	})
}

// checkHolders holds a queue to what a lock promises, whatever came before.
func checkHolders(t tb, v *View) {
	t.Helper()
	var sharing, excluding, slots uint64
	waiting, number, places := false, uint64(0), 0
	v.Places(theLock, func(p *kvs.Place) bool {
		if p.Number <= number {
			t.Errorf("place %d comes after %d", p.Number, number)
		}
		number, places = p.Number, places+1
		switch {
		case !p.Held:
			waiting = true
		case waiting:
			t.Errorf("place %d was passed", p.Number)
		case p.Slots == 0:
			sharing++
		default:
			excluding, slots = excluding+1, p.Slots
		}
		cur, _ := v.Get(p.Key())
		if cur == nil || (cur.Session == p.Session) != p.Held {
			t.Errorf("place %+v is the key %+v", p, cur)
		}
		return true
	})
	if n := v.QueueLength(theLock); n != places {
		t.Errorf("the queue has %d places, and says %d", places, n)
	}
	if excluding > slots || sharing > 0 && excluding > 0 {
		t.Errorf("%d exclude and %d share, for %d slots", excluding, sharing, slots)
	}
}
