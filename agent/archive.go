package agent

import (
	"io"

	"github.com/holdfast-kv/holdfast/httpapi"
)

// LoadArchive reads a snapshot archive to its end and restores the state that is in it
// into a store of its own, which it throws away: an archive that passes can be
// restored by a server of this version. It returns the index of the log that it
// reaches, and takes as much memory as a server that holds that state.
func LoadArchive(r io.Reader) (index uint64, err error) {
	meta, err := httpapi.LoadArchive(r)
	return meta.Index, err
}
