package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// parseExport reads the JSON of an export. Names of members match without regard
// to case and unknown ones are ignored, as with consul's command line; everything
// that would lose or change data is an error that names the entry.
func parseExport(data []byte) ([]imported, error) {
	if isBlank(data) {
		return nil, errors.New("there is no data to import")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	var list []json.RawMessage
	if err := d.Decode(&list); err != nil {
		return nil, jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the data is not an export: there is more behind its end, at byte %d", d.InputOffset())
	}
	entries := make([]imported, 0, len(list))
	for i, text := range list {
		var e struct {
			Key   *string
			Flags uint64
			Value []byte
		}
		err := json.Unmarshal(text, &e)
		switch {
		case err != nil:
			return nil, fmt.Errorf("entry %d of the export: %w", i+1, err)
		case e.Key == nil:
			return nil, fmt.Errorf("entry %d of the export has no key", i+1)
		case *e.Key == "":
			return nil, fmt.Errorf("entry %d of the export has an empty key", i+1)
		}
		entries = append(entries, imported{key: *e.Key, flags: e.Flags, value: e.Value})
	}
	return entries, nil
}

// jsonError says where the data is wrong.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the data is not JSON: byte %d: %w", syntax.Offset, err)
	case errors.As(err, &wrong):
		return fmt.Errorf("the data is not an export: byte %d: a %s where none belongs", wrong.Offset, wrong.Value)
	}
	return fmt.Errorf("the data is not an export: %w", err)
}
