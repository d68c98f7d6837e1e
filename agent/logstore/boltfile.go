package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// The format of a bbolt file (bbolt, internal/common). It is read here before
// bbolt may, because bbolt checks nothing but the meta pages and, when it meets
// a damaged page while it looks for free ones, panics in a goroutine of its own.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	boltPageHeader = 16
	boltElement    = 16 // of branches and leaves alike
	boltMetaBytes  = 64
	boltBucket     = 16 // root page and sequence, before an inline page

	boltBranch   = 0x01
	boltLeaf     = 0x02
	boltFreelist = 0x10

	boltNoFreelist = math.MaxUint64
	boltMaxDepth   = 64
)

// errBolt is wrapped by everything that is wrong with the content of the file.
var errBolt = errors.New("is damaged")

func boltDamage(page uint64, format string, args ...any) error {
	return fmt.Errorf("%w at page %d: %s", errBolt, page, fmt.Sprintf(format, args...))
}

// boltFile is a bbolt file being checked.
type boltFile struct {
	f        io.ReaderAt
	pageSize uint64
	pages    uint64 // below this is what the file uses
	root     uint64
	freelist uint64
	used     map[uint64]bool // pages seen so far
	visit    func(bucket string, key, value []byte) error
}

// checkBoltFile reads every page in use of the file at path and calls visit for
// every pair in its buckets, in order of the keys. An error that is errBolt says
// what is wrong with the file; visit's own errors come back as they are.
func checkBoltFile(path string, visit func(bucket string, key, value []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkBolt(f, uint64(info.Size()), visit)
}

func checkBolt(f io.ReaderAt, size uint64, visit func(bucket string, key, value []byte) error) error {
	b := &boltFile{f: f, used: map[uint64]bool{}, visit: visit}
	if err := b.readMeta(size); err != nil {
		return err
	}
	if err := b.bucket("", b.root, 0); err != nil {
		return err
	}
	return b.checkFreelist()
}

// readMeta takes the younger of the two meta pages. Both must be sound: they are
// written in turns, each within one sector, so a crash harms neither.
func (b *boltFile) readMeta(size uint64) error {
	if size == 0 {
		return fmt.Errorf("%w: it is empty", errBolt)
	}
	var newest uint64
	for i := range uint64(2) {
		page := make([]byte, boltPageHeader+boltMetaBytes)
		if n, err := b.f.ReadAt(page, int64(i*b.pageSize)); n < len(page) {
			if errors.Is(err, io.EOF) {
				return boltDamage(i, "the file ends there")
			}
			return err
		}
		meta := page[boltPageHeader:]
		u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
		sum := fnv.New64a()
		sum.Write(meta[:56]) // a hash never fails
		if u32(meta) != boltMagic || u32(meta[4:]) != boltVersion || u64(meta[56:]) != sum.Sum64() {
			return boltDamage(i, "its meta page does not match its checksum")
		}
		b.pageSize = uint64(u32(meta[8:]))
		if txid := u64(meta[48:]); i == 0 || txid > newest {
			newest = txid
			b.root, b.freelist, b.pages = u64(meta[16:]), u64(meta[32:]), u64(meta[40:])
		}
	}
	if b.pageSize < 512 || b.pageSize > 1<<20 || b.pages > size/b.pageSize {
		return fmt.Errorf("%w: it is cut short to %d bytes", errBolt, size)
	}
	return nil
}

// page reads a page with those that belong to it.
func (b *boltFile) page(id uint64) ([]byte, error) {
	head := make([]byte, boltPageHeader)
	if id < 2 || id >= b.pages {
		return nil, boltDamage(id, "there is no such page")
	}
	if _, err := b.f.ReadAt(head, int64(id*b.pageSize)); err != nil {
		return nil, err
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if got := binary.NativeEndian.Uint64(head); got != id || more >= b.pages-id {
		return nil, boltDamage(id, "it is not that page")
	}
	for i := id; i <= id+more; i++ {
		if b.used[i] {
			return nil, boltDamage(i, "it is used twice")
		}
		b.used[i] = true
	}
	p := make([]byte, (more+1)*b.pageSize)
	if n, err := b.f.ReadAt(p, int64(id*b.pageSize)); n < len(p) {
		return nil, err
	}
	return p, nil
}

// bucket reads the tree of a bucket from its root page on.
func (b *boltFile) bucket(name string, root uint64, depth int) error {
	return b.tree(name, root, nil, nil, depth)
}

// tree reads the page id and what is below it, whose keys must be from low on and
// below high, where not nil.
func (b *boltFile) tree(bucket string, id uint64, low, high []byte, depth int) error {
	if depth > boltMaxDepth {
		return boltDamage(id, "it lies too deep")
	}
	p, err := b.page(id)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(p[8:]); flags {
	case boltLeaf:
		return b.leaf(bucket, id, p, low, high, depth)
	case boltBranch:
		return b.branch(bucket, id, p, low, high, depth)
	default:
		return boltDamage(id, "it has the unknown kind %#x", flags)
	}
}

// element returns the i-th element of a page and its key; rest is what follows
// the key in the page.
func element(p []byte, i, posAt, sizeAt int) (e, key, rest []byte, ok bool) {
	begin := boltPageHeader + i*boltElement
	if begin+boltElement > len(p) {
		return nil, nil, nil, false
	}
	e = p[begin : begin+boltElement]
	pos := uint64(begin) + uint64(binary.NativeEndian.Uint32(e[posAt:]))
	end := pos + uint64(binary.NativeEndian.Uint32(e[sizeAt:]))
	if end > uint64(len(p)) {
		return nil, nil, nil, false
	}
	return e, p[pos:end], p[end:], true
}

func (b *boltFile) branch(bucket string, id uint64, p, low, high []byte, depth int) error {
	count := int(binary.NativeEndian.Uint16(p[10:]))
	if count == 0 {
		return boltDamage(id, "it is an empty branch")
	}
	last := low
	for i := range count {
		e, key, _, ok := element(p, i, 0, 4)
		if !ok {
			return boltDamage(id, "its element %d lies outside", i)
		}
		if !inOrder(last, key, high, i == 0) {
			return boltDamage(id, "its key %d is out of order", i)
		}
		last = key
		below := high
		if i+1 < count {
			if _, below, _, ok = element(p, i+1, 0, 4); !ok {
				return boltDamage(id, "its element %d lies outside", i+1)
			}
		}
		if err := b.tree(bucket, binary.NativeEndian.Uint64(e[8:]), key, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (b *boltFile) leaf(bucket string, id uint64, p, low, high []byte, depth int) error {
	last := low
	for i := range int(binary.NativeEndian.Uint16(p[10:])) {
		e, key, rest, ok := element(p, i, 4, 8)
		size := uint64(0)
		if ok {
			size = uint64(binary.NativeEndian.Uint32(e[12:]))
		}
		if !ok || size > uint64(len(rest)) {
			return boltDamage(id, "its element %d lies outside", i)
		}
		if !inOrder(last, key, high, i == 0) {
			return boltDamage(id, "its key %d is out of order", i)
		}
		last = key
		value := rest[:size]
		var err error
		switch kind := binary.NativeEndian.Uint32(e); kind {
		case 0:
			err = b.visit(bucket, key, value)
		case 1:
			err = b.child(id, string(key), value, depth)
		default:
			err = boltDamage(id, "its element %d has the unknown kind %#x", i, kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// child reads a bucket within a bucket; small ones are inside the value.
func (b *boltFile) child(id uint64, name string, value []byte, depth int) error {
	if len(value) < boltBucket {
		return boltDamage(id, "its bucket %q is cut short", name)
	}
	root := binary.NativeEndian.Uint64(value)
	if root != 0 {
		return b.bucket(name, root, depth+1)
	}
	inline := value[boltBucket:]
	if len(inline) < boltPageHeader || binary.NativeEndian.Uint16(inline[8:]) != boltLeaf {
		return boltDamage(id, "its bucket %q is no leaf", name)
	}
	return b.leaf(name, id, inline, nil, nil, depth+1)
}

// inOrder reports whether key may come after last and before high. The first key
// of a page may equal the bound it got from above.
func inOrder(last, key, high []byte, first bool) bool {
	c := 1
	if last != nil {
		c = bytes.Compare(key, last)
	}
	if c < 0 || c == 0 && !first {
		return false
	}
	return high == nil || bytes.Compare(key, high) < 0
}

// checkFreelist makes sure that no page in use is listed as free: bbolt would
// write over it.
func (b *boltFile) checkFreelist() error {
	if b.freelist == boltNoFreelist {
		return nil
	}
	p, err := b.page(b.freelist)
	if err != nil {
		return err
	}
	if binary.NativeEndian.Uint16(p[8:]) != boltFreelist {
		return boltDamage(b.freelist, "it is not the list of free pages")
	}
	count := uint64(binary.NativeEndian.Uint16(p[10:]))
	ids := p[boltPageHeader:]
	if count == 0xFFFF {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return boltDamage(b.freelist, "the list of free pages is too long")
	}
	for i := range count {
		id := binary.NativeEndian.Uint64(ids[8*i:])
		if id < 2 || id >= b.pages || b.used[id] {
			return boltDamage(b.freelist, "it lists page %d as free", id)
		}
		b.used[id] = true
	}
	return nil
}
