package testcluster

import (
	"regexp"
	"strings"
)

// races are the reports of the race detector in the output of a process, but for those of knownRace.
func races(output string) []string {
	var found []string
	for _, part := range strings.Split(output, "==================\n") {
		if strings.Contains(part, "WARNING: DATA RACE\n") && !knownRace.MatchString(part) {
			found = append(found, part)
		}
	}
	return found
}

// knownRace is one within hashicorp/raft: when the address of a server changes, its leader puts the
// whole server in the place of the one before, under a lock, and where an answer of that server has come
// it reads the id from there without. The id does not change with the address: what is read is the
// same text, from before or after.
//
// Source: hashicorp/raft 1.7.3, startStopReplication in raft.go, updateLastAppended in
// replication.go. Where that reads the id under the lock, this can go.
var knownRace = regexp.MustCompile(`^WARNING: DATA RACE\n` +
	`Write at .*\n  github\.com/hashicorp/raft\.\(\*Raft\)\.startStopReplication\(\)\n(?:.+\n)+\n` +
	`Previous read at .*\n  github\.com/hashicorp/raft\.updateLastAppended\(\)\n` +
	`|^WARNING: DATA RACE\n` +
	`Read at .*\n  github\.com/hashicorp/raft\.updateLastAppended\(\)\n(?:.+\n)+\n` +
	`Previous write at .*\n  github\.com/hashicorp/raft\.\(\*Raft\)\.startStopReplication\(\)\n`)
