package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type names the kind of value for the page and in messages.
func (o *Option) Type() string {
	switch o.field(&Config{}).(type) {
	case *bool:
		return "boolean"
	case *string:
		return "text"
	case *int, *uint, *uint64:
		return "whole number"
	case *float64:
		return "number"
	case *time.Duration:
		return "duration"
	case *Bytes:
		return "size"
	case *[]netip.Prefix:
		return "list of networks"
	case *map[string]string:
		return "pairs"
	default:
		if o.words {
			return "text"
		}
		return "list"
	}
}

// wants says how a value is written, in a file or, with text, outside of one.
func (o *Option) wants(text bool) string {
	switch o.Type() {
	case "boolean":
		return "true or false"
	case "whole number":
		return "a whole number"
	case "number":
		return "a number"
	case "duration":
		return `a duration such as "30s" or "5m"`
	case "size":
		return `a number of bytes or a size such as "512KiB"`
	case "list of networks":
		return `a list of networks such as "10.0.0.0/8"`
	case "list":
		return "a list of texts"
	case "pairs":
		if text {
			return "key=value"
		}
		return "a block of texts"
	}
	return "a text"
}

// isList is whether weaker sources are added to rather than replaced.
func (o *Option) isList() bool {
	switch o.Type() {
	case "list", "list of networks", "pairs":
		return true
	}
	return false
}

// set writes what n says into the field of c. Lists and maps grow.
func (o *Option) set(c *Config, n *node, text bool) error {
	wrong := func() error {
		if o.Secret {
			return fmt.Errorf("want %s", o.wants(text))
		}
		return fmt.Errorf("want %s, have %s", o.wants(text), n.describe())
	}
	switch p := o.field(c).(type) {
	case *bool:
		if n.kind != kindBool {
			return wrong()
		}
		*p = n.text == "true"
	case *string:
		if n.kind != kindText {
			return wrong()
		}
		*p = n.text
		if o.fold != nil {
			*p = o.fold(n.text)
		}
	case *int:
		v, err := strconv.ParseInt(wholeNumber(n), 10, strconv.IntSize)
		if err != nil {
			return wrong()
		}
		*p = int(v)
	case *uint:
		v, err := strconv.ParseUint(wholeNumber(n), 10, strconv.IntSize)
		if err != nil {
			return wrong()
		}
		*p = uint(v)
	case *uint64:
		v, err := strconv.ParseUint(wholeNumber(n), 10, 64)
		if err != nil {
			return wrong()
		}
		*p = v
	case *float64:
		v, err := strconv.ParseFloat(n.text, 64)
		if n.kind != kindNumber || err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return wrong()
		}
		*p = v
	case *time.Duration:
		v, err := time.ParseDuration(n.text)
		if n.kind != kindText || err != nil {
			return wrong()
		}
		*p = v
	case *Bytes:
		v, err := o.size(n)
		if err != nil {
			return wrong()
		}
		*p = v
	case *[]string:
		words, err := o.list(n)
		if err != nil {
			return wrong()
		}
		if o.words {
			*p = words
		} else {
			*p = append(slices.Clip(*p), words...)
		}
	case *[]netip.Prefix:
		words, err := o.list(n)
		if err != nil {
			return wrong()
		}
		nets, err := networks(words)
		*p = append(slices.Clip(*p), nets...)
		return err
	case *map[string]string:
		pairs, err := pairsOf(n)
		if err != nil {
			return fmt.Errorf("want %s: %w", o.wants(text), err)
		}
		merged := make(map[string]string, len(*p)+len(pairs))
		maps.Copy(merged, *p)
		maps.Copy(merged, pairs)
		*p = merged
	default:
		panic(fmt.Sprintf("config: option %s has a field of type %T, which values.go cannot set", o.Key, p))
	}
	return nil
}

// wholeNumber is the number as digits, "" if it is none: JSON may write 8500 as
// 8500.0 or 85e2.
func wholeNumber(n *node) string {
	if n.kind != kindNumber {
		return ""
	}
	if !strings.ContainsAny(n.text, ".eE") {
		return n.text
	}
	const exact = 1 << 53 // up to here a float64 has every whole number
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil || v != float64(int64(v)) || v > exact || v < -exact {
		return ""
	}
	return strconv.FormatInt(int64(v), 10)
}

func (o *Option) size(n *node) (Bytes, error) {
	switch n.kind {
	case kindText:
		return ParseBytes(n.text)
	case kindNumber:
		v, err := strconv.ParseInt(wholeNumber(n), 10, 64)
		if err != nil {
			return 0, err
		}
		scale := max(o.scale, 1)
		if v > int64(1<<62/scale) || v < -int64(1<<62/scale) {
			return 0, errors.New("out of range")
		}
		return Bytes(v) * scale, nil
	}
	return 0, errors.New("no size")
}

// list returns the elements of a list of texts; one text is a list of one.
func (o *Option) list(n *node) ([]string, error) {
	switch {
	case n.kind == kindText && o.words:
		return splitAddrs(n.text), nil
	case n.kind == kindText:
		return []string{n.text}, nil
	case n.kind != kindList:
		return nil, errors.New("no list")
	}
	out := make([]string, 0, len(n.items))
	for _, item := range n.items {
		if item.kind != kindText {
			return nil, errors.New("no text")
		}
		out = append(out, item.text)
	}
	return out, nil
}

// splitAddrs parts addresses at spaces, but not inside of {{ }}.
func splitAddrs(s string) []string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		end := strings.IndexByte(s, ' ')
		if open := strings.Index(s, "{{"); open >= 0 && (end < 0 || open < end) {
			// The word goes on to the first space after the last }} that belongs to it.
			end = -1
			if shut := strings.Index(s, "}}"); shut > open {
				if space := strings.IndexByte(s[shut:], ' '); space >= 0 {
					end = shut + space
				}
			}
		}
		if end < 0 {
			end = len(s)
		}
		out = append(out, s[:end])
		s = s[end:]
	}
	return out
}

// networks reads networks in the form 10.0.0.0/8, or single addresses.
func networks(words []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var errs []error
	for _, w := range words {
		if addr, err := netip.ParseAddr(w); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(w)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is no network: want one such as 10.0.0.0/8", quoteShort(w)))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, errors.Join(errs...)
}

func pairsOf(n *node) (map[string]string, error) {
	objects, ok := n.objects()
	if !ok {
		return nil, fmt.Errorf("have %s", n.describe())
	}
	out := make(map[string]string)
	for _, o := range objects {
		for _, f := range o.fields {
			if f.value.kind != kindText {
				return nil, fmt.Errorf("%s has %s", quoteShort(f.name), f.value.describe())
			}
			out[f.name] = f.value.text
		}
	}
	return out, nil
}

// nodeOfText makes a node of what a flag or an environment variable says. Lists
// and pairs in the environment are separated by commas, or written in JSON if an
// element has commas of its own; a flag is one element.
func (o *Option) nodeOfText(s string, commas bool) *node {
	n := &node{kind: kindText, text: s}
	if commas && o.isList() && strings.ContainsAny(s[:min(len(s), 1)], "[{") {
		// What is no JSON may be an address such as [::1]:8301.
		if v, err := parseJSONValue(s); err == nil {
			return v
		}
	}
	switch o.Type() {
	case "boolean":
		if b, err := strconv.ParseBool(strings.TrimSpace(s)); err == nil {
			n.kind, n.text = kindBool, strconv.FormatBool(b)
		}
	case "whole number", "number":
		if _, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			n.kind, n.text = kindNumber, strings.TrimSpace(s)
		}
	case "size":
		if _, err := strconv.ParseInt(s, 10, 64); err == nil {
			n.kind = kindNumber
		}
	case "list", "list of networks":
		n = &node{kind: kindList}
		for _, w := range parts(s, commas) {
			n.items = append(n.items, &node{kind: kindText, text: w})
		}
	case "pairs":
		object := &node{kind: kindObject}
		for _, w := range parts(s, commas) {
			// Consul's -node-meta parts the pair with a colon.
			k, v, ok := cutPair(w)
			if !ok {
				return n
			}
			object.fields = append(object.fields, field{name: k, value: &node{kind: kindText, text: v}})
		}
		n = object
	}
	return n
}

func parts(s string, commas bool) []string {
	if !commas {
		return []string{s}
	}
	var out []string
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// cutPair parts key=value, or key:value as Consul's flags have it.
func cutPair(s string) (key, value string, ok bool) {
	at := strings.IndexAny(s, "=:")
	if at <= 0 {
		return "", "", false
	}
	return s[:at], s[at+1:], true
}

// format writes the value of the option in c as a flag would have it, secrets
// included.
func (o *Option) format(c *Config) string {
	switch p := o.field(c).(type) {
	case *time.Duration:
		return formatDuration(*p)
	case *Bytes:
		if o.scale > 0 && *p%o.scale == 0 {
			return strconv.FormatInt(int64(*p/o.scale), 10)
		}
		return p.String()
	case *[]string:
		if o.words {
			return strings.Join(*p, " ")
		}
		return strings.Join(*p, ", ")
	case *[]netip.Prefix:
		words := make([]string, len(*p))
		for i, n := range *p {
			words[i] = n.String()
		}
		return strings.Join(words, ", ")
	case *map[string]string:
		words := make([]string, 0, len(*p))
		for _, k := range sortedKeys(*p) {
			words = append(words, k+"="+(*p)[k])
		}
		return strings.Join(words, ", ")
	case *string:
		return *p
	default:
		return fmt.Sprint(o.value(c))
	}
}

// value returns what the field of c holds, not a pointer to it.
func (o *Option) value(c *Config) any {
	switch p := o.field(c).(type) {
	case *bool:
		return *p
	case *string:
		return *p
	case *int:
		return *p
	case *uint:
		return *p
	case *uint64:
		return *p
	case *float64:
		return *p
	case *time.Duration:
		return *p
	case *Bytes:
		return *p
	case *[]string:
		return *p
	case *[]netip.Prefix:
		return *p
	case *map[string]string:
		return *p
	default:
		panic(fmt.Sprintf("config: option %s has a field of type %T, which values.go cannot read", o.Key, p))
	}
}

// formatDuration is d.String without the zeros it ends in: "5m", not "5m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// rangeError is the error of a rule made by hand.
func rangeError(v any, says string) error {
	return fmt.Errorf("%v is out of range: want %s", v, says)
}
