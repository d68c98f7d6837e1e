package report

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
)

// Run is a whole run as the JSON file holds it.
type Run struct {
	Started string         `json:"started"` // RFC 3339
	Machine procfs.Machine `json:"machine"`
	Command string         `json:"command"` // that makes such a run
	Options map[string]any `json:"options"` // what was asked for, by flag name
	Rows    []Row          `json:"cells"`
}

// WriteJSON writes the run, indented.
func (r Run) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

type rowJSON struct {
	Cell    string       `json:"cell"`
	Figures []figureJSON `json:"figures,omitempty"`
	Note    string       `json:"note,omitempty"`
	Skipped string       `json:"skipped,omitempty"`
	Error   string       `json:"error,omitempty"`
}

type figureJSON struct {
	Name      string    `json:"name"`
	Subject   *float64  `json:"subject"` // medians
	Limit     *float64  `json:"limit"`
	Floor     *float64  `json:"floor"`
	Peer      *float64  `json:"peer"`
	Ratio     *float64  `json:"ratio"`
	ToFloor   *float64  `json:"floor_ratio"`
	PeerRatio *float64  `json:"peer_ratio"`
	Rounds    roundJSON `json:"rounds"`
	Bar       string    `json:"bar,omitempty"`
	Verdict   string    `json:"verdict,omitempty"`
}

type roundJSON struct {
	Subject Values `json:"subject"`
	Limit   Values `json:"limit,omitempty"`
	Floor   Values `json:"floor,omitempty"`
	Peer    Values `json:"peer,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (r Row) MarshalJSON() ([]byte, error) {
	out := rowJSON{Cell: r.Cell, Note: r.Note, Skipped: r.Skipped}
	if r.Err != nil {
		out.Error = r.Err.Error()
	}
	for i := range r.Figures {
		out.Figures = append(out.Figures, r.Figures[i].toJSON())
	}
	return json.Marshal(out)
}

func (f *Figure) toJSON() figureJSON {
	out := figureJSON{
		Name:      f.Name,
		Subject:   number(f.Subject.Median()),
		Limit:     number(f.Limit.Median()),
		Floor:     number(f.Floor.Median()),
		Peer:      number(f.Peer.Median()),
		Ratio:     number(f.Ratio().Median()),
		ToFloor:   number(f.FloorRatio().Median()),
		PeerRatio: number(f.PeerRatio().Median()),
		Rounds:    roundJSON{Subject: f.Subject, Limit: f.Limit, Floor: f.Floor, Peer: f.Peer},
		Verdict:   f.Judge().String(),
	}
	if f.Bar != nil {
		out.Bar = f.Bar.Text(f.Peer != nil)
	}
	return out
}
