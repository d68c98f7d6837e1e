//go:build !unix

package cmd

import "io/fs"

// ownerOf knows of no owners here.
func ownerOf(fs.FileInfo) (uid int, known bool) { return 0, false }

// giveToOwner has nothing to do here.
func giveToOwner(_, _ string) error { return nil }
