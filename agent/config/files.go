package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFiles bounds the files of one configuration.
const maxFiles = 1000

// source is a file, or a piece of one from a flag, that settings are read from.
type source struct {
	name   string // as given, joined with the name in the folder
	format string // "hcl" or "json"
	text   []byte
}

// readPath returns the files that path stands for: itself, or what a folder
// holds that ends in .hcl or .json, in the order of names. With a format, files
// whose name does not say are read in it.
func readPath(path, format string) ([]source, []Fault) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, []Fault{{Where: path, Why: "cannot be read: " + reason(err)}}
	}
	if !info.IsDir() {
		kind := formatOf(path, format)
		if kind == "" {
			return nil, []Fault{{Where: path, Why: "the name ends in neither .hcl nor .json; say which it is with -config-format"}}
		}
		return readAll([]source{{name: path, format: kind}})
	}
	entries, err := os.ReadDir(path) // in the order of names
	if err != nil {
		return nil, []Fault{{Where: path, Why: "cannot be read: " + reason(err)}}
	}
	var out []source
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		kind := formatOf(name, format)
		if kind == "" {
			continue
		}
		// A link to a file counts, as in a mounted Kubernetes config map; a
		// folder does not, whatever its name.
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		out = append(out, source{name: name, format: kind})
	}
	return readAll(out)
}

// formatOf tells the dialect from the name, or takes other.
func formatOf(name, other string) string {
	switch filepath.Ext(name) {
	case ".hcl":
		return "hcl"
	case ".json":
		return "json"
	}
	return other
}

func readAll(sources []source) ([]source, []Fault) {
	var out []source
	var faults []Fault
	for _, s := range sources {
		text, err := readFile(s.name)
		if err != nil {
			faults = append(faults, Fault{Where: s.name, Why: "cannot be read: " + reason(err)})
			continue
		}
		s.text = text
		out = append(out, s)
	}
	return out, faults
}

// readFile reads at most maxFileBytes.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: closing cannot lose anything
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("it is larger than %s", Bytes(maxFileBytes))
	}
	return text, nil
}

// reason is err without the path, which the fault names already.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// parse reads the text in its dialect.
func (s source) parse() (*node, error) {
	// Editors of some systems begin a file with a byte order mark.
	text := []byte(strings.TrimPrefix(string(s.text), "\uFEFF"))
	if s.format == "json" {
		return parseJSON(text)
	}
	return parseHCL(text)
}
