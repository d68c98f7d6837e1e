package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or disk. It is written as a plain number of
// bytes or with a unit: "512KiB", "256 MiB", "1GB". Units with an i are powers
// of 1024, those without are powers of 1000.
type Bytes int64

// Units of [Bytes].
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// byteUnits are the units that ParseBytes knows, in lower case.
var byteUnits = map[string]Bytes{
	"": 1, "b": 1,
	"k": 1000, "kb": 1000, "kib": KiB,
	"m": 1000 * 1000, "mb": 1000 * 1000, "mib": MiB,
	"g": 1000 * 1000 * 1000, "gb": 1000 * 1000 * 1000, "gib": GiB,
	"t": 1000 * 1000 * 1000 * 1000, "tb": 1000 * 1000 * 1000 * 1000, "tib": TiB,
}

// String writes b with the largest unit that keeps it whole: "256MiB", "1000".
func (b Bytes) String() string {
	if b != 0 {
		for _, u := range []struct {
			size Bytes
			name string
		}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
			if b%u.size == 0 {
				return strconv.FormatInt(int64(b/u.size), 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// ParseBytes reads what String writes and the other spellings that [Bytes]
// describes. The unit's case does not matter.
func ParseBytes(s string) (Bytes, error) {
	digits := strings.TrimSpace(s)
	end := 0
	for end < len(digits) && (digits[end] == '-' || digits[end] >= '0' && digits[end] <= '9') {
		end++
	}
	unit, known := byteUnits[strings.ToLower(strings.TrimSpace(digits[end:]))]
	n, err := strconv.ParseInt(digits[:end], 10, 64)
	if err != nil || !known {
		return 0, fmt.Errorf(`%q is no size: want bytes or a unit, such as 524288 or "512KiB"`, s)
	}
	if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
		return 0, fmt.Errorf("%q is larger than can be counted in bytes", s)
	}
	return Bytes(n) * unit, nil
}
