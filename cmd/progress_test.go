package cmd

import (
	"bytes"
	"io"
	"testing"
	"time"
)

func TestProgressWithoutATerminalIsALineEveryTenSeconds(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, false, "Importing", 100, false)
	now := p.now()
	p.now = func() time.Time { return now }
	for range 30 { // one a second
		now = now.Add(time.Second)
		p.add(2)
	}
	p.finish()
	want := "Importing: 20 of 100\nImporting: 40 of 100\nImporting: 60 of 100\n"
	if b.String() != want {
		t.Errorf("told\n%swant\n%s", b.String(), want)
	}
}

func TestProgressOfAnUnknownTotal(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, false, "Saving", -1, true)
	p.next = time.Time{}
	if _, err := io.WriteString(p, "12345"); err != nil {
		t.Fatal(err)
	}
	if b.String() != "Saving: 5 bytes\n" {
		t.Errorf("told %q", b.String())
	}
}

func TestQuietProgressIsSilent(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, true, "Saving", 10, true)
	p.next = time.Time{}
	p.add(10)
	p.finish()
	if b.Len() != 0 {
		t.Errorf("told %q", b.String())
	}
}
