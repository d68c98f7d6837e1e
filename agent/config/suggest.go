package config

import (
	"strings"
)

// nearest returns the known key that an unknown one was probably meant to be,
// "" if none is near. Flags count too: http_port finds ports.http.
func nearest(key string) string {
	best, distance := "", max(len(key)/3, 1)+1
	consider := func(spelling, answer string) {
		if d := editDistance(strings.ToLower(key), spelling, distance); d < distance {
			best, distance = answer, d
		}
	}
	for _, o := range options {
		if o.noFile {
			continue
		}
		consider(o.Key, o.Key)
		for _, a := range o.Aliases {
			consider(a, o.Key)
		}
	}
	for _, k := range sortedKeys(blocks) {
		consider(k, k)
	}
	for _, k := range sortedKeys(ignoredKeys) {
		consider(k, k)
	}
	if best != "" {
		return best
	}
	// The right name in the wrong block, or the flag's name.
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, o := range options {
		if o.noFile {
			continue
		}
		own := o.Key[strings.LastIndexByte(o.Key, '.')+1:]
		if last == own || last == strings.ReplaceAll(o.Flag, "-", "_") {
			return o.Key
		}
	}
	return ""
}

// nearestEnv returns the variable that an unknown one was probably meant to be.
// Other tools share the prefix, so only a slip of the pen counts.
func nearestEnv(name string) string {
	for _, o := range options {
		allowed := (len(name) - len(envPrefix)) / 5
		if allowed > 0 && editDistance(name, o.Env, allowed+1) <= min(allowed, 2) {
			return o.Env
		}
	}
	return ""
}

// editDistance is how many letters must be put in, taken out, replaced or
// swapped with their neighbour to make a of b; limit stands for everything that
// is not below it.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before := make([]int, len(b)+1) // the row before the last one
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
