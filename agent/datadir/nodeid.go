package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-uuid"
)

// errNotAnID marks a file that should hold a node id and does not.
var errNotAnID = errors.New("does not hold a node id (a UUID)")

// NodeID returns who this server is: a lower-case UUID that never changes.
//
// configured is the node_id of the configuration, in any case, or empty. In a
// new data dir it becomes the id; without it a random one is made. In a data dir
// that has an id it must be the same, because the log and the other servers know
// this one by it.
//
// A lost or damaged node-id of a data dir in use is put back from the second
// copy that the first stored entry left. If that is gone as well the error says
// what to do; a new id would cut the server off from its own log.
func (d *Dir) NodeID(configured string) (string, error) {
	if configured != "" {
		id, ok := parseID(configured)
		if !ok {
			return "", fmt.Errorf("node_id %q: not a UUID like 3f6c0f5e-8f2b-4b8e-9a51-0d8b6f1d9a3c", configured)
		}
		configured = id
	}
	id, err := d.storedID()
	if err != nil {
		return "", err
	}
	switch {
	case id == "":
		return d.newID(configured)
	case configured != "" && configured != id:
		return "", &RefusedError{
			Path: "data dir " + d.path,
			Why:  fmt.Sprintf("belongs to the server with node id %s, but node_id is set to %s", id, configured),
			Do:   "take node_id out of the configuration, or choose another data_dir",
		}
	}
	return id, nil
}

// storedID is the id this data dir has, or "" if it is new.
func (d *Dir) storedID() (string, error) {
	id, idErr := d.readID(nodeIDName)
	if idErr == nil {
		return id, nil
	}
	isGone := errors.Is(idErr, fs.ErrNotExist)
	if !isGone && !errors.Is(idErr, errNotAnID) {
		return "", refuse(d.path, "read "+nodeIDName, idErr)
	}
	if !d.Initialised() {
		if isGone {
			return "", nil
		}
		return "", &RefusedError{
			Path: filepath.Join(d.path, nodeIDName),
			Why:  errNotAnID.Error() + ", and only another program can have changed it",
			Do:   "remove the file: nothing has been stored here yet, so a new id is harmless",
		}
	}
	copied, err := d.readID(initialisedName)
	if err != nil {
		what := "is gone"
		if !isGone {
			what = errNotAnID.Error()
		}
		return "", &RefusedError{
			Path: filepath.Join(d.path, nodeIDName),
			Why:  what + ", and so is its copy in the file " + initialisedName,
			Do: "write the server's id back into it: it is the LocalID in the server's earlier log lines, and the name of this " +
				"server in " + filepath.Join(raftName, "snapshots", "*", "meta.json"),
		}
	}
	if err := d.WriteFile(nodeIDName, []byte(copied+"\n")); err != nil {
		return "", refuse(d.path, "write "+nodeIDName, err)
	}
	d.log.Warn("node id put back from its copy", "file", nodeIDName, "copy", initialisedName, "id", copied)
	return copied, nil
}

func (d *Dir) newID(id string) (string, error) {
	if id == "" {
		random, err := uuid.GenerateUUID()
		if err != nil {
			return "", fmt.Errorf("make a node id: %w", err)
		}
		id = random
	}
	if err := d.WriteFile(nodeIDName, []byte(id+"\n")); err != nil {
		return "", refuse(d.path, "write "+nodeIDName, err)
	}
	return id, nil
}

// readID reads a file that holds an id and nothing else. An error that is
// errNotAnID means that it holds something else.
func (d *Dir) readID(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(d.path, name))
	if err != nil {
		return "", err
	}
	id, ok := parseID(string(b))
	if !ok {
		return "", errNotAnID
	}
	return id, nil
}

// parseID accepts a UUID in either case with space around it.
func parseID(s string) (id string, ok bool) {
	id = strings.ToLower(strings.TrimSpace(s))
	_, err := uuid.ParseUUID(id)
	return id, err == nil
}
