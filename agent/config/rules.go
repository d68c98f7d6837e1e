package config

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rule bounds the value of one setting on its own. Rules between settings are
// in validate.go.
type rule struct {
	says  string            // for the page, such as "1 to 10"
	check func(v any) error // v has the type of the field, not a pointer to it
}

// number is what can be bounded.
type number interface {
	int | uint | uint64 | float64 | Bytes | time.Duration
}

// between allows lo to hi, both included.
func between[T number](lo, hi T) rule {
	says := show(lo) + " to " + show(hi)
	return rule{says, func(v any) error {
		if n := v.(T); n < lo || n > hi {
			return fmt.Errorf("%s is out of range: want %s", show(n), says)
		}
		return nil
	}}
}

// atLeast allows lo and everything above.
func atLeast[T number](lo T) rule {
	says := "at least " + show(lo)
	return rule{says, func(v any) error {
		if n := v.(T); n < lo {
			return fmt.Errorf("%s is too small: want %s", show(n), says)
		}
		return nil
	}}
}

// zeroOr allows 0 and what r allows.
func zeroOr[T number](r rule) rule {
	return rule{"0, or " + r.says, func(v any) error {
		if n := v.(T); n != 0 && r.check(v) != nil {
			return fmt.Errorf("%s is out of range: want 0, or %s", show(n), r.says)
		}
		return nil
	}}
}

// show writes a number as it would be written in a file.
func show[T number](n T) string {
	switch n := any(n).(type) {
	case time.Duration:
		return formatDuration(n)
	case Bytes:
		return n.String()
	default:
		return fmt.Sprint(n)
	}
}

// oneOf allows the listed words.
func oneOf(words ...string) rule {
	says := quotedList(words)
	return rule{says, func(v any) error {
		if s := v.(string); !slices.Contains(words, s) {
			return fmt.Errorf("%s is not known: want %s", quoteShort(s), says)
		}
		return nil
	}}
}

// quotedList writes words as "a", "b" or "c".
func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// text makes a rule of a check on a string; empty strings pass.
func text(says string, check func(s string) error) rule {
	return rule{says, func(v any) error {
		if v.(string) == "" {
			return nil
		}
		return check(v.(string))
	}}
}

// each makes a rule of a check on the elements of a list.
func each(says string, check func(s string) error) rule {
	return rule{says, func(v any) error {
		var errs []error
		for _, s := range v.([]string) {
			errs = append(errs, check(s))
		}
		return errors.Join(errs...)
	}}
}

var (
	datacenterForm = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	uuidForm       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	metaKeyForm    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
)

// Bounds of the node's own data, as Consul has them.
const (
	maxNodeName  = 128 // bytes
	maxMetaPairs = 64
	maxMetaValue = 512 // bytes
)

// maxSocketPath is what a socket address of Linux holds, in bytes, its final
// zero not counted.
const maxSocketPath = 107

func checkDatacenter(s string) error {
	if !datacenterForm.MatchString(s) {
		return fmt.Errorf("%s is no datacenter name: want 1 to 64 letters, digits, - and _", quoteShort(s))
	}
	return nil
}

func checkUUID(s string) error {
	if !uuidForm.MatchString(s) {
		return fmt.Errorf("%s is no UUID", quoteShort(s))
	}
	return nil
}

// checkNodeName refuses what could not stand in a path or a log line.
func checkNodeName(s string) error {
	if len(s) > maxNodeName {
		return fmt.Errorf("%s is longer than %d bytes", quoteShort(s), maxNodeName)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '/' || r == '"' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Errorf("%s may not hold spaces, slashes, quotes or control characters", quoteShort(s))
	}
	return nil
}

func checkNodeMeta(v any) error {
	meta := v.(map[string]string)
	var errs []error
	if len(meta) > maxMetaPairs {
		errs = append(errs, fmt.Errorf("%d pairs are too many: want at most %d", len(meta), maxMetaPairs))
	}
	for _, k := range sortedKeys(meta) {
		switch {
		case !metaKeyForm.MatchString(k):
			errs = append(errs, fmt.Errorf("key %s: want 1 to 128 letters, digits, - and _", quoteShort(k)))
		case strings.HasPrefix(k, "consul-"):
			errs = append(errs, fmt.Errorf("key %s: names that begin with consul- are reserved", quoteShort(k)))
		}
		if len(meta[k]) > maxMetaValue {
			errs = append(errs, fmt.Errorf("key %s: the value is longer than %d bytes", quoteShort(k), maxMetaValue))
		}
	}
	return errors.Join(errs...)
}

// checkIP wants one address that can be listened on.
func checkIP(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Errorf("%s is no IP address: want one such as 127.0.0.1 or ::1, or a go-sockaddr template that gives one", quoteShort(s))
	}
	return nil
}

// checkReachableIP wants one address that others can send to.
func checkReachableIP(s string) error {
	if err := checkIP(s); err != nil {
		return err
	}
	if netip.MustParseAddr(s).IsUnspecified() {
		return fmt.Errorf("%s means every address and cannot be reached by others: name one", s)
	}
	return nil
}

// checkListenAddr wants an IP or the absolute path of a unix socket.
func checkListenAddr(s string) error {
	path, unix := strings.CutPrefix(s, unixScheme)
	if !unix {
		return checkIP(s)
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s: the path of a unix socket must be absolute", quoteShort(s))
	}
	if len(path) > maxSocketPath {
		return fmt.Errorf("%s: the path of a unix socket may have %d bytes", quoteShort(s), maxSocketPath)
	}
	return nil
}

// checkGossipKey never shows the key.
func checkGossipKey(s string) error {
	key, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return errors.New("the key is not 16, 24 or 32 bytes in base64")
	}
	return nil
}

func checkHeaderNames(v any) error {
	var errs []error
	headers := v.(map[string]string)
	for _, name := range sortedKeys(headers) {
		if !isToken(name) {
			errs = append(errs, fmt.Errorf("%s is no header name", quoteShort(name)))
		}
		if strings.ContainsAny(headers[name], "\r\n\x00") {
			errs = append(errs, fmt.Errorf("the value of header %s may not hold line breaks", quoteShort(name)))
		}
	}
	return errors.Join(errs...)
}

// isToken is whether s is a token in the sense of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func checkEndpointPrefix(s string) error {
	if !strings.HasPrefix(s, "/") {
		return fmt.Errorf("%s: a path begins with a slash", quoteShort(s))
	}
	return nil
}

func checkOctal(s string) error {
	if mode, err := strconv.ParseUint(s, 8, 32); err != nil || mode > 0o777 {
		return fmt.Errorf(`%s are no permissions: want octal digits such as "0660"`, quoteShort(s))
	}
	return nil
}

func checkDecimalID(s string) error {
	if _, err := strconv.ParseUint(s, 10, 31); err != nil {
		return fmt.Errorf("%s is no numeric id: want one such as 1000", quoteShort(s))
	}
	return nil
}

// foldLogLevel takes the names that Consul takes.
func foldLogLevel(s string) string {
	switch s = strings.ToUpper(s); s {
	case "WARNING":
		return "WARN"
	case "ERR":
		return "ERROR"
	}
	return s
}

// foldTLSVersion takes the names of Consul's older key too.
func foldTLSVersion(s string) string {
	switch strings.ToLower(s) {
	case "tls_auto", "tls12", "tlsv1_2", "":
		return "TLSv1_2"
	case "tls13", "tlsv1_3":
		return "TLSv1_3"
	}
	return s
}

// foldDomain writes a domain without the dot that Consul's default ends in.
func foldDomain(s string) string {
	if s = strings.ToLower(strings.TrimSuffix(s, ".")); s != "" {
		return s
	}
	return Default().Domain
}

// domainForm is a DNS name of at most eight labels; certificates hold it.
var domainForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,7}$`)

func checkDomain(s string) error {
	if !domainForm.MatchString(s) {
		return fmt.Errorf("%s is no domain name: want letters, digits, - and dots", quoteShort(s))
	}
	return nil
}

// checkCipherSuite takes the suites that can be chosen and are not insecure.
func checkCipherSuite(name string) error {
	var known []string
	for _, s := range tls.CipherSuites() {
		if s.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		if s.Name == name {
			return nil
		}
		known = append(known, s.Name)
	}
	for _, s := range tls.InsecureCipherSuites() {
		if s.Name == name {
			return fmt.Errorf("%s is insecure: leave it out", name)
		}
	}
	return fmt.Errorf("%s is no cipher suite of TLS 1.2: want one of %s", quoteShort(name), strings.Join(known, ", "))
}
