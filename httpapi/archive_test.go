package httpapi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
)

// member is one file of an archive.
type member struct {
	name    string
	content string
}

// packed makes an archive of members, as any other tool would.
func packed(t testing.TB, members []member, change ...func(*tar.Header)) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o600, Size: int64(len(m.content))}
		for _, f := range change {
			f(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpacked reads an archive as any other tool would.
func unpacked(t testing.TB, archive []byte) []member {
	t.Helper()
	var members []member
	r := tar.NewReader(bytes.NewReader(unzipped(t, archive)))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 || h.Uid != 0 || h.Gid != 0 || h.Typeflag != tar.TypeReg {
			t.Errorf("member %s has mode %o, owner %d:%d, type %c", h.Name, h.Mode, h.Uid, h.Gid, h.Typeflag)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member{h.Name, string(content)})
	}
}

func unzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sumsOf(members ...member) member {
	var b strings.Builder
	for _, m := range members {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(m.content)), m.name)
	}
	return member{memberSums, b.String()}
}

// filled returns a node with keys, history and a deletion.
func filled(t testing.TB, values int) *localNode {
	t.Helper()
	node := newLocalNode(t)
	s := newTestServer(t, node)
	for i := range values {
		mustPut(t, s, fmt.Sprintf("k/%d", i%5), strings.Repeat(fmt.Sprint(i), 50))
	}
	mustDelete(t, s, "k/0")
	return node
}

// TestArchiveFormat: what existing tools expect of an archive.
//
// Source: contract, snapshot, "Archive format".
func TestArchiveFormat(t *testing.T) {
	node := filled(t, 10)
	members := unpacked(t, node.archive(t))
	if len(members) != 3 || members[0].name != memberMeta || members[1].name != memberState || members[2].name != memberSums {
		t.Fatalf("members are %v", members)
	}
	if want := sumsOf(members[:2]...); members[2] != want {
		t.Errorf("sums are %q, want %q", members[2].content, want.content)
	}
	want := fmt.Sprintf(`{"Version":1,"ID":"2-14-1767322999000","Index":14,"Term":2,"Peers":"ka4xMjcuMC4wLjE6ODMwMA==",`+
		`"Configuration":{"Servers":[{"Suffrage":0,"ID":"11111111-2222-3333-4444-555555555555","Address":"127.0.0.1:8300"}]},`+
		`"ConfigurationIndex":1,"Size":%d}`+"\n", len(members[1].content))
	if members[0].content != want {
		t.Errorf("meta.json is %s, want %s", members[0].content, want)
	}
}

// TestArchiveRoundTrip: what is read is what was written, and its size is the one
// announced.
func TestArchiveRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 500} {
		node := newLocalNode(t)
		if n > 0 {
			node = filled(t, n)
		}
		snap := node.store.Snapshot()
		var direct, got bytes.Buffer
		written, err := snap.WriteTo(&direct)
		if err != nil || written != int64(direct.Len()) || snap.Size() != written {
			t.Fatalf("%d keys: %d bytes written, %d said to be, size is %d, error %v", n, direct.Len(), written, snap.Size(), err)
		}
		meta, err := readArchive(bytes.NewReader(node.archive(t)), &got)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), direct.Bytes()) || meta.Size != written || meta.Index != snap.Index() || meta.Term != 2 {
			t.Errorf("%d keys: %d bytes come back of %d, meta is %+v", n, got.Len(), written, meta)
		}
		if err := fsm.CheckSnapshot(&got); err != nil {
			t.Error(err)
		}
	}
}

// TestRepackedArchives: other orders, formats, paddings and further fields of
// meta.json are accepted as long as the sums match.
//
// Source: contract, snapshot, "Archive format" and "Where Holdfast should differ" 2.
func TestRepackedArchives(t *testing.T) {
	members := unpacked(t, filled(t, 20).archive(t))
	meta, state, sums := members[0], members[1], members[2]
	plain := unzipped(t, packed(t, members))
	for rule, archive := range map[string][]byte{
		"as it was":                          packed(t, members),
		"in another order":                   packed(t, []member{sums, state, meta}),
		"in GNU format":                      packed(t, members, func(h *tar.Header) { h.Format = tar.FormatGNU }),
		"in PAX format, with a time":         packed(t, members, func(h *tar.Header) { h.Format, h.ModTime = tar.FormatPAX, time.Unix(1, 1) }),
		"with another mode and owner":        packed(t, members, func(h *tar.Header) { h.Mode, h.Uid, h.Uname = 0o644, 1000, "somebody" }),
		"padded to records":                  zipped(t, append(append([]byte{}, plain...), make([]byte, 10240-len(plain)%10240)...)),
		"without the marker of the end":      zipped(t, plain[:len(plain)-1024]),
		"in two gzip members":                append(zipped(t, plain[:700]), zipped(t, plain[700:])...),
		"stored, not compressed":             stored(t, plain),
		"sums in capitals and another order": packed(t, []member{meta, state, {memberSums, strings.ToUpper(sumsOf(state, meta).content[:64]) + sumsOf(state, meta).content[64:]}}),
		"sums with text lines":               packed(t, []member{meta, state, {memberSums, "\n# sums\n\n" + sums.content}}),
	} {
		t.Run(rule, func(t *testing.T) {
			var got bytes.Buffer
			if _, err := readArchive(bytes.NewReader(archive), &got); err != nil {
				t.Fatal(err)
			}
			if got.String() != state.content {
				t.Error("the state is another")
			}
		})
	}
}

func stored(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBadArchives: each fault and its text.
//
// Source: contract, snapshot, section 6.
func TestBadArchives(t *testing.T) {
	const (
		read   = "failed to read snapshot file: "
		cutOff = read + "failed to read or write snapshot data: unexpected EOF"
		sum    = read + "failed checking integrity of snapshot: "
	)
	good := filled(t, 20).archive(t)
	members := unpacked(t, good)
	meta, state, sums := members[0], members[1], members[2]
	plain := unzipped(t, good)
	other := member{memberState, state.content[:len(state.content)-1] + "\xff"}
	for rule, tc := range map[string]struct {
		archive []byte
		text    string
	}{
		"empty":                      {nil, "failed to decompress snapshot: EOF"},
		"short and no gzip":          {[]byte("garbage"), "failed to decompress snapshot: unexpected EOF"},
		"no gzip":                    {[]byte("garbage garbage garbage"), "failed to decompress snapshot: gzip: invalid header"},
		"cut off":                    {good[:len(good)-20], cutOff},
		"cut off in its last bytes":  {good[:len(good)-1], cutOff},
		"damaged":                    {damage(good, len(good)/2), ""},
		"damaged in its last bytes":  {damage(good, len(good)-6), ""},
		"wrong state":                {packed(t, []member{meta, other, sums}), sum + `hash check failed for "state.bin"`},
		"wrong meta":                 {packed(t, []member{{memberMeta, strings.Replace(meta.content, `"Term":2`, `"Term":3`, 1)}, state, sums}), sum + `hash check failed for "meta.json"`},
		"wrong meta that is no JSON": {packed(t, []member{{memberMeta, "garbage"}, state, sums}), sum + `hash check failed for "meta.json"`},
		"meta that is no JSON":       {packed(t, []member{{memberMeta, "garbage"}, state, sumsOf(member{memberMeta, "garbage"}, state)}), ""},
		"no sums":                    {packed(t, []member{meta, state}), sum + `file missing for "meta.json"`},
		"empty sums":                 {packed(t, []member{meta, state, {memberSums, ""}}), sum + `file missing for "meta.json"`},
		"sums without the state":     {packed(t, []member{meta, state, sumsOf(meta)}), sum + `file missing for "state.bin"`},
		"no state":                   {packed(t, []member{meta, sums}), sum + `file missing for "state.bin"`},
		"no meta":                    {packed(t, []member{state, sums}), sum + `file missing for "meta.json"`},
		"nothing in it":              {packed(t, nil), sum + `file missing for "meta.json"`},
		"one member more":            {packed(t, append(members, member{"extra", "x"})), read + `unexpected file "extra" in snapshot`},
		"a path":                     {packed(t, append(members, member{"../../etc/passwd", "x"})), read + `unexpected file "../../etc/passwd" in snapshot`},
		"a member twice":             {packed(t, []member{meta, state, state, sums}), read + `file "state.bin" is in the snapshot twice`},
		"a link":                     {packed(t, []member{{memberMeta, ""}}, func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd" }), ""},
		"text behind the end":        {zipped(t, append(append([]byte{}, plain...), "tail"...)), "4 unread uncompressed bytes remain"},
		"text behind padding":        {zipped(t, append(append(append([]byte{}, plain...), make([]byte, 512)...), "tail"...)), "516 unread uncompressed bytes remain"},
		"padding without end":        {zipped(t, append(append([]byte{}, plain...), make([]byte, metaBytes+9)...)), fmt.Sprintf("%d unread uncompressed bytes remain", metaBytes+1)},
		"garbage behind the gzip":    {append(append([]byte{}, good...), "garbage garbage"...), "failed to decompress snapshot: gzip: invalid header"},
		"no tar":                     {zipped(t, bytes.Repeat([]byte("garbage!"), 200)), ""},
		"a meta.json without end":    {packed(t, []member{{memberMeta, strings.Repeat(" ", metaBytes+1)}, state, sums}), ""},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := readArchive(bytes.NewReader(tc.archive), io.Discard)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if tc.text != "" && err.Error() != tc.text {
				t.Errorf("error is %q, want %q", err, tc.text)
			}
			if !strings.HasPrefix(err.Error(), "failed to ") && !strings.HasSuffix(err.Error(), "bytes remain") {
				t.Errorf("error %q does not say what was tried", err)
			}
		})
	}
}

func damage(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

// TestArchiveCutOff: an archive that ends anywhere before its end is refused, with
// the text for that wherever a gzip header was there.
func TestArchiveCutOff(t *testing.T) {
	good := filled(t, 60).archive(t)
	step := max(1, len(good)/400)
	for n := range len(good) {
		if n > 64 && n < len(good)-64 && n%step != 0 {
			continue
		}
		_, err := readArchive(bytes.NewReader(good[:n]), io.Discard)
		want := "failed to read snapshot file: failed to read or write snapshot data: unexpected EOF"
		switch {
		case n == 0:
			want = "failed to decompress snapshot: EOF"
		case n < 10:
			want = "failed to decompress snapshot: unexpected EOF"
		}
		if err == nil || err.Error() != want {
			t.Errorf("cut off at %d of %d: error is %v, want %s", n, len(good), err, want)
		}
	}
}

// TestPackPeers holds the encoding against msgpack's own rules: a list of strings.
func TestPackPeers(t *testing.T) {
	long := strings.Repeat("x", 40)
	for _, tc := range []struct {
		peers []string
		want  string
	}{
		{nil, "\x90"},
		{[]string{"a"}, "\x91\xa1a"},
		{[]string{"a", long}, "\x92\xa1a\xda\x00\x28" + long},
		{make([]string, 15), "\x9f" + strings.Repeat("\xa0", 15)},
		{make([]string, 16), "\xdc\x00\x10" + strings.Repeat("\xa0", 16)},
	} {
		if got := string(packPeers(tc.peers)); got != tc.want {
			t.Errorf("%q is %q, want %q", tc.peers, got, tc.want)
		}
	}
}

// TestArchiveOfAVoterAndOthers: who has no vote is marked.
func TestArchiveOfAVoterAndOthers(t *testing.T) {
	node := newLocalNode(t)
	var out bytes.Buffer
	meta := SnapshotMeta{Servers: []RaftServer{{ID: "a", Address: "1", Voter: true}, {ID: "b", Address: "2"}}}
	if err := writeArchive(&out, meta, node.store.Snapshot()); err != nil {
		t.Fatal(err)
	}
	var got archiveMeta
	if err := json.Unmarshal([]byte(unpacked(t, out.Bytes())[0].content), &got); err != nil {
		t.Fatal(err)
	}
	if s := got.Configuration.Servers; s[0].Suffrage != 0 || s[1].Suffrage != 1 {
		t.Errorf("servers are %+v", s)
	}
}

// bounded takes so many bytes and no more.
type bounded struct{ left int }

var errFull = errors.New("full")

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, errFull
	}
	b.left -= len(p)
	return len(p), nil
}

// FuzzArchive: no bytes make the reader panic, run away, or accept a state that is
// not the one the sums are of.
func FuzzArchive(f *testing.F) {
	good := filled(f, 10).archive(f)
	members := unpacked(f, good)
	f.Add(unzipped(f, good), true)
	f.Add(good, false)
	f.Add(unzipped(f, packed(f, []member{members[2], members[1], members[0]}, func(h *tar.Header) { h.Format = tar.FormatPAX })), true)
	f.Add(unzipped(f, packed(f, []member{members[2], members[1]}, func(h *tar.Header) { h.Format = tar.FormatGNU })), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, zip bool) {
		if zip { // the fuzzer does not get through the checksums of gzip by itself
			b = zipped(t, b)
		}
		var state bytes.Buffer
		meta, err := readArchive(bytes.NewReader(b), io.MultiWriter(&state, &bounded{1 << 20}))
		if err != nil {
			return
		}
		if sum := sumsOf(member{memberState, state.String()}).content[:64]; !bytes.Contains(bytes.ToLower(unzipped(t, b)), []byte(sum)) {
			t.Errorf("state of %d bytes is accepted without its sum; meta %+v", state.Len(), meta)
		}
	})
}

// readArchive copies the state of an archive to w.
func readArchive(r io.Reader, w io.Writer) (archiveMeta, error) {
	return throughArchive(r, func(state io.Reader) error {
		_, err := io.Copy(w, state)
		return err
	})
}
