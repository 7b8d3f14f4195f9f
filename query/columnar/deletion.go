package columnar

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// maxDeletionBytes bounds the texts of one deletion, which each query evaluates.
const maxDeletionBytes = 64 << 10

// deletion is a Deletion made ready. It never changes; what has become of it is a
// new one.
type deletion struct {
	Deletion
	// number grows by one for each. A part whose number is not less holds no row of
	// the deletion: none came before it, or they have left.
	number uint64
	pred   predicates
	ended  time.Time // when it was done
}

// deletionEntry is a deletion in the manifest. Texts are base64 there, because JSON
// holds only valid UTF-8.
type deletionEntry struct {
	Number   uint64           `json:"number"`
	ID       []byte           `json:"id"`
	Table    Table            `json:"table"`
	Tenants  [][2][]byte      `json:"tenants,omitempty"`
	From     int64            `json:"from"`
	To       int64            `json:"to"`
	Matchers []deletionClause `json:"matchers,omitempty"`
	Lines    []deletionClause `json:"lines,omitempty"`
	Fields   []deletionClause `json:"fields,omitempty"`
	Created  int64            `json:"created"` // Unix nanoseconds
	Query    []byte           `json:"query,omitempty"`
	Done     bool             `json:"done,omitempty"`
	Ended    int64            `json:"ended,omitempty"` // Unix nanoseconds
}

// deletionClause is a matcher or a predicate. Op is a labels.MatchType, LineOp or
// FieldOp, whose numbers are part of the format.
type deletionClause struct {
	Op   uint8  `json:"op"`
	Name []byte `json:"name,omitempty"`
	Text []byte `json:"text"`
}

func (d *deletion) entry() deletionEntry {
	e := deletionEntry{
		Number: d.number, ID: []byte(d.ID), Table: d.Table, From: d.From, To: d.To,
		Created: d.Created.UnixNano(), Query: []byte(d.Query), Done: d.Done,
	}
	if d.Done {
		e.Ended = d.ended.UnixNano()
	}
	for _, t := range d.Tenants {
		e.Tenants = append(e.Tenants, [2][]byte{[]byte(t.Cluster), []byte(t.Namespace)})
	}
	for _, m := range d.Matchers {
		e.Matchers = append(e.Matchers, deletionClause{uint8(m.Type), []byte(m.Name), []byte(m.Value)})
	}
	for _, p := range d.Lines {
		e.Lines = append(e.Lines, deletionClause{Op: uint8(p.Op), Text: []byte(p.Text)})
	}
	for _, p := range d.Fields {
		e.Fields = append(e.Fields, deletionClause{uint8(p.Op), []byte(p.Name), []byte(p.Text)})
	}
	return e
}

func (e *deletionEntry) deletion() (*deletion, error) {
	d := Deletion{
		ID: string(e.ID), Table: e.Table, From: e.From, To: e.To,
		Created: time.Unix(0, e.Created), Query: string(e.Query), Done: e.Done,
	}
	for _, t := range e.Tenants {
		d.Tenants = append(d.Tenants, Tenant{Cluster: string(t[0]), Namespace: string(t[1])})
	}
	for _, c := range e.Matchers {
		m, err := labels.NewMatcher(labels.MatchType(c.Op), string(c.Name), string(c.Text))
		if err != nil {
			return nil, fmt.Errorf("deletion %q: %w", e.ID, err)
		}
		d.Matchers = append(d.Matchers, m)
	}
	for _, c := range e.Lines {
		d.Lines = append(d.Lines, LinePredicate{LineOp(c.Op), string(c.Text)})
	}
	for _, c := range e.Fields {
		d.Fields = append(d.Fields, FieldPredicate{string(c.Name), FieldOp(c.Op), string(c.Text)})
	}
	out, err := compileDeletion(d, e.Number)
	if err != nil {
		return nil, err
	}
	if e.Done {
		out.ended = time.Unix(0, e.Ended)
	}
	return out, nil
}

// compileDeletion copies what it keeps.
func compileDeletion(d Deletion, number uint64) (*deletion, error) {
	if d.Table != Logs && d.Table != Spans {
		return nil, fmt.Errorf("deletion: unknown table %d", d.Table)
	}
	if d.From >= d.To {
		return nil, fmt.Errorf("deletion: the time range [%d, %d) is empty", d.From, d.To)
	}
	d.Tenants, d.Matchers = slices.Clone(d.Tenants), slices.Clone(d.Matchers)
	d.Lines, d.Fields = slices.Clone(d.Lines), slices.Clone(d.Fields)
	pred, err := compilePredicates(&Query{Lines: d.Lines, Fields: d.Fields})
	if err != nil {
		return nil, fmt.Errorf("deletion: %w", err)
	}
	out := &deletion{Deletion: d, number: number, pred: pred}
	if n := out.size(); n > maxDeletionBytes {
		return nil, fmt.Errorf("deletion of %d bytes, at most %d: %w", n, maxDeletionBytes, ErrTooLarge)
	}
	return out, nil
}

// size is how many bytes of text the deletion has.
func (d *deletion) size() int {
	n := len(d.ID) + len(d.Query)
	for _, t := range d.Tenants {
		n += len(t.Cluster) + len(t.Namespace)
	}
	for _, m := range d.Matchers {
		n += len(m.Name) + len(m.Value)
	}
	for _, p := range d.Lines {
		n += len(p.Text)
	}
	for _, p := range d.Fields {
		n += len(p.Name) + len(p.Text)
	}
	return n
}

// overlaps reports whether the deletion may cover rows of the part that its
// manifest entry describes.
func (d *deletion) overlaps(m *partMeta) bool {
	return d.Table == m.Table && m.Latest >= d.From && m.Least < d.To
}

// streamsOf says which streams of the part it covers, or nil if none.
func (d *deletion) streamsOf(p *part) []bool {
	if !d.overlaps(&p.partMeta) {
		return nil
	}
	out, any := make([]bool, len(p.streams)), false
	for i, st := range p.streams {
		out[i] = matchesTenant(st.tenant, d.Tenants) && matchesLabels(st.labels, d.Matchers)
		any = any || out[i]
	}
	if !any {
		return nil
	}
	return out
}

// done is the deletion after its rows have left the disk: what it was about is only
// what the user wrote from then on, for the list.
func (d *deletion) done(now time.Time) *deletion {
	out := &deletion{number: d.number, ended: now}
	out.ID, out.Table, out.From, out.To = d.ID, d.Table, d.From, d.To
	out.Created, out.Query, out.Done = d.Created, d.Query, true
	return out
}
