package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/kvs"
)

// TestParseTxn: what the body of a transaction may be, and with which words it is
// refused.
//
// Source: contract, transactions, sections 1 and 3; README, section 6.
func TestParseTxn(t *testing.T) {
	kv := func(op kvs.Op, verb string) []txnElement { return []txnElement{{present: true, verb: verb, op: op}} }
	for _, tc := range []struct {
		rule, body string
		want       []txnElement
		err        string
	}{
		{"a list", ` [ { "KV" : { "Verb" : "set" , "Key" : "k" } } ] `, kv(kvs.Op{Key: "k"}, "set"), ""},
		{
			"every field", `[{"KV":{"Verb":"cas","Key":"k","Value":"dg==","Flags":18446744073709551615,"Index":7,"Session":"s","Namespace":"n","Partition":"p"}}]`,
			kv(kvs.Op{Key: "k", Value: []byte("v"), Flags: 1<<64 - 1, Index: 7, Session: "s"}, "cas"), "",
		},
		{"names without regard to case", `[{"kv":{"VERB":"set","kEY":"k"}}]`, kv(kvs.Op{Key: "k"}, "set"), ""},
		{"null is as if it were not there", `[{"KV":{"Verb":null,"Key":null,"Value":null,"Flags":null,"Index":null,"Session":null,"Namespace":null}}]`, kv(kvs.Op{}, ""), ""},
		{"the last of a repeated member counts", `[{"KV":{"Key":"a","Key":"b","Flags":1,"Flags":null}}]`, kv(kvs.Op{Key: "b", Flags: 1}, ""), ""},
		{"a repeated operation is merged", `[{"KV":{"Key":"a"},"KV":{"Verb":"get"}}]`, kv(kvs.Op{Key: "a"}, "get"), ""},
		{"an operation that is taken back", `[{"KV":{"Key":"a"},"KV":null}]`, []txnElement{{}}, ""},
		{"escapes", `[{"KV":{"Key":"\u0000\n\ud83d\ude00\/\"\\"}}]`, kv(kvs.Op{Key: "\x00\n😀/\"\\"}, ""), ""},
		{"half a pair is replaced", `[{"KV":{"Key":"\ud83dx\ude00"}}]`, kv(kvs.Op{Key: "\ufffdx\ufffd"}, ""), ""},
		{"bytes that are no UTF-8 are replaced", "[{\"KV\":{\"Key\":\"\xff\"}}]", kv(kvs.Op{Key: "\ufffd"}, ""), ""},
		{"base64 may hold line breaks", `[{"KV":{"Value":"d\ng=\r="}}]`, kv(kvs.Op{Value: []byte("v")}, ""), ""},
		{"an empty list", `[]`, nil, ""},
		{"null", `null`, nil, ""},

		{"nothing", ``, nil, "EOF"},
		{"space", " \n", nil, "EOF"},
		{"an object", `{}`, nil, "want a list of operations at byte 0"},
		{"null in the list", `[null]`, nil, "an operation must be an object, not null, at byte 1"},
		{"a number in the list", `[1]`, nil, "want an object at byte 1"},
		{"cut off", `[{"KV":{"Verb":"set"`, nil, "unexpected end of JSON input"},
		{"cut off in a string", `[{"KV":{"Verb":"se`, nil, "unexpected end of JSON input"},
		{"cut off in an escape", `[{"KV":{"Verb":"se\`, nil, "unexpected end of JSON input"},
		{"a comma too many", `[{},]`, nil, "want an object at byte 4"},
		{"no comma", `[{}{}]`, nil, "want , or ] after an operation at byte 3"},
		{"text behind the list", `[] x`, nil, "unexpected text after the list of operations at byte 3"},
		{"a second list", `[][]`, nil, "unexpected text after the list of operations at byte 2"},
		{"unknown member of an element", `[{"Foo":{}}]`, nil, `json: unknown field "Foo"`},
		{"unknown member of an operation", `[{"KV":{"Foo":1}}]`, nil, `json: unknown field "Foo"`},
		{"a name that only looks alike", `[{"KV":{"` + "\u212a" + `ey":"k"}}]`, nil, "json: unknown field \"\u212aey\""},
		{"not base64", `[{"KV":{"Value":"not base64!"}}]`, nil, "illegal base64 data at input byte 3"},
		{"base64 without padding", `[{"KV":{"Value":"dg"}}]`, nil, "illegal base64 data at input byte 0"},
		{"base64 of URLs", `[{"KV":{"Value":"-_8="}}]`, nil, "illegal base64 data at input byte 0"},
		{"a list as value", `[{"KV":{"Value":[1,2]}}]`, nil, "want a string at byte 16"},
		{"negative number", `[{"KV":{"Flags":-1}}]`, nil, "want a whole number that is not negative at byte 16"},
		{"fraction", `[{"KV":{"Flags":1.0}}]`, nil, "want a whole number that is not negative at byte 17"},
		{"exponent", `[{"KV":{"Flags":1e3}}]`, nil, "want a whole number that is not negative at byte 17"},
		{"leading zero", `[{"KV":{"Flags":01}}]`, nil, "want a whole number that is not negative at byte 18"},
		{"number as text", `[{"KV":{"Flags":"1"}}]`, nil, "want a whole number that is not negative at byte 16"},
		{"number too large", `[{"KV":{"Index":18446744073709551616}}]`, nil, "json: cannot unmarshal number 18446744073709551616 into a 64-bit number"},
		{"control character", "[{\"KV\":{\"Key\":\"a\nb\"}}]", nil, "a string holds a control character at byte 16"},
		{"bad escape", `[{"KV":{"Key":"\x"}}]`, nil, "invalid escape in a string at byte 15"},
		{"bad unicode escape", `[{"KV":{"Key":"\u00g0"}}]`, nil, "invalid escape in a string at byte 15"},
		{"another kind", `[{"node":{"Verb":"set"} }]`, []txnElement{{present: true, kind: "Node", row: []byte(`{"Verb":"set"}`)}}, ""},
		{"the first of several kinds", `[{"Check":{},"Service":{},"Node":null}]`, []txnElement{{present: true, kind: "Service", row: []byte("{}")}}, ""},
		{"a key before every other kind", `[{"Check":{},"KV":{"Verb":"set","Key":"k"}}]`, kv(kvs.Op{Key: "k"}, "set"), ""},
		{"another kind that is no JSON", `[{"KV":{},"Node":{"a":-01}}]`, nil, "want a number at byte 22"},
		{"nested too deeply", `[{"KV":{},"Node":` + strings.Repeat("[", 100_000) + `}]`, nil, "nested too deeply at byte 82"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, n, err := parseTxn([]byte(tc.body), 1000)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("error is %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n != len(tc.want) || !slices.EqualFunc(got, tc.want, sameElement) {
				t.Errorf("got %+v (%d), want %+v", got, n, tc.want)
			}
		})
	}
}

func sameElement(a, b txnElement) bool {
	return a.present == b.present && a.verb == b.verb && a.op.Key == b.op.Key && bytes.Equal(a.op.Value, b.op.Value) &&
		a.op.Flags == b.op.Flags && a.op.Index == b.op.Index && a.op.Session == b.op.Session && a.kind == b.kind && bytes.Equal(a.row, b.row)
}

// TestParseTxnCounts: no more elements are kept than can be used, and all are
// counted.
func TestParseTxnCounts(t *testing.T) {
	got, n, err := parseTxn([]byte("["+strings.Repeat("{},", 99)+"{}]"), 10)
	if err != nil || n != 100 || len(got) > 10 {
		t.Errorf("%d elements counted, %d kept, error %v", n, len(got), err)
	}
}

// TestParseTxnCopies: what was parsed does not lie in the body, whose buffer is
// used again.
func TestParseTxnCopies(t *testing.T) {
	body := []byte(`[{"KV":{"Verb":"set","Key":"key","Session":"abc","Value":"dmFsdWU="}}]`)
	got, _, err := parseTxn(body, 1)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if e := got[0]; e.verb != "set" || e.op.Key != "key" || e.op.Session != "abc" || string(e.op.Value) != "value" {
		t.Errorf("element is %+v", e)
	}
}

// referenceTxn parses a transaction with encoding/json.
func referenceTxn(body []byte) ([]txnElement, error) {
	var list []*struct {
		KV *struct {
			Verb, Key            string
			Value                referenceValue
			Flags, Index         uint64
			Session              string
			Namespace, Partition string
		}
		Node, Service, Check *json.RawMessage
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the list")
	}
	var out []txnElement
	for _, el := range list {
		if el == nil {
			return nil, errors.New("null in the list")
		}
		var e txnElement
		switch {
		case el.KV != nil:
			e = txnElement{present: true, verb: el.KV.Verb, op: kvs.Op{
				Key: el.KV.Key, Value: el.KV.Value, Flags: el.KV.Flags, Index: el.KV.Index, Session: el.KV.Session,
			}}
		default:
			for i, row := range []*json.RawMessage{el.Node, el.Service, el.Check} {
				if row != nil && !e.present {
					e = txnElement{present: true, kind: txnKinds[i], row: *row}
				}
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// referenceValue is base64 or null; encoding/json itself also takes a list of
// numbers for bytes.
type referenceValue []byte

func (v *referenceValue) UnmarshalJSON(b []byte) error {
	if b[0] != '"' && b[0] != 'n' {
		return fmt.Errorf("value is %s", b)
	}
	return json.Unmarshal(b, (*[]byte)(v))
}

// FuzzParseTxn holds the parser against encoding/json, which must accept the same
// texts and give the same values. Known and meant differences:
//
//   - names match without regard to the case of ASCII letters only (encoding/json
//     also takes the Kelvin sign for a k and the long s for an s);
//   - what stands under Node, Service and Check is not looked at beyond its form,
//     and may be nested skipDepth deep.
func FuzzParseTxn(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `[]`, `[{}]`, `[null]`, `{}`, `[] x`,
		`[{"KV":{"Verb":"set","Key":"k","Value":"dg==","Flags":1,"Index":2,"Session":"s","Namespace":"n","Partition":"p"}}]`,
		`[{"kv":{"vErB":"get-tree","key":"\u00e9\ud83d\ude00\n"}},{"KV":null},{"Node":{"a":[1,-2.5e+3,"x",true,false,null,{}]},"KV":{}}]`,
		`[{"KV":{"Value":"d\ng==","Value":null,"Flags":18446744073709551616}}]`,
		`[{"KV":{"Key":"a"},"KV":{"Verb":"b"},"KV":null}]`, `[{"Service":{}}]`, `[{"KV":{},"Check":01}]`, `[{"KV":{},"Check":"\x"}]`,
		`[{"KV":{"Key":"\ud800\ud800\udc00"}}]`, "[{\"KV\":{\"Key\":\"\xff\xc3\"}}]", `[{"KV":{"Flags":-0}}]`, `[{"KV":{"Flags":1E0}}]`, "\ufeff[]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const most = 1 << 16
		got, n, err := parseTxn(body, most)
		if err == nil && n != len(got) {
			t.Fatalf("%q: %d elements counted, %d kept", body, n, len(got))
		}
		want, wantErr := referenceTxn(body)
		if (err == nil) != (wantErr == nil) && !meantDifference(body, err) {
			t.Fatalf("%q: error is %v, encoding/json has %v", body, err, wantErr)
		}
		if err == nil && wantErr == nil && !slices.EqualFunc(got, want, sameElement) {
			t.Errorf("%q: got %+v, encoding/json has %+v", body, got, want)
		}
	})
}

// meantDifference tells whether the texts may be judged differently.
func meantDifference(body []byte, err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(string(body))
	return bytes.ContainsAny(body, "\u212a\u017f") || strings.Contains(text, `\u212a`) || strings.Contains(text, `\u017f`) ||
		strings.HasPrefix(err.Error(), "nested too deeply")
}
