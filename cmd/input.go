package cmd

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Bounds of what is read from files and standard input.
const (
	// maxValueBytes is far above what a server takes by default (512 KiB), since
	// that is configurable there.
	maxValueBytes = 64 << 20

	// maxDocumentBytes bounds an export to import, and a transaction.
	maxDocumentBytes = 1 << 30
)

// dataOperand is DATA as consul's command line takes it: "@file" is the content of
// a file, "-" is standard input, and anything else is the data itself.
func dataOperand(arg string, stdin io.Reader, limit int64) ([]byte, error) {
	switch {
	case arg == "-":
		return readBounded(stdin, "standard input", limit)
	case strings.HasPrefix(arg, "@"):
		return readFile(arg[1:], limit)
	}
	return []byte(arg), nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := readBounded(f, path, limit)
	return data, errors.Join(err, f.Close())
}

// readBounded reads r to its end, and fails when it is longer than limit bytes.
func readBounded(r io.Reader, what string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", what, limit)
	}
	return data, nil
}

// decodeBase64 decodes what the user gave, whose line breaks do not count.
func decodeBase64(data []byte) ([]byte, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, usagef("the data is not base64: %v", err)
	}
	return decoded, nil
}
