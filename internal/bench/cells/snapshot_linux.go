package cells

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// Names of the saved archives below Options.Dir.
const (
	subjectArchive = "subject.snap"
	peerArchive    = "peer.snap"
)

// saveSnapshot streams the server's archive to a file and returns its size. One
// large body at a time costs the client little, so net/http does it.
func saveSnapshot(ctx context.Context, t target.Target, file string) (int64, error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var n int64
	err = archive(ctx, t, http.MethodGet, nil, func(body io.Reader) error {
		n, err = io.Copy(f, body)
		return err
	})
	if err == nil {
		err = f.Close()
	}
	return n, err
}

// restoreSnapshot sends the file to the server and waits until it is in use.
func restoreSnapshot(ctx context.Context, t target.Target, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return archive(ctx, t, http.MethodPut, f, func(body io.Reader) error {
		_, err := io.Copy(io.Discard, body)
		return err
	})
}

// archive makes one request to /v1/snapshot on a connection of its own.
func archive(ctx context.Context, t target.Target, method string, send io.Reader, take func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+t.Addr+"/v1/snapshot", send)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	r, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s snapshot: %w", method, err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(r.Body, 300)) // a hint, as much as there is
		return fmt.Errorf("%s snapshot: answered with status %d: %s", method, r.StatusCode, text)
	}
	if err := take(r.Body); err != nil {
		return fmt.Errorf("%s snapshot: %w", method, err)
	}
	return nil
}
