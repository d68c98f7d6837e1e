package baseline

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

// figure is one with the given ratio to a limit of 10.
func figure(name string, ratio float64) report.Figure {
	return report.Figure{Name: name, Subject: report.Values{10 * ratio}, Limit: report.Values{10}}
}

// at is a figure of one round.
func at(of Of, v float64) Entry { return Entry{of, v, v} }

func table(cell, figure string, e Entry) Table {
	return Table{
		Tolerances: Tolerances{Rate: 0.2, CPU: 0.1, Latency: 0.5, Memory: 0.1, Count: 0.1},
		Cells:      map[string]map[string]Entry{cell: {figure: e}},
	}
}

func TestCompare(t *testing.T) {
	row := func(f ...report.Figure) []report.Row { return []report.Row{{Cell: "put", Figures: f}} }
	value := func(name string, v float64) report.Figure {
		return report.Figure{Name: name, Subject: report.Values{v}}
	}
	barred := figure("CPU µs/op", 1.2)
	barred.Bar = report.RatioAtMost(1.15)
	unjudged := barred
	unjudged.Limit = report.Values{math.NaN()}
	peers := figure("CPU µs/op", 1.2) // without a peer, and without what it sets
	peers.Bar = report.PeerAtMost(0.25)
	unmatched := figure("CPU µs/op", 1)
	unmatched.Bar = report.RatioAtMost(1.15).AndPeer(0.25)
	floored := report.Figure{Name: "last ms", Subject: report.Values{4}, Limit: report.Values{1}, Floor: report.Values{2}}
	for _, tc := range []struct {
		rule  string
		t     Table
		rows  []report.Row
		cell  string // regular expression of the cells that ran
		want  string // of the finding; "" is none
		fails bool
	}{
		{"a cost within the tolerance passes", table("put", "CPU µs/op", at(OverLimit, 1)), row(figure("CPU µs/op", 1.09)), "", "", false},
		{"a cost beyond it fails", table("put", "CPU µs/op", at(OverLimit, 1)), row(figure("CPU µs/op", 1.11)), "", "1.11, the table has 1.00, at worst 1.00; more than 10 % worse", true},
		{"but not within what the rounds differed by", table("put", "CPU µs/op", Entry{OverLimit, 1, 1.2}), row(figure("CPU µs/op", 1.19)), "", "", false},
		{"and beyond that it does", table("put", "CPU µs/op", Entry{OverLimit, 1, 1.2}), row(figure("CPU µs/op", 1.25)), "", "the table has 1.00, at worst 1.20; more than 10 % worse", true},
		{"rounds that hardly differed allow what the tolerance does", table("put", "CPU µs/op", Entry{OverLimit, 1, 1.02}), row(figure("CPU µs/op", 1.09)), "", "", false},
		{"a rate that is no lower than in the worst round passes", table("put", "ops/s", Entry{OverLimit, 1, 0.7}), row(figure("ops/s", 0.71)), "", "", false},
		{"a lower one fails", table("put", "ops/s", Entry{OverLimit, 1, 0.7}), row(figure("ops/s", 0.69)), "", "more than 20 % worse", true},
		{"a cost that fell passes", table("put", "CPU µs/op", at(OverLimit, 1)), row(figure("CPU µs/op", 0.1)), "", "", false},
		{"a rate within the tolerance passes", table("put", "ops/s", at(OverLimit, 1)), row(figure("ops/s", 0.81)), "", "", false},
		{"a rate below it fails", table("put", "ops/s", at(OverLimit, 1)), row(figure("ops/s", 0.79)), "", "more than 20 % worse", true},
		{"a rate that rose passes", table("put", "ops/s", at(OverLimit, 1)), row(figure("ops/s", 3)), "", "", false},
		{"a ratio to the floor is compared with one", table("put", "last ms", at(OverFloor, 1.9)), row(floored), "", "", false},
		{"and fails like the others", table("put", "last ms", at(OverFloor, 1.3)), row(floored), "", "2.00, the table has 1.30", true},
		{"a value is compared with one", table("put", "RSS MiB", at(Itself, 300)), row(value("RSS MiB", 329)), "", "", false},
		{"memory beyond the tolerance fails", table("put", "RSS MiB", at(Itself, 300)), row(value("RSS MiB", 331)), "", "331, the table has 300", true},
		{"a count of none stays none", table("put", "false wakes", at(Itself, 0)), row(value("false wakes", 0)), "", "", false},
		{"one is more than none", table("put", "false wakes", at(Itself, 0)), row(value("false wakes", 1)), "", "more than 10 % worse", true},
		{"next to none is none", table("put", "goroutines/query", at(Itself, 0)), row(value("goroutines/query", 0.002)), "", "", false},
		{"a figure that is gone fails", table("put", "p99 ms", at(OverLimit, 1)), row(), "", "put, p99 ms: missing", true},
		{"a figure that was not measured fails", table("put", "CPU µs/op", at(OverLimit, 1)), row(figure("CPU µs/op", math.NaN())), "", "not measured", true},
		{"a cell that is gone fails", table("get", "ops/s", at(OverLimit, 1)), nil, "", "get: missing", true},
		{"also one of which no figure is kept", Table{Cells: map[string]map[string]Entry{"get": {}}}, nil, "", "get: missing", true},
		{"unless it was not asked for", table("get", "ops/s", at(OverLimit, 1)), nil, "^put", "", false},
		{"a cell that broke fails", Table{}, []report.Row{{Cell: "put", Err: errors.New("no leader")}}, "", "put: broke: no leader", true},
		{"a cell that was skipped fails if the table has it", table("put", "ops/s", at(OverLimit, 1)), []report.Row{{Cell: "put", Skipped: "why"}}, "", "put: skipped: why", true},
		{"but not else", Table{}, []report.Row{{Cell: "put", Skipped: "why"}}, "", "", false},
		{"a new cell is told", Table{}, row(figure("ops/s", 1)), "", "put: new", false},
		{"a new figure is told", Table{Cells: map[string]map[string]Entry{"put": {}}}, row(figure("ops/s", 1)), "", "put, ops/s: new", false},
		{"a bar that is missed fails, whatever the table says", table("put", "CPU µs/op", at(OverLimit, 2)), row(barred), "", "the bar of <= 1.15 x is missed", true},
		{"a bar that could not be judged fails", Table{Cells: map[string]map[string]Entry{"put": {}}}, row(unjudged), "", "the bar of <= 1.15 x could not be judged", true},
		{"but not one that only a peer sets, where there is none", table("put", "CPU µs/op", at(OverLimit, 2)), row(peers), "", "", false},
		{"nor what a bar asks of a peer besides", table("put", "CPU µs/op", at(OverLimit, 2)), row(unmatched), "", "", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var cell *regexp.Regexp
			if tc.cell != "" {
				cell = regexp.MustCompile(tc.cell)
			}
			got := tc.t.Compare(tc.rows, cell)
			switch {
			case tc.want == "" && len(got) == 0:
			case tc.want == "" || len(got) != 1 || !strings.Contains(got[0].Text, tc.want) || got[0].Fails != tc.fails:
				t.Errorf("findings %+v, want one with %q that fails: %v", got, tc.want, tc.fails)
			}
		})
	}
}

func TestRecordKeepsWhatTheMachineDoesNotDecide(t *testing.T) {
	run := report.Run{Rows: []report.Row{
		{Cell: "a", Figures: []report.Figure{
			figure("ops/s", 0.98765),
			{Name: "last ms", Subject: report.Values{4}, Limit: report.Values{1}, Floor: report.Values{2}, Bar: report.FloorAtMost(1.6)},
			{Name: "p50 ms", Subject: report.Values{4}, Limit: report.Values{1}, Floor: report.Values{2}},
			{Name: "CPU µs/answer", Subject: report.Values{4}, Floor: report.Values{2}},
			{Name: "seconds", Subject: report.Values{1}},
			{Name: "CPU s", Subject: report.Values{1}},
			{Name: "RSS MiB", Subject: report.Values{123.456}, Limit: report.Values{10}},
			{Name: "KiB/query", Subject: report.Values{1.23456}},
			{Name: "false wakes", Subject: report.Values{0}},
			{Name: "p99 ms", Subject: report.Values{4, 9, 5}, Limit: report.Values{1, 1, 1}},
			{Name: "txn/s", Subject: report.Values{4, 9, 5}, Limit: report.Values{1, 1, 1}},
			{Name: "tries/win", Subject: report.Values{7}, Limit: report.Values{1}},
		}},
		{Cell: "b", Err: errors.New("broke")},
		{Cell: "c", Figures: []report.Figure{{Name: "seconds", Subject: report.Values{1}}}},
	}}
	want := map[string]map[string]Entry{"a": {
		"ops/s":         at(OverLimit, 0.988),
		"last ms":       at(OverFloor, 2),
		"p50 ms":        at(OverLimit, 4),
		"CPU µs/answer": at(OverFloor, 2),
		"p99 ms":        {OverLimit, 5, 9},
		"txn/s":         {OverLimit, 5, 4},
		"RSS MiB":       at(Itself, 123),
		"KiB/query":     at(Itself, 1.23),
		"false wakes":   at(Itself, 0),
	}, "c": {}}
	got := Record(run)
	if diff := cmp.Diff(want, got.Cells); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}

	// What is recorded is read back, and passes against its own run.
	file := filepath.Join(t.TempDir(), "ratios.json")
	if err := got.Write(file); err != nil {
		t.Fatal(err)
	}
	back, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	run.Rows[0].Figures[1].Bar = nil // 2 times the floor misses it
	for _, f := range back.Compare(append(run.Rows[:1:1], run.Rows[2]), nil) {
		if f.Fails {
			t.Error(f.Text)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist in it", err)
	}
	file := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want the name of the file in it", err)
	}
}

func TestEntryIsOneText(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Entry
	}{
		{"1.23 x limit", at(OverLimit, 1.23)},
		{"0.5 x floor", at(OverFloor, 0.5)},
		{"19800", at(Itself, 19800)},
		{"1.23 x limit, at worst 1.4", Entry{OverLimit, 1.23, 1.4}},
		{"300, at worst 320", Entry{Itself, 300, 320}},
	} {
		var got Entry
		if err := got.UnmarshalText([]byte(tc.text)); err != nil || got != tc.want {
			t.Errorf("%q is %+v, error %v", tc.text, got, err)
		}
		if b, err := got.MarshalText(); err != nil || string(b) != tc.text {
			t.Errorf("%+v is written %q, error %v; want %q", got, b, err, tc.text)
		}
	}
	for _, text := range []string{"", "x limit", "1 x peer", "many", "1 x limit, at worst", "1, at worst x"} {
		if err := new(Entry).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestATableWithoutTolerancesHasTheUsualOnes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ratios.json")
	if err := os.WriteFile(file, []byte(`{"tolerances": {"cpu": 0.3}, "cells": {}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil || got.Tolerances[CPU] != 0.3 || got.Tolerances[Rate] != DefaultTolerances()[Rate] {
		t.Errorf("tolerances %v, error %v", got.Tolerances, err)
	}
}
